//! The steps together: what they need, the way back, and the time that all of it may take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Placed, left};
use crate::config::did_you_mean;
use crate::config::document::Document;
use crate::model::Span;
use crate::providers::Mode;
use crate::runbook::graph;
use crate::runbook::modes;
use crate::runbook::sheet::{OnFailure, Runbook};

/// After these there is no way back, whatever a runbook says.
const PROMOTIONS: [&str; 2] = ["postgres.promote", "rds.promote_replica"];

pub(super) fn check(doc: &Document<'_>, runbook: &Runbook, steps: &[Placed<'_>], rto_line: usize) {
    let needs = needs(doc, steps);
    let order = match graph::order(&needs) {
        Ok(order) => order,
        Err(circle) => {
            let mut ids: Vec<_> = circle.iter().map(|i| steps[*i].step.id.as_str()).collect();
            ids.push(ids[0]);
            let text = format!("these steps wait for each other: {}", ids.join(" needs "));
            doc.problem(steps[circle[0]].line("needs"), text);
            return;
        }
    };
    let before = graph::before(&needs, &order);
    left::check(doc, runbook, steps, &before);
    way_back(doc, steps, &before);
    time(doc, runbook, rto_line);
}

/// The needs of each step by place; unknown ones are told and left out.
fn needs(doc: &Document<'_>, steps: &[Placed<'_>]) -> Vec<Vec<usize>> {
    let places: BTreeMap<&str, usize> =
        steps.iter().enumerate().map(|(i, placed)| (placed.step.id.as_str(), i)).collect();
    let resolve = |placed: &Placed<'_>| {
        let mut needs = Vec::new();
        for need in &placed.step.needs {
            match places.get(need.as_str()) {
                Some(place) => needs.push(*place),
                None => {
                    let advice = did_you_mean(need, places.keys().copied()).unwrap_or_default();
                    let text = format!(
                        "step `{}` needs `{need}`, which is not there{advice}",
                        placed.step.id
                    );
                    doc.problem(placed.line("needs"), text);
                }
            }
        }
        needs
    };
    steps.iter().map(resolve).collect()
}

/// The point of no return and what an abort would have to undo.
fn way_back(doc: &Document<'_>, steps: &[Placed<'_>], before: &[BTreeSet<usize>]) {
    let points: Vec<usize> =
        (0..steps.len()).filter(|i| steps[*i].step.point_of_no_return).collect();
    for (n, point) in points.iter().enumerate() {
        let placed = &steps[*point];
        for earlier in &points[..n] {
            if !before[*point].contains(earlier) && !before[*earlier].contains(point) {
                let text = format!(
                    "`{}` and `{}` are both a point of no return and neither needs the other: \
                     say which comes first",
                    steps[*earlier].step.id, placed.step.id
                );
                doc.problem(placed.line("point_of_no_return"), text);
            }
        }
        if placed.step.on_failure == OnFailure::Continue {
            let text = format!(
                "`on_failure = \"continue\"` on `{}`: what follows a point of no return must not \
                 go on without it",
                placed.step.id
            );
            doc.problem(placed.line("on_failure"), text);
        }
    }
    for (i, placed) in steps.iter().enumerate() {
        let step = placed.step;
        if PROMOTIONS.contains(&step.uses.as_str()) && !step.point_of_no_return {
            let text = format!(
                "`{}` promotes a server: there is no way back; add `point_of_no_return = true`",
                step.id
            );
            doc.problem(placed.line("uses"), text);
        }
        if step.on_failure != OnFailure::Abort {
            continue;
        }
        let past = points.iter().find(|p| **p == i || before[i].contains(p));
        if let Some(point) = past {
            let text = format!(
                "`on_failure = \"abort\"` on `{}`: there is no way back after `{}`; use \"stop\"",
                step.id, steps[*point].step.id
            );
            doc.problem(placed.line("on_failure"), text);
            continue;
        }
        // Whatever does not come after it may have happened when it fails.
        let stuck: Vec<_> = (0..steps.len())
            .filter(|other| *other != i && !before[*other].contains(&i))
            .filter(|other| !points.iter().any(|p| p == other || before[*other].contains(p)))
            .filter(|other| stays(&steps[*other]))
            .map(|other| format!("`{}`", steps[other].step.id))
            .collect();
        if !stuck.is_empty() {
            let text = format!(
                "`on_failure = \"abort\"` on `{}`: nothing undoes {}; where that may stay as it is, \
                 say `compensate = false` there",
                step.id,
                stuck.join(", ")
            );
            doc.problem(placed.line("on_failure"), text);
        }
    }
}

/// Whether the step changes something that an abort would leave, without the author having said so.
fn stays(placed: &Placed<'_>) -> bool {
    let Some(description) = &placed.description else { return false };
    description.changes
        && description.compensation.is_none()
        && placed.step.compensate != Some(false)
}

/// The longest path of each mode against the objective.
fn time(doc: &Document<'_>, runbook: &Runbook, line: usize) {
    let mut told: Vec<(Vec<String>, Duration, Vec<Mode>)> = Vec::new();
    for mode in runbook.modes() {
        let Some((path, total)) = modes::longest(&runbook.steps, mode) else { continue };
        if total <= runbook.rto.0 {
            continue;
        }
        match told.iter_mut().find(|(p, ..)| *p == path) {
            Some((.., modes)) => modes.push(mode),
            None => told.push((path, total, vec![mode])),
        }
    }
    for (path, total, modes) in told {
        let modes: Vec<_> = modes.into_iter().map(Mode::as_str).collect();
        let text = format!(
            "the timeouts along {} add up to {} in {} mode, more than the RTO of {}",
            path.join(" → "),
            Span(total),
            modes.join(" and "),
            runbook.rto
        );
        doc.problem(line, text);
    }
}
