//! Whether a job is due, from its schedule, what is recorded of it, and the time. Pure.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};

use super::record::Record;
use super::turns;
use crate::config::{CatchUp, JobConfig};
use crate::model::{JobKind, Verdict};

/// How late a turn may begin that is not caught up.
const IN_TIME: TimeDelta = TimeDelta::minutes(5);
/// Tries of one turn of a job that is not about the age of snapshots.
const TRIES: usize = 3;
/// Waits between tries, in minutes; the last one again and again.
const WAITS: [i64; 4] = [1, 2, 4, 5];

/// One job for one database, or for none.
#[derive(Debug, Clone)]
pub struct Unit {
    pub job: Arc<JobConfig>,
    pub database: Option<String>,
}

/// A turn that is to be run now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn {
    /// The moment of the schedule.
    pub at: DateTime<Utc>,
    /// Turns before it that nobody ran.
    pub missed: u32,
}

/// What a look at the clock says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    pub turn: Option<Turn>,
    /// Nothing changes before then, unless the record does; none: it never does.
    pub again: Option<DateTime<Utc>>,
}

impl Unit {
    /// Names it in keys, alerts and logs: `snapshot.petforce`. Job names have no dots.
    pub fn id(&self) -> String {
        match &self.database {
            Some(database) => format!("{}.{database}", self.job.name),
            None => self.job.name.clone(),
        }
    }

    /// For people: "snapshot of `petforce`".
    pub fn title(&self) -> String {
        let run = self.job.run.as_str();
        let named =
            if self.job.name == run { String::new() } else { format!(" ({})", self.job.name) };
        match &self.database {
            Some(database) => format!("{run} of `{database}`{named}"),
            None => format!("{run}{named}"),
        }
    }

    /// Every unit of these jobs.
    pub fn all(jobs: &[JobConfig]) -> Vec<Self> {
        let mut units = Vec::new();
        for job in jobs {
            let job = Arc::new(job.clone());
            if job.databases.is_empty() {
                units.push(Self { job: Arc::clone(&job), database: None });
            }
            units.extend(
                job.databases
                    .iter()
                    .map(|name| Self { job: Arc::clone(&job), database: Some(name.clone()) }),
            );
        }
        units
    }

    /// How much a clock may have been set back without anything recorded losing its meaning.
    fn tolerance(&self, now: DateTime<Utc>) -> TimeDelta {
        let turn = turns::last(&self.job.on, now).unwrap_or(now);
        turns::period(&self.job.on, turn) / 4
    }

    /// Forgets what is recorded of times that have not come: a clock was ahead then and has been set
    /// right since, and the true turns of these times are still to be run. A clock that is set back
    /// by little makes no turn come twice.
    pub fn disbelieve(&self, record: &mut Record, now: DateTime<Utc>) -> bool {
        let before = record.outcomes.len();
        let newest = now + self.tolerance(now);
        record.outcomes.retain(|outcome| outcome.began <= newest && outcome.turn <= newest);
        record.outcomes.len() != before
    }

    /// Whether a turn is to be run at `now`.
    pub fn look(&self, record: &Record, now: DateTime<Utc>) -> Look {
        let on = &self.job.on;
        let late = turns::lateness(&self.id(), self.job.jitter);
        let Some(at) = turns::last(on, now - late) else {
            return Look { turn: None, again: turns::next(on, now - late).map(|next| next + late) };
        };
        let after = turns::next(on, at).map(|next| next + late);
        let wait = |until| Look { turn: None, again: Some(until).into_iter().chain(after).min() };
        let not = Look { turn: None, again: after };
        // A later turn than this was run when the clock was a little ahead.
        if record.outcomes.iter().any(|o| o.verdict.is_good() && o.turn >= at) {
            return not;
        }
        let tries: Vec<_> = record
            .outcomes
            .iter()
            .filter(|o| o.turn >= at && o.verdict != Verdict::Interrupted)
            .collect();
        if let Some(last) = tries.last() {
            // The command line or the configuration is wrong, or damage was found: again will not help.
            let lasting = matches!(last.exit_code, Some(2 | 3));
            if lasting || (!self.is_urgent() && tries.len() >= TRIES) {
                return not;
            }
            let minutes = WAITS[(tries.len() - 1).min(WAITS.len() - 1)];
            let next_try = last.ended + TimeDelta::minutes(minutes);
            // A clock that was set back must not make it wait longer.
            if now < next_try && last.ended <= now + TimeDelta::minutes(1) {
                return wait(next_try);
            }
        } else if self.job.catch_up == CatchUp::None && now > at + late + IN_TIME {
            return not;
        }
        // Too late then, if nobody begins it before.
        let late_end = (tries.is_empty() && self.job.catch_up == CatchUp::None)
            .then_some(at + late + IN_TIME + TimeDelta::milliseconds(1));
        let again = late_end.into_iter().chain(after).min();
        let before = record.outcomes.iter().map(|o| o.turn).filter(|turn| *turn < at).max();
        let missed = before.map_or(0, |before| turns::between(on, before, at));
        Look { turn: Some(Turn { at, missed }), again }
    }

    /// Whether it is tried until it is done: what keeps the age of snapshots down.
    fn is_urgent(&self) -> bool {
        matches!(self.job.run, JobKind::Snapshot | JobKind::Copy)
    }

    /// The command that it is, as it would be typed after `drctl`.
    pub fn command(&self) -> Vec<String> {
        let words: &[&str] = match self.job.run {
            JobKind::Drill => &["drill", "restore"],
            JobKind::FailoverDrill => &["drill", "failover"],
            JobKind::Snapshot
            | JobKind::Verify
            | JobKind::Prune
            | JobKind::Copy
            | JobKind::Preflight
            | JobKind::Audit => &[self.job.run.as_str()],
        };
        let option =
            (self.job.run == JobKind::Audit && self.database.is_some()).then_some("--database");
        let words = words.iter().copied().chain(option).map(str::to_owned);
        words.chain(self.database.clone()).chain(self.job.args.iter().cloned()).collect()
    }

    /// Its last turn at or before `now`.
    pub fn last(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        turns::last(&self.job.on, now)
    }

    /// When it comes after `now`, with its own lateness.
    pub fn next(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        turns::next(&self.job.on, now)
    }
}

#[cfg(test)]
mod tests;
