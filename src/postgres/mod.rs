//! PostgreSQL as a client sees it: connecting (TLS), sessions, poolers, what a server and its
//! catalogue say, rows in and out, and the stock programs.

mod advice;
pub mod catalog;
mod connect;
mod conninfo;
pub mod copy;
mod error;
mod passfile;
pub mod pooler;
pub mod programs;
pub mod quote;
pub mod replication;
mod row;
mod session;
pub mod session_settings;
mod tls;

pub use connect::connect;
pub use conninfo::{Conninfo, Endpoint, Host};
pub use error::{
    ConnectionLost, ServerError, Unreachable, is_connection_lost, is_transient, sqlstate,
};
pub use pooler::{Pooling, check as check_pooling};
pub use programs::{Output, Program, Running, Tool, run};
pub use row::Row;
pub use session::Session;
