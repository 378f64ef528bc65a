//! Whether tables and B-tree indexes are sound in themselves, by the extension amcheck
//! (PostgreSQL documentation, F.1).

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;

use super::{APPLICATION, Finding, Subject, timed};
use crate::drill::account::{Check, Standing};
use crate::error::Result;
use crate::postgres::{Session, connect, quote};

/// The schema that holds the extension; it goes with the scratch database.
const SCHEMA: &str = "drctl_drill";

/// One relation and the statement that looks at it; each row of the answer tells of a fault.
struct Look {
    name: String,
    sql: String,
}

pub async fn structures(subject: &Subject<'_>) -> Check {
    timed("structures", look(subject)).await
}

async fn look(subject: &Subject<'_>) -> Result<Finding> {
    let session = connect(subject.info, APPLICATION).await?;
    let there = session
        .rows("SELECT 1 FROM pg_catalog.pg_available_extensions WHERE name = 'amcheck'")
        .await?;
    if there.is_empty() {
        let said = "the server does not have amcheck (a package such as postgresql-contrib)";
        return Ok(Finding::new(Standing::Skipped, said));
    }
    let sql = format!(
        "CREATE SCHEMA IF NOT EXISTS {SCHEMA};
         CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA {SCHEMA}"
    );
    if let Err(e) = session.simple(&sql).await {
        let said = format!("amcheck may not be used: {}", e.one_line());
        return Ok(Finding::new(Standing::Skipped, said));
    }
    let home = session
        .row(
            "SELECT n.nspname FROM pg_catalog.pg_extension e
               JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace WHERE e.extname = 'amcheck'",
        )
        .await?;
    let looks = looks(&session, &quote::ident(home.text(0)?)).await?;
    session.close().await;
    let all = looks.len();
    let queue = Mutex::new(VecDeque::from(looks));
    let faults = Mutex::new(Vec::new());
    let workers = (0..subject.jobs.min(all).max(1)).map(|_| work(subject, &queue, &faults));
    for ended in join_all(workers).await {
        ended?;
    }
    let mut faults = faults.into_inner().unwrap_or_else(PoisonError::into_inner);
    faults.sort();
    Ok(Finding::of(faults, format!("{all} tables and B-tree indexes are sound"), "are not sound"))
}

async fn work(
    subject: &Subject<'_>,
    queue: &Mutex<VecDeque<Look>>,
    faults: &Mutex<Vec<String>>,
) -> Result<()> {
    let session = connect(subject.info, APPLICATION).await?;
    session.simple("SET search_path = ''; SET statement_timeout = 0").await?;
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    while let Some(look) = next() {
        let found: Vec<String> = match session.rows(&look.sql).await {
            // A sound index gives a row that says nothing.
            Ok(rows) => {
                let said = rows.iter().filter_map(|row| row.get(0));
                said.filter(|said| !said.is_empty()).map(str::to_owned).collect()
            }
            // An index that is not sound is told of by an error.
            Err(e) if !session.is_closed() => vec![e.one_line()],
            Err(e) => return Err(e),
        };
        let mut faults = faults.lock().unwrap_or_else(PoisonError::into_inner);
        faults.extend(found.into_iter().map(|fault| format!("{}: {fault}", look.name)));
    }
    session.close().await;
    Ok(())
}

/// The largest first, so that no session is left with one at the end.
async fn looks(session: &Session, home: &str) -> Result<Vec<Look>> {
    let rows = session
        .rows(
            "SELECT c.oid::pg_catalog.regclass::text, c.oid, c.relkind = 'i'
               FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               JOIN pg_catalog.pg_am a ON a.oid = c.relam
              WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
                AND c.relpersistence <> 't'
                AND (c.relkind IN ('r', 'm') AND a.amname = 'heap' OR c.relkind = 'i' AND a.amname = 'btree'
                     AND (SELECT i.indisvalid FROM pg_catalog.pg_index i WHERE i.indexrelid = c.oid))
              ORDER BY pg_catalog.pg_relation_size(c.oid) DESC",
        )
        .await?;
    rows.iter()
        .map(|row| {
            let (name, oid) = (row.text(0)?.to_owned(), row.text(1)?);
            let sql = match row.truth(2)? {
                true => format!("SELECT {home}.bt_index_check({oid})"),
                false => format!(
                    "SELECT pg_catalog.format('block %s: %s', blkno, msg)
                       FROM {home}.verify_heapam({oid}) LIMIT 20"
                ),
            };
            Ok(Look { name, sql })
        })
        .collect()
}
