//! What refers to a relation and cannot be made without it: foreign keys and views.

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
}

/// `of` refers to `to`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    pub of: TableName,
    pub how: Referrer,
    pub to: TableName,
}

/// Every foreign key and every view with the relations that it refers to. A foreign key to a
/// partitioned table refers to each of its partitions as well.
pub async fn references(session: &Session) -> Result<Vec<Reference>> {
    let rows = session
        .rows(
            "SELECT n.nspname, c.relname, f.name, f.validated, rn.nspname, r.relname
               FROM (SELECT k.conrelid, coalesce(top.conname, k.conname)::text AS name,
                            k.convalidated AS validated, k.confrelid
                       FROM pg_constraint k
                       LEFT JOIN pg_constraint top
                              ON top.oid = k.conparentid AND top.conrelid = k.conrelid
                      WHERE k.contype = 'f' AND (k.conparentid = 0 OR top.oid IS NOT NULL)
                      UNION
                     SELECT w.ev_class, NULL, NULL, d.refobjid
                       FROM pg_rewrite w
                       JOIN pg_class v ON v.oid = w.ev_class AND v.relkind IN ('v', 'm')
                       JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = w.oid
                             AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> w.ev_class
                      WHERE NOT EXISTS (SELECT FROM pg_depend e
                                         WHERE e.classid = 'pg_class'::regclass
                                           AND e.objid = v.oid AND e.deptype = 'e')) f
               JOIN pg_class c ON c.oid = f.conrelid
               JOIN pg_namespace n ON n.oid = c.relnamespace
               JOIN pg_class r ON r.oid = f.confrelid
               JOIN pg_namespace rn ON rn.oid = r.relnamespace
              WHERE rn.nspname !~ '^pg_' AND rn.nspname <> 'information_schema'
                AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              ORDER BY 1, 2, 3, 5, 6",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let name = |schema, name| -> Result<TableName> {
                Ok(TableName {
                    schema: row.text(schema)?.to_owned(),
                    name: row.text(name)?.to_owned(),
                })
            };
            let how = match row.get(2) {
                Some(name) => Referrer::ForeignKey {
                    name: name.to_owned(),
                    validated: row.get(3) == Some("t"),
                },
                None => Referrer::View,
            };
            Ok(Reference { of: name(0, 1)?, how, to: name(4, 5)? })
        })
        .collect()
}
