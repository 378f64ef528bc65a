//! How the schedule stands: what is due, what ran and how it ended, the age of the newest snapshots,
//! the replica's lag and the runners. A value, for screens, pages and metrics.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::model::{JobKind, Learned, Lsn, SnapshotId, Verdict};

/// Everything at one moment. Where nothing could be asked, it says so and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Standing {
    /// When this was put together.
    pub at: DateTime<Utc>,
    pub project: String,
    /// Every job for every database that it is for, in the order of the configuration.
    pub jobs: Vec<JobStanding>,
    /// Every database in every store that is to have its snapshots, in the order of the
    /// configuration.
    pub rpo: Vec<RpoStanding>,
    /// Every database with a standby server.
    pub replicas: Vec<ReplicaStanding>,
    /// Runners that gave a sign of life lately, this one among them. Unknown: no store could be asked.
    pub runners: Learned<Vec<RunnerStanding>>,
}

/// One job for one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobStanding {
    /// The job's name in the configuration.
    pub job: String,
    pub run: JobKind,
    /// None: the job is for no single database.
    pub database: Option<String>,
    /// When it runs, as the configuration says it.
    pub on: String,
    /// Unknown: no store that keeps records could be asked.
    pub state: Learned<JobState>,
    /// The turn that is due and has not been done, if there is one.
    pub due: Option<DateTime<Utc>>,
    /// The next turn after now; none: it never comes.
    pub next: Option<DateTime<Utc>>,
}

/// What is recorded of a job.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct JobState {
    /// Under way now.
    pub running: Option<Running>,
    /// How it ended last; none: it never ran.
    pub last: Option<Outcome>,
    /// The last turn that was done well.
    pub last_good: Option<Outcome>,
    /// Tries in a row, up to the last, that failed.
    pub failures: u32,
}

/// A turn under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Running {
    /// The moment of the schedule that it is for.
    pub turn: DateTime<Utc>,
    pub began: DateTime<Utc>,
    /// Who runs it.
    pub runner: String,
}

/// A turn that is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outcome {
    /// The moment of the schedule that it was for.
    pub turn: DateTime<Utc>,
    pub began: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    pub runner: String,
    pub verdict: Verdict,
    /// The exit code of docs/exit-codes.md, where there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_code: Option<i32>,
    /// One line, without secrets: what was done, or why it failed.
    pub summary: String,
    /// Turns before this one that nobody ran.
    #[serde(default)]
    pub missed: u32,
}

impl Outcome {
    pub fn took(&self) -> TimeDelta {
        self.ended - self.began
    }
}

/// A database's snapshots in one store against the recovery point objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpoStanding {
    pub database: String,
    pub store: String,
    pub region: String,
    /// In seconds.
    pub objective: f64,
    /// The newest complete snapshot; `Known(None)`: there is none.
    pub newest: Learned<Option<Newest>>,
    /// When `newest` was last looked for: what is known stays true, only the age grows.
    pub looked: DateTime<Utc>,
    pub level: RpoLevel,
}

impl RpoStanding {
    /// How old the newest complete snapshot is at `now`, in seconds; none: unknown, or there is none.
    pub fn age(&self, now: DateTime<Utc>) -> Option<f64> {
        let newest = self.newest.known()?.as_ref()?;
        Some((now - newest.taken).as_seconds_f64())
    }
}

/// A complete snapshot: its manifest is there, sealed, and of what it names all is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Newest {
    pub id: SnapshotId,
    /// The moment that it shows.
    pub taken: DateTime<Utc>,
    /// Bytes that it needs in the store, and those of them that were new with it.
    pub stored_bytes: u64,
    pub new_bytes: u64,
}

/// Where an age stands against the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RpoLevel {
    Fine,
    /// Past the share of the objective at which people are warned.
    Near,
    /// Past the objective, or there is no snapshot at all.
    Broken,
    /// It cannot be told.
    Unknown,
}

/// A database's replication between its servers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReplicaStanding {
    pub database: String,
    /// What was last seen. `Known(None)`: nothing was ever seen.
    pub seen: Learned<Option<ReplicaSeen>>,
}

/// One look at both servers. What is not known is none, and never 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSeen {
    pub at: DateTime<Utc>,
    pub timeline: Option<u32>,
    /// The end of the primary's WAL.
    pub primary: Option<Lsn>,
    pub received: Option<Lsn>,
    pub replayed: Option<Lsn>,
}

impl ReplicaSeen {
    /// Bytes of the primary's WAL that the standby has not replayed.
    pub fn lag_bytes(&self) -> Option<u64> {
        Some(self.primary?.0.saturating_sub(self.replayed?.0))
    }
}

/// A runner and its last sign of life.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunnerStanding {
    /// Host and process, or the name that it was given.
    pub name: String,
    pub host: String,
    pub version: String,
    pub started: DateTime<Utc>,
    /// By the clock of the store that keeps it.
    pub heartbeat: DateTime<Utc>,
    /// When its sampler last got a sample of replication into the ring; none: it does not sample.
    pub sampled: Option<DateTime<Utc>>,
    /// Whether the last sign is too old to believe that it lives.
    pub silent: bool,
}
