//! How the service stands: what a failover would find, and whether it could go ahead.

mod gathering;
mod verdict;

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::drill::account::Outcome;
pub use crate::model::Learned;
use crate::model::SnapshotId;
use crate::postgres::replication::Replication;
use crate::providers::postgres::loss::Prediction;
use crate::store::epoch::Epoch;

pub use gathering::{Sources, gather, newest_drills};
pub use verdict::{Terms, reasons};

/// Everything that `drctl status` shows.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Status {
    pub at: DateTime<Utc>,
    pub project: String,
    /// The active region: the epoch's, or without one the configured primary's.
    pub active: String,
    /// `Known(None)`: none was ever written.
    pub epoch: Learned<Option<Epoch>>,
    pub databases: Vec<DatabaseStatus>,
    /// The last preflight of the runbook that `drctl failover` means.
    pub preflight: Learned<Option<Preflight>>,
    pub runbook: String,
    /// The last drill that ended.
    pub drill: Learned<Option<LastDrill>>,
    pub open_runs: Learned<Vec<OpenRun>>,
    /// Of all stores that could be asked.
    pub leases: Vec<LeaseLine>,
    /// Stores whose leases could not be read.
    pub leases_unknown: Vec<(String, String)>,
}

/// One database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DatabaseStatus {
    pub name: String,
    /// The active region's first.
    pub servers: Vec<ServerStatus>,
    /// What a failover to the second server would lose now; none where there is no second.
    pub loss: Option<Prediction>,
    /// In the order of the configuration.
    pub stores: Vec<StoreStatus>,
}

/// A database's server in one region.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ServerStatus {
    pub region: String,
    /// Whether it is the active region's, and so is to be the primary.
    pub active: bool,
    pub seen: Learned<Replication>,
    /// Of a standby: bytes of the primary's WAL that it has not replayed. None: unknown.
    pub bytes_behind: Option<u64>,
    /// Of a standby: how old its data is. None: unknown.
    pub seconds_behind: Option<f64>,
}

/// What a store has of a database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StoreStatus {
    pub store: String,
    pub region: String,
    /// The newest complete snapshot; `Known(None)`: there is none.
    pub newest: Learned<Option<Newest>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Newest {
    pub id: SnapshotId,
    /// The moment that it shows.
    pub taken: DateTime<Utc>,
}

/// A preflight as it was stored.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Preflight {
    pub at: DateTime<Utc>,
    /// Checks that said that a step would fail.
    pub not_ready: usize,
    pub warnings: usize,
    pub unproven: usize,
}

/// A drill as its report tells it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LastDrill {
    pub id: String,
    pub at: DateTime<Utc>,
    /// "restore petforce".
    pub what: String,
    pub outcome: Outcome,
    pub recovery_seconds: Option<f64>,
}

/// A run that somebody should go on with.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OpenRun {
    pub id: String,
    pub runbook: String,
    pub operator: String,
    pub began: DateTime<Utc>,
    /// "running", "paused" or "stopped".
    pub state: &'static str,
}

/// A lease that is held, or whose holder gave no sign in time.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeaseLine {
    pub name: String,
    pub store: String,
    pub holder: String,
    pub since: DateTime<Utc>,
    /// None: it has run out.
    pub left: Option<Duration>,
}
