//! Stores: places for objects in one region. The port, and what is built on it.

#[doc(hidden)]
pub mod conformance;
mod file;
pub mod keys;
mod memory;
pub mod mirror;
mod port;

pub use file::FileStore;
pub use memory::MemoryStore;
pub use port::{
    ByteStream, Class, Condition, Etag, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
