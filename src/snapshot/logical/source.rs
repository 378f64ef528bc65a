//! The reading side: locks first, then one MVCC snapshot, exported and imported by every worker
//! before the first row moves.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use super::plan::{self, Scope, TablePlan};
use super::references;
use crate::config::DatabaseConfig;
use crate::error::{Error, Kind, Result};
use crate::model::TableName;
use crate::postgres::catalog::{self, Relation, Server, Window};
use crate::postgres::{Conninfo, Session, connect, quote, session_settings, sqlstate};

/// Tables named in one LOCK statement.
const LOCK_BATCH: usize = 200;

/// How often the catalogue may change between a look and the locks before that is a failure.
const TRIES: usize = 5;

/// The coordinator's session, which holds the locks and the exported snapshot as long as it lives.
pub struct Source {
    pub coordinator: Arc<Session>,
    pub server: Server,
    pub window: Window,
    /// The name under which others import the snapshot.
    pub exported: String,
    pub scope: Scope,
    pub plans: Vec<TablePlan>,
    /// What the manifest records of session settings.
    pub settings: BTreeMap<String, String>,
    /// How long any session may wait for a lock.
    pub lock_timeout: Duration,
}

/// Connects, checks that a snapshot can be read from this server, and says who it is.
pub async fn open(info: &Conninfo) -> Result<(Session, Server)> {
    let session = connect(info, "drctl snapshot").await?;
    let server = catalog::server(&session).await?;
    refuse_old(&session.place(), &server.version, server.version_num)?;
    let settings = session_settings::recorded(&server.encoding, None);
    session.simple(&session_settings::statements(&settings, server.version_num)).await?;
    Ok((session, server))
}

fn refuse_old(place: &str, version: &str, version_num: u32) -> Result<()> {
    if version_num >= catalog::OLDEST {
        return Ok(());
    }
    Err(Error::new(Kind::Postgres, format!("{place} runs PostgreSQL {version}"))
        .hint("drctl reads PostgreSQL 14 and newer: older servers cannot read a heap range by TID"))
}

/// The relations of the database sorted into what is taken and what is not. Locks nothing.
pub async fn look(
    session: &Session,
    server: &Server,
    config: &DatabaseConfig,
) -> Result<(Vec<Relation>, Scope)> {
    let relations = catalog::relations(session).await?;
    let schemas = catalog::schemas(session).await?;
    let scope = plan::scope(&relations, &schemas, config, server.in_recovery);
    Ok((relations, scope))
}

/// What is taken and refers to what is left out.
pub async fn broken(
    session: &Session,
    relations: &[Relation],
    scope: &Scope,
) -> Result<Vec<String>> {
    match scope.left_out.is_empty() {
        true => Ok(Vec::new()),
        false => Ok(references::broken(&catalog::references(session).await?, relations, scope)),
    }
}

/// Takes the locks and then the snapshot. In this order: a REPEATABLE READ transaction sees the data
/// as of its first query, and LOCK TABLE is none (PostgreSQL documentation, LOCK), so no table can
/// change its shape between the snapshot and the reading.
pub async fn begin(
    coordinator: Session,
    server: Server,
    config: &DatabaseConfig,
    ranges_before: &HashMap<TableName, (u32, u64)>,
) -> Result<Source> {
    // Asking for the size of a table waits for its lock as well.
    let timeout = config.lock_timeout;
    coordinator.simple(&format!("SET lock_timeout = {}", timeout.as_millis())).await?;
    let (_, mut scope) = match look(&coordinator, &server, config).await {
        Err(e) if sqlstate(&e).as_deref() == Some("55P03") => {
            return Err(lock_timeout(&coordinator, &[], timeout, e).await);
        }
        looked => looked?,
    };
    plan::refuse_unreadable(&scope, &server.user)?;
    for _ in 0..TRIES {
        coordinator.simple("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        if let Some(gone) = lock(&coordinator, &scope.tables, config.lock_timeout).await? {
            // Dropped or renamed while we waited; the next look will not see it.
            coordinator.simple("ROLLBACK").await?;
            let (_, next) = look(&coordinator, &server, config).await?;
            if next.tables.iter().any(|t| t.oid == gone.oid && t.name == gone.name) {
                return Err(Error::new(Kind::Postgres, format!("lock {}", gone.name))
                    .hint("the table is listed and cannot be locked; look at the server's log"));
            }
            scope = next;
            continue;
        }
        let window = catalog::window(&coordinator, server.in_recovery).await?;
        let (relations, mut seen) = look(&coordinator, &server, config).await?;
        let known: HashMap<u32, &Relation> = scope.tables.iter().map(|t| (t.oid, t)).collect();
        let same = seen.tables.len() == scope.tables.len()
            && seen.tables.iter().all(|t| known.get(&t.oid).is_some_and(|k| k.name == t.name));
        if !same {
            coordinator.simple("ROLLBACK").await?;
            scope = seen;
            continue;
        }
        plan::refuse_unreadable(&seen, &server.user)?;
        seen.broken = broken(&coordinator, &relations, &seen).await?;
        measure(&coordinator, &mut seen).await?;
        let row = coordinator.row("SELECT pg_export_snapshot()").await?;
        let exported = row.text(0)?.to_owned();
        let (plans, money) =
            plan_tables(&coordinator, &server, config, &seen, ranges_before).await?;
        let settings = session_settings::recorded(
            &server.encoding,
            money.then_some(server.money_locale.as_str()),
        );
        return Ok(Source {
            coordinator: Arc::new(coordinator),
            server,
            window,
            exported,
            scope: seen,
            plans,
            settings,
            lock_timeout: config.lock_timeout,
        });
    }
    Err(Error::new(
        Kind::Postgres,
        "tables were created and dropped faster than they could be locked",
    )
    .hint("run the snapshot again when the migration is over"))
}

