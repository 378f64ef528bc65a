//! Asking a server about its replication, within limits that hold even if it never answers.

use std::future::Future;
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::time::timeout;

use super::{Attached, Receiver, Replication, Role, Slot};
use crate::error::{Error, Kind, Result};
use crate::model::Lsn;
use crate::postgres::{Conninfo, Row, Session, Unreachable, connect, sqlstate};

/// Databases that every server has.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// How long a server may take. A stuck one accepts connections and says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// To a usable session, over all hosts and addresses.
    pub connect: Duration,
    /// For all that is asked of it then.
    pub queries: Duration,
}

impl Limits {
    /// The same time for both.
    pub fn each(limit: Duration) -> Self {
        Self { connect: limit, queries: limit }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::each(Duration::from_secs(4))
    }
}

/// Connects, and gives up after `limit` however many hosts and addresses there are.
pub async fn reach(info: &Conninfo, application: &str, limit: Duration) -> Result<Session> {
    let what = || format!("connect to {}", info.host_for_people());
    bounded(limit, what, connect(info, application)).await
}

/// As `reach`, in whatever database of the server lets this role in: one that is fenced lets nobody
/// in, and its server is to be asked all the same. `info`'s own comes first.
pub async fn reach_server(info: &Conninfo, application: &str, limit: Duration) -> Result<Session> {
    let what = || format!("connect to {}", info.host_for_people());
    bounded(limit, what, async {
        let refused = match connect(info, application).await {
            Err(e) if is_closed_to_us(&e) => e,
            reached => return reached,
        };
        match beside(info, application).await {
            Ok(session) => Ok(session),
            Err(_) => Err(refused),
        }
    })
    .await
}

/// Connects to a database beside `info`'s own: what is done to a database as a whole is done from
/// outside.
pub async fn reach_beside(info: &Conninfo, application: &str, limit: Duration) -> Result<Session> {
    let what = || format!("connect to {}", info.host_for_people());
    bounded(limit, what, beside(info, application)).await
}

async fn beside(info: &Conninfo, application: &str) -> Result<Session> {
    let mut failure = None;
    for name in MAINTENANCE.iter().filter(|name| **name != info.database()) {
        match connect(&info.with_database(name), application).await {
            Ok(session) => return Ok(session),
            // A server that does not answer is not asked for each database.
            Err(e) if !is_closed_to_us(&e) => return Err(e),
            Err(e) => failure = Some(e),
        }
    }
    let error = failure.unwrap_or_else(|| Error::new(Kind::Bug, "there is no other database"));
    Err(error.hint("let the role connect to the database `postgres` or `template1` as well"))
}

/// `invalid_catalog_name`, `insufficient_privilege`, and `object_not_in_prerequisite_state` for a
/// database that is "not currently accepting connections".
fn is_closed_to_us(error: &Error) -> bool {
    matches!(sqlstate(error).as_deref(), Some("3D000" | "42501" | "55000"))
}

/// An act that ends with `Unreachable` when no answer comes in time.
pub async fn bounded<T>(
    limit: Duration,
    what: impl FnOnce() -> String,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    match timeout(limit, act).await {
        Ok(done) => done,
        Err(_) => Err(Error::new(Kind::Postgres, what())
            .caused_by(Unreachable {
                why: format!("no answer within {}", humantime::format_duration(limit)),
            })
            .hint("the server is stuck, or something between swallows what is sent")),
    }
}

/// Connects, asks and hangs up.
pub async fn look(info: &Conninfo, application: &str, limits: Limits) -> Result<Replication> {
    let asked = Utc::now();
    let session = reach_server(info, application, limits.connect).await?;
    let mut seen = look_in(&session, limits.queries).await?;
    // What was acknowledged while the session came about is below the position as well; what was
    // acknowledged before is the promise.
    seen.asked = asked;
    Ok(seen)
}

/// Asks on a session that is there.
pub async fn look_in(session: &Session, limit: Duration) -> Result<Replication> {
    let what = || format!("ask {} about its replication", session.place());
    bounded(limit, what, read(session)).await
}

