//! What stands around the rows: sequence values, large objects, extensions, roles.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::model::{Extension, Role, Sequence, TableName};
use crate::postgres::{Session, quote};

/// Sequences with their values.
pub type Sequences = Vec<Sequence>;

/// Reads the values of sequences. A sequence is not transactional: read after the MVCC snapshot was
/// taken, its value is never behind the rows that the snapshot shows.
pub async fn sequence_values(session: &Session, names: &[TableName]) -> Result<Sequences> {
    let mut found = Vec::with_capacity(names.len());
    for some in names.chunks(200) {
        let union = some
            .iter()
            .enumerate()
            .map(|(i, n)| format!("SELECT {i}, last_value, is_called FROM {}", quote::table(n)))
            .collect::<Vec<_>>()
            .join(" UNION ALL ");
        for row in session.rows(&format!("{union} ORDER BY 1")).await? {
            found.push(Sequence {
                name: some[row.number::<usize>(0)?].clone(),
                last_value: row.text(1)?.to_owned(),
                is_called: row.text(2)? == "t",
            });
        }
    }
    Ok(found)
}

pub async fn large_object_count(session: &Session) -> Result<u64> {
    session.row("SELECT count(*) FROM pg_largeobject_metadata").await?.number(0)
}

/// A query that gives every large object in chunks of 1 MiB: `(oid, chunk number, bytes)`, in order.
/// `lo_get` needs SELECT on the object, where reading `pg_largeobject` itself would need a superuser.
pub fn large_objects_query() -> &'static str {
    "WITH RECURSIVE chunk(oid, n, bytes) AS (
         SELECT oid, 0::bigint, lo_get(oid, 0, 1048576) FROM pg_largeobject_metadata
          UNION ALL
         SELECT oid, n + 1, lo_get(oid, (n + 1) * 1048576, 1048576) FROM chunk
          WHERE length(bytes) = 1048576)
     SELECT oid, n, bytes FROM chunk"
}

/// The installed extensions, by name.
pub async fn extensions(session: &Session) -> Result<Vec<Extension>> {
    let rows = session
        .rows(
            "SELECT e.extname, e.extversion, n.nspname FROM pg_extension e
               JOIN pg_namespace n ON n.oid = e.extnamespace ORDER BY e.extname",
        )
        .await?;
    rows.iter()
        .map(|r| {
            Ok(Extension {
                name: r.text(0)?.to_owned(),
                version: r.text(1)?.to_owned(),
                schema: r.text(2)?.to_owned(),
            })
        })
        .collect()
}

/// The roles of the server without their secrets, by name. Predefined roles are not listed.
pub async fn roles(session: &Session) -> Result<Vec<Role>> {
    let rows = session
        .rows(
            "SELECT r.rolname, r.rolsuper, r.rolinherit, r.rolcreaterole, r.rolcreatedb,
                    r.rolcanlogin, r.rolreplication, r.rolbypassrls, r.rolconnlimit
               FROM pg_roles r WHERE r.rolname !~ '^pg_' ORDER BY r.rolname",
        )
        .await?;
    let mut member_of: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let memberships = session
        .rows(
            "SELECT DISTINCT m.rolname, g.rolname FROM pg_auth_members a
               JOIN pg_roles m ON m.oid = a.member JOIN pg_roles g ON g.oid = a.roleid
              ORDER BY 1, 2",
        )
        .await?;
    for row in &memberships {
        member_of.entry(row.text(0)?.to_owned()).or_default().push(row.text(1)?.to_owned());
    }
    rows.iter()
        .map(|r| {
            let flag = |i| r.text(i).map(|t| t == "t");
            let name = r.text(0)?.to_owned();
            Ok(Role {
                superuser: flag(1)?,
                inherit: flag(2)?,
                create_role: flag(3)?,
                create_db: flag(4)?,
                login: flag(5)?,
                replication: flag(6)?,
                bypass_rls: flag(7)?,
                connection_limit: r.number(8)?,
                member_of: member_of.remove(&name).unwrap_or_default(),
                name,
            })
        })
        .collect()
}
