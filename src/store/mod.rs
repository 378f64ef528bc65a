//! Stores: places for objects in one region. The port, and what is built on it.

pub mod keys;
mod port;

pub use port::{
    ByteStream, Class, Condition, Etag, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
