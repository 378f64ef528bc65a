//! What a failover drill found, from its course: pure, but for what was measured before.

use super::rehearsing::Course;
use super::watching::Watch;
use crate::drill::account::{Check, Failover, Phase, Standing, Teardown};
use crate::drill::{Clock, Found, Served, check_of};
use crate::providers::RunFacts;
use crate::report::{self, RunReport, StepStanding, words};
use crate::runbook::plan::Plan;
use crate::runbook::record::Ending;

impl Course {
    pub fn new(uncompared: Vec<String>) -> Self {
        Self {
            uncompared,
            fault: None,
            confirmed: None,
            left: None,
            report: None,
            failure: None,
            teardown: Teardown::Clean { removed: Vec::new() },
            open: None,
        }
    }

    /// Everything that the account tells of it.
    pub fn rehearsed(
        self,
        clock: &Clock<'_>,
        watch: &Watch<'_>,
        plan: &Plan,
        facts: &RunFacts,
    ) -> Found {
        let after_fault = match (&self.confirmed, &self.fault) {
            (Some((_, confirmed)), Some((_, fault))) => confirmed - fault,
            _ => 0.0,
        };
        let report = self.report.as_ref();
        let succeeded = report.and_then(|r| r.ending).is_some_and(|ending| {
            matches!(ending, Ending::Succeeded | Ending::SucceededWithFailures)
        });
        let by_steps = report.and_then(|r| r.recovered_seconds).map(|at| at + after_fault);
        let served = watch.served().clone();
        let recovery_seconds = match watch.looks() {
            true if served.was_lost() => served.recovered(),
            _ => by_steps,
        };
        let mut checks = vec![isolation(&self.uncompared)];
        checks.extend(report.map(ran));
        if self.confirmed.is_some() {
            checks.extend(watch.looks().then(|| felt(&served)));
            checks.push(match watch.looks() {
                true => serves(&served, recovery_seconds),
                false => by_the_runbook(by_steps.filter(|_| succeeded)),
            });
        }
        let losses = report.map(|r| r.losses.as_slice()).unwrap_or_default();
        let amount = |l: &report::Loss| l.measured.clone().or_else(|| l.predicted.clone());
        let seconds = |l: &report::Loss| {
            let of = |a: &Option<report::Amount>| a.as_ref().and_then(|a| a.seconds);
            of(&l.measured).or_else(|| of(&l.predicted))
        };
        let known: Option<Vec<f64>> = losses.iter().map(seconds).collect();
        let loss_seconds = known.and_then(|all| all.into_iter().max_by(f64::total_cmp));
        let losses: Vec<String> = losses
            .iter()
            .filter_map(|loss| Some((loss.database.clone().unwrap_or_default(), amount(loss)?)))
            .map(|(database, a)| {
                let basis = a.basis.as_ref().map(|b| format!("; {b}")).unwrap_or_default();
                format!("`{database}`: {}{basis}", a.in_words())
            })
            .collect();
        if succeeded {
            checks.push(match loss_seconds {
                Some(seconds) => {
                    let said = format!("{} of writes at most", words::span(seconds));
                    check_of("loss", Standing::Passed, said, losses.clone())
                }
                None => check_of(
                    "loss",
                    Standing::Unknown,
                    "what was lost is not known",
                    losses.clone(),
                ),
            });
        }
        let mut phases = clock.done();
        if let (Some(report), Some((_, at))) = (report, &self.confirmed) {
            phases.extend(report.steps.iter().filter_map(|step| {
                let (began, ended) = (step.began?, step.ended?);
                Some(Phase {
                    name: format!("step {}", step.id),
                    began: at + began,
                    seconds: (ended - began).max(0.0),
                    recovery: step.critical,
                    failed: step.standing == StepStanding::Failed,
                })
            }));
        }
        let ending = self.left.as_ref().and_then(|left| left.ending);
        Found {
            facts: Failover {
                run: facts.id.clone(),
                mode: plan.mode.as_str().to_owned(),
                from: plan.from.clone(),
                to: plan.to.clone(),
                fault: String::new(),
                fault_at: self.fault.map(|(at, _)| at),
                ending: ending.map(|ending| ending.as_str().to_owned()),
                losses,
            },
            recovery_seconds,
            loss_seconds,
            phases,
            checks,
            warnings: self.open.into_iter().collect(),
            failure: self.failure,
            teardown: self.teardown,
        }
    }
}

fn isolation(uncompared: &[String]) -> Check {
    let said = "no server, store, hosted zone or credentials are production's";
    match uncompared.is_empty() {
        true => check_of("isolation", Standing::Passed, said, Vec::new()),
        false => {
            let said = format!("{said}, as far as could be compared");
            check_of("isolation", Standing::Noted, said, uncompared.to_vec())
        }
    }
}

fn ran(report: &RunReport) -> Check {
    let failed: Vec<String> = report
        .steps
        .iter()
        .filter(|step| step.standing == StepStanding::Failed)
        .map(|step| format!("{}: {}", step.id, step.said))
        .collect();
    let (standing, said) = match report.ending {
        Some(Ending::Succeeded) => (Standing::Passed, "every step is done"),
        Some(Ending::SucceededWithFailures) => {
            (Standing::Noted, "done, but for steps that a run may go on without")
        }
        Some(Ending::Stopped) => (Standing::Failed, "a step failed and held the run up"),
        Some(Ending::Aborted | Ending::AbortIncomplete) => (Standing::Failed, "it was aborted"),
        None => (Standing::Failed, "the drill broke it off before its end"),
    };
    check_of("run", standing, said, failed)
}

fn felt(served: &Served) -> Check {
    match served.lost() {
        Some(at) => {
            let said = format!("clients were not served any more after {}", words::span(at));
            check_of("fault", Standing::Passed, said, Vec::new())
        }
        None => {
            let said = "clients were served all the time: the fault was not felt";
            let detail = "a fault that breaks nothing proves nothing".to_owned();
            check_of("fault", Standing::Unknown, said, vec![detail])
        }
    }
}

fn serves(served: &Served, recovery: Option<f64>) -> Check {
    let looks = served.looks();
    let why = served.why().map(str::to_owned).into_iter().collect::<Vec<_>>();
    match (recovery, served.relapses()) {
        (Some(at), 0) => {
            let said =
                format!("since {} after the fault until the end; {looks} looks", words::span(at));
            check_of("served", Standing::Passed, said, Vec::new())
        }
        (Some(at), times) => {
            let said = format!(
                "since {} after the fault until the end, and before that {times} times not for \
                 long; {looks} looks",
                words::span(at)
            );
            check_of("served", Standing::Noted, said, why)
        }
        (None, _) => check_of("served", Standing::Failed, "clients were not served again", why),
    }
}

fn by_the_runbook(recovered: Option<f64>) -> Check {
    match recovered {
        Some(at) => {
            let said = format!("by the steps of the runbook, {} after the fault", words::span(at));
            check_of("served", Standing::Passed, said, Vec::new())
        }
        None => {
            let said = "the runbook did not come to its end";
            check_of("served", Standing::Failed, said, Vec::new())
        }
    }
}
