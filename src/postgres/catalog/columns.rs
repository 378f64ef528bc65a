//! Columns and types: what is copied, and what decides the text of a row besides its bytes.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sha2::{Digest as _, Sha256};

use crate::error::Result;
use crate::model::Digest;
use crate::postgres::Session;

/// The first OID that is not built in (`FirstNormalObjectId`).
const FIRST_USER_OID: u32 = 16_384;

/// Built-in types whose text depends on more than their bytes: names that can change, roles, or the
/// server's locale.
const UNSTABLE: &[&str] = &[
    "aclitem",
    "money",
    "regclass",
    "regcollation",
    "regconfig",
    "regdatabase",
    "regdictionary",
    "regnamespace",
    "regoper",
    "regoperator",
    "regproc",
    "regprocedure",
    "regrole",
    "regtype",
];

/// A table's columns as a snapshot needs them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    /// Those that are copied, in order: neither dropped nor generated.
    pub copied: Vec<String>,
    /// Digest of everything that decides the text of a row besides the bytes of its heap.
    pub definition: Digest,
    /// The text of every copied column depends on its bytes and `definition` alone.
    pub stable: bool,
    /// A copied column holds `money`, whose text follows `lc_monetary`.
    pub money: bool,
}

struct Type {
    name: String,
    schema: String,
    kind: char,
    /// Array element, domain base or range subtype.
    inner: Option<u32>,
}

struct Types {
    by_oid: HashMap<u32, Type>,
    labels: HashMap<u32, Vec<String>>,
    trusted: BTreeSet<String>,
}

impl Types {
    async fn read(session: &Session, trusted: &[String]) -> Result<Self> {
        // A true array has the subscript handler of arrays; `point`, `name` and others have a
        // `typelem` too and are no arrays.
        let rows = session
            .rows(
                "SELECT t.oid, t.typname, n.nspname, t.typtype,
                        CASE WHEN t.typtype = 'd' THEN t.typbasetype
                             WHEN t.typtype = 'r' THEN r.rngsubtype
                             WHEN t.typtype = 'm' THEN m.rngsubtype
                             WHEN t.typsubscript = 'array_subscript_handler'::regproc THEN t.typelem
                        END
                   FROM pg_type t
                   JOIN pg_namespace n ON n.oid = t.typnamespace
                   LEFT JOIN pg_range r ON r.rngtypid = t.oid
                   LEFT JOIN pg_range m ON m.rngmultitypid = t.oid
                  WHERE t.typtype IN ('b', 'd', 'e', 'r', 'm')",
            )
            .await?;
        let mut by_oid = HashMap::with_capacity(rows.len());
        for row in &rows {
            by_oid.insert(
                row.number(0)?,
                Type {
                    name: row.text(1)?.to_owned(),
                    schema: row.text(2)?.to_owned(),
                    kind: row.text(3)?.chars().next().unwrap_or('b'),
                    inner: row.get(4).map(|_| row.number(4)).transpose()?,
                },
            );
        }
        let mut labels: HashMap<u32, Vec<String>> = HashMap::new();
        let rows = session
            .rows("SELECT enumtypid, oid, enumlabel FROM pg_enum ORDER BY enumtypid, oid")
            .await?;
        for row in &rows {
            let label = format!("{}={}", row.text(1)?, row.text(2)?);
            labels.entry(row.number(0)?).or_default().push(label);
        }
        Ok(Self { by_oid, labels, trusted: trusted.iter().cloned().collect() })
    }

    /// Walks a type down to what its text is made of; adds the labels of enums on the way.
    fn examine(&self, oid: u32, enums: &mut BTreeMap<u32, String>) -> Nature {
        let Some(t) = self.by_oid.get(&oid) else { return Nature::Unstable };
        match (t.kind, t.inner) {
            ('e', _) => {
                let labels = self.labels.get(&oid).map(|l| l.join("\0")).unwrap_or_default();
                enums.insert(oid, labels);
                Nature::Stable
            }
            (_, Some(inner)) => self.examine(inner, enums),
            _ if t.schema == "pg_catalog" && t.name == "money" => Nature::Money,
            _ if oid < FIRST_USER_OID && !UNSTABLE.contains(&t.name.as_str()) => Nature::Stable,
            _ if self.trusted.contains(&t.name)
                || self.trusted.contains(&format!("{}.{}", t.schema, t.name)) =>
            {
                Nature::Stable
            }
            _ => Nature::Unstable,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Nature {
    Stable,
    Unstable,
    Money,
}

/// The columns of every table in `tables`, by table OID. `trusted` names further types whose text
/// depends on their bytes alone.
pub async fn columns(
    session: &Session,
    tables: &[u32],
    trusted: &[String],
) -> Result<HashMap<u32, Columns>> {
    let types = Types::read(session, trusted).await?;
    let mut found = HashMap::with_capacity(tables.len());
    // Bounded statements, however many tables there are.
    for some in tables.chunks(2000) {
        let oids = some.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let rows = session
            .rows(&format!(
                "SELECT attrelid, attnum, attname, attisdropped, attgenerated, atttypid,
                        atttypmod, attlen, attalign, atthasmissing, attmissingval::text
                   FROM pg_attribute WHERE attnum > 0 AND attrelid = ANY ('{{{oids}}}'::oid[])
                  ORDER BY attrelid, attnum"
            ))
            .await?;
        let mut at = 0;
        while at < rows.len() {
            let oid: u32 = rows[at].number(0)?;
            let end = at + rows[at..].iter().take_while(|r| r.get(0) == rows[at].get(0)).count();
            found.insert(oid, one_table(&types, &rows[at..end])?);
            at = end;
        }
        // A table without columns has no row here.
        for oid in some {
            if !found.contains_key(oid) {
                found.insert(*oid, one_table(&types, &[])?);
            }
        }
    }
    Ok(found)
}

fn one_table(types: &Types, rows: &[crate::postgres::Row]) -> Result<Columns> {
    let mut hash = Sha256::new();
    let mut enums = BTreeMap::new();
    let mut columns =
        Columns { copied: Vec::new(), definition: Digest::of(b""), stable: true, money: false };
    for row in rows {
        for i in 1..=10 {
            // NULL and an empty text must differ.
            match row.get(i) {
                Some(text) => hash.update(format!("{}:{text}", text.len())),
                None => hash.update("-"),
            }
        }
        let (dropped, generated) = (row.text(3)? == "t", !row.text(4)?.is_empty());
        if dropped || generated {
            continue;
        }
        columns.copied.push(row.text(2)?.to_owned());
        let type_oid = row.number(5)?;
        match types.examine(type_oid, &mut enums) {
            Nature::Stable => {}
            Nature::Unstable => columns.stable = false,
            Nature::Money => (columns.stable, columns.money) = (false, true),
        }
        if let Some(t) = types.by_oid.get(&type_oid) {
            hash.update(format!("{}:{}.{}", t.name.len(), t.name, t.schema));
        }
    }
    for (oid, labels) in enums {
        hash.update(format!("{oid}:{}:{labels}", labels.len()));
    }
    columns.definition = Digest::from_bytes(hash.finalize().into());
    Ok(columns)
}
