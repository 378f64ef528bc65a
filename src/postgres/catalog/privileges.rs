//! What the role may not read, and what stands in the way of a look.

use std::collections::HashSet;

use crate::error::Result;
use crate::model::TableName;
use crate::postgres::Session;

/// Schemas that the role may not enter.
pub async fn closed_schemas(session: &Session) -> Result<HashSet<String>> {
    let rows = session
        .rows(
            "SELECT nspname FROM pg_namespace
              WHERE NOT has_schema_privilege(oid, 'USAGE')
                AND nspname !~ '^pg_' AND nspname <> 'information_schema'",
        )
        .await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Relations on which the role has no SELECT, whether or not it may enter their schemas.
pub async fn without_select(session: &Session) -> Result<HashSet<TableName>> {
    let rows = session
        .rows(
            "SELECT n.nspname, c.relname
               FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'p', 'f', 'm', 'S') AND c.relpersistence <> 't'
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                AND NOT CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                             ELSE has_table_privilege(c.oid, 'SELECT') END",
        )
        .await?;
    let name = |row: &crate::postgres::Row| {
        Ok(TableName { schema: row.text(0)?.to_owned(), name: row.text(1)?.to_owned() })
    };
    rows.iter().map(name).collect()
}

/// The large objects of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LargeObjects {
    pub count: u64,
    /// Bytes of the table that holds them all.
    pub bytes: u64,
    /// Those that the role may not read.
    pub unreadable: Vec<u32>,
}

/// Asks about large objects. `has_largeobject_privilege` came with PostgreSQL 18, so their access
/// lists are read here as `pg_largeobject_aclcheck` reads them: the owner may, whoever was granted
/// SELECT may, and everybody may with `lo_compat_privileges`.
pub async fn large_objects(session: &Session) -> Result<LargeObjects> {
    let row = session
        .row(
            "SELECT count(*), pg_total_relation_size('pg_catalog.pg_largeobject')
               FROM pg_largeobject_metadata",
        )
        .await?;
    let unreadable = session
        .rows(
            "SELECT m.oid FROM pg_largeobject_metadata m
              WHERE current_setting('lo_compat_privileges') = 'off'
                AND NOT pg_has_role(m.lomowner, 'USAGE')
                AND NOT EXISTS (
                    SELECT 1 FROM aclexplode(m.lomacl) a
                     WHERE a.privilege_type = 'SELECT'
                       AND CASE WHEN a.grantee = 0 THEN true
                                ELSE pg_has_role(a.grantee, 'USAGE') END)
              ORDER BY m.oid",
        )
        .await?;
    Ok(LargeObjects {
        count: row.number(0)?,
        bytes: row.number(1)?,
        unreadable: unreadable.iter().map(|row| row.number(0)).collect::<Result<_>>()?,
    })
}

/// Sessions that the role could still open: of the server, and of its own limit where it has one.
pub async fn free_sessions(session: &Session) -> Result<i64> {
    session
        .row(
            "SELECT least(
                current_setting('max_connections')::bigint
                  - CASE WHEN current_setting('is_superuser') = 'on' THEN 0
                         ELSE current_setting('superuser_reserved_connections')::bigint END
                  - (SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'),
                (SELECT CASE WHEN rolconnlimit < 0 THEN 1000000 ELSE rolconnlimit - (
                        SELECT count(*) FROM pg_stat_activity WHERE usename = current_user) END
                   FROM pg_roles WHERE rolname = current_user))",
        )
        .await?
        .number(0)
}

/// Who holds an ACCESS EXCLUSIVE lock on a table of this database, one line each.
pub async fn exclusive_locks(session: &Session) -> Result<Vec<String>> {
    let rows = session
        .rows(
            "SELECT l.relation::regclass, l.pid, coalesce(a.usename, 'an unknown role'),
                    coalesce(date_trunc('second', now() - a.xact_start)::text, 'an unknown time')
               FROM pg_locks l LEFT JOIN pg_stat_activity a USING (pid)
               JOIN pg_class c ON c.oid = l.relation AND c.relkind IN ('r', 'p')
                    AND c.relpersistence <> 't' AND c.relnamespace <> 'pg_catalog'::regnamespace
              WHERE l.granted AND l.mode = 'AccessExclusiveLock' AND l.locktype = 'relation'
                AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
                AND l.pid <> pg_backend_pid()
              ORDER BY 1 LIMIT 5",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (relation, pid, who) = (row.text(0)?, row.text(1)?, row.text(2)?);
            Ok(format!("{relation} is locked by pid {pid} ({who}, for {})", row.text(3)?))
        })
        .collect()
}