async fn read(session: &Session) -> Result<Replication> {
    let asked = Utc::now();
    session.simple("SET statement_timeout = 0; SET search_path = ''").await?;
    let row = session
        .row("SELECT pg_catalog.pg_is_in_recovery(), pg_catalog.current_setting('server_version')")
        .await?;
    let role = if row.truth(0)? { Role::Standby } else { Role::Primary };
    let version = row.text(1)?.split(' ').next().unwrap_or_default().to_owned();
    let mut seen = Replication {
        role,
        version,
        asked,
        server_time: None,
        system_identifier: None,
        timeline: None,
        read_only: None,
        inserted: None,
        flushed: None,
        received: None,
        replayed: None,
        replayed_commit: None,
        paused: None,
        receiver: Receiver::Unknown,
        slots: None,
        attached: None,
    };
    // Each is asked for by itself: what the role may not read leaves the rest readable. A lost
    // connection is another matter.
    if let Some(row) = one(session, POSITION[usize::from(role == Role::Standby)]).await? {
        seen.server_time = time(&row, 0);
        seen.inserted = lsn(&row, 1).map(|at| without_header(at, row.number(8), row.number(9)));
        seen.flushed = lsn(&row, 2);
        seen.received = lsn(&row, 3);
        seen.replayed = lsn(&row, 4);
        seen.replayed_commit = time(&row, 5);
        seen.paused = row.get(6).map(|t| t == "t");
        seen.read_only = row.get(7).map(|t| t == "on");
    }
    let identifier = "SELECT system_identifier FROM pg_catalog.pg_control_system()";
    seen.system_identifier =
        one(session, identifier).await?.and_then(|row| row.get(0).map(str::to_owned));
    if role == Role::Standby {
        seen.receiver = receiver(session).await?;
    }
    seen.timeline = timeline(session, &seen).await?;
    seen.slots = many(session, SLOTS).await?.map(|rows| rows.iter().filter_map(slot).collect());
    if role == Role::Primary {
        seen.attached =
            many(session, ATTACHED).await?.map(|rows| rows.iter().map(attached).collect());
    }
    Ok(seen)
}

