//! The identity of a server and database, and of one MVCC snapshot.

use chrono::{DateTime, Utc};

use crate::error::{Attempt, Kind, Result};
use crate::model::Lsn;
use crate::postgres::Session;

/// The oldest version with TID range scans (PostgreSQL 14 release notes, E.1.3.1.4).
pub const OLDEST: u32 = 140_000;

/// What does not change while a session lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    pub version: String,
    pub version_num: u32,
    pub database: String,
    pub database_oid: u32,
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    pub locale_provider: String,
    pub locale: Option<String>,
    pub block_size: u32,
    pub in_recovery: bool,
    pub superuser: bool,
    pub user: String,
    /// `lc_monetary`.
    pub money_locale: String,
    pub postmaster_started: String,
    /// `stats_reset` of `pg_stat_archiver`: crash recovery discards the statistics and sets it
    /// anew. Unknown where it cannot be read.
    pub counting_since: Option<String>,
    /// Unknown where the role may not call `pg_control_system()`.
    pub system_identifier: Option<String>,
    /// Unknown where it cannot be told for certain.
    pub timeline: Option<u32>,
}

/// One MVCC snapshot in the life of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// `pg_snapshot_xmin`, xid8.
    pub xmin: u64,
    /// `pg_snapshot_xmax`, xid8.
    pub xmax: u64,
    /// The server's clock.
    pub taken: DateTime<Utc>,
    pub lsn: Option<Lsn>,
}

/// Asks a server who it is.
pub async fn server(session: &Session) -> Result<Server> {
    let version_num: u32 =
        session.row("SELECT current_setting('server_version_num')").await?.number(0)?;
    // 15 added datlocprovider and daticulocale, 17 renamed the latter to datlocale.
    let locale = match version_num {
        ..150_000 => "'c', NULL",
        150_000..170_000 => "d.datlocprovider, d.daticulocale",
        _ => "d.datlocprovider, d.datlocale",
    };
    let row = session
        .row(&format!(
            "SELECT current_setting('server_version'), d.datname, d.oid,
                    pg_encoding_to_char(d.encoding), d.datcollate, d.datctype,
                    current_setting('block_size'), pg_is_in_recovery(),
                    current_setting('is_superuser'), current_user,
                    current_setting('lc_monetary'),
                    to_char(pg_postmaster_start_time() AT TIME ZONE 'UTC',
                            'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"'),
                    {locale}
               FROM pg_database d WHERE d.datname = current_database()"
        ))
        .await?;
    let in_recovery = row.text(7)? == "t";
    Ok(Server {
        version: row.text(0)?.to_owned(),
        version_num,
        database: row.text(1)?.to_owned(),
        database_oid: row.number(2)?,
        encoding: row.text(3)?.to_owned(),
        collate: row.text(4)?.to_owned(),
        ctype: row.text(5)?.to_owned(),
        block_size: row.number(6)?,
        in_recovery,
        superuser: row.text(8)? == "on",
        user: row.text(9)?.to_owned(),
        money_locale: row.text(10)?.to_owned(),
        postmaster_started: row.text(11)?.to_owned(),
        locale_provider: match row.text(12)? {
            "i" => "icu",
            "b" => "builtin",
            _ => "libc",
        }
        .to_owned(),
        locale: row.get(13).map(str::to_owned),
        system_identifier: identifier(session).await,
        timeline: timeline(session, in_recovery).await,
        counting_since: counting_since(session).await,
    })
}

/// `None` where the role may not ask; that only means that every range is read.
async fn identifier(session: &Session) -> Option<String> {
    let row = session.row("SELECT system_identifier FROM pg_control_system()").await.ok()?;
    row.get(0).map(str::to_owned)
}

/// `None` where the role may not ask, as with `identifier`.
async fn counting_since(session: &Session) -> Option<String> {
    let row = session
        .row(
            "SELECT to_char(stats_reset AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
                FROM pg_stat_archiver",
        )
        .await
        .ok()?;
    row.get(0).map(str::to_owned)
}

/// The timeline on which rows were written. On a primary it is that of its write position. On a
/// standby, only what the WAL receiver gets and what the last restartpoint says are visible; where
/// they differ or cannot be read it is unknown.
async fn timeline(session: &Session, in_recovery: bool) -> Option<u32> {
    if !in_recovery {
        let row = session.row("SELECT pg_walfile_name(pg_current_wal_lsn())").await.ok()?;
        return u32::from_str_radix(row.get(0)?.get(..8)?, 16).ok();
    }
    let row = session
        .row(
            "SELECT (SELECT received_tli FROM pg_stat_wal_receiver),
                    (SELECT timeline_id FROM pg_control_checkpoint())",
        )
        .await
        .ok()?;
    let received: u32 = row.number(0).ok()?;
    let control: u32 = row.number(1).ok()?;
    (received == control).then_some(received)
}

/// Asks about the snapshot of the current transaction. As its first query it takes that snapshot, so
/// the statement's start is never later than the moment that the snapshot shows.
pub async fn window(session: &Session, in_recovery: bool) -> Result<Window> {
    let position = match in_recovery {
        true => "pg_last_wal_replay_lsn()",
        false => "pg_current_wal_insert_lsn()",
    };
    let row = session
        .row(&format!(
            "SELECT pg_snapshot_xmin(s), pg_snapshot_xmax(s), {position},
                    to_char(statement_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS.US\"Z\"')
               FROM pg_current_snapshot() s"
        ))
        .await?;
    let taken = DateTime::parse_from_rfc3339(row.text(3)?)
        .attempt(Kind::Postgres, || "read the server's clock".to_owned())?;
    Ok(Window {
        xmin: row.number(0)?,
        xmax: row.number(1)?,
        lsn: row.get(2).and_then(|t| t.parse().ok()),
        taken: taken.to_utc(),
    })
}
