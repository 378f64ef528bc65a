//! End to end: the built binary and the library against the real parts of the lab.

#[path = "../lab/mod.rs"]
mod lab;

mod architecture;
mod lab_works;
mod restore;
