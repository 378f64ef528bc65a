//! Sequences behind the columns that they fill: the next insert would meet a key that is there.

use crate::error::Result;
use crate::postgres::{Session, quote};

/// A sequence and the column that it fills.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Behind {
    /// `"public"."pets_id_seq"`.
    pub sequence: String,
    /// `"public"."pets"."id"`.
    pub column: String,
    /// What the sequence would give next, or gave last.
    pub at: i64,
    /// The column's farthest value.
    pub must_pass: i64,
}

/// What was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Looked {
    pub sequences: u64,
    pub behind: Vec<Behind>,
    /// Those that could not be compared, and why.
    pub unknown: Vec<String>,
}

/// Owned sequences and those that are a column's default; of each its column and direction.
const FILLED: &str = "
    SELECT DISTINCT pg_catalog.quote_ident(sn.nspname) || '.' || pg_catalog.quote_ident(s.relname),
           pg_catalog.quote_ident(tn.nspname) || '.' || pg_catalog.quote_ident(t.relname),
           pg_catalog.quote_ident(a.attname), q.seqincrement > 0
      FROM (SELECT d.objid AS seq, d.refobjid AS rel, d.refobjsubid AS col FROM pg_catalog.pg_depend d
             WHERE d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
               AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
            UNION
            SELECT d.refobjid, ad.adrelid, ad.adnum
              FROM pg_catalog.pg_attrdef ad JOIN pg_catalog.pg_depend d
                ON d.classid = 'pg_catalog.pg_attrdef'::pg_catalog.regclass AND d.objid = ad.oid
               AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass) o
      JOIN pg_catalog.pg_class s ON s.oid = o.seq AND s.relkind = 'S'
      JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
      JOIN pg_catalog.pg_namespace sn ON sn.oid = s.relnamespace
      JOIN pg_catalog.pg_class t ON t.oid = o.rel AND t.relkind IN ('r', 'p')
      JOIN pg_catalog.pg_namespace tn ON tn.oid = t.relnamespace
      JOIN pg_catalog.pg_attribute a ON a.attrelid = t.oid AND a.attnum = o.col
     WHERE a.atttypid IN (20, 21, 23) ORDER BY 1, 2, 3";

/// Compares every sequence with its column. A column without an index is read whole, within the
/// session's statement_timeout; what takes longer is told as unknown.
pub async fn look(session: &Session) -> Result<Looked> {
    let mut looked = Looked::default();
    for row in session.rows(FILLED).await? {
        looked.sequences += 1;
        let (sequence, table, column) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let farthest = if row.truth(3)? { "max" } else { "min" };
        let sql = format!(
            "SELECT s.last_value, s.is_called, (SELECT {farthest}({column})::bigint FROM {table})
               FROM {sequence} s"
        );
        let answer = match session.row(&sql).await {
            Ok(answer) => answer,
            Err(e) if crate::postgres::is_connection_lost(&e) => return Err(e),
            Err(e) => {
                looked.unknown.push(format!("{sequence}: {}", e.one_line()));
                continue;
            }
        };
        let (at, called): (i64, bool) = (answer.number(0)?, answer.truth(1)?);
        let Ok(must_pass) = answer.number::<i64>(2) else { continue };
        // One that was not called gives `last_value` itself next.
        let behind = match (row.truth(3)?, called) {
            (true, true) => at < must_pass,
            (true, false) => at <= must_pass,
            (false, true) => at > must_pass,
            (false, false) => at >= must_pass,
        };
        if behind {
            looked.behind.push(Behind {
                sequence: sequence.to_owned(),
                column: format!("{table}.{column}"),
                at,
                must_pass,
            });
        }
    }
    Ok(looked)
}

/// Moves sequences on, never back.
pub async fn fix(session: &Session, behind: &[Behind]) -> Result<()> {
    for one in behind {
        let sequence = quote::literal(&one.sequence);
        let sql = format!("SELECT pg_catalog.setval({sequence}, {}, true)", one.must_pass);
        session
            .rows(&sql)
            .await
            .map_err(|e| e.during(format!("move {} on to {}", one.sequence, one.must_pass)))?;
    }
    Ok(())
}
