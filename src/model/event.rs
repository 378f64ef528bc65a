//! Events: the one source for progress, `--json`, the journal, metrics and reports.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Finding;

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Info,
    Warning,
}

/// How a snapshot ended in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreOutcome {
    pub name: String,
    pub complete: bool,
    /// Bytes that this run put into the store.
    pub new_bytes: u64,
    /// Why it is not complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// One thing that happened. `total` figures are estimates until the work ends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A command began its work on a database (or a snapshot of it).
    Started { command: String, database: String, id: Option<String>, at: DateTime<Utc> },
    /// The work is known: so many tables, about so many bytes and rows.
    Planned { tables: u64, total_bytes: u64, total_rows: u64 },
    /// A named phase began, in words for people.
    Phase { name: String },
    /// A table is taken on, of about so many bytes.
    TableStarted { table: String, total_bytes: u64 },
    /// More of a table is done (increments since the last such event of the table).
    TableProgress { table: String, rows: u64, bytes: u64 },
    /// A table is done.
    TableEnded { table: String, rows: u64, raw_bytes: u64, new_bytes: u64 },
    /// A store can no longer be used in this run.
    StoreLost { store: String, error: String },
    /// Something a person should know.
    Notice { level: Level, message: String },
    /// A check found something.
    Found(Finding),
    /// A run of a runbook is begun or gone on with.
    RunStarted {
        run: String,
        runbook: String,
        title: String,
        mode: String,
        operator: String,
        /// When the clock began.
        confirmed: DateTime<Utc>,
        rto_seconds: u64,
        steps: Vec<RunStep>,
    },
    /// A step waits for somebody's agreement.
    StepAsks { step: String, who: String, command: String },
    /// Somebody agreed.
    StepApproved { step: String, by: String },
    /// A step is applied; `attempt` counts from 1.
    StepStarted { step: String, attempt: u32, at: DateTime<Utc> },
    /// What a step waits for, in words.
    StepWaits { step: String, what: String },
    /// Whether a step's effect was found, after a crash or a lost answer.
    StepObserved { step: String, done: bool, found: String },
    /// A step is over: `done`, `failed` or `skipped`.
    StepEnded {
        step: String,
        outcome: String,
        summary: String,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
        at: DateTime<Utc>,
    },
    /// The way back began.
    AbortStarted { by: String, why: String },
    /// A step is being undone.
    UndoStarted { step: String },
    /// A step was undone, or could not be.
    UndoEnded { step: String, well: bool, summary: String },
    /// The run is over, or paused.
    RunEnded { run: String, ending: String, seconds: f64 },
}

/// A step of a run, as it is when the run is shown first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunStep {
    pub id: String,
    pub uses: String,
    /// What it does, in the imperative.
    pub effect: String,
    pub needs: Vec<String>,
    pub budget_seconds: u64,
    pub point_of_no_return: bool,
    /// `waiting`, `started`, `done`, `failed` or `skipped`.
    pub standing: String,
}

/// Where events go. Called from many tasks at once; must not block for long.
pub trait Sink: Send + Sync {
    fn emit(&self, event: Event);

    /// A notice, for the caller's comfort.
    fn notice(&self, level: Level, message: String) {
        self.emit(Event::Notice { level, message });
    }
}

/// Drops every event.
#[derive(Debug, Clone, Copy)]
pub struct Silent;

impl Sink for Silent {
    fn emit(&self, _: Event) {}
}
