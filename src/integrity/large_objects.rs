//! Counting and digesting a database's large objects.

use super::rows::Counter;
use crate::error::Result;
use crate::model::{LargeObjects, RowFormat, RowHash};
use crate::postgres::{Session, catalog};

/// Reads every large object of the database. The session has a snapshot's settings.
pub async fn read(session: &Session, hash: RowHash) -> Result<LargeObjects> {
    let objects = catalog::large_object_count(session).await?;
    if objects == 0 {
        return Ok(LargeObjects::default());
    }
    let sql = format!("COPY ({}) TO STDOUT", catalog::large_objects_query());
    let mut copy = session.copy_out(&sql, "large objects").await.map_err(|e| {
        e.hint(
            "the role needs SELECT on every large object, or be a superuser; RDS and Supabase: \
                GRANT SELECT ON LARGE OBJECT …",
        )
    })?;
    let mut counter = Counter::new(RowFormat::Text, hash);
    while let Some(chunk) = copy.next().await? {
        counter.push(&chunk)?;
    }
    let sum = counter.finish()?;
    Ok(LargeObjects { objects, chunks: sum.rows, row_digest: sum.digest })
}
