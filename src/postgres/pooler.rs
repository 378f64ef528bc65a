//! Recognising a pooler between this program and the server.
//!
//! A snapshot needs what belongs to a session: an exported snapshot, a transaction that lasts,
//! settings that stay. A pooler in transaction mode hands every transaction to another backend and
//! would make of one consistent image a mixture, silently.

use std::time::Duration;

use tokio::time::timeout;

use super::connect::connect;
use super::conninfo::{Conninfo, Endpoint, Host};
use super::error::sqlstate;
use super::session::Session;
use crate::error::{Error, Kind, Result};

/// What stands between this program and the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pooling {
    /// Nothing that could be noticed.
    None,
    /// A pooler that keeps a backend for as long as the session lasts.
    Session,
    /// A pooler that gives every transaction, or every statement, any backend.
    Transaction,
}

/// Sessions that hold a backend while the first one is asked for its own.
const HOLDERS: usize = 3;
/// An idle server answers `SELECT` at once; a pooler out of backends makes the client wait.
const PATIENCE: Duration = Duration::from_secs(5);
const APPLICATION: &str = "drctl pooler probe";

/// Finds out by what happens, not by names or ports.
///
/// The first session notes its backend's process id and rests, outside any transaction. Others then
/// hold a transaction open, one after another, and each time the first session is asked again: in
/// transaction mode its backend has been given away, or another answers in its place.
/// Reading process ids changes nothing on a server that others share.
pub async fn check(info: &Conninfo) -> Result<Pooling> {
    let first = connect(info, APPLICATION).await?;
    let info = first.info().clone();
    let own = backend(&first).await?;
    let mut holders = Vec::new();
    let mut seen = vec![own];
    for _ in 0..HOLDERS {
        let holder = connect(&info, APPLICATION).await?;
        let held = match timeout(PATIENCE, hold(&holder)).await {
            Ok(Ok(held)) => held,
            // pgbouncer in statement mode: "transaction blocks not allowed".
            Ok(Err(e)) if sqlstate(&e).as_deref() == Some("08P01") => {
                return Ok(Pooling::Transaction);
            }
            Ok(Err(e)) => return Err(e),
            Err(_) => return Err(no_second_backend(&info)),
        };
        holders.push(holder);
        if held == own {
            return Ok(Pooling::Transaction);
        }
        seen.push(held);
        let now = match timeout(PATIENCE, backend(&first)).await {
            Ok(now) => Some(now?),
            Err(_) => None,
        };
        if now != Some(own) {
            return Ok(Pooling::Transaction);
        }
    }
    holders.push(first);
    for session in holders {
        session.close().await;
    }
    // A server starts a process for each session; only a pooler gives out one that has served.
    let late = connect(&info, APPLICATION).await?;
    let reused = seen.contains(&backend(&late).await?);
    late.close().await;
    Ok(if reused { Pooling::Session } else { Pooling::None })
}

impl Pooling {
    /// Refuses transaction mode, with the reason and the way out.
    pub fn must_keep_sessions(self, info: &Conninfo) -> Result<()> {
        if self != Self::Transaction {
            return Ok(());
        }
        Err(Error::new(Kind::Usage, format!("use the connection to {}", info.host_for_people()))
            .caused_by(
                "a pooler in transaction mode answers there: it gives each transaction another \
                 backend, so that no snapshot can be shared between sessions",
            )
            .hint(way_out(info)))
    }
}

/// The next move, for the poolers whose hosts and ports are known.
fn way_out(info: &Conninfo) -> &'static str {
    let is = |test: &dyn Fn(&str, u16) -> bool| {
        info.endpoints().iter().any(|e: &Endpoint| match &e.host {
            Host::Tcp(name) => test(name, e.port),
            Host::Socket(_) => false,
        })
    };
    if is(&|name, port| name.contains("supabase.") && port == 6543) {
        "use Supabase's direct connection (db.<project>.supabase.co:5432), or its session pooler: \
         the same pooler host with port 5432 in place of 6543"
    } else if is(&|name, _| name.contains(".proxy-") && name.ends_with(".rds.amazonaws.com")) {
        "use the endpoint of the instance or cluster instead of the RDS Proxy"
    } else if is(&|name, _| name.contains("-pooler.") && name.contains(".neon.")) {
        "remove `-pooler` from the host name"
    } else {
        "connect to the server itself, or to a pool with pool_mode = session"
    }
}

async fn backend(session: &Session) -> Result<u32> {
    session.row("SELECT pg_catalog.pg_backend_pid()").await?.number(0)
}

async fn hold(session: &Session) -> Result<u32> {
    session.simple("BEGIN").await?;
    backend(session).await
}

fn no_second_backend(info: &Conninfo) -> Error {
    Error::new(Kind::Unverified, "find out whether a pooler keeps sessions apart")
        .caused_by(format!(
            "{} accepted a second session and did not serve it within {} s",
            info.host_for_people(),
            PATIENCE.as_secs()
        ))
        .hint("give the pool more connections (default_pool_size) than `jobs` + 2, or connect to the server itself")
}
