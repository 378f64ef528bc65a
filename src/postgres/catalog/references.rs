//! What refers to a relation and cannot be made without it.

use crate::error::Result;
use crate::model::TableName;
use crate::postgres::Session;

/// How something refers to a relation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Referrer {
    /// `name` is the constraint's. One that is not validated lets any row pass that is there.
    ForeignKey {
        name: String,
        validated: bool,
    },
    View,
    /// A partition, or a table that inherits.
    Child,
    /// By the type of its rows, or in its body.
    Function,
}

/// `of` refers to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub of: TableName,
    pub how: Referrer,
    pub to: TableName,
}

const FOREIGN_KEYS: &str = "
    SELECT 'k' AS how, c.relnamespace AS schema, c.relname AS name,
           coalesce(top.conname, k.conname)::text AS key, k.convalidated AS validated,
           k.confrelid AS refers_to
      FROM pg_constraint k
      JOIN pg_class c ON c.oid = k.conrelid
      LEFT JOIN pg_constraint top ON top.oid = k.conparentid AND top.conrelid = k.conrelid
     WHERE k.contype = 'f' AND (k.conparentid = 0 OR top.oid IS NOT NULL)";

const VIEWS: &str = "
    SELECT 'v', v.relnamespace, v.relname, NULL, NULL, d.refobjid
      FROM pg_rewrite w
      JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
      JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
           AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
     WHERE NOT EXISTS (SELECT FROM pg_depend e WHERE e.classid = 'pg_class'::regclass
                          AND e.objid = v.oid AND e.deptype = 'e')";

const CHILDREN: &str = "
    SELECT 'c', c.relnamespace, c.relname, NULL, NULL, i.inhparent
      FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid AND c.relkind IN ('r', 'p', 'f')";

const FUNCTIONS: &str = "
    SELECT 'f', p.pronamespace, p.proname, NULL, NULL,
           CASE WHEN d.refclassid = 'pg_class'::regclass THEN d.refobjid ELSE row.typrelid END
      FROM pg_depend d
      JOIN pg_proc p ON d.classid = 'pg_proc'::regclass AND p.oid = d.objid
      LEFT JOIN pg_type t ON d.refclassid = 'pg_type'::regclass AND t.oid = d.refobjid
      LEFT JOIN pg_type row ON row.typrelid <> 0 AND row.oid IN (t.oid, t.typelem)
     WHERE d.refclassid = 'pg_class'::regclass OR row.oid IS NOT NULL";

/// Every foreign key, view, child table and function with the relations that it refers to. A foreign
/// key to a partitioned table refers to each of its partitions as well.
pub async fn references(session: &Session) -> Result<Vec<Reference>> {
    let rows = session
        .rows(&format!(
            "SELECT n.nspname, f.name, f.how, f.key, f.validated, rn.nspname, r.relname
               FROM ({FOREIGN_KEYS} UNION {VIEWS} UNION {CHILDREN} UNION {FUNCTIONS}) f
               JOIN pg_namespace n ON n.oid = f.schema
               JOIN pg_class r ON r.oid = f.refers_to
               JOIN pg_namespace rn ON rn.oid = r.relnamespace
              WHERE rn.nspname !~ '^pg_' AND rn.nspname <> 'information_schema'
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              ORDER BY 1, 2, 3, 4, 6, 7"
        ))
        .await?;
    rows.iter()
        .map(|row| {
            let name = |schema, name| -> Result<TableName> {
                Ok(TableName {
                    schema: row.text(schema)?.to_owned(),
                    name: row.text(name)?.to_owned(),
                })
            };
            let how = match row.text(2)? {
                "k" => Referrer::ForeignKey {
                    name: row.text(3)?.to_owned(),
                    validated: row.get(4) == Some("t"),
                },
                "v" => Referrer::View,
                "c" => Referrer::Child,
                _ => Referrer::Function,
            };
            Ok(Reference { of: name(0, 1)?, how, to: name(5, 6)? })
        })
        .collect()
}
