//! The report of a period: snapshots taken and missed, the RPO kept, drills and failovers, audits and
//! what came of their findings. For whoever has to be shown that recovery works.

mod document;
mod findings;
mod gathering;
mod html;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub use self::document::markdown;
pub use self::findings::{Ended, Trouble};
pub use self::gathering::{Sources, gather};
pub use self::html::html;

use crate::integrity::audit::Standing;
use crate::integrity::audit::chain::Hole;
use crate::integrity::audit::days::Day;
use crate::integrity::verify::Depth;
use crate::model::Learned;

/// The version of the report's form.
pub const FORM: u32 = 1;

/// The snapshots of one database in the period.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Snapshots {
    pub database: String,
    pub taken: u64,
    /// Complete in every store that was to have it.
    pub everywhere: u64,
    pub missed: u64,
    pub holes: Vec<Hole>,
    /// The longest time between two snapshots, in seconds; none with fewer than two.
    pub longest_seconds: Option<f64>,
    pub days: Vec<Day>,
    /// Stores that could not be asked, and why.
    pub unreachable: Vec<(String, String)>,
}

impl Snapshots {
    /// Whether no two snapshots were further apart than they may be; none: not known.
    pub fn rpo_kept(&self) -> Option<bool> {
        match (self.missed, self.taken, self.unreachable.is_empty()) {
            (0, 1.., _) => Some(true),
            (_, _, false) => None,
            _ => Some(false),
        }
    }
}

/// A drill, as its report tells it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    pub id: String,
    pub rehearsal: String,
    pub subject: String,
    pub began: DateTime<Utc>,
    pub passed: bool,
    pub said: String,
    /// From nothing to a service that is proven; none: it did not come to that.
    pub recovery_seconds: Option<f64>,
    pub rto_kept: Option<bool>,
    pub rpo_kept: Option<bool>,
}

/// A run of a runbook outside of drills.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Failover {
    pub run: String,
    pub runbook: String,
    pub began: DateTime<Utc>,
    pub ending: Option<String>,
    pub recovery_seconds: Option<f64>,
    pub rto_kept: Option<bool>,
}

/// An audit, in a line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditLine {
    pub audit: String,
    pub began: DateTime<Utc>,
    pub depth: Depth,
    pub standing: Standing,
    pub checked_bytes: u64,
    pub operator: String,
}

/// What was read of one database in one store, by the last audit that tells.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Coverage {
    pub database: String,
    pub store: String,
    pub as_of: DateTime<Utc>,
    pub bytes: u64,
    pub read_bytes: u64,
    pub overdue_bytes: u64,
}

/// The report. docs/report.schema.json describes its JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PeriodReport {
    pub format: u32,
    pub project: String,
    pub program: String,
    pub operator: String,
    pub made: DateTime<Utc>,
    pub since: DateTime<Utc>,
    pub rto_seconds: u64,
    pub rpo_seconds: u64,
    pub snapshots: Vec<Learned<Snapshots>>,
    pub drills: Learned<Vec<Drill>>,
    pub failovers: Learned<Vec<Failover>>,
    pub audits: Learned<Vec<AuditLine>>,
    /// Reports that could not be read or proven, and why.
    pub unread: Vec<(String, String)>,
    pub coverage: Vec<Coverage>,
    pub troubles: Vec<Trouble>,
}

impl PeriodReport {
    /// Whether anything that the report is about is not known.
    pub fn is_whole(&self) -> bool {
        self.unread.is_empty()
            && self.drills.known().is_some()
            && self.failovers.known().is_some()
            && self.audits.known().is_some()
            && self.snapshots.iter().all(|s| s.known().is_some_and(|s| s.unreachable.is_empty()))
    }

    /// Findings that nobody has seen gone.
    pub fn open_troubles(&self) -> usize {
        self.troubles.iter().filter(|t| t.ended == Ended::Open).count()
    }

    /// The recovery times that were measured: of drills, then of real runs.
    pub fn recoveries(&self) -> impl Iterator<Item = f64> + '_ {
        let drills = self.drills.known().into_iter().flatten().filter_map(|d| d.recovery_seconds);
        let runs = self.failovers.known().into_iter().flatten().filter_map(|r| r.recovery_seconds);
        drills.chain(runs)
    }
}
