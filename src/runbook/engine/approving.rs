//! Waiting until a person agrees to a step.

use tokio::time::timeout;

use super::Engine;
use super::desk::Desk;
use super::step::Told;
use crate::error::{Error, Kind, Result};
use crate::providers::{Failure, Progress as _};
use crate::runbook::plan::PlannedStep;
use crate::runbook::record::Record;
use crate::runbook::sheet::{Approve, Who};
use crate::store::approval;

impl Engine<'_> {
    /// `Ok(Err(…))`: nobody who may agreed in time, and the step fails.
    pub(super) async fn approval(
        &self,
        desk: &Desk<'_>,
        step: &PlannedStep,
        approve: &Approve,
    ) -> Result<Result<(), Failure>> {
        let run = desk.run().await;
        desk.write(Record::ApprovalAsked { step: step.id.clone() }).await?;
        let command = format!("`drctl approve {} {}`", run.id, step.id);
        let who = approve.who.in_words();
        let progress = Told { sink: self.sink.clone(), step: step.id.clone() };
        progress.waits_for(format!("approval by {who}: {command}"));
        let waiting = approval::wait(&*self.world.control, &run.id, &step.id, self.pace.poll);
        let failed = |why: String| {
            let what = format!("get approval by {who}: {why}");
            let hint = format!("after {command}, `drctl resume {}` goes on", run.id);
            Failure::permanent(Error::new(Kind::Failed, what).hint(hint))
        };
        let found = match timeout(approve.timeout.0, waiting).await {
            Ok(Ok(found)) => found,
            Ok(Err(e)) => return Ok(Err(Failure::permanent(e))),
            Err(_) => {
                return Ok(Err(failed(format!("nobody approved within {}", approve.timeout))));
            }
        };
        let by = &found.approval.by;
        let operators = desk.state().await.operators.clone();
        if approve.who == Who::SecondPerson
            && operators.iter().any(|operator| approval::same_person(operator, by))
        {
            return Ok(Err(failed(format!("{by} approved, who is the operator"))));
        }
        desk.write(Record::StepApproved {
            step: step.id.clone(),
            by: by.clone(),
            approved: found.approval.at,
            object: found.digest,
        })
        .await?;
        Ok(Ok(()))
    }
}
