//! Everything that the page shows, as one value; `/state.json` is the same.

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::history::History;
use super::intake::Incident;
use crate::model::Learned;
use crate::report::RunReport;
use crate::report::status::Status;
use crate::schedule::Standing;

/// How the service stands, with what is beside a failover.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    pub status: Status,
    /// Why a failover could not go ahead now; empty: it could.
    pub reasons: Vec<String>,
    pub rpo_seconds: f64,
    pub rto_seconds: f64,
    /// Of the databases that are drawn.
    pub histories: Vec<History>,
    /// Runs that have not ended, in full.
    pub open_runs: Vec<OpenRun>,
    /// Newest first.
    pub past_runs: Learned<Vec<PastRun>>,
    /// Newest first.
    pub drills: Learned<Vec<DrillLine>>,
    /// Jobs, the age of snapshots and the runners.
    pub schedule: Learned<Standing>,
    /// Open ones, newest first.
    pub incidents: Learned<Vec<Incident>>,
}

impl View {
    pub fn at(&self) -> DateTime<Utc> {
        self.status.at
    }

    /// Whether something happens that one wants to watch.
    pub fn is_lively(&self) -> bool {
        !self.open_runs.is_empty()
    }
}

/// A run that has not ended.
#[derive(Debug, Clone, Serialize)]
pub struct OpenRun {
    pub id: String,
    /// Its journal, or why it cannot be read.
    pub report: Learned<RunReport>,
    /// Steps that wait for somebody's agreement, with the command that gives it.
    pub asks: Vec<(String, String)>,
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PastRun {
    pub id: String,
    pub runbook: String,
    pub drill: bool,
    pub began: DateTime<Utc>,
    pub seconds: f64,
    /// In words; `None`: it has not ended.
    pub ending: Option<String>,
    pub well: bool,
}

/// A rehearsal.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DrillLine {
    pub id: String,
    /// "restore" or "failover", of which database or runbook.
    pub what: String,
    pub at: DateTime<Utc>,
    pub passed: bool,
    /// How long it took until the service was back. None: it never was.
    pub rto_seconds: Option<f64>,
    /// What was lost. None: not measured.
    pub rpo_seconds: Option<f64>,
}
