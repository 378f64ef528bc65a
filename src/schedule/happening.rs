//! What a runner does and sees, as events: its log is made of them.

use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::standing::Outcome;
use crate::model::{Alert, Severity, Verdict};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Happening {
    RunnerStarted {
        runner: String,
        version: String,
        units: usize,
        max_parallel: usize,
    },
    /// Nothing new is begun any more; what runs is told to stop.
    RunnerStopping {
        running: usize,
    },
    RunnerStopped {
        runner: String,
    },
    ConfigReloaded {
        units: usize,
    },
    /// The configuration that was read is wrong; the old one stays.
    ConfigRefused {
        error: String,
    },
    JobStarted {
        unit: String,
        turn: DateTime<Utc>,
        missed: u32,
    },
    JobEnded {
        unit: String,
        outcome: Outcome,
    },
    /// Another runner has it.
    JobElsewhere {
        unit: String,
        turn: DateTime<Utc>,
        holder: String,
    },
    /// It is still under way at its next turn, which is not begun beside it.
    JobLate {
        unit: String,
        turn: DateTime<Utc>,
        next: DateTime<Utc>,
    },
    /// Turns that nobody ran; what they were for is done with the one that follows.
    TurnsMissed {
        unit: String,
        missed: u32,
    },
    /// What was recorded of times that have not come was forgotten.
    ClockSetBack {
        unit: String,
    },
    /// A trouble began or is over.
    Alert {
        alert: Alert,
    },
    /// Worth a line, and nobody's trouble.
    Notice {
        message: String,
    },
    /// Something of the runner's own did not work.
    Trouble {
        what: String,
        error: String,
    },
}

impl Happening {
    /// Whether somebody should look at it.
    pub fn is_warning(&self) -> bool {
        match self {
            Self::ConfigRefused { .. }
            | Self::JobLate { .. }
            | Self::TurnsMissed { .. }
            | Self::ClockSetBack { .. }
            | Self::Trouble { .. } => true,
            Self::JobEnded { outcome, .. } => outcome.verdict != Verdict::Done,
            Self::Alert { alert } => !alert.resolved,
            _ => false,
        }
    }
}

/// For people.
impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clock = |at: &DateTime<Utc>| at.format("%H:%M:%S").to_string();
        match self {
            Self::RunnerStarted { runner, version, units, max_parallel } => write!(
                f,
                "runner {runner} (drctl {version}) started: {units} jobs, {max_parallel} at a time"
            ),
            Self::RunnerStopping { running: 0 } => write!(f, "stopping"),
            Self::RunnerStopping { running } => write!(f, "stopping: {running} under way are told"),
            Self::RunnerStopped { runner } => write!(f, "runner {runner} stopped"),
            Self::ConfigReloaded { units } => write!(f, "configuration read anew: {units} jobs"),
            Self::ConfigRefused { error } => {
                write!(f, "the new configuration is refused and the old one kept: {error}")
            }
            Self::JobStarted { unit, turn, .. } => write!(f, "{unit}: turn {} begun", clock(turn)),
            Self::JobEnded { unit, outcome } => {
                let seconds = outcome.took().as_seconds_f64();
                let verdict = outcome.verdict.as_str();
                write!(f, "{unit}: {verdict} after {seconds:.1} s: {}", outcome.summary)
            }
            Self::JobElsewhere { unit, holder, .. } => {
                write!(f, "{unit}: another has it: {holder}")
            }
            Self::JobLate { unit, turn, next } => write!(
                f,
                "{unit}: turn {} is still under way at its next, {}, which waits",
                clock(turn),
                clock(next)
            ),
            Self::TurnsMissed { unit, missed } => {
                write!(f, "{unit}: nobody ran {missed} earlier turns; this one serves for them")
            }
            Self::ClockSetBack { unit } => {
                write!(f, "{unit}: the clock was set back; turns of times to come are run again")
            }
            Self::Alert { alert } if alert.resolved => write!(f, "over: {}", alert.summary),
            Self::Alert { alert } => match alert.severity {
                Severity::Critical => write!(f, "CRITICAL: {}", alert.summary),
                _ => write!(f, "alert: {}", alert.summary),
            },
            Self::Notice { message } => write!(f, "{message}"),
            Self::Trouble { what, error } => write!(f, "{what}: {error}"),
        }
    }
}
