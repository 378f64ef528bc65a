//! Stores: places for objects in one region. The port, and what is built on it.

pub mod approval;
#[doc(hidden)]
pub mod conformance;
pub mod epoch;
pub mod fault;
mod file;
pub mod keys;
pub mod lease;
pub mod marker;
mod memory;
pub mod mirror;
mod open;
mod port;
pub mod posture;
mod retry;
mod s3;
mod signin;

pub use file::FileStore;
pub use lease::{Holder, Lease};
pub use memory::MemoryStore;
pub use open::{open, open_with};
pub use port::{
    ByteStream, Class, Condition, Etag, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
pub use retry::{Patience, Retrying};
pub use s3::S3Store;
pub(crate) use signin::SignIn;
