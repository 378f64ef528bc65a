//! The actions of AWS, against moto and against what moto lacks, with faults.

mod bench;
mod ecs;
mod elb;
mod faults;
mod front;
mod lending;
mod policy;
mod preflight;
mod rds;
mod records;
mod switch;
