//! Relations that hold data, or look as if they did, and what the role may do with them.

use std::collections::HashMap;

use crate::error::Result;
use crate::model::TableName;
use crate::postgres::Session;

/// What a relation is to a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelationKind {
    /// An ordinary table or a leaf partition: it has rows of its own.
    Table,
    /// A partitioned table: its rows are its partitions'.
    Partitioned,
    Foreign,
    MaterializedView,
    Sequence,
}

/// One relation outside the system's schemas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Relation {
    pub oid: u32,
    pub name: TableName,
    pub kind: RelationKind,
    pub unlogged: bool,
    /// A materialized view that holds rows.
    pub populated: bool,
    pub relfilenode: u32,
    /// Its access method is `heap`.
    pub heap: bool,
    /// Bytes of its main fork, and of its TOAST table: as of the last VACUUM or ANALYZE, until
    /// [`sizes`] has asked.
    pub bytes: u64,
    pub toast_bytes: u64,
    /// The planner's estimate; 0 where it was never analysed.
    pub estimated_rows: u64,
    /// The role has USAGE on the schema and SELECT on the relation.
    pub readable: bool,
    /// Row-level security would hide rows from the role.
    pub hides_rows: bool,
    /// The extension that it belongs to.
    pub extension: Option<String>,
    /// For an extension's configuration table: which of its rows are the user's (may be empty: all).
    pub condition: Option<String>,
    /// The root of its partition tree, if rows may land in another partition elsewhere.
    pub load_through: Option<TableName>,
}

/// Every relation of the database that a snapshot cares for, ordered by schema and name. Temporary
/// and system relations are not listed.
///
/// Nothing here waits for a lock. What opens a relation (`pg_relation_size`, `pg_partition_tree`)
/// would wait for as long as somebody alters or refreshes it.
pub async fn relations(session: &Session) -> Result<Vec<Relation>> {
    let rows = session
        .rows(
            "SELECT c.oid, n.nspname, c.relname, c.relkind, c.relpersistence, c.relispopulated,
                    coalesce(pg_relation_filenode(c.oid), 0), coalesce(a.amname = 'heap', false),
                    greatest(c.relpages, 0) * current_setting('block_size')::bigint,
                    greatest(toast.relpages, 0) * current_setting('block_size')::bigint,
                    greatest(c.reltuples, 0)::bigint,
                    has_schema_privilege(n.oid, 'USAGE') AND
                      CASE WHEN c.relkind = 'S' THEN has_sequence_privilege(c.oid, 'SELECT')
                           ELSE has_table_privilege(c.oid, 'SELECT') END,
                    c.relkind IN ('r', 'p') AND row_security_active(c.oid),
                    e.extname, cfg.condition
               FROM pg_class c
               JOIN pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_am a ON a.oid = c.relam
               LEFT JOIN pg_class toast ON toast.oid = c.reltoastrelid
               LEFT JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = c.oid
                     AND d.objsubid = 0 AND d.deptype = 'e'
                     AND d.refclassid = 'pg_extension'::regclass
               LEFT JOIN pg_extension e ON e.oid = d.refobjid
               LEFT JOIN LATERAL (SELECT u.condition
                                    FROM unnest(e.extconfig, e.extcondition) AS u(oid, condition)
                                   WHERE u.oid = c.oid) cfg ON true
              WHERE c.relkind IN ('r', 'p', 'f', 'm', 'S') AND c.relpersistence <> 't'
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              ORDER BY n.nspname, c.relname",
        )
        .await?;
    let roots = moving_partitions(session).await?;
    rows.iter()
        .map(|row| {
            let oid = row.number(0)?;
            Ok(Relation {
                oid,
                name: TableName { schema: row.text(1)?.to_owned(), name: row.text(2)?.to_owned() },
                kind: match row.text(3)? {
                    "p" => RelationKind::Partitioned,
                    "f" => RelationKind::Foreign,
                    "m" => RelationKind::MaterializedView,
                    "S" => RelationKind::Sequence,
                    _ => RelationKind::Table,
                },
                unlogged: row.text(4)? == "u",
                populated: row.text(5)? == "t",
                relfilenode: row.number(6)?,
                heap: row.text(7)? == "t",
                bytes: row.number(8)?,
                toast_bytes: row.number(9)?,
                estimated_rows: row.number(10)?,
                readable: row.text(11)? == "t",
                hides_rows: row.text(12)? == "t",
                extension: row.get(13).map(str::to_owned),
                condition: row.get(14).map(str::to_owned),
                load_through: roots.get(&oid).cloned(),
            })
        })
        .collect()
}

/// Every schema outside the system's, also those without relations.
pub async fn schemas(session: &Session) -> Result<Vec<String>> {
    let rows = session
        .rows(
            "SELECT nspname FROM pg_namespace
              WHERE nspname !~ '^pg_' AND nspname <> 'information_schema' ORDER BY nspname",
        )
        .await?;
    rows.iter().map(|row| row.text(0).map(str::to_owned)).collect()
}

/// Bytes of the main fork and of the TOAST table of relations that this session has locked.
pub async fn sizes(session: &Session, oids: &[u32]) -> Result<HashMap<u32, (u64, u64)>> {
    let mut found = HashMap::with_capacity(oids.len());
    for some in oids.chunks(2000) {
        let list = some.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let rows = session
            .rows(&format!(
                "SELECT oid, coalesce(pg_relation_size(oid), 0),
                        coalesce(pg_relation_size(nullif(reltoastrelid, 0)), 0)
                   FROM pg_class WHERE oid = ANY ('{{{list}}}'::oid[])"
            ))
            .await?;
        for row in &rows {
            found.insert(row.number(0)?, (row.number(1)?, row.number(2)?));
        }
    }
    Ok(found)
}

/// Leaves below a table that is partitioned by a hash of something whose hash differs between
/// databases (an enum hashes by its OID; arrays, ranges and rows may hold one), with the root of
/// their tree. pg_dump loads those through the root as well.
async fn moving_partitions(session: &Session) -> Result<HashMap<u32, TableName>> {
    let rows = session
        .rows(
            "WITH RECURSIVE tree (relid, root) AS (
                SELECT u.root::oid, u.root::oid
               FROM (SELECT DISTINCT pg_partition_root(p.partrelid) AS root
                       FROM pg_partitioned_table p, unnest(p.partclass) AS k(opclass)
                       JOIN pg_opclass o ON o.oid = k.opclass
                      WHERE p.partstrat = 'h' AND o.opcintype IN (
                            'anyenum'::regtype, 'anyarray'::regtype, 'anyrange'::regtype,
                            'anymultirange'::regtype, 'record'::regtype)) u
                UNION
                SELECT i.inhrelid, t.root FROM tree t JOIN pg_inherits i ON i.inhparent = t.relid)
             SELECT t.relid, n.nspname, r.relname
               FROM tree t
               JOIN pg_class leaf ON leaf.oid = t.relid AND leaf.relkind <> 'p'
               JOIN pg_class r ON r.oid = t.root
               JOIN pg_namespace n ON n.oid = r.relnamespace",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let root = TableName { schema: row.text(1)?.to_owned(), name: row.text(2)?.to_owned() };
            Ok((row.number(0)?, root))
        })
        .collect()
}
