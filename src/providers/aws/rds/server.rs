//! The PostgreSQL server behind an RDS instance: RDS may call an instance available before its
//! server takes writes.

use std::time::Duration;

use super::instance::Instance;
use crate::error::{Error, Kind, Result};
use crate::postgres::{Conninfo, connect};
use crate::providers::Context;

/// What one look at the server may take.
const LOOK: Duration = Duration::from_secs(5);

/// How the server stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Replay {
    pub in_recovery: bool,
    /// Seconds since the last transaction that was replayed was committed; `None`: unknown.
    pub lag: Option<f64>,
}

/// Asks the server of the instance.
pub(super) async fn replay(cx: &Context<'_>, instance: &Instance) -> Result<Replay> {
    let Instance { database, region, .. } = instance;
    let what = format!("ask the server of `{database}` in {region}");
    let server = cx.world.config.database(database)?.servers.get(region);
    let server =
        server.ok_or_else(|| Error::new(Kind::Usage, format!("{what}: none configured")))?;
    let info = Conninfo::parse(&server.url)?;
    let asking = async {
        let session = connect(&info, "drctl").await?;
        session
            .row(
                "SELECT pg_is_in_recovery(), \
                 extract(epoch FROM clock_timestamp() - pg_last_xact_replay_timestamp())",
            )
            .await
    };
    let row = tokio::time::timeout(LOOK, asking).await.map_err(|_| {
        Error::new(Kind::Postgres, &*what)
            .caused_by(format!("no answer within {} s", LOOK.as_secs()))
    })??;
    let in_recovery = row.truth(0)?;
    let lag = row.get(1).and_then(|seconds| seconds.parse().ok());
    Ok(Replay { in_recovery, lag })
}