/// By role: a primary has no position to receive at, a standby none to write at. On a server that
/// left recovery `pg_last_wal_replay_lsn()` "will remain static at the location of the last WAL
/// record applied during recovery" (PostgreSQL documentation, 9.27.4).
const POSITION: [&str; 2] = [
    "SELECT pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
            pg_catalog.pg_current_wal_insert_lsn(), pg_catalog.pg_current_wal_flush_lsn(),
            NULL, pg_catalog.pg_last_wal_replay_lsn(),
            pg_catalog.to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
            NULL, (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name = 'default_transaction_read_only'),
            (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'wal_block_size'),
            (SELECT s.setting FROM pg_catalog.pg_settings s WHERE s.name = 'wal_segment_size')",
    "SELECT pg_catalog.to_char(pg_catalog.clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
            NULL, NULL,
            pg_catalog.pg_last_wal_receive_lsn(), pg_catalog.pg_last_wal_replay_lsn(),
            pg_catalog.to_char(pg_catalog.pg_last_xact_replay_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
            pg_catalog.pg_is_wal_replay_paused(), (SELECT s.reset_val FROM pg_catalog.pg_settings s WHERE s.name = 'default_transaction_read_only')",
];

const SLOTS: &str = "SELECT slot_name, plugin, database, active, wal_status
                       FROM pg_catalog.pg_replication_slots
                      WHERE NOT temporary ORDER BY slot_name";

const ATTACHED: &str =
    "SELECT application_name, client_addr, state, flush_lsn, replay_lsn, sync_state
                          FROM pg_catalog.pg_stat_replication ORDER BY application_name";

const RECEIVER: &str =
    "SELECT status, received_tli, latest_end_lsn,
            pg_catalog.to_char(last_msg_receipt_time AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
            sender_host || ':' || sender_port
       FROM pg_catalog.pg_stat_wal_receiver";

/// The insert position is where the next record goes: at the beginning of a page it lies behind the
/// page's header (24 bytes, 40 in a segment's first page: access/xlog_internal.h), to where no standby
/// comes before that record. The end of what was written is the page's beginning.
fn without_header(at: Lsn, block: Result<u64>, segment: Result<u64>) -> Lsn {
    let (block, segment) = (block.unwrap_or(8192), segment.unwrap_or(16 << 20));
    match (at.0.checked_rem(segment), at.0.checked_rem(block)) {
        (Some(40), _) => Lsn(at.0 - 40),
        (_, Some(24)) => Lsn(at.0 - 24),
        _ => at,
    }
}

/// A role without `pg_read_all_stats` sees that there is a receiver, and nothing of it.
async fn receiver(session: &Session) -> Result<Receiver> {
    let Some(rows) = many(session, RECEIVER).await? else { return Ok(Receiver::Unknown) };
    let Some(row) = rows.first() else { return Ok(Receiver::Absent) };
    let Some(status) = row.get(0) else { return Ok(Receiver::Unknown) };
    Ok(Receiver::Present {
        status: status.to_owned(),
        timeline: row.number(1).ok(),
        primary_at: lsn(row, 2),
        heard: time(row, 3),
        sender: row.get(4).map(str::to_owned),
    })
}

/// A primary's is that of its write position. The control file's is as old as its last checkpoint,
/// so on a standby what the receiver gets counts first, and then what recovery must reach.
async fn timeline(session: &Session, seen: &Replication) -> Result<Option<u32>> {
    if seen.role == Role::Primary {
        let sql = "SELECT pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn())";
        let row = one(session, sql).await?;
        let name = row.as_ref().and_then(|row| row.get(0)).and_then(|name| name.get(..8));
        return Ok(name.and_then(|hex| u32::from_str_radix(hex, 16).ok()));
    }
    if let Receiver::Present { timeline: Some(timeline), .. } = seen.receiver {
        return Ok(Some(timeline));
    }
    let sql = "SELECT greatest(c.timeline_id, r.min_recovery_end_timeline)
                 FROM pg_catalog.pg_control_checkpoint() c, pg_catalog.pg_control_recovery() r";
    Ok(one(session, sql).await?.and_then(|row| row.number(0).ok()))
}

fn slot(row: &Row) -> Option<Slot> {
    let text = |i: usize| row.get(i).map(str::to_owned);
    Some(Slot {
        name: text(0)?,
        plugin: text(1),
        database: text(2),
        active: row.get(3) == Some("t"),
        wal_status: text(4),
    })
}

fn attached(row: &Row) -> Attached {
    let text = |i: usize| row.get(i).map(str::to_owned);
    Attached {
        name: text(0).unwrap_or_default(),
        address: text(1),
        state: text(2),
        flushed: lsn(row, 3),
        replayed: lsn(row, 4),
        sync: text(5),
    }
}

fn lsn(row: &Row, i: usize) -> Option<Lsn> {
    row.get(i)?.parse().ok()
}

fn time(row: &Row, i: usize) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(row.get(i)?).ok().map(|t| t.to_utc())
}

/// The rows, or `None` where the server refuses them to this role.
async fn many(session: &Session, sql: &str) -> Result<Option<Vec<Row>>> {
    match session.rows(sql).await {
        Ok(rows) => Ok(Some(rows)),
        Err(e) if crate::postgres::is_connection_lost(&e) => Err(e),
        Err(_) => Ok(None),
    }
}

async fn one(session: &Session, sql: &str) -> Result<Option<Row>> {
    Ok(many(session, sql).await?.and_then(|mut rows| rows.pop()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_behind_a_header_is_the_end_of_the_page_before() {
        let end = |at: u64| without_header(Lsn(at), Ok(8192), Ok(16 << 20)).0;
        assert_eq!(end(0x0300_0028), 0x0300_0000);
        assert_eq!(end(0x0300_2018), 0x0300_2000);
        // The end of a record that began on the page before.
        assert_eq!(end(0x0300_2028), 0x0300_2028);
        assert_eq!(end(0x0300_0100), 0x0300_0100);
    }
}
