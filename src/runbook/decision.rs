//! What a run does next. Pure: from the plan, what the journal says, what is under way in this
//! process, and what the operator wishes.

use std::collections::BTreeSet;

use super::plan::{Plan, PlannedStep};
use super::record::Ending;
use super::sheet::OnFailure;
use super::state::{Standing, State};

/// What the operator has asked for while the run goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Wish {
    #[default]
    GoOn,
    /// Nothing new is started; what is under way is waited for.
    Pause { by: String },
    /// The way back.
    Abort { by: String, why: String },
}

/// The next move.
#[derive(Debug, PartialEq)]
pub enum Move<'p> {
    /// Start these steps, at the same time.
    Start(Vec<&'p PlannedStep>),
    /// Until something that is under way has ended.
    Wait,
    /// Write down that the way back begins.
    Abort {
        by: String,
        why: String,
    },
    /// The way back was asked for, and there is none any more.
    NoWayBack {
        by: String,
    },
    /// Undo this step.
    Undo(&'p PlannedStep),
    /// Write down that the run pauses, and leave it.
    Pause {
        by: String,
    },
    End(Ending),
}

/// Decides. `live` are the steps that this process works on.
pub fn decide<'p>(plan: &'p Plan, state: &State, live: &BTreeSet<String>, wish: &Wish) -> Move<'p> {
    let waits_for_live = !live.is_empty();
    if state.aborting.is_some() {
        return match (waits_for_live, state.to_undo(plan).first()) {
            (true, _) => Move::Wait,
            (false, Some(step)) => Move::Undo(step),
            (false, None) if state.is_undone_well() => Move::End(Ending::Aborted),
            (false, None) => Move::End(Ending::AbortIncomplete),
        };
    }
    if let Wish::Abort { by, why } = wish {
        return match (waits_for_live, state.is_past_return(plan)) {
            // What is under way may itself be the point of no return.
            (true, _) => Move::Wait,
            (false, true) => Move::NoWayBack { by: by.clone() },
            (false, false) => Move::Abort { by: by.clone(), why: why.clone() },
        };
    }
    let failed = plan.steps.iter().filter(|step| {
        let failed = matches!(state.standing(&step.id), Standing::Failed { .. });
        failed && state.has_ended(&step.id) && step.on_failure != OnFailure::Continue
    });
    let failed: Vec<&PlannedStep> = failed.collect();
    let open = plan.steps.iter().any(|step| !state.has_ended(&step.id));
    if !failed.is_empty() {
        let abort = failed.iter().find(|step| step.on_failure == OnFailure::Abort);
        return match abort {
            _ if waits_for_live => Move::Wait,
            Some(step) if !state.is_past_return(plan) => Move::Abort {
                by: "the runbook".to_owned(),
                why: format!("step `{}` failed", step.id),
            },
            _ => Move::End(Ending::Stopped),
        };
    }
    if !open {
        let some_failed = |step: &&PlannedStep| {
            matches!(state.standing(&step.id), Standing::Failed { .. } | Standing::Skipped)
        };
        return match plan.steps.iter().find(some_failed) {
            _ if waits_for_live => Move::Wait,
            Some(_) => Move::End(Ending::SucceededWithFailures),
            None => Move::End(Ending::Succeeded),
        };
    }
    if let Wish::Pause { by } = wish {
        return match waits_for_live {
            true => Move::Wait,
            false => Move::Pause { by: by.clone() },
        };
    }
    let ready = plan.steps.iter().filter(|step| is_ready(plan, state, live, step));
    let ready: Vec<&PlannedStep> = ready.collect();
    match (ready.is_empty(), waits_for_live) {
        (false, _) => Move::Start(ready),
        (true, true) => Move::Wait,
        // Only a plan whose needs form a circle comes here, and no such plan is made.
        (true, false) => Move::End(Ending::Stopped),
    }
}

/// Whether a step can be begun, or, after a crash, looked at and gone on with.
fn is_ready(plan: &Plan, state: &State, live: &BTreeSet<String>, step: &PlannedStep) -> bool {
    if live.contains(&step.id) {
        return false;
    }
    match state.standing(&step.id) {
        Standing::Started { .. } => true,
        Standing::Waiting => step.needs.iter().all(|need| is_met(plan, state, need)),
        // It failed, and the run was resumed.
        _ => !state.has_ended(&step.id),
    }
}

fn is_met(plan: &Plan, state: &State, need: &str) -> bool {
    match state.standing(need) {
        Standing::Done { .. } => true,
        Standing::Failed { .. } | Standing::Skipped => {
            plan.steps.iter().any(|step| step.id == need && step.on_failure == OnFailure::Continue)
        }
        Standing::Waiting | Standing::Started { .. } => false,
    }
}

#[cfg(test)]
mod tests;
