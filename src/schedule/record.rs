//! What is kept of a job: its last outcomes, and what is under way.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::standing::{JobState, Outcome, Running};

/// The version of the object.
pub(super) const FORMAT: u32 = 1;
/// Outcomes that are kept.
const KEPT: usize = 24;

/// The object's JSON. It is kept in two stores, so that one region is enough to know it; what is read
/// is both together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub format: u32,
    /// Whoever holds the lease of the job wrote this; without that lease it is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub running: Option<Running>,
    /// Oldest first.
    #[serde(default)]
    pub outcomes: Vec<Outcome>,
    /// The last good one, however long ago.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_good: Option<Outcome>,
    /// When it was written, by the clock of whoever wrote it.
    #[serde(default)]
    pub written: DateTime<Utc>,
}

impl Record {
    /// Adds what came of a turn.
    pub fn add(&mut self, outcome: Outcome) {
        self.running = None;
        if outcome.verdict.is_good() {
            self.last_good = Some(outcome.clone());
        }
        if !self.outcomes.contains(&outcome) {
            self.outcomes.push(outcome);
        }
        self.tidy();
    }

    /// With what another store has of the same job.
    pub fn merge(&mut self, other: Self) {
        if other.written > self.written {
            self.running = other.running;
            self.written = other.written;
        }
        for outcome in other.outcomes {
            if !self.outcomes.contains(&outcome) {
                self.outcomes.push(outcome);
            }
        }
        let newer = |good: &Outcome| self.last_good.as_ref().is_none_or(|g| g.ended < good.ended);
        if let Some(good) = other.last_good.filter(newer) {
            self.last_good = Some(good);
        }
        self.tidy();
    }

    fn tidy(&mut self) {
        self.outcomes.sort_by_key(|outcome| (outcome.ended, outcome.turn));
        let surplus = self.outcomes.len().saturating_sub(KEPT);
        self.outcomes.drain(..surplus);
    }

    /// Tries in a row, up to the last, that were not good; those that were interrupted do not count.
    pub fn failures(&self) -> u32 {
        let tries = self.outcomes.iter().rev();
        let tries = tries.filter(|o| o.verdict != crate::model::Verdict::Interrupted);
        u32::try_from(tries.take_while(|o| !o.verdict.is_good()).count()).unwrap_or(u32::MAX)
    }

    /// For those who show it.
    pub fn state(&self) -> JobState {
        JobState {
            running: self.running.clone(),
            last: self.outcomes.last().cloned(),
            last_good: self.last_good.clone(),
            failures: self.failures(),
        }
    }
}
