//! Closing a database to everybody, and opening it again.
//!
//! A fence by REVOKE CONNECT would not hold: owners and superusers pass it, and applications often
//! are the owner (RDS's master user, Supabase's `postgres`). `ALTER DATABASE … ALLOW_CONNECTIONS
//! false` lets nobody in, superusers neither ("if false then no one can connect to this database",
//! PostgreSQL documentation, CREATE DATABASE), needs no more than ownership, leaves physical
//! replication alone, and is one bit: closing twice is closing once, and nothing has to be remembered
//! to open it again. It is done from another database. A default of read-only goes with it, for the
//! case that somebody opens the door by hand.
//!
//! Both lie in the catalogue, so they reach the standby as well: who promotes it must open it.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::postgres::{Session, quote, sqlstate};
use crate::providers::counting::counted;

/// How soon to look again whether sessions have ended.
const AGAIN: Duration = Duration::from_millis(50);

/// How a database stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Door {
    pub open: bool,
    /// New sessions in it are read-only unless they ask.
    pub read_only: bool,
    /// The role may close and open it: it has the rights of its owner.
    pub ours: bool,
    pub superuser: bool,
    /// The role may end sessions of others.
    pub may_signal: bool,
    /// Prepared transactions, which hold what a session began.
    pub prepared: u64,
    /// The whole server has a default of read-only.
    pub server_read_only: bool,
}

/// Looks at the door of database `name`.
pub async fn look(session: &Session, name: &str) -> Result<Door> {
    let sql = format!(
        "SELECT d.datallowconn,
                EXISTS (SELECT FROM pg_catalog.pg_db_role_setting s
                         WHERE s.setdatabase = d.oid AND s.setrole = 0
                           AND 'default_transaction_read_only=on' = ANY (s.setconfig)),
                pg_catalog.pg_has_role(d.datdba, 'USAGE'),
                r.rolsuper,
                pg_catalog.pg_has_role('pg_signal_backend', 'USAGE'),
                (SELECT count(*) FROM pg_catalog.pg_prepared_xacts p WHERE p.database = d.datname),
                (SELECT s.reset_val = 'on' AND s.source <> 'database' FROM pg_catalog.pg_settings s
                  WHERE s.name = 'default_transaction_read_only')
           FROM pg_catalog.pg_database d, pg_catalog.pg_roles r
          WHERE d.datname = {} AND r.rolname = current_user",
        quote::literal(name)
    );
    let rows = session.rows(&sql).await?;
    let row = rows.first().ok_or_else(|| {
        Error::new(Kind::Postgres, format!("there is no database `{name}` on {}", session.place()))
    })?;
    Ok(Door {
        open: row.truth(0)?,
        read_only: row.truth(1)?,
        ours: row.truth(2)?,
        superuser: row.truth(3)?,
        may_signal: row.truth(4)?,
        prepared: row.number(5)?,
        server_read_only: row.get(6) == Some("t"),
    })
}

/// Closes the door; `door` is how it stands.
pub async fn close(session: &Session, name: &str, door: Door) -> Result<()> {
    if !door.open && door.read_only {
        return Ok(());
    }
    let name = quote::ident(name);
    let sql = format!(
        "BEGIN; ALTER DATABASE {name} WITH ALLOW_CONNECTIONS false;
         ALTER DATABASE {name} SET default_transaction_read_only = on; COMMIT"
    );
    changed(session, &sql).await
}

/// Opens the door; `door` is how it stands.
pub async fn open(session: &Session, name: &str, door: Door) -> Result<()> {
    if !door.open || door.read_only {
        let name = quote::ident(name);
        let sql = format!(
            "BEGIN; ALTER DATABASE {name} WITH ALLOW_CONNECTIONS true;
             ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"
        );
        changed(session, &sql).await?;
    }
    // A quarantined server that was made a standby since has kept this.
    if door.server_read_only && door.superuser {
        lift_server_read_only(session).await?;
    }
    Ok(())
}

async fn changed(session: &Session, sql: &str) -> Result<()> {
    let done = session.simple(sql).await;
    if done.is_err() {
        // The session is used again; one that is gone rolls back by itself.
        let _ = session.simple("ROLLBACK").await;
    }
    done
}

/// Makes the whole server read-only by default, which stays on it alone and outlasts a restart.
pub async fn impose_server_read_only(session: &Session) -> Result<()> {
    session.simple("ALTER SYSTEM SET default_transaction_read_only = on").await?;
    session.simple("SELECT pg_catalog.pg_reload_conf()").await
}

async fn lift_server_read_only(session: &Session) -> Result<()> {
    session.simple("ALTER SYSTEM RESET default_transaction_read_only").await?;
    session.simple("SELECT pg_catalog.pg_reload_conf()").await
}

/// What became of the sessions of a database.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Evicted {
    pub ended: u64,
    /// Those that are still there, and why.
    pub left: Vec<String>,
}

/// The sessions in database `name` that could write: not those that feed replicas.
pub async fn sessions(session: &Session, name: &str) -> Result<Vec<(i32, String)>> {
    let sql = format!(
        "SELECT pid, coalesce(usename::text, backend_type, '?') || coalesce(nullif(' (' || application_name || ')', ' ()'), '')
           FROM pg_catalog.pg_stat_activity
          WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid()
            AND coalesce(backend_type, '') NOT IN ('walsender', 'autovacuum worker', 'parallel worker')
          ORDER BY pid",
        quote::literal(name)
    );
    let rows = session.rows(&sql).await?;
    rows.iter().map(|row| Ok((row.number(0)?, row.text(1)?.to_owned()))).collect()
}

/// Ends every session in database `name`, for as long as `patience`; `told` hears what is waited for.
pub async fn evict(
    session: &Session,
    name: &str,
    patience: Duration,
    told: &(dyn Fn(String) + Sync),
) -> Result<Evicted> {
    let until = tokio::time::Instant::now() + patience;
    let mut ended = std::collections::BTreeSet::new();
    loop {
        let there = sessions(session, name).await?;
        if there.is_empty() {
            return Ok(Evicted { ended: ended.len() as u64, left: Vec::new() });
        }
        told(format!("{} in `{name}` to end", counted(there.len(), "session")));
        let (mut left, mut refused) = (Vec::new(), 0);
        for (pid, who) in &there {
            let done =
                session.rows(&format!("SELECT pg_catalog.pg_terminate_backend({pid})")).await;
            match done {
                Ok(_) => {
                    ended.insert(*pid);
                    left.push(who.clone());
                }
                // insufficient_privilege
                Err(e) if sqlstate(&e).as_deref() == Some("42501") => {
                    refused += 1;
                    left.push(format!("{who}, which this role may not end"));
                }
                Err(e) => return Err(e),
            }
        }
        let hopeless = refused == there.len();
        if hopeless || tokio::time::Instant::now() >= until {
            ended.retain(|pid| !there.iter().any(|(p, _)| p == pid));
            return Ok(Evicted { ended: ended.len() as u64, left });
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The end of the WAL of a server on which nobody writes any more, safe on its disk. A small record
/// is committed first, so that whatever was acknowledged without waiting for the disk is on it too.
pub async fn last_lsn(session: &Session) -> Result<crate::model::Lsn> {
    let emit = "SELECT pg_catalog.pg_logical_emit_message(true, 'drctl', 'fence')";
    if let Err(e) = session.rows(emit).await
        && crate::postgres::is_connection_lost(&e)
    {
        return Err(e);
    }
    session.row("SELECT pg_catalog.pg_current_wal_flush_lsn()").await?.number(0)
}
