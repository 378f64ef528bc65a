//! One step by itself: its action, and whether the arguments suit it.

use serde_json::Value;

use crate::config::document::Document;
use crate::config::{Config, did_you_mean};
use crate::providers::{self, Arguments, Description};
use crate::runbook::parse::Lines;
use crate::runbook::references::References;
use crate::runbook::sheet::Step;
use crate::runbook::suitable;

/// Tells what is wrong with the step; what its action says of itself, if one can be made.
pub(super) fn check(
    doc: &Document<'_>,
    step: &Step,
    lines: &Lines,
    config: &Config,
    references: &References,
) -> Option<Description> {
    let line = |key: &str| lines.keys.get(key).copied().unwrap_or(step.line);
    let mut sound = true;
    let mut tell = |place: &str, text: String| {
        sound = false;
        doc.problem(lines.argument(place).unwrap_or_else(|| line("with")), text);
    };
    let given = Value::Object(step.with.0.clone());
    let with = references.replace(&given, "", &mut |place, problem| {
        tell(place, format!("{}{problem}", named(place)));
    });
    if step.uses.is_empty() {
        return None;
    }
    let Some(kind) = providers::find(&step.uses) else {
        doc.problem(line("uses"), unknown(&step.uses));
        return None;
    };
    let with = with?;
    suitable::judge(kind.arguments.as_value(), &with, &mut |place, what| {
        tell(place, format!("argument `{}` of `{}` {what}", dotted(place), step.uses));
    });
    if !sound {
        return None;
    }
    let Value::Object(with) = with else { return None };
    match kind.build(&Arguments(with), config) {
        Ok(action) => {
            let description = action.describe();
            if step.compensate == Some(true) && description.compensation.is_none() {
                let text = format!(
                    "`compensate = true`: nothing undoes `{}`, so `abort` cannot",
                    step.uses
                );
                doc.problem(line("compensate"), text);
            }
            Some(description)
        }
        Err(e) => {
            let hint = e.advice().map(|hint| format!(" ({hint})")).unwrap_or_default();
            doc.problem(line("with"), format!("`{}`: {}{hint}", step.uses, e.one_line()));
            None
        }
    }
}

fn unknown(name: &str) -> String {
    let known = || providers::kinds().iter().map(|kind| kind.name);
    let advice = did_you_mean(name, known()).unwrap_or_else(|| {
        let system = name.split('.').next().unwrap_or(name);
        let same: Vec<_> = known().filter(|k| k.split('.').next() == Some(system)).collect();
        match same.is_empty() {
            true => "; `drctl runbook actions` lists all".to_owned(),
            false => format!("; there are {}", same.join(", ")),
        }
    });
    format!("unknown action `{name}`{advice}")
}

/// `targets[0].zone` for `/targets/0/zone`.
fn dotted(place: &str) -> String {
    let mut text = String::new();
    for piece in place.split('/').skip(1) {
        match piece.parse::<usize>() {
            Ok(index) => text.push_str(&format!("[{index}]")),
            Err(_) if text.is_empty() => text.push_str(piece),
            Err(_) => text.push_str(&format!(".{piece}")),
        }
    }
    text
}

fn named(place: &str) -> String {
    match dotted(place) {
        none if none.is_empty() => String::new(),
        name => format!("argument `{name}`: "),
    }
}
