//! Proof: encoding parts and checking them, counting rows, sealing manifests, reading what stores hold.

pub mod codec;
pub mod hashing;
pub mod history;
pub mod large_objects;
pub mod rows;
pub mod seal;
