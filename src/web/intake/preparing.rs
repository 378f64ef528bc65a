//! Preparing a failover: plan, preflight, the loss to expect, and the command that a person gives.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::policy::Database;
use super::{Incident, Intake, Prepared, incident};
use crate::error::Result;
use crate::model::{Alert, Level, Severity};
use crate::postgres::replication::{Limits, Role};
use crate::providers::postgres::Server;
use crate::providers::postgres::loss::{self, Prediction};
use crate::providers::{Mode, Standing, World};
use crate::runbook::plan::{self, Plan};
use crate::runbook::preflight::{self, Preflight};
use crate::runbook::{self, Circumstances};
use crate::store::epoch;

/// For each check of the preflight.
const CHECKS: Duration = Duration::from_secs(15);
/// For each server.
const SERVER: Duration = Duration::from_secs(4);
/// Troubles that are told; the others are counted.
const TOLD: usize = 8;

impl Intake {
    /// Prepares and tells people. What cannot be prepared is told too.
    pub(super) async fn prepare(&self, id: &str) {
        let control = &self.world.control;
        let found = match incident::read(&**control, id).await {
            Ok(Some(found)) if found.prepared.is_none() => found,
            Ok(_) => return,
            Err(e) => return self.say(Level::Warning, format!("incident {id}: {}", e.one_line())),
        };
        let prepared = self.prepared(&found).await;
        match incident::keep(&**control, id, &prepared).await {
            // Another runner was quicker, and has told people.
            Ok(false) => {}
            Ok(true) => self.tell(&found, &prepared).await,
            Err(e) => {
                self.say(Level::Warning, format!("incident {id}: not kept: {}", e.one_line()));
                self.tell(&found, &prepared).await;
            }
        }
    }

    async fn prepared(&self, found: &Incident) -> Prepared {
        let now = Utc::now();
        let mode = if found.forced { Mode::Forced } else { Mode::Graceful };
        let mut prepared = Prepared {
            at: now,
            by: self.by.clone(),
            args: vec!["failover".to_owned(), "--runbook".to_owned(), found.runbook.clone()],
            command: String::new(),
            loss: "UNKNOWN".to_owned(),
            preflight: "UNKNOWN".to_owned(),
            steps: 0,
            seconds: 0.0,
            troubles: Vec::new(),
        };
        prepared.args.extend(["--mode".to_owned(), mode.as_str().to_owned()]);
        let plans = match plans(&self.world, &found.runbook).await {
            Ok(plans) => plans,
            Err(e) => {
                prepared.troubles.push(format!("no plan can be made: {}", e.one_line()));
                prepared.command = format!("drctl failover --runbook {} --dry-run", found.runbook);
                return prepared;
            }
        };
        let Some(plan) = plans.iter().find(|plan| plan.mode == mode) else {
            let runbook = &found.runbook;
            prepared.troubles.push(format!("runbook {runbook} has no {} mode", mode.as_str()));
            prepared.command = format!("drctl failover --runbook {runbook} --dry-run");
            return prepared;
        };
        let (checked, looks) = tokio::join!(
            preflight::run(&self.world, &plans, &self.by, CHECKS, now),
            look(&self.world, plan, now),
        );
        let words: Vec<String> = looks
            .iter()
            .map(|look| format!("{}: {}", look.database.name, look.prediction.in_words()))
            .collect();
        if !words.is_empty() {
            prepared.loss = words.join("; ");
        }
        prepared.steps = plan.steps.len();
        prepared.seconds = plan.budget().total.as_secs_f64();
        prepared.args.extend(["--confirm".to_owned(), plan.to.clone()]);
        prepared.args.extend(self.accepted(&looks));
        let reason = format!("incident {}", found.id);
        prepared.args.extend(["--reason".to_owned(), reason]);
        prepared.command = shell(&prepared.args);
        if found.forced {
            let up = looks.iter().filter(|look| look.database.primary_answers);
            prepared.troubles.extend(up.map(|look| {
                format!(
                    "the primary of {} ANSWERS: look before you begin; `--mode graceful` loses \
                     nothing",
                    look.database.name
                )
            }));
        }
        if let Some(checked) = checked {
            prepared.preflight = summary(&checked);
            prepared.troubles.extend(troubles(&checked));
            if let Err(e) = preflight::keep(&*self.world.control, &checked).await {
                prepared.troubles.push(format!("the preflight is not kept: {}", e.one_line()));
            }
        }
        prepared
    }

    /// A known loss within the RPO needs no word of the operator.
    fn accepted(&self, looks: &[Look]) -> Vec<String> {
        let worst = looks
            .iter()
            .map(|look| look.prediction.seconds)
            .try_fold(0.0, |worst, s| Some(f64::max(worst, s?)));
        let rpo = self.world.config.objectives.rpo.as_secs_f64();
        match worst {
            Some(seconds) if seconds <= rpo => Vec::new(),
            Some(seconds) => vec!["--accept-loss".to_owned(), format!("{}s", seconds.ceil())],
            None => vec!["--accept-loss".to_owned(), "unknown".to_owned()],
        }
    }

