//! Carrying an opened run on, in the foreground, and telling how it was left.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::watch;

use super::interrupt::interrupts;
use super::live;
use super::render::{Done, span};
use super::wrapping::hung;
use crate::app::App;
use crate::error::{Kind, Result};
use crate::model::{Level, Sink};
use crate::providers::World;
use crate::runbook::decision::Wish;
use crate::runbook::engine::Left;
use crate::runbook::engine::opening::Opened;
use crate::runbook::plan::Plan;
use crate::runbook::record::{Ending, Outcome};
use crate::runbook::state::Standing;

/// Who the operator is: `--as`, or the user of this process, with the machine.
pub fn operator(name: Option<&str>) -> String {
    let holder = crate::app::holder("");
    format!("{} on {}", name.map_or(holder.user.as_str(), str::trim), holder.host)
}

/// Carries a run on to its end or a pause.
pub async fn carry_on(
    app: &App,
    world: &World,
    opened: Opened,
    operator: &str,
    wish: Wish,
    sink: Arc<dyn Sink>,
) -> Result<(Plan, Left)> {
    let (plan, lease) = (opened.plan.clone(), opened.hold.lease.clone());
    if lease.is_none() {
        let warning = "NO LEASE: the control store does not answer, so nobody is kept from a second \
                       run; make sure that you are the only operator";
        sink.notice(Level::Warning, warning.to_owned());
    }
    let wishes = watch::Sender::new(wish);
    let left = tokio::select! {
        left = app.carry_on(world, opened, wishes.subscribe(), Arc::clone(&sink)) => left,
        () = interrupts(wishes.clone(), operator.to_owned()) => unreachable!("it never ends"),
    };
    // The run is as it is, whether or not the lease can be given back.
    if let Some(lease) = lease.and_then(Arc::into_inner)
        && let Err(e) = lease.release().await
        && left.is_ok()
    {
        sink.notice(Level::Warning, e.one_line());
    }
    Ok((plan, left?))
}

/// The sink of the commands that carry runs on.
pub fn sink(json: bool) -> Arc<dyn Sink> {
    live::sink(json)
}

/// How a run was left, for people and programs. `aborting`: an abort is what was asked for.
pub fn done(plan: &Plan, left: &Left, aborting: bool) -> Done {
    let Left { ending, state, local_only } = left;
    let run = &state.run.id;
    let code = match ending {
        Some(Ending::Succeeded) => 0,
        Some(Ending::SucceededWithFailures) => Kind::Partial.exit_code(),
        Some(Ending::Aborted) if aborting => 0,
        _ => Kind::Failed.exit_code(),
    };
    let seconds = (state.last - state.run.confirmed).as_seconds_f64().max(0.0);
    let rto = plan.rto.0.as_secs_f64();
    let mut text = match ending {
        Some(Ending::Succeeded) => format!("Done: {}.\n", plan.title),
        Some(Ending::SucceededWithFailures) => {
            format!("Done, but not everything went well: {}.\n", plan.title)
        }
        Some(Ending::Stopped) => "STOPPED: a step failed and holds the run up.\n".to_owned(),
        Some(Ending::Aborted) => "Aborted: everything that was done is undone.\n".to_owned(),
        Some(Ending::AbortIncomplete) => {
            "ABORTED, AND NOT EVERYTHING COULD BE UNDONE.\n".to_owned()
        }
        None => "Paused: nothing is under way.\n".to_owned(),
    };
    text.push_str(&match seconds <= rto {
        true => format!("{} since it was confirmed, of an RTO of {}.\n", span(seconds), plan.rto),
        false => format!(
            "{} since it was confirmed: {} MORE than the RTO of {}.\n",
            span(seconds),
            span(seconds - rto),
            plan.rto
        ),
    });
    let mut failed = Vec::new();
    for step in &plan.steps {
        let Some(known) = state.steps.get(&step.id) else { continue };
        if let (Standing::Failed { .. }, Some(outcome)) = (&known.standing, &known.outcome) {
            text.push_str(&format!("  {} failed: {}\n", step.id, outcome.in_words()));
            if let Outcome::Failed { hint: Some(hint), .. } = outcome {
                let left = match ending {
                    Some(Ending::SucceededWithFailures) => "left to do: ",
                    _ => "",
                };
                text.push_str(&hung("    -> ", &format!("{left}{hint}"), 80));
            }
            failed.push(json!({ "step": step.id, "error": outcome.in_words() }));
        }
        if let Some(Outcome::Done { warnings, .. }) = &known.outcome {
            for warning in warnings {
                text.push_str(&format!("  {}: {warning}\n", step.id));
            }
        }
        if let Some(Some(Outcome::Failed { error, .. })) = &known.undone {
            text.push_str(&format!("  {} was NOT undone: {error}\n", step.id));
            failed.push(json!({ "step": step.id, "undo": true, "error": error }));
        }
    }
    if *local_only {
        text.push_str(&format!(
            "The journal is on this machine only. When the store is back: drctl resume {run}\n"
        ));
    }
    match ending {
        None | Some(Ending::Stopped) if state.aborting.is_none() => {
            text.push_str(&format!("To go on: drctl resume {run}\n"));
            text.push_str(&match state.is_past_return(plan) {
                true => "The point of no return is passed (or may be): there is no way back.\n"
                    .to_owned(),
                false => format!("To undo:  drctl abort {run}\n"),
            });
        }
        None | Some(Ending::AbortIncomplete) => {
            text.push_str(&format!("To try again: drctl abort {run}\n"));
        }
        _ => text.push_str(&format!("The report: drctl runs report {run}\n")),
    }
    let fields = json!({
        "run": run,
        "runbook": state.run.runbook,
        "ending": ending.map_or("paused", Ending::as_str),
        "seconds": seconds,
        "rto_seconds": rto,
        "within_rto": seconds <= rto,
        "failed": failed,
        "past_point_of_no_return": state.is_past_return(plan),
        "local_only": local_only,
    });
    Done::with(code, text, fields)
}
