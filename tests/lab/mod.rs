//! The real parts that tests run against: PostgreSQL servers, S3 regions, certificates, a pooler.
//!
//! Every server listens on loopback and a free port, keeps its files in a folder of its own below
//! the temporary folder, and ends with its guard, or with the test process however that ends.
//! A part that is not installed fails the test: `scripts/setup` installs all of them.

// Not every test binary uses every part.
#![allow(dead_code, unused_imports)]

mod command;
mod gate;
mod http;
mod moto;
mod options;
mod pgbouncer;
mod postgres;
mod process;
mod scratch;
mod setup;
mod shared;
mod standby;
mod tls;

pub use command::{Ran, drctl, run};
pub use gate::Gate;
pub use moto::Moto;
pub use options::{Options, Version};
pub use pgbouncer::{PgBouncer, PoolMode};
pub use postgres::Postgres;
pub use process::free_port;
pub use scratch::{Folder, Owner, folder};
pub use setup::tool;
pub use shared::{
    shared_moto_east, shared_moto_west, shared_pg15, shared_pg16, shared_pg18, unique,
};
pub use tls::Tls;

use std::path::PathBuf;

/// The SQL files beside this module.
pub fn sql_file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name);
    assert!(path.is_file(), "no {}", path.display());
    path
}