    async fn tell(&self, found: &Incident, prepared: &Prepared) {
        let first = found.alerts.first();
        let what = first.map_or("an alert", |alert| alert.summary.as_str());
        let mut detail = format!(
            "loss to expect: {}\npreflight: {}\nplan: {} steps, {} at most\n",
            prepared.loss,
            prepared.preflight,
            prepared.steps,
            crate::report::words::span(prepared.seconds),
        );
        for trouble in &prepared.troubles {
            detail.push_str(&format!("- {trouble}\n"));
        }
        detail.push_str(&format!("nothing was begun. To begin it:\n{}\n", prepared.command));
        if !self.url.is_empty() {
            detail.push_str(&format!("how it stands: {}\n", self.url));
        }
        self.say(Level::Warning, format!("incident {}: {what}: {}", found.id, prepared.command));
        let alert = Alert {
            key: format!("incident/{}", found.id),
            severity: Severity::Critical,
            summary: format!("incident {}: {what}", found.id),
            detail,
            at: prepared.at,
            resolved: false,
        };
        self.alerts.alert(alert).await;
    }
}

/// The runbook's plans, one for each of its modes, under the epoch that holds.
pub(super) async fn plans(world: &World, runbook: &str) -> Result<Vec<Plan>> {
    let mut circumstances = Circumstances::of_a_look(&world.config);
    if let Some(epoch) = epoch::read(&*world.control).await? {
        circumstances.active = epoch.region;
    }
    let book = runbook::load(&world.config, runbook, &circumstances)?;
    book.modes()
        .iter()
        .map(|mode| plan::make(&book, &world.config, *mode, &circumstances))
        .collect()
}

/// A database that moves, and what it would lose.
pub(super) struct Look {
    pub database: Database,
    pub prediction: Prediction,
}

/// Every database with a server in both regions of the plan.
pub(super) async fn look(world: &World, plan: &Plan, now: DateTime<Utc>) -> Vec<Look> {
    let config = &world.config;
    let pairs = config.database_names().filter_map(|name| {
        let from = Server::find(config, name, &plan.from).ok()?;
        let to = Server::find(config, name, &plan.to).ok()?;
        Some((name, from, to))
    });
    let looks = pairs.map(async |(name, from, to)| {
        let limits = Limits::each(SERVER);
        let seen = loss::sight(&*world.control, &from, &to, false, limits, now).await;
        seen.keep(&*world.control, name, limits).await;
        Look {
            database: Database {
                name: name.to_owned(),
                primary_answers: seen.primary.is_ok(),
                standby_answers: seen.standby.as_ref().is_ok_and(|s| s.role == Role::Standby),
                loss_seconds: seen.prediction.seconds,
            },
            prediction: seen.prediction,
        }
    });
    join_all(looks).await
}

fn summary(checked: &Preflight) -> String {
    let count = |standing| checked.count(standing);
    format!(
        "{} not ready, {} unproven, {} warnings, {} ready",
        count(Standing::NotReady),
        count(Standing::Unproven),
        count(Standing::Warning),
        count(Standing::Ready)
    )
}

fn troubles(checked: &Preflight) -> Vec<String> {
    // The worst stand first.
    let bad = checked.checks.iter().filter(|noted| noted.check.standing == Standing::NotReady);
    let lines: BTreeMap<usize, String> = bad
        .map(|noted| {
            let hint = noted.check.hint.as_ref().map(|h| format!(" ({h})")).unwrap_or_default();
            format!("{}: {}{hint}", noted.check.what, noted.check.found)
        })
        .enumerate()
        .collect();
    let more = lines.len().saturating_sub(TOLD);
    let mut told: Vec<String> = lines.into_values().take(TOLD).collect();
    if more > 0 {
        told.push(format!("and {more} more: `drctl preflight {}`", checked.runbook));
    }
    told
}

/// A command line that a shell reads as these arguments.
pub(super) fn shell(args: &[String]) -> String {
    let plain = |text: &str| {
        !text.is_empty()
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_./:=,+@%".contains(&b))
    };
    let quoted = args.iter().map(|arg| match plain(arg) {
        true => arg.clone(),
        false => format!("'{}'", arg.replace('\'', "'\\''")),
    });
    std::iter::once("drctl".to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_one_that_a_shell_reads_back() {
        let args = ["failover", "--reason", "it's $HOME; rm -rf /", ""].map(str::to_owned);
        let command = shell(&args);
        let script = format!("drctl() {{ printf '%s\\n' \"$@\"; }}\n{command}");
        let ran = std::process::Command::new("sh").args(["-c", &script]).output().unwrap();
        let back: Vec<String> =
            String::from_utf8(ran.stdout).unwrap().split('\n').map(str::to_owned).collect();
        assert_eq!(back[..4], args);
    }
}
