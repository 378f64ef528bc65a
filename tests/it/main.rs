//! End to end: the built binary and the library against the real parts of the lab.

#[path = "../lab/mod.rs"]
mod lab;

mod architecture;
mod audit;
mod aws;
mod change_detection;
mod change_detection_conditions;
mod change_detection_history;
mod crash;
mod damages;
mod deploy;
mod doctor;
mod drill;
mod drill_room;
mod encryption;
mod failover;
mod fingerprint;
mod home;
mod journey;
mod lab_works;
mod monitoring;
mod net;
mod order;
mod period;
mod postgres_connect;
mod recipe;
mod replica;
mod repository_faults;
mod restore;
mod runner;
mod runner_pace;
mod runs;
mod runs_apart;
mod snapshot_faults;
mod sources;
mod store;
mod taking;
mod terminal;
mod unlock;
mod waiting;
mod web;
mod world_faults;
mod world_works;
