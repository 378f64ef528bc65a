//! Agreement that a step asks for while it runs: to a loss, to an old primary that stays open. It is
//! given with `drctl approve RUN STEP`, as to a step that waits for approval.

use std::time::Duration;

use super::{Context, Failure};
use crate::error::{Error, Kind};
use crate::store::approval;

/// What is left of the step's time for telling how it ended.
const MARGIN: Duration = Duration::from_millis(500);

/// Actions that take a second person's word, and nobody else's, for what they ask.
pub const OF_A_SECOND_PERSON: [&str; 1] = ["postgres.fence"];

/// Waits until somebody agrees to `what`, or the step's time is over: who. `second`: it must not be an
/// operator of the run.
pub(super) async fn to(
    cx: &Context<'_>,
    what: &str,
    second: bool,
) -> Result<Option<String>, Failure> {
    let (run, step) = (&cx.run.id, cx.step);
    let who = if second { "a second person" } else { "somebody" };
    cx.waits_for(format!("{who} to agree: {what}. To agree: drctl approve {run} {step}"));
    let end = cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline);
    let waiting = approval::wait(cx.world.control.as_ref(), run, step, approval::POLL);
    let by = match tokio::time::timeout_at(end, waiting).await {
        Ok(Ok(found)) => found.approval.by,
        Ok(Err(e)) => return Err(Failure::permanent(e)),
        Err(_) => return Ok(None),
    };
    let mut operators = cx.run.operators.iter().chain([&cx.run.operator]);
    if second && operators.any(|operator| approval::same_person(&by, operator)) {
        let error = Error::new(Kind::Failed, format!("have {who} agree: {what}"))
            .caused_by(format!("{by} agreed, who is an operator of this run"));
        return Err(Failure::permanent(error));
    }
    Ok(Some(by))
}

/// How to agree later, for the hint of a step that waited in vain.
pub(super) fn later(cx: &Context<'_>) -> String {
    let (run, step) = (&cx.run.id, cx.step);
    format!("`drctl approve {run} {step}`, then `drctl resume {run}`")
}
