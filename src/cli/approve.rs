//! `drctl approve`.

use chrono::Utc;
use serde_json::json;

use super::args::Cli;
use super::carrying::operator;
use super::render::Done;
use super::run_args::Approve;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::providers::agreement;
use crate::runbook::journal::{self, Loaded};
use crate::runbook::plan::PlannedStep;
use crate::runbook::record::Ending;
use crate::runbook::sheet::{OnFailure, Who};
use crate::runbook::state::Standing;
use crate::store::approval::{self, Approval};

/// Whether an approval comes too late. A step that failed and holds its run up is tried again by
/// `resume`, and may have failed for want of one.
fn is_over(loaded: &Loaded, step: &PlannedStep) -> bool {
    let state = &loaded.state;
    let open = matches!(state.ended, None | Some(Ending::Stopped)) && state.aborting.is_none();
    match state.standing(&step.id) {
        Standing::Failed { .. } => !open || step.on_failure == OnFailure::Continue,
        _ => !open || state.has_ended(&step.id),
    }
}

pub async fn run(cli: &Cli, args: &Approve) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let copies = app.journals().await?;
    let run = journal::resolve(&copies, &args.run).await?;
    let loaded = journal::load(&copies, &run).await?;
    let by = operator(args.name.as_deref());
    let step = loaded.plan.steps.iter().find(|step| step.id == args.step).ok_or_else(|| {
        let waiting =
            loaded.plan.steps.iter().filter(|s| s.approve.is_some() || s.uses == "human.approve");
        let waiting: Vec<&str> = waiting.map(|s| s.id.as_str()).collect();
        let error = Error::new(Kind::Usage, format!("run {run} has no step `{}`", args.step));
        match waiting.is_empty() {
            true => error.hint("no step of it needs an approval"),
            false => error.hint(format!("steps that need an approval: {}", waiting.join(", "))),
        }
    })?;
    // `human.approve` wants a second person unless it says otherwise; a fence that fails wants one.
    let second = match &step.approve {
        Some(approve) => approve.who == Who::SecondPerson,
        None => {
            let who = step.with.0.get("who").and_then(|who| who.as_str());
            agreement::OF_A_SECOND_PERSON.contains(&step.uses.as_str())
                || step.uses == "human.approve" && who != Some("operator")
        }
    };
    let operators = &loaded.state.operators;
    if second && operators.iter().any(|operator| approval::same_person(operator, &by)) {
        let what = format!("approve step `{}` of run {run} as {by}: you are its operator", step.id);
        return Err(Error::new(Kind::Usage, what)
            .hint("a second person must do it; somebody else gives their name with `--as`"));
    }
    if is_over(&loaded, step) {
        let what = format!("approve step `{}` of run {run}: it is over", step.id);
        return Err(Error::new(Kind::Usage, what).hint(format!("`drctl runs show {run}` shows it")));
    }
    let approval = Approval {
        run: run.clone(),
        step: step.id.clone(),
        by: by.clone(),
        at: Utc::now(),
        reason: args.reason.clone(),
    };
    let counts = approval::give(&*copies.control, &approval).await?.approval;
    let at = counts.at.format("%Y-%m-%d %H:%M:%S UTC");
    let failed = matches!(loaded.state.standing(&step.id), Standing::Failed { .. });
    let next = if failed { format!("To go on: drctl resume {run}\n") } else { String::new() };
    let text = match counts == approval {
        true => format!("Step `{}` of run {run} is approved by {by}.\n{next}", step.id),
        false => {
            format!(
                "Step `{}` of run {run} was approved before: {at}, by {}.\n",
                step.id, counts.by
            )
        }
    };
    let fields = json!({
        "run": run, "step": step.id, "by": counts.by, "at": counts.at, "new": counts == approval,
    });
    Ok(Done::well(text, fields))
}