/// Asks for the true sizes of the tables, now that their locks are held: every row that the snapshot
/// sees lies in a block that was there before it was taken.
async fn measure(session: &Session, scope: &mut Scope) -> Result<()> {
    let oids: Vec<u32> = scope.tables.iter().map(|t| t.oid).collect();
    let sizes = catalog::sizes(session, &oids).await?;
    for table in &mut scope.tables {
        let size = sizes.get(&table.oid).copied().ok_or_else(|| {
            Error::new(Kind::Bug, format!("the size of {} was not read", table.name))
        })?;
        (table.bytes, table.toast_bytes) = size;
    }
    plan::largest_first(&mut scope.tables);
    Ok(())
}

/// Locks tables in ACCESS SHARE mode; gives one that is gone.
async fn lock(
    session: &Session,
    tables: &[Relation],
    timeout: Duration,
) -> Result<Option<Relation>> {
    session.simple(&format!("SET LOCAL lock_timeout = {}", timeout.as_millis())).await?;
    for some in tables.chunks(LOCK_BATCH) {
        let names: Vec<String> =
            some.iter().map(|t| format!("ONLY {}", quote::table(&t.name))).collect();
        let sql = format!("LOCK TABLE {} IN ACCESS SHARE MODE", names.join(", "));
        let Err(e) = session.simple(&sql).await else { continue };
        return match sqlstate(&e).as_deref() {
            // undefined_table, invalid_schema_name
            Some("42P01" | "3F000") => find_gone(session, some).await.map(Some),
            // lock_not_available
            Some("55P03") => Err(lock_timeout(session, some, timeout, e).await),
            _ => Err(e.during("lock the tables in ACCESS SHARE mode")),
        };
    }
    Ok(None)
}

async fn find_gone(session: &Session, tables: &[Relation]) -> Result<Relation> {
    session.simple("ROLLBACK; BEGIN").await?;
    for table in tables {
        let name = quote::literal(&quote::table(&table.name));
        let row = session.row(&format!("SELECT to_regclass({name})::oid")).await?;
        if row.get(0).is_none_or(|oid| oid != table.oid.to_string()) {
            return Ok(table.clone());
        }
    }
    // It came back under the same name meanwhile: any of them makes the caller look again.
    tables.first().cloned().ok_or_else(|| Error::new(Kind::Bug, "lock no tables"))
}

/// Says which table could not be locked, and who stands in the way: whoever holds ACCESS EXCLUSIVE,
/// or waits for it, since a lock request queues behind earlier ones that conflict with it.
async fn lock_timeout(session: &Session, tables: &[Relation], waited: Duration, e: Error) -> Error {
    // Before the tables are known, any of them may be the one.
    let which = match tables {
        [] => "n.nspname !~ '^pg_'".to_owned(),
        some => {
            let oids: Vec<String> = some.iter().map(|t| t.oid.to_string()).collect();
            format!("l.relation = ANY ('{{{}}}'::oid[])", oids.join(","))
        }
    };
    let query = format!(
        "SELECT n.nspname || '.' || c.relname, l.granted, l.pid, a.usename, a.state,
                date_trunc('second', now() - a.xact_start), left(a.query, 80),
                array_to_string(pg_blocking_pids(l.pid), ', ')
           FROM pg_locks l
           JOIN pg_class c ON c.oid = l.relation
           JOIN pg_namespace n ON n.oid = c.relnamespace
           LEFT JOIN pg_stat_activity a USING (pid)
          WHERE l.locktype = 'relation' AND l.mode = 'AccessExclusiveLock'
            AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
            AND c.relkind <> 'i' AND {which}
          ORDER BY l.granted DESC, l.relation, l.pid"
    );
    let mut lines = String::new();
    if session.simple("ROLLBACK").await.is_ok()
        && let Ok(rows) = session.rows(&query).await
    {
        for row in rows {
            let name = row.get(0).unwrap_or("?");
            let how = match row.get(1) {
                Some("t") => "held",
                _ => "wanted before us",
            };
            lines.push_str(&format!(
                "\n  {name}: {how} by pid {} ({}, {}, for {}): {}",
                row.get(2).unwrap_or("?"),
                row.get(3).unwrap_or("unknown role"),
                row.get(4).unwrap_or("unknown state"),
                row.get(5).unwrap_or("an unknown time"),
                row.get(6).unwrap_or("a query that this role may not see"),
            ));
            if let Some(blockers) = row.get(7).filter(|b| !b.is_empty()) {
                lines.push_str(&format!("; it waits for pid {blockers}"));
            }
        }
    }
    let what = format!("lock the tables within {}{lines}", humantime::format_duration(waited));
    Error::new(Kind::Postgres, what)
        .caused_by(e)
        .hint("wait for the schema change that holds the lock to end, or raise lock_timeout")
}

