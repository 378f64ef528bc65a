//! The real parts that tests run against: PostgreSQL servers, S3 regions, certificates, a pooler,
//! DNS, mail and HTTP servers, and two whole regions put together from them.
//!
//! Every server listens on loopback and a free port, keeps its files in a folder of its own below
//! the temporary folder, and ends with its guard, or with the test process however that ends.
//! A part that is not installed fails the test: `scripts/setup` installs all of them.

// Not every test binary uses every part.
#![allow(dead_code, unused_imports)]

mod alertmanager;
mod app;
mod background;
mod calls;
mod command;
pub mod control;
mod desk;
mod dns;
mod fault;
mod forwarder;
mod furnish;
mod gate;
mod health;
mod hosted_zone;
mod http;
mod mail;
mod moto;
mod operator;
mod options;
mod order;
mod pgbouncer;
mod postgres;
mod process;
mod rds;
mod receiver;
mod records;
mod region;
mod scratch;
mod service;
mod setup;
mod shared;
mod standby;
mod status;
mod terminal;
mod tls;
mod world;
mod writer;
mod xml;

pub use alertmanager::Alertmanager;
pub use background::runtime;
pub use calls::Api;
pub use command::{Ran, drctl, run};
pub use dns::{Cache, Dns, Manners, Records, Zone};
pub use fault::{Fault, Part};
pub use forwarder::{Flow, Forwarder};
pub use gate::Gate;
pub use http::{Response, request, request_within};
pub use mail::{Mail, MailOptions};
pub use moto::Moto;
pub use options::{Options, Version};
pub use pgbouncer::{PgBouncer, PoolMode};
pub use postgres::Postgres;
pub use process::free_port;
pub use rds::{Lot, Rds};
pub use receiver::{Answer, Received, Receiver};
pub use records::SWITCH;
pub use region::Region;
pub use scratch::{Folder, Owner, folder};
pub use service::{CLUSTER, WEB, WORKER};
pub use setup::tool;
pub use shared::{
    shared_moto_east, shared_moto_west, shared_pg15, shared_pg16, shared_pg18, unique,
};
pub use terminal::Terminal;
pub use tls::Tls;
pub use world::{EAST, WEST, World, WorldOptions, ZONE};
pub use writer::{Acknowledged, Writer};

use std::path::PathBuf;

/// The SQL files beside this module.
pub fn sql_file(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/lab").join(name);
    assert!(path.is_file(), "no {}", path.display());
    path
}
