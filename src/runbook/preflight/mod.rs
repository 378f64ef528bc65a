//! Preflight: whether everything that a runbook needs is ready, looked at before it is needed. It
//! changes nothing but its own result in the control store.

mod credentials;
mod general;
mod kept;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

pub use kept::{judge, keep, last};

use super::plan::{Plan, PlannedStep};
use crate::model::Digest;
use crate::providers::action::Unheard;
use crate::providers::{Check, Context, Mode, Standing, World};

/// What was found, with its time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Preflight {
    pub runbook: String,
    /// Of the runbook's text: a changed runbook needs another preflight.
    pub runbook_digest: Digest,
    pub at: DateTime<Utc>,
    /// "ann on ops-1".
    pub by: String,
    /// The worst of all checks first; each once, whatever number of steps needs it.
    pub checks: Vec<Noted>,
}

/// A check and what it is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Noted {
    /// The steps that need it; none: the run as a whole.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub steps: BTreeSet<String>,
    #[serde(flatten)]
    pub check: Check,
}

impl Preflight {
    /// The worst standing of all.
    pub fn worst(&self) -> Standing {
        self.checks.iter().map(|n| n.check.standing).max().unwrap_or(Standing::Unproven)
    }

    pub fn count(&self, standing: Standing) -> usize {
        self.checks.iter().filter(|n| n.check.standing == standing).count()
    }
}

/// Runs every check of every step of `plans` (of one runbook, one for each mode), and the general
/// ones, at the same time. None may take longer than `limit`.
pub async fn run(
    world: &World,
    plans: &[Plan],
    by: &str,
    limit: Duration,
    now: DateTime<Utc>,
) -> Option<Preflight> {
    let first = plans.first()?;
    let facts = BTreeMap::new();
    let mut seen = BTreeSet::new();
    let mut steps: Vec<(&Plan, &PlannedStep)> = Vec::new();
    // A step of both modes is looked at as the forced one needs it: a primary that is gone makes a
    // forced run no less ready, and the graceful one finds out by itself before it changes anything.
    let forced_first = [Mode::Forced, Mode::Graceful];
    for plan in forced_first.iter().flat_map(|mode| plans.iter().filter(|p| p.mode == *mode)) {
        for step in &plan.steps {
            if seen.insert(step.id.as_str()) {
                steps.push((plan, step));
            }
        }
    }
    let of_steps = join_all(steps.iter().map(async |(plan, step)| {
        let run = plan.run_facts("preflight", by, now);
        let cx = Context {
            world,
            run: &run,
            step: &step.id,
            facts: &facts,
            deadline: tokio::time::Instant::now() + limit,
            progress: &Unheard,
        };
        let what = || format!("step `{}`, {}", step.id, step.uses);
        let checks = match step.action(&world.config) {
            Err(e) => vec![refused(what(), &e)],
            Ok(action) => in_time(limit, what(), action.preflight(&cx)).await,
        };
        (Some(step.id.clone()), checks)
    }));
    let general = general::checks(world, plans, limit, now);
    let (of_steps, general) = tokio::join!(of_steps, general);
    Some(Preflight {
        runbook: first.runbook.clone(),
        runbook_digest: first.runbook_digest,
        at: now,
        by: by.to_owned(),
        checks: sorted(of_steps.into_iter().chain([(None, general)])),
    })
}

/// What a look finds within its time. One that takes longer has found out nothing.
async fn in_time(
    limit: Duration,
    what: String,
    look: impl Future<Output = Vec<Check>>,
) -> Vec<Check> {
    // A little more than the deadline that the look knows of, so that it can say what it waited for.
    match tokio::time::timeout(limit + Duration::from_secs(1), look).await {
        Ok(checks) => checks,
        Err(_) => {
            let found = format!("no answer within {} s", limit.as_secs_f64());
            vec![Check::new(Standing::Unproven, what, found).hint("give it more with `--timeout`")]
        }
    }
}

fn refused(what: String, e: &crate::error::Error) -> Check {
    let check = Check::new(Standing::NotReady, what, e.one_line());
    match e.advice() {
        Some(hint) => check.hint(hint),
        None => check,
    }
}

/// The worst first, otherwise in the order of the steps; what several steps found alike stands once.
fn sorted(found: impl IntoIterator<Item = (Option<String>, Vec<Check>)>) -> Vec<Noted> {
    let mut noted: Vec<Noted> = Vec::new();
    for (step, checks) in found {
        for check in checks {
            match noted.iter_mut().find(|n| n.check == check) {
                Some(same) => same.steps.extend(step.clone()),
                None => noted.push(Noted { steps: step.clone().into_iter().collect(), check }),
            }
        }
    }
    noted.sort_by_key(|n| std::cmp::Reverse(n.check.standing));
    noted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(standing: Standing, what: &str) -> Check {
        Check::new(standing, what, "found")
    }

    #[test]
    fn the_worst_stands_first_and_what_steps_share_stands_once() {
        let found = [
            (
                Some("a".to_owned()),
                vec![check(Standing::Ready, "x"), check(Standing::Warning, "y")],
            ),
            (Some("b".to_owned()), vec![check(Standing::Ready, "x")]),
            (None, vec![check(Standing::NotReady, "z"), check(Standing::Unproven, "u")]),
        ];
        let order: Vec<_> = sorted(found)
            .into_iter()
            .map(|n| (n.check.what, n.steps.into_iter().collect::<Vec<_>>().join(",")))
            .collect();
        let expected = [("z", ""), ("u", ""), ("y", "a"), ("x", "a,b")];
        assert_eq!(order, expected.map(|(w, s)| (w.to_owned(), s.to_owned())));
    }

    #[tokio::test]
    async fn a_look_that_never_ends_has_proven_nothing() {
        let limit = Duration::ZERO;
        let found = in_time(limit, "a server".to_owned(), std::future::pending()).await;
        assert_eq!(found[0].standing, Standing::Unproven);
        assert_eq!(found[0].found, "no answer within 0 s");
    }
}
