//! What follows the rows: sequences' values, materialized views, statistics.

use super::target::APPLICATION;
use crate::error::{Error, Kind, Result};
use crate::model::{Sequence, TableName};
use crate::postgres::{Conninfo, Session, connect, quote, sqlstate};

/// Values set by one statement.
const BATCH: usize = 200;

/// A session with nothing of its surroundings in its way.
pub async fn plain(info: &Conninfo) -> Result<Session> {
    let session = connect(info, APPLICATION).await?;
    session
        .simple(
            "SET search_path = ''; SET statement_timeout = 0; SET lock_timeout = 0;
             SET idle_in_transaction_session_timeout = 0; SET row_security = off;
             SET synchronous_commit = off",
        )
        .await?;
    Ok(session)
}

/// Gives sequences their values.
pub async fn set_sequences(session: &Session, sequences: &[Sequence]) -> Result<()> {
    for some in sequences.chunks(BATCH) {
        let calls: Vec<String> = some
            .iter()
            .map(|s| {
                let name = quote::literal(&quote::table(&s.name));
                format!("pg_catalog.setval({name}, {}, {})", s.last_value, s.is_called)
            })
            .collect();
        session.rows(&format!("SELECT {}", calls.join(", "))).await.map_err(|e| {
            let first = some.first().map(|s| s.name.to_string()).unwrap_or_default();
            e.during(format!("set the values of {} sequences from {first} on", some.len()))
        })?;
    }
    Ok(())
}

/// Fills materialized views. One may read another, and the list's order does not say which, so
/// those that find another one empty wait for the next round.
pub async fn refresh(session: &Session, views: &[TableName]) -> Result<()> {
    let mut open: Vec<&TableName> = views.iter().collect();
    while !open.is_empty() {
        let mut waiting = Vec::new();
        let mut reason = None;
        for view in &open {
            let sql = format!("REFRESH MATERIALIZED VIEW {}", quote::table(view));
            match session.simple(&sql).await {
                Ok(()) => {}
                // object_not_in_prerequisite_state: "has not been populated".
                Err(e) if sqlstate(&e).as_deref() == Some("55000") => {
                    waiting.push(*view);
                    reason = Some(e);
                }
                Err(e) => return Err(e.during(format!("refresh the materialized view {view}"))),
            }
        }
        if waiting.len() == open.len() {
            let names: Vec<String> = waiting.iter().map(ToString::to_string).collect();
            let error = reason.unwrap_or_else(|| Error::new(Kind::Bug, "no view was refreshed"));
            return Err(error
                .during(format!("refresh the materialized views {}", names.join(", ")))
                .hint("each of them reads one that is empty"));
        }
        open = waiting;
    }
    Ok(())
}
