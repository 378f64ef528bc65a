//! PostgreSQL as a client sees it: connecting (TLS), sessions, poolers and the stock programs.

mod connect;
mod conninfo;
mod error;
mod passfile;
mod pooler;
mod programs;
mod session;
mod tls;

pub use connect::connect;
pub use conninfo::{Conninfo, Endpoint, Host};
pub use error::{ConnectionLost, ServerError, is_connection_lost, sqlstate};
pub use pooler::{Pooling, check as check_pooling};
pub use programs::{Output, Program, Running, Tool, run};
pub use session::{Row, Session};
