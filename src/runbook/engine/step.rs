//! One step from its beginning to its end: approval, started, applied, observed where its effect is
//! in doubt, tried again, ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use backon::{BackoffBuilder, ExponentialBuilder};
use tokio::time::{Instant, timeout, timeout_at};

use super::Engine;
use super::desk::Desk;
use crate::error::{Error, Kind, Result};
use crate::model::{Event, Sink};
use crate::providers::{
    Applied, Context, DynAction, Facts, Failure, FailureClass, Observed, Progress, RunFacts,
    leaves, references,
};
use crate::runbook::plan::PlannedStep;
use crate::runbook::record::{Outcome, Record};

/// Tells what a step waits for.
pub(super) struct Told {
    pub(super) sink: Arc<dyn Sink>,
    pub(super) step: String,
}

impl Progress for Told {
    fn waits_for(&self, what: String) {
        self.sink.emit(Event::StepWaits { step: self.step.clone(), what });
    }
}

/// What a step's action is given, whatever is done with it.
pub(super) struct Surroundings {
    run: RunFacts,
    pub(super) facts: BTreeMap<String, Facts>,
    progress: Told,
}

impl Surroundings {
    pub(super) fn context<'c>(
        &'c self,
        engine: &Engine<'c>,
        step: &'c PlannedStep,
        deadline: Instant,
    ) -> Context<'c> {
        Context {
            world: engine.world,
            run: &self.run,
            step: &step.id,
            facts: &self.facts,
            deadline,
            progress: &self.progress,
        }
    }
}

/// `drctl runbook check` proves references by what is declared.
fn debug_assert_declared(step: &PlannedStep, facts: &Facts) {
    let declared = leaves::by(&step.uses);
    let foreign = crate::providers::find(&step.uses).is_none();
    debug_assert!(
        foreign || facts.keys().all(|fact| declared.contains(&fact.as_str())),
        "`{}` left {:?} and declares {declared:?}",
        step.uses,
        facts.keys().collect::<Vec<_>>()
    );
}

/// What looking for a step's effect gave.
enum Seen {
    Done(Facts),
    NotDone,
    /// It cannot be found out, for this reason.
    Unclear(Error),
}

