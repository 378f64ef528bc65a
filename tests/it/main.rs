//! End to end: the built binary and the library against the real parts of the lab.

#[path = "../lab/mod.rs"]
mod lab;

mod architecture;
mod doctor;
mod lab_works;
mod postgres_connect;
mod store;
mod unlock;
