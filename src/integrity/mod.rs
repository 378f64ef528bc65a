//! Proof: encoding, encrypting and checking parts, counting rows, sealing manifests, reading what stores
//! hold, and verifying all of it.

pub mod audit;
pub mod codec;
pub mod encryption;
pub mod hashing;
pub mod history;
pub mod large_objects;
pub mod lists;
mod remembered;
pub mod rows;
pub mod seal;
pub mod shelf;
#[cfg(test)]
pub mod specimen;
pub mod verified;
pub mod verify;