impl Engine<'_> {
    pub(super) async fn surroundings(&self, desk: &Desk<'_>, step: &PlannedStep) -> Surroundings {
        let progress = Told { sink: Arc::clone(&self.sink), step: step.id.clone() };
        let facts = desk.state().await.facts();
        Surroundings { run: desk.run().await, facts, progress }
    }

    /// The step's action with what earlier steps left in its arguments; none where it asks for
    /// nothing of them.
    pub(super) fn filled(
        &self,
        step: &PlannedStep,
        facts: &BTreeMap<String, Facts>,
    ) -> Result<Option<Box<dyn DynAction>>> {
        if !references::any_is_open(&step.with) {
            return Ok(None);
        }
        let with = references::arguments(&step.with, facts)?;
        let kind = super::kind_of(step)?;
        let what = || format!("make step `{}` ({}) with what steps left", step.id, step.uses);
        kind.build(&with, &self.world.config).map(Some).map_err(|e| e.during(what()))
    }

    pub(super) fn action<'a>(
        &'a self,
        step: &PlannedStep,
        filled: Option<&'a dyn DynAction>,
    ) -> Result<&'a dyn DynAction> {
        if let Some(filled) = filled {
            return Ok(filled);
        }
        self.actions.get(&step.id).map(Box::as_ref).ok_or_else(|| {
            Error::new(Kind::Bug, format!("carry out step `{}`: it has no action", step.id))
        })
    }

    /// Carries a step out. An error is of the journal or the lease; a step that fails is no error.
    pub(super) async fn step(&self, desk: &Desk<'_>, step: &PlannedStep) -> Result<()> {
        let (begun, approved) = {
            let state = desk.state().await;
            let step = state.steps.get(&step.id);
            (step.map_or(0, |s| s.attempts), step.is_some_and(|s| s.approved_by.is_some()))
        };
        if let Some(approve) = step.approve.as_ref().filter(|_| !approved && begun == 0)
            && let Err(failure) = self.approval(desk, step, approve).await?
        {
            return self.failed(desk, step, &failure).await;
        }
        let around = self.surroundings(desk, step).await;
        let filled = match self.filled(step, &around.facts) {
            Ok(filled) => filled,
            Err(e) => return self.failed(desk, step, &Failure::permanent(e)).await,
        };
        let action = self.action(step, filled.as_deref())?;
        let deadline = Instant::now() + step.timeout.0;
        let mut waits = ExponentialBuilder::default()
            .with_min_delay(self.pace.first_wait)
            .with_max_delay(self.pace.longest_wait)
            .with_jitter()
            .without_max_times()
            .build();
        if begun > 0 {
            // It was applied by a process that did not live to say how it went.
            match self.look(desk, step, action, &around).await? {
                Seen::Done(facts) => return self.found_done(desk, step, facts, None).await,
                Seen::NotDone => {}
                Seen::Unclear(e) => return self.unclear(desk, step, &e, None).await,
            }
        }
        let mut attempt = begun;
        let mut left = step.retries;
        loop {
            attempt += 1;
            desk.write(Record::StepStarted { step: step.id.clone(), attempt }).await?;
            let context = around.context(self, step, deadline);
            let failure = match timeout_at(deadline, action.apply(&context)).await {
                Ok(Ok(applied)) => return self.done(desk, step, applied).await,
                Ok(Err(failure)) => failure,
                Err(_) => Failure::unknown(Error::new(
                    Kind::Failed,
                    format!("it did not end within its {}", step.timeout),
                )),
            };
            if failure.class == FailureClass::Permanent {
                return self.failed(desk, step, &failure).await;
            }
            match self.look(desk, step, action, &around).await? {
                Seen::Done(facts) => {
                    return self.found_done(desk, step, facts, Some(&failure)).await;
                }
                Seen::Unclear(e) => return self.unclear(desk, step, &e, Some(&failure)).await,
                Seen::NotDone => {}
            }
            let wait = waits.next().unwrap_or(self.pace.longest_wait);
            if left == 0 || Instant::now() + wait >= deadline {
                // It was looked for and is not there.
                let failure = Failure::transient(failure.error);
                return self.failed(desk, step, &failure).await;
            }
            left -= 1;
            around.progress.waits_for(format!("the next try, after: {}", failure.error.one_line()));
            tokio::time::sleep(wait).await;
        }
    }

    /// Looks whether the effect is there, and writes down what was found.
    async fn look(
        &self,
        desk: &Desk<'_>,
        step: &PlannedStep,
        action: &dyn DynAction,
        around: &Surroundings,
    ) -> Result<Seen> {
        around.progress.waits_for("whether its effect is there".to_owned());
        let deadline = Instant::now() + self.pace.observe;
        let mut wait = self.pace.first_wait;
        let seen = loop {
            let context = around.context(self, step, deadline);
            let failure = match timeout(self.pace.observe, action.observe(&context)).await {
                Ok(Ok(Observed::Done(facts))) => break Ok(facts),
                Ok(Ok(Observed::NotDone(why))) => break Err(why),
                Ok(Err(failure)) => failure,
                Err(_) => Failure::transient(Error::new(
                    Kind::Failed,
                    format!("no answer within {} s", self.pace.observe.as_secs_f32()),
                )),
            };
            let again = failure.class != FailureClass::Permanent;
            if !again || Instant::now() + wait >= deadline {
                return Ok(Seen::Unclear(failure.error));
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(self.pace.longest_wait);
        };
        let (done, found) = match &seen {
            Ok(_) => (true, "its effect is there".to_owned()),
            Err(why) => (false, why.clone()),
        };
        let step = step.id.clone();
        desk.write(Record::StepObserved { step, done, found }).await?;
        Ok(seen.map_or_else(|_| Seen::NotDone, Seen::Done))
    }

    async fn done(&self, desk: &Desk<'_>, step: &PlannedStep, applied: Applied) -> Result<()> {
        let Applied { summary, facts, warnings } = applied;
        debug_assert_declared(step, &facts);
        let outcome = Outcome::Done { summary, facts, warnings };
        desk.write(Record::StepEnded { step: step.id.clone(), outcome }).await
    }

    async fn found_done(
        &self,
        desk: &Desk<'_>,
        step: &PlannedStep,
        facts: Facts,
        after: Option<&Failure>,
    ) -> Result<()> {
        let summary = match after {
            None => "found done after an interruption".to_owned(),
            Some(failure) => format!("found done, after: {}", failure.error.one_line()),
        };
        debug_assert_declared(step, &facts);
        let outcome = Outcome::Done { summary, facts, warnings: Vec::new() };
        desk.write(Record::StepEnded { step: step.id.clone(), outcome }).await
    }

    async fn failed(&self, desk: &Desk<'_>, step: &PlannedStep, failure: &Failure) -> Result<()> {
        let outcome = Outcome::Failed {
            class: failure.class,
            error: failure.error.one_line(),
            hint: failure.error.advice().map(str::to_owned),
        };
        desk.write(Record::StepEnded { step: step.id.clone(), outcome }).await
    }

    /// Whether the effect is there cannot be told: never tried again by itself.
    async fn unclear(
        &self,
        desk: &Desk<'_>,
        step: &PlannedStep,
        why: &Error,
        after: Option<&Failure>,
    ) -> Result<()> {
        let mut error = format!(
            "it may have happened or not, and that cannot be found out: {}",
            why.one_line()
        );
        if let Some(failure) = after {
            error.push_str(&format!("; before that: {}", failure.error.one_line()));
        }
        let hint = why.advice().map_or_else(
            || "look for its effect by hand; `drctl resume RUN` looks again".to_owned(),
            str::to_owned,
        );
        let outcome = Outcome::Failed { class: FailureClass::Unknown, error, hint: Some(hint) };
        desk.write(Record::StepEnded { step: step.id.clone(), outcome }).await
    }
}
