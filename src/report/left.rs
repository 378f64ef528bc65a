//! What went otherwise than wished, and what a person still has to do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::run::{RunReport, StepStanding};
use super::words;
use crate::providers::Facts;
use crate::runbook::record::Ending;

pub(super) fn attention(report: &RunReport, facts: &BTreeMap<usize, Facts>) -> Vec<String> {
    let mut found = Vec::new();
    for (database, region) in unfenced(report, facts) {
        found
            .push(format!("UNFENCED: the old primary of `{database}` in {region} may take writes"));
    }
    for step in &report.steps {
        let id = &step.id;
        match step.standing {
            StepStanding::Done | StepStanding::Undone | StepStanding::NotBegun => {}
            standing => found.push(format!("`{id}` {}: {}", standing.as_str(), step.said)),
        }
        found.extend(step.warnings.iter().map(|warning| format!("`{id}`: {warning}")));
        if let (Some(began), Some(ended)) = (step.began, step.ended)
            && ended - began > step.limit_seconds
        {
            let (took, limit) = (words::span(ended - began), words::span(step.limit_seconds));
            found.push(format!("`{id}` took {took}, longer than its {limit}"));
        }
    }
    if report.within_rto == Some(false) {
        found.push(format!("the RTO of {} was MISSED", words::span(report.rto_seconds)));
    }
    for loss in &report.losses {
        if let Some(measured) = &loss.measured
            && measured.seconds.is_some_and(|s| s > report.rpo_seconds)
        {
            found
                .push(format!("more was lost than the RPO of {}", words::span(report.rpo_seconds)));
        }
    }
    found
}

pub(super) fn to_do(report: &RunReport, facts: &BTreeMap<usize, Facts>) -> Vec<String> {
    let (run, from, to) = (&report.run.id, &report.from, &report.to);
    let mut left = Vec::new();
    match report.ending {
        None | Some(Ending::Stopped) => {
            let back = match report.point_of_no_return {
                Some(_) => String::new(),
                None => format!(", or go back: `drctl abort {run}`"),
            };
            left.push(format!("Go on: `drctl resume {run}`{back}."));
        }
        Some(Ending::AbortIncomplete) => {
            left.push(format!(
                "Undo by hand what `drctl abort {run}` could not; then run it again."
            ));
        }
        _ => {}
    }
    for step in &report.steps {
        let id = &step.id;
        let hint = step.hint.as_ref().map(|hint| format!(": {hint}")).unwrap_or_default();
        match step.standing {
            StepStanding::Failed => left.push(format!("See to `{id}`, which failed{hint}.")),
            StepStanding::UndoFailed => left.push(format!("Undo `{id}` by hand{hint}.")),
            StepStanding::Skipped => {
                left.push(format!("`{id}` was skipped: do it by hand if needed."))
            }
            _ => {}
        }
    }
    for (database, region) in unfenced(report, facts) {
        left.push(format!(
            "Keep the old primary of `{database}` in {region} from coming back writable: stop it, or \
             take its network away, before {region} is let back in."
        ));
    }
    for channel in &report.untold {
        left.push(format!("Tell by hand who was not told: {channel}."));
    }
    let moved = from != to
        && matches!(report.ending, Some(Ending::Succeeded | Ending::SucceededWithFailures));
    if moved {
        left.push(format!(
            "Take a full snapshot of what runs in {to}: `drctl snapshot DATABASE --full`."
        ));
        left.push(format!(
            "Make the server in {from} a standby of the one in {to}: until then there is no region to \
             fail over to."
        ));
        left.push("Start deployments again, if they were frozen.".to_owned());
    }
    left
}

/// Databases whose old primary was left unfenced and not quarantined later.
fn unfenced(report: &RunReport, facts: &BTreeMap<usize, Facts>) -> Vec<(String, String)> {
    let text =
        |facts: &Facts, name: &str| facts.get(name).and_then(Value::as_str).map(str::to_owned);
    let is = |facts: &Facts, name: &str| facts.get(name) == Some(&Value::Bool(true));
    let safe: Vec<_> = facts
        .values()
        .filter(|f| is(f, "quarantined"))
        .filter_map(|f| text(f, "database"))
        .collect();
    facts
        .values()
        .filter(|f| is(f, "unfenced"))
        .map(|f| {
            let database = text(f, "database").unwrap_or_else(|| "the database".to_owned());
            (database, text(f, "region").unwrap_or_else(|| report.from.clone()))
        })
        .filter(|(database, _)| !safe.contains(database))
        .collect()
}
