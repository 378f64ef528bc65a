//! The desk at which a run is written: the journal, the state after it, and the lease, asked before
//! every entry.

use std::sync::Arc;

use tokio::sync::{Mutex, MutexGuard};

use super::{Engine, Left};
use crate::error::{Error, Kind, Result};
use crate::model::{Event, Level};
use crate::providers::RunFacts;
use crate::runbook::journal::Journal;
use crate::runbook::record::{Ending, Outcome, Record};
use crate::runbook::state::State;
use crate::store::Lease;

/// The right to carry a run out.
#[derive(Debug, Clone)]
pub struct Hold {
    /// None: the control store was away from the start, and the operator goes on without it.
    pub lease: Option<Arc<Lease>>,
    /// Whether a store that does not answer may cost the lease: `--local-journal`.
    pub local_alone: bool,
}

impl Hold {
    /// The fencing number; 0 without a lease.
    pub fn fence(&self) -> u64 {
        self.lease.as_ref().map_or(0, |lease| lease.fence())
    }

    /// `Ok` while nobody else may be at work on the run.
    fn check(&self) -> Result<()> {
        match &self.lease {
            Some(lease) if !(self.local_alone && lease.is_silent()) => lease.check(),
            _ => Ok(()),
        }
    }

    /// Does the work unless the lease is lost first: then it is cut off, for somebody else may be at
    /// it by now.
    pub(super) async fn unless_lost<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let lost = async {
            let Some(lease) = &self.lease else { return std::future::pending().await };
            let lost = lease.lost().await;
            match self.local_alone && lease.is_silent() {
                true => std::future::pending().await,
                false => lost,
            }
        };
        tokio::select! {
            biased;
            lost = lost => Err(lost),
            done = work => done,
        }
    }
}

pub(super) struct Desk<'d> {
    engine: &'d Engine<'d>,
    pub(super) hold: Hold,
    written: Mutex<Written>,
}

struct Written {
    journal: Journal,
    state: State,
}

impl<'d> Desk<'d> {
    pub(super) fn new(engine: &'d Engine<'d>, journal: Journal, state: State, hold: Hold) -> Self {
        Self { engine, hold, written: Mutex::new(Written { journal, state }) }
    }

    pub(super) async fn state(&self) -> impl std::ops::Deref<Target = State> {
        MutexGuard::map(self.written.lock().await, |written| &mut written.state)
    }

    /// The run as its actions are told of it.
    pub(super) async fn run(&self) -> RunFacts {
        let state = self.state().await;
        let operators = state.operators.clone();
        RunFacts { fence: self.hold.fence(), operators, ..state.run.clone() }
    }

    /// Writes an entry, unless the lease is lost, and tells it.
    pub(super) async fn write(&self, record: Record) -> Result<()> {
        let mut guard = self.written.lock().await;
        let Written { journal, state } = &mut *guard;
        self.hold.check()?;
        let at = (self.engine.now)();
        let entry = journal.append(record, at, self.hold.fence()).await?;
        self.tell_news(journal);
        state.take(self.engine.plan, &entry).map_err(|why| {
            Error::new(Kind::Bug, format!("write the journal of run {}", state.run.id))
                .caused_by(why)
        })?;
        if let Some(event) = event(&entry.record, at, &state.run.id, self.engine) {
            self.engine.sink.emit(event);
        }
        Ok(())
    }

    pub(super) async fn seal(&self) -> Result<()> {
        let mut written = self.written.lock().await;
        written.journal.seal().await?;
        self.tell_news(&mut written.journal);
        Ok(())
    }

    fn tell_news(&self, journal: &mut Journal) {
        for message in journal.news() {
            self.engine.sink.emit(Event::Notice { level: Level::Warning, message });
        }
    }

    /// Leaves the desk: what the control store lacks is sent, if it can be.
    pub(super) async fn leave(self, ending: Result<Option<Ending>>) -> Result<Left> {
        let engine = self.engine;
        let Written { mut journal, state } = self.written.into_inner();
        if journal.is_local_only() && ending.is_ok() {
            journal.send_rest().await?;
        }
        for message in journal.news() {
            engine.sink.emit(Event::Notice { level: Level::Warning, message });
        }
        Ok(Left { ending: ending?, state, local_only: journal.is_local_only() })
    }
}

/// What is told of an entry.
fn event(
    record: &Record,
    at: chrono::DateTime<chrono::Utc>,
    run: &str,
    engine: &Engine<'_>,
) -> Option<Event> {
    Some(match record.clone() {
        Record::StepStarted { step, attempt } => Event::StepStarted { step, attempt, at },
        Record::StepObserved { step, done, found } => Event::StepObserved { step, done, found },
        Record::StepEnded { step, outcome } => ended(step, outcome, at),
        Record::ApprovalAsked { step } => {
            let approve = engine.plan.steps.iter().find(|s| s.id == step)?.approve.as_ref()?;
            let command = format!("drctl approve {run} {step}");
            Event::StepAsks { step, who: approve.who.in_words().to_owned(), command }
        }
        Record::StepApproved { step, by, .. } => Event::StepApproved { step, by },
        Record::CompensationStarted { step } => Event::UndoStarted { step },
        Record::CompensationEnded { step, outcome } => {
            let well = matches!(outcome, Outcome::Done { .. });
            Event::UndoEnded { step, well, summary: outcome.in_words() }
        }
        Record::AbortBegan { by, why } => Event::AbortStarted { by, why },
        Record::Noted { text } => Event::Notice { level: Level::Warning, message: text },
        // Told where they come from.
        Record::RunBegan { .. }
        | Record::RunResumed { .. }
        | Record::RunPaused { .. }
        | Record::RunEnded { .. } => return None,
    })
}

fn ended(step: String, outcome: Outcome, at: chrono::DateTime<chrono::Utc>) -> Event {
    let summary = outcome.in_words();
    let (name, warnings, hint) = match outcome {
        Outcome::Done { warnings, .. } => ("done", warnings, None),
        Outcome::Failed { hint, .. } => ("failed", Vec::new(), hint),
        Outcome::Skipped { .. } => ("skipped", Vec::new(), None),
    };
    Event::StepEnded { step, outcome: name.to_owned(), summary, warnings, hint, at }
}
