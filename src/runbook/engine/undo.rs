//! Undoing a step, for an abort.

use tokio::time::{Instant, timeout_at};

use super::Engine;
use super::desk::Desk;
use crate::error::{Error, Kind, Result};
use crate::providers::{Applied, Failure, FailureClass};
use crate::runbook::plan::PlannedStep;
use crate::runbook::record::{Outcome, Record};

impl Engine<'_> {
    /// Undoes a step. Compensations are idempotent, so one whose answer was lost is sent again.
    pub(super) async fn undo(&self, desk: &Desk<'_>, step: &PlannedStep) -> Result<()> {
        let around = self.surroundings(desk, step).await;
        let filled = match self.filled(step, &around.facts) {
            Ok(filled) => filled,
            Err(e) => {
                let outcome = failed(&Failure::permanent(e));
                let step = step.id.clone();
                return desk.write(Record::CompensationEnded { step, outcome }).await;
            }
        };
        let action = self.action(step, filled.as_deref())?;
        let deadline = Instant::now() + step.timeout.0;
        let mut wait = self.pace.first_wait;
        let mut left = step.retries;
        let outcome = loop {
            desk.write(Record::CompensationStarted { step: step.id.clone() }).await?;
            let context = around.context(self, step, deadline);
            let failure = match timeout_at(deadline, action.compensate(&context)).await {
                Ok(Ok(Applied { summary, facts, warnings })) => {
                    break Outcome::Done { summary, facts, warnings };
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::unknown(Error::new(
                    Kind::Failed,
                    format!("undoing it did not end within its {}", step.timeout),
                )),
            };
            let again = failure.class != FailureClass::Permanent && left > 0;
            if !again || Instant::now() + wait >= deadline {
                break failed(&failure);
            }
            left -= 1;
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(self.pace.longest_wait);
        };
        desk.write(Record::CompensationEnded { step: step.id.clone(), outcome }).await
    }
}

fn failed(failure: &Failure) -> Outcome {
    Outcome::Failed {
        class: failure.class,
        error: failure.error.one_line(),
        hint: failure.error.advice().map(str::to_owned),
    }
}