/// Columns, ranges and types of the tables; also whether any holds `money`.
async fn plan_tables(
    session: &Session,
    server: &Server,
    config: &DatabaseConfig,
    scope: &Scope,
    ranges_before: &HashMap<TableName, (u32, u64)>,
) -> Result<(Vec<TablePlan>, bool)> {
    let oids: Vec<u32> = scope.tables.iter().map(|t| t.oid).collect();
    let mut columns = catalog::columns(session, &oids, &config.stable_types).await?;
    let mut plans = Vec::with_capacity(oids.len());
    let mut money = false;
    for relation in &scope.tables {
        let mut columns = columns.remove(&relation.oid).ok_or_else(|| {
            Error::new(Kind::Bug, format!("the columns of {} were not read", relation.name))
        })?;
        // Leaves of one tree are proven together, so they are all read in one order.
        if relation.load_through.is_some() {
            columns.copied.sort();
        }
        money |= columns.money;
        let block_size = u64::from(server.block_size);
        let range_blocks = match ranges_before.get(&relation.name) {
            // A condition takes the place of ranges, whatever the table had before.
            _ if !relation.heap || relation.condition.is_some() => 0,
            // Ranges keep their size within a generation, so that parts keep their rows.
            Some((relfilenode, blocks)) if *relfilenode == relation.relfilenode && *blocks > 0 => {
                *blocks
            }
            _ => plan::range_blocks(
                config.part_size,
                block_size,
                relation.bytes,
                relation.toast_bytes,
            ),
        };
        plans.push(TablePlan {
            blocks: relation.bytes.div_ceil(block_size),
            relation: relation.clone(),
            columns,
            range_blocks,
        });
    }
    Ok((plans, money))
}

impl Source {
    /// Proves that the locks were held until now. A connection that was cut without a word gives
    /// them up at the server long before it is noticed here, and a TRUNCATE that came in between
    /// shows its table as empty even to older snapshots (PostgreSQL documentation, MVCC caveats).
    pub async fn still_locked(&self) -> Result<()> {
        match self.coordinator.simple("SELECT 1").await {
            Ok(()) => Ok(()),
            Err(e) => Err(e
                .during("hold the snapshot's locks until all rows were read")
                .hint("run the snapshot again")),
        }
    }

    /// A further session on the same snapshot.
    pub async fn worker(&self) -> Result<Session> {
        // The coordinator's own place, not any of several hosts: the snapshot exists only there.
        let session = connect(self.coordinator.info(), "drctl snapshot").await?;
        let settings = session_settings::statements(&self.settings, self.server.version_num);
        session.simple(&settings).await?;
        session.simple("BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY").await?;
        let millis = self.lock_timeout.as_millis();
        session.simple(&format!("SET LOCAL lock_timeout = {millis}")).await?;
        let import = format!("SET TRANSACTION SNAPSHOT {}", quote::literal(&self.exported));
        session.simple(&import).await.map_err(|e| {
            e.during("import the exported snapshot").hint(
                "the connection that holds it is gone, or a pooler hands out another server's \
                 connections: use the server's own address",
            )
        })?;
        Ok(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_is_too_old_is_named_with_its_version() {
        assert!(refuse_old("db.example:5432", "14.0", 140_000).is_ok());
        let error = refuse_old("db.example:5432", "13.23", 130_023).unwrap_err();
        assert_eq!(error.kind().exit_code(), 1);
        assert_eq!(error.one_line(), "db.example:5432 runs PostgreSQL 13.23");
        assert!(error.advice().is_some_and(|a| a.contains("PostgreSQL 14 and newer")));
    }
}
