//! The operator's own statements: each must give one row in which every column is true.

use super::{APPLICATION, Finding, timed};
use crate::drill::account::{Check, Standing};
use crate::error::Result;
use crate::postgres::{Conninfo, Session, connect};

/// Runs each in a transaction of its own that may not write, one after the other.
pub async fn assertions(info: &Conninfo, all: &[(String, String)]) -> Result<Vec<Check>> {
    if all.is_empty() {
        return Ok(Vec::new());
    }
    let session = connect(info, APPLICATION).await?;
    let mut checks = Vec::new();
    for (name, sql) in all {
        checks.push(timed(&format!("assertion {name}"), one(&session, sql)).await);
    }
    session.close().await;
    Ok(checks)
}

async fn one(session: &Session, sql: &str) -> Result<Finding> {
    session.simple("BEGIN TRANSACTION READ ONLY").await?;
    let rows = session.rows(sql).await;
    session.simple("ROLLBACK").await?;
    let failed = |said: String| Ok(Finding::new(Standing::Failed, said));
    let rows = match rows {
        Ok(rows) => rows,
        // A statement that cannot be run says nothing for the data.
        Err(e) => return failed(e.one_line()),
    };
    let [row] = rows.as_slice() else {
        return failed(format!("it gave {} rows where one was expected", rows.len()));
    };
    let values: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or("NULL")).collect();
    match !values.is_empty() && values.iter().all(|value| *value == "t") {
        true => Ok(Finding::new(Standing::Passed, "true")),
        false => failed(format!("it gave {}, not true", values.join(", "))),
    }
}
