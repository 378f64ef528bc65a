//! Carrying a run out: the decisions of `decision` put into effect, each written into the journal
//! before it happens.

mod approving;
mod desk;
pub mod opening;
mod step;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::sync::watch;

use self::desk::Desk;
pub use self::desk::Hold;
use super::decision::{self, Move, Wish};
use super::journal::Journal;
use super::plan::{Plan, PlannedStep};
use super::record::{Ending, Outcome, Record};
use super::state::{Standing, State};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::{Event, RunStep, Sink};
use crate::providers::{self, ActionKind, DynAction, World};
use crate::store::approval;

/// The actions of a plan's steps, by step.
pub type Actions = BTreeMap<String, Box<dyn DynAction>>;

/// Makes the actions of a plan. `Kind::Usage` where this drctl or this configuration cannot.
pub fn actions(plan: &Plan, config: &Config) -> Result<Actions> {
    plan.steps.iter().map(|step| Ok((step.id.clone(), action_of(step, config)?))).collect()
}

fn action_of(step: &PlannedStep, config: &Config) -> Result<Box<dyn DynAction>> {
    kind_of(step)?.build(&step.with, config).map_err(|e| e.during(made(step)))
}

fn made(step: &PlannedStep) -> String {
    format!("make step `{}` ({})", step.id, step.uses)
}

fn kind_of(step: &PlannedStep) -> Result<&'static ActionKind> {
    providers::find(&step.uses).ok_or_else(|| {
        Error::new(Kind::Usage, made(step))
            .caused_by("this drctl does not know the action")
            .hint("go on with the version of drctl that began the run")
    })
}

/// How long things take; tests are in more of a hurry.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Before the second try; about doubled with each.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// How long an observation may take.
    pub observe: Duration,
    /// Between two looks for an approval.
    pub poll: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(500),
            longest_wait: Duration::from_secs(10),
            observe: Duration::from_secs(20),
            poll: approval::POLL,
        }
    }
}

/// What a run needs to be carried out.
pub struct Engine<'e> {
    pub plan: &'e Plan,
    pub actions: &'e Actions,
    pub world: &'e World,
    pub sink: Arc<dyn Sink>,
    pub wishes: watch::Receiver<Wish>,
    pub pace: Pace,
    pub now: fn() -> DateTime<Utc>,
}

/// How the work of this process on a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Left {
    /// `None`: paused.
    pub ending: Option<Ending>,
    pub state: State,
    /// Entries that the control store does not have.
    pub local_only: bool,
}

impl Engine<'_> {
    /// Carries a run on to its end, or until it is paused. `hold` is the lease under which it is
    /// done; `state` is that after all entries of `journal`.
    ///
    /// `Kind::LeaseHeld`: the lease was lost, or another process writes the journal; nothing more
    /// was begun. `Kind::Storage`: the journal cannot be written; nothing more was begun.
    pub async fn carry_on(&self, journal: Journal, state: State, hold: Hold) -> Result<Left> {
        let desk = Desk::new(self, journal, state, hold);
        let begun = self.started(&*desk.state().await);
        self.sink.emit(begun);
        let ending = desk.hold.unless_lost(self.moves(&desk)).await;
        let left = desk.leave(ending).await?;
        let seconds = (left.state.last - left.state.run.confirmed).as_seconds_f64().max(0.0);
        let ending = left.ending.map_or("paused", Ending::as_str).to_owned();
        self.sink.emit(Event::RunEnded { run: left.state.run.id.clone(), ending, seconds });
        Ok(left)
    }

    /// Move after move. What is under way when this is dropped is cut off.
    async fn moves(&self, desk: &Desk<'_>) -> Result<Option<Ending>> {
        let mut wishes = self.wishes.clone();
        let mut wish = wishes.borrow_and_update().clone();
        let mut live: BTreeSet<String> = BTreeSet::new();
        let mut working = FuturesUnordered::new();
        loop {
            let next = loop {
                // Steps are carried on meanwhile: one of them may hold what is waited for.
                tokio::select! {
                    biased;
                    Some((step, ended)) = working.next() => {
                        ended?;
                        live.remove(step);
                    }
                    state = desk.state() => {
                        break decision::decide(self.plan, &state, &live, &wish);
                    }
                }
            };
            match next {
                Move::Start(steps) => {
                    for step in steps {
                        live.insert(step.id.clone());
                        working.push(async { (step.id.as_str(), self.step(desk, step).await) });
                    }
                }
                Move::Wait => tokio::select! {
                    Some((step, ended)) = working.next() => {
                        ended?;
                        live.remove(step);
                    }
                    Ok(()) = wishes.changed() => wish = wishes.borrow_and_update().clone(),
                },
                Move::Abort { by, why } => desk.write(Record::AbortBegan { by, why }).await?,
                Move::NoWayBack { by } => {
                    let text = format!(
                        "{by} asked for an abort; the point of no return is passed, so the run goes on"
                    );
                    let mut noted = std::pin::pin!(desk.write(Record::Noted { text }));
                    loop {
                        tokio::select! {
                            biased;
                            Some((step, ended)) = working.next() => {
                                ended?;
                                live.remove(step);
                            }
                            done = &mut noted => break done?,
                        }
                    }
                    wish = Wish::GoOn;
                }
                Move::Undo(step) => self.undo(desk, step).await?,
                Move::Pause { by } => {
                    desk.write(Record::RunPaused { by }).await?;
                    return Ok(None);
                }
                Move::End(ending) => {
                    self.end(desk, ending).await?;
                    return Ok(Some(ending));
                }
            }
        }
    }

    async fn end(&self, desk: &Desk<'_>, ending: Ending) -> Result<()> {
        if matches!(ending, Ending::Aborted | Ending::AbortIncomplete) {
            let waiting: Vec<String> = {
                let state = desk.state().await;
                let waiting = self.plan.steps.iter().map(|step| step.id.clone());
                waiting.filter(|id| *state.standing(id) == Standing::Waiting).collect()
            };
            for step in waiting {
                let outcome = Outcome::Skipped { why: "the run was aborted".to_owned() };
                desk.write(Record::StepEnded { step, outcome }).await?;
            }
        }
        desk.write(Record::RunEnded { ending }).await?;
        desk.seal().await
    }

    fn started(&self, state: &State) -> Event {
        let steps = self.plan.steps.iter().map(|step| RunStep {
            id: step.id.clone(),
            uses: step.uses.clone(),
            effect: step.description.effect.clone(),
            needs: step.needs.clone(),
            budget_seconds: step.timeout.0.as_secs(),
            point_of_no_return: step.point_of_no_return,
            standing: state.standing(&step.id).as_str().to_owned(),
        });
        Event::RunStarted {
            run: state.run.id.clone(),
            runbook: state.run.runbook.clone(),
            title: self.plan.title.clone(),
            mode: state.run.mode.as_str().to_owned(),
            operator: state.run.operator.clone(),
            confirmed: state.run.confirmed,
            rto_seconds: self.plan.rto.0.as_secs(),
            steps: steps.collect(),
        }
    }
}

#[cfg(test)]
mod interleaving;
#[cfg(test)]
mod left_tests;
#[cfg(test)]
pub(in crate::runbook) mod stage;
#[cfg(test)]
mod tests;
