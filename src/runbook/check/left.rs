//! What steps ask of each other: `${steps.ID.FACT}` must name a step that comes before, in every mode
//! in which it is asked, and a fact that its action leaves.

use std::collections::BTreeSet;

use serde_json::Value;

use super::Placed;
use crate::config::did_you_mean;
use crate::config::document::Document;
use crate::providers::{Mode, leaves, references};
use crate::runbook::sheet::{Runbook, Step};

/// Actions of which an argument is the id of a step, and the fact of it that they go by.
const BY_ID: [(&str, &str, &str); 1] = [("route53.await_insync", "step", "change")];

/// `before`: for each step, all that come before it.
pub(super) fn check(
    doc: &Document<'_>,
    runbook: &Runbook,
    steps: &[Placed<'_>],
    before: &[BTreeSet<usize>],
) {
    let modes = runbook.modes();
    for (i, placed) in steps.iter().enumerate() {
        let mut asked = Vec::new();
        strings(&Value::Object(placed.step.with.0.clone()), "", &mut |place, text| {
            asked.extend(references::named(text).into_iter().map(|named| {
                (place.to_owned(), named.map(|(id, fact)| (id.to_owned(), fact.to_owned())))
            }));
        });
        for (uses, argument, fact) in BY_ID {
            if let Some(id) = placed.step.with.0.get(argument).and_then(Value::as_str)
                && placed.step.uses == uses
            {
                asked.push((format!("/{argument}"), Ok((id.to_owned(), fact.to_owned()))));
            }
        }
        for (place, named) in asked {
            let line = placed.lines.argument(&place).unwrap_or_else(|| placed.line("with"));
            let problem = match named {
                Err(why) => Some(format!("a reference to what a step leaves: {why}")),
                Ok((id, fact)) => answer(steps, &before[i], &modes, placed.step, &id, &fact).err(),
            };
            if let Some(problem) = problem {
                doc.problem(line, format!("step `{}`: {problem}", placed.step.id));
            }
        }
    }
}

/// Whether there will be an answer when `asking` asks step `id` for `fact`.
fn answer(
    steps: &[Placed<'_>],
    before: &BTreeSet<usize>,
    modes: &[Mode],
    asking: &Step,
    id: &str,
    fact: &str,
) -> Result<(), String> {
    let Some(place) = steps.iter().position(|placed| placed.step.id == id) else {
        let advice = did_you_mean(id, steps.iter().map(|p| p.step.id.as_str()));
        let advice = advice.unwrap_or_default();
        return Err(format!("it asks step `{id}` for `{fact}`, and there is no such step{advice}"));
    };
    let asked = steps[place].step;
    if asked.id == asking.id {
        return Err(format!("it asks itself for `{fact}`"));
    }
    if !before.contains(&place) {
        return Err(format!(
            "it asks step `{id}` for `{fact}` and does not come after it: add `{id}` to `needs`"
        ));
    }
    for mode in modes {
        let has = |step: &Step| step.when.is_none_or(|when| when == *mode);
        if has(asking) && !has(asked) {
            let mode = mode.as_str();
            return Err(format!(
                "it asks step `{id}` for `{fact}`, which is left out in {mode} mode"
            ));
        }
    }
    let left = leaves::by(&asked.uses);
    // An action that is unknown was told of where it stands.
    if left.contains(&fact) || crate::providers::find(&asked.uses).is_none() {
        return Ok(());
    }
    let advice = did_you_mean(fact, left.iter().copied()).unwrap_or_else(|| match left {
        [] => "; it leaves nothing".to_owned(),
        left => format!("; it leaves {}", left.join(", ")),
    });
    Err(format!("it asks step `{id}` for `{fact}`, which `{}` does not leave{advice}", asked.uses))
}

/// Every text in a value, with its place.
fn strings(value: &Value, place: &str, tell: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => tell(place, text),
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                strings(item, &format!("{place}/{i}"), tell);
            }
        }
        Value::Object(entries) => {
            for (key, item) in entries {
                strings(item, &format!("{place}/{key}"), tell);
            }
        }
        _ => {}
    }
}
