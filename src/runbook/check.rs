//! What no single key of a runbook shows: names that lead nowhere, arguments that do not suit, and
//! orders in which it could not be carried out. All of it is told at once.

mod left;
mod order;
mod step;

use std::collections::BTreeMap;

use super::parse::Lines;
use super::references::{Circumstances, References};
use super::sheet::{Runbook, Step};
use crate::config::Config;
use crate::config::document::Document;
use crate::providers::{self, Description};

/// A step with the lines of its keys.
pub(super) struct Placed<'r> {
    pub step: &'r Step,
    pub lines: &'r Lines,
    /// What its action says of itself; none where it cannot be made, which was told.
    pub description: Option<Description>,
}

impl Placed<'_> {
    fn line(&self, key: &str) -> usize {
        self.lines.keys.get(key).copied().unwrap_or(self.step.line)
    }
}

/// Tells the document of everything that is wrong. `lines` are those of the steps and, last, of the
/// runbook itself.
pub(super) fn check(
    doc: &Document<'_>,
    runbook: &Runbook,
    lines: &[Lines],
    config: &Config,
    circumstances: &Circumstances,
) {
    let references = References::new(config, circumstances);
    let top = |key: &str| lines.last().and_then(|l| l.keys.get(key)).copied().unwrap_or(0);
    heading(doc, runbook, config, &references, &top);
    let steps: Vec<Placed<'_>> = runbook
        .steps
        .iter()
        .zip(lines)
        .map(|(step, lines)| {
            let description = step::check(doc, step, lines, config, &references);
            Placed { step, lines, description }
        })
        .collect();
    let mut first = BTreeMap::new();
    for placed in &steps {
        if let (Some(when), Some(only)) = (placed.step.when, runbook.mode)
            && when != only
        {
            let (id, only) = (&placed.step.id, only.as_str());
            let text = format!("step `{id}` is for another mode than the runbook, which is {only}");
            doc.problem(placed.line("when"), text);
        }
        if let Some(line) = first.insert(placed.step.id.as_str(), placed.step.line) {
            let text =
                format!("step `{}` is there twice; the first is in line {line}", placed.step.id);
            doc.problem(placed.line("id"), text);
        }
    }
    order::check(doc, runbook, &steps, top("rto"));
}

/// The texts at the top, and the two regions.
fn heading(
    doc: &Document<'_>,
    runbook: &Runbook,
    config: &Config,
    references: &References,
    line: &dyn Fn(&str) -> usize,
) {
    let about = runbook.about.as_deref().unwrap_or_default();
    for (key, text) in [("title", runbook.title.as_str()), ("about", about)] {
        references.replace(&text.into(), "", &mut |_, problem| doc.problem(line(key), problem));
    }
    let texts = [("title", runbook.title.as_str()), ("about", about)];
    for (key, text) in texts.into_iter().chain([("from", &*runbook.from), ("to", &*runbook.to)]) {
        if providers::references::is_open(text) {
            let text = format!("`{key}`: what steps leave is known in their arguments only");
            doc.problem(line(key), text);
        }
    }
    for (key, text) in [("from", &runbook.from), ("to", &runbook.to)] {
        let mut tell = |_: &str, problem| doc.problem(line(key), format!("`{key}`: {problem}"));
        let Some(region) = references.replace(&text.as_str().into(), "", &mut tell) else {
            continue;
        };
        let known = [Some(&config.regions.primary), config.regions.standby.as_ref()];
        if !known.into_iter().flatten().any(|r| region == **r) {
            let text = format!("`{key}`: {region} is neither `primary` nor `standby` in [regions]");
            doc.problem(line(key), text);
        }
    }
}
