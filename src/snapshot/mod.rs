//! Snapshots: taking them and letting them expire.

pub mod retention;
