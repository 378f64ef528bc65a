//! One database: reachable, encrypted, of a known version, without a pooler that mixes sessions,
//! and with programs that fit.

use std::net::IpAddr;
use std::time::Instant;

use super::{Notes, reading};
use crate::config::DatabaseConfig;
use crate::postgres::catalog::{self, Server};
use crate::postgres::{Conninfo, Host, Pooling, Program, Session, Tool, check_pooling, connect};

/// The newest major version that drctl's tests run on.
const NEWEST: u32 = 18;

/// Sessions besides those of `jobs`: the coordinator, pg_dump and one for probes.
const BESIDES: i64 = 3;

/// What later checks want to know of a database.
#[derive(Debug)]
pub(super) struct Facts {
    /// Heap and TOAST of the tables to be taken.
    pub bytes: u64,
    pub large_object_bytes: u64,
}

pub(super) async fn check(config: &DatabaseConfig, notes: &mut Notes) -> Option<Facts> {
    let info = match Conninfo::parse(&config.url) {
        Ok(info) => info,
        Err(e) => {
            notes.failed(&e);
            return None;
        }
    };
    for warning in info.warnings() {
        notes.warning(&**warning, "remove it from the connection string");
    }
    let place = info.host_for_people();
    let begun = Instant::now();
    let session =
        notes.within(&format!("connect to {place}"), connect(&info, "drctl doctor")).await?;
    let waited = begun.elapsed().as_millis();
    notes.ok(format!("{} is reached in {waited} ms", session.place()));
    encryption(&session, notes);
    let server = notes.within("ask the server who it is", catalog::server(&session)).await?;
    version(&server, notes);
    if server.version_num < catalog::OLDEST {
        return None;
    }
    let pooled = pooling(&info, notes).await;
    let (programs, facts) = tokio::join!(
        programs(config, server.version_num / 10_000),
        reading::check(&session, &server, config, pooled, notes)
    );
    for found in programs {
        match found {
            Ok(program) => notes.ok(program.to_string()),
            Err(e) => notes.failed(&e),
        }
    }
    sessions(&session, config, notes).await;
    facts
}

fn encryption(session: &Session, notes: &mut Notes) {
    let endpoint = session.info().endpoints().first();
    let local = endpoint.is_some_and(|e| match &e.host {
        Host::Socket(_) => true,
        Host::Tcp(name) => e
            .address
            .or_else(|| name.parse::<IpAddr>().ok())
            .map_or(name == "localhost", |ip| ip.is_loopback()),
    });
    match (session.is_encrypted(), local) {
        (true, _) => notes.ok("the connection is encrypted (TLS)"),
        (false, true) => {
            notes.ok("the connection is not encrypted and does not leave this machine")
        }
        (false, false) => notes.warning(
            "the connection is not encrypted: passwords and rows can be read on the way",
            "turn `ssl` on at the server and use sslmode=verify-full with its sslrootcert",
        ),
    }
}

fn version(server: &Server, notes: &mut Notes) {
    let role = if server.in_recovery { "a standby" } else { "a primary" };
    let what = format!("PostgreSQL {}, {role}", server.version);
    let major = server.version_num / 10_000;
    if server.version_num < catalog::OLDEST {
        notes.critical(
            format!("{what}: drctl reads PostgreSQL 14 and newer"),
            "older servers cannot read a heap range by TID; upgrade, or use pg_dump",
        );
    } else if major > NEWEST {
        notes.warning(
            format!("{what}: drctl was tested up to {NEWEST}"),
            "look for a newer drctl; until then prove a restore before you rely on it",
        );
    } else {
        notes.ok(what);
    }
}

/// What stands between; unknown where it cannot be found out.
async fn pooling(info: &Conninfo, notes: &mut Notes) -> Option<Pooling> {
    let found = notes.within("find out whether a pooler answers", check_pooling(info)).await?;
    match found.must_keep_sessions(info) {
        Err(e) => notes.failed(&e),
        Ok(()) if found == Pooling::Session => notes.ok("a pooler in session mode answers"),
        Ok(()) => notes.ok("no pooler stands between"),
    }
    Some(found)
}

async fn programs(config: &DatabaseConfig, major: u32) -> [crate::error::Result<Program>; 2] {
    let folder = config.pg_bin.as_deref();
    let (dump, restore) = tokio::join!(
        Program::find(Tool::PgDump, folder, major),
        Program::find(Tool::PgRestore, folder, major)
    );
    [dump, restore]
}

async fn sessions(session: &Session, config: &DatabaseConfig, notes: &mut Notes) {
    let Some(free) =
        notes.within("count the server's sessions", catalog::free_sessions(session)).await
    else {
        return;
    };
    let need = i64::try_from(config.jobs).unwrap_or(i64::MAX).saturating_add(BESIDES);
    if free < need {
        notes.warning(
            format!("{free} more sessions can be opened, a snapshot wants {need}"),
            "lower `jobs`, raise max_connections or the role's CONNECTION LIMIT, or end idle sessions",
        );
    }
}
