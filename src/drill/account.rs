//! The account of a drill: what it did, what came of it, and how long each part took. Published as
//! JSON; `drctl drill schema` prints its schema.

use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The version of the document that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;

/// What is rehearsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Rehearsal {
    /// A snapshot is really restored, away from production.
    Restore,
    /// A region is really lost, away from production, and the service moved.
    Failover,
}

impl Rehearsal {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Restore => "restore",
            Self::Failover => "failover",
        }
    }
}

/// How a drill ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// Everything that was asked for was proven, within the objectives.
    Passed,
    /// Something failed, or an objective was missed.
    Failed,
    /// The snapshot is damaged, or what was restored is not what was snapshotted.
    Different,
    /// Whether all is well could not be found out.
    Unverified,
}

impl Outcome {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "FAILED",
            Self::Different => "DIFFERENT",
            Self::Unverified => "UNVERIFIED",
        }
    }

    /// The process exit code of docs/exit-codes.md.
    pub fn exit_code(self) -> u8 {
        use crate::error::Kind;
        match self {
            Self::Passed => 0,
            Self::Failed => Kind::Failed.exit_code(),
            Self::Different => Kind::Damaged.exit_code(),
            Self::Unverified => Kind::Unverified.exit_code(),
        }
    }
}

/// Everything that a drill has to tell. Times are in seconds since it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Account {
    /// The version of this document.
    pub format: u32,
    pub id: String,
    pub rehearsal: Rehearsal,
    pub project: String,
    /// The database of a restore drill; the runbook of a failover drill.
    pub subject: String,
    pub outcome: Outcome,
    /// The outcome in a sentence.
    pub said: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub began: DateTime<Utc>,
    pub seconds: f64,
    /// Who ran it, on which machine.
    pub operator: String,
    /// The program that wrote this, with its version.
    pub program: String,
    /// None: it did not get so far as to choose one, or it is no restore drill.
    pub snapshot: Option<Chosen>,
    /// None: it is no failover drill.
    #[serde(default)]
    pub failover: Option<Failover>,
    /// Where it was restored to, or which regions were used.
    pub scratch: ScratchFacts,
    pub objectives: Objectives,
    /// In the order in which they began; some run at the same time.
    pub phases: Vec<Phase>,
    pub checks: Vec<Check>,
    /// Differences that were passed over, each by a rule of the allow-list.
    pub allowed: Vec<Passed>,
    /// What a person should know.
    pub warnings: Vec<String>,
    /// Phases that took much longer than they used to.
    pub regressions: Vec<Regression>,
    /// Earlier drills of the same kind and subject, the oldest first.
    pub history: Vec<Earlier>,
    /// Why it failed; none: it passed.
    pub failure: Option<Failure>,
    pub teardown: Teardown,
}

/// The snapshot that was restored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Chosen {
    pub id: String,
    pub generation: String,
    /// `latest`, `random` or `named`.
    pub how: String,
    /// The moment that it shows.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub taken: DateTime<Utc>,
    /// The store that was asked first.
    pub store: String,
    pub source_version: String,
    pub tables: u64,
    pub rows: u64,
    /// Bytes of rows as text.
    pub raw_bytes: u64,
    pub stored_bytes: u64,
}

/// The fault of a failover drill, and the run that answered it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Failover {
    /// The run, in the control store of the regions that were drilled in; `drctl runs report` there
    /// tells of every step.
    pub run: String,
    /// `forced` or `graceful`.
    pub mode: String,
    pub from: String,
    pub to: String,
    /// The program that broke the region.
    pub fault: String,
    /// When it was started, from which the time to recover counts; none: it did not come to that.
    #[schemars(with = "Option<String>", extend("format" = "date-time"))]
    pub fault_at: Option<DateTime<Utc>>,
    /// How the run ended; none: it did not, or never began.
    pub ending: Option<String>,
    /// How the loss is known, or why it is not; one line for each database.
    pub losses: Vec<String>,
}

/// Where a drill took place.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct ScratchFacts {
    /// `embedded`, `database`, `instance` or `regions`.
    pub kind: String,
    /// For people; never holds a secret.
    pub place: String,
    pub server_version: Option<String>,
    /// Roles that were made without login, because the snapshot names them.
    pub role_stubs: Vec<String>,
}

/// What was to be reached, and what was.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Objectives {
    pub rto_seconds: f64,
    pub rpo_seconds: f64,
    /// From nothing to a database that is proven, or to clients that are served; none: it did not
    /// come to that.
    pub recovery_seconds: Option<f64>,
    pub rto_kept: Option<bool>,
    /// How much would have been lost, or was; none: unknown or not asked.
    pub loss_seconds: Option<f64>,
    pub rpo_kept: Option<bool>,
}

/// A part of the work.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Phase {
    pub name: String,
    pub began: f64,
    pub seconds: f64,
    /// Whether a real recovery would need it as well.
    pub recovery: bool,
    pub failed: bool,
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Passed,
    /// It passed, with something that a person should look at.
    Noted,
    Failed,
    /// There was nothing to check, or nothing to check it with.
    Skipped,
    /// It could not be found out.
    Unknown,
}

impl Standing {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Noted => "noted",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// Something that was checked in the restored database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    pub name: String,
    pub standing: Standing,
    /// What was found, in a line.
    pub said: String,
    /// Each thing that is wrong or notable.
    pub details: Vec<String>,
    pub seconds: f64,
}

/// A difference that was passed over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Passed {
    pub what: String,
    pub reason: String,
}

/// A phase that took much longer than before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Regression {
    pub phase: String,
    pub seconds: f64,
    /// The median of the earlier drills, scaled to as many bytes.
    pub usual_seconds: f64,
    pub drills: u64,
}

/// A drill that was made before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Earlier {
    pub id: String,
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub began: DateTime<Utc>,
    pub outcome: Outcome,
    pub recovery_seconds: Option<f64>,
    pub raw_bytes: Option<u64>,
}

/// Why a drill failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// The phase that it was in.
    pub phase: String,
    /// What failed, with its causes.
    pub error: String,
    /// The next move.
    pub hint: Option<String>,
}

/// What is left of the scratch target.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase", tag = "state")]
pub enum Teardown {
    /// Nothing.
    Clean { removed: Vec<String> },
    /// It was to be kept.
    Kept { reach: String, remove: String },
    /// It could not be removed; the next drill tries again.
    Left { what: String, why: String },
}

/// The schema of the document, for those who read it by program.
pub fn schema() -> serde_json::Value {
    schemars::schema_for!(Account).to_value()
}
