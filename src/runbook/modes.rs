//! A runbook's steps in one mode: what the mode leaves out is bridged.

use std::collections::BTreeSet;
use std::time::Duration;

use super::graph;
use super::sheet::Step;
use crate::providers::Mode;

/// A step that the mode has, with the ids that it needs there.
pub(super) struct Kept<'s> {
    pub step: &'s Step,
    pub needs: Vec<String>,
}

/// The steps of `mode` as they stand. Where a needed one is left out, what it needed is needed in
/// its place. Needs that lead nowhere are left out.
pub(super) fn kept(steps: &[Step], mode: Mode) -> Vec<Kept<'_>> {
    let has = |step: &Step| step.when.is_none_or(|when| when == mode);
    let of = |step: &Step| {
        let (mut needs, mut seen) = (Vec::new(), BTreeSet::new());
        let mut open: Vec<&str> = step.needs.iter().rev().map(String::as_str).collect();
        while let Some(id) = open.pop() {
            if !seen.insert(id) {
                continue;
            }
            match steps.iter().find(|s| s.id == id) {
                Some(other) if has(other) => needs.push(id.to_owned()),
                Some(other) => open.extend(other.needs.iter().rev().map(String::as_str)),
                None => {}
            }
        }
        needs
    };
    steps.iter().filter(|s| has(s)).map(|step| Kept { step, needs: of(step) }).collect()
}

/// The needs of kept steps by their place in the list.
pub(super) fn places(kept: &[Kept<'_>]) -> Vec<Vec<usize>> {
    let place = |id: &String| kept.iter().position(|k| k.step.id == *id);
    kept.iter().map(|k| k.needs.iter().filter_map(place).collect()).collect()
}

/// The longest a step may take: its timeout, and that of its approval.
pub(super) fn time(step: &Step) -> Duration {
    step.timeout.0.saturating_add(step.approve.as_ref().map_or(Duration::ZERO, |a| a.timeout.0))
}

/// The path that takes longest, and how long; none where steps go round in a circle.
pub(super) fn longest(steps: &[Step], mode: Mode) -> Option<(Vec<String>, Duration)> {
    let kept = kept(steps, mode);
    let needs = places(&kept);
    let order = graph::order(&needs).ok()?;
    let times: Vec<_> = kept.iter().map(|k| time(k.step)).collect();
    let windows = graph::windows(&needs, &order, &times);
    let path = graph::critical_path(&needs, &windows);
    let total = windows.iter().map(|w| w.1).max().unwrap_or_default();
    Some((path.into_iter().map(|i| kept[i].step.id.clone()).collect(), total))
}
