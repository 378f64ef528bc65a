//! `drctl alerts`.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::alert_args::{AlertAct, AlertNamed, AlertTest, Alerts};
use super::args::Cli;
use super::render::{Done, columns, plural, span};
use super::wrapping::{hung, wrapped};
use crate::app::{self, App};
use crate::error::{Error, Kind, Result};
use crate::model::Severity;
use crate::providers::Standing;
use crate::providers::notify::{self, Alerting, Entry, Told, Trial, Wanted};

pub async fn run(cli: &Cli, args: &Alerts) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let now = Utc::now();
    match &args.act {
        None | Some(AlertAct::List) => {
            let alerting = app.alerting(app::operator()).await?;
            let open = alerting.open(now).await.map_err(unverified)?;
            Ok(listed(&open, now))
        }
        Some(AlertAct::Test(args)) => test(&app, args, now).await,
        Some(AlertAct::Ack(args)) => {
            let (alerting, who) = asked(&app, args).await?;
            Ok(acted(
                &args.key,
                &args.key,
                "taken on",
                alerting.acknowledge(&args.key, &who, now).await?,
            ))
        }
        Some(AlertAct::Resolve(args)) => {
            let (alerting, who) = asked(&app, args).await?;
            Ok(acted(&args.key, &args.key, "over", alerting.resolve(&args.key, &who, now).await?))
        }
    }
}

async fn asked(app: &App, args: &AlertNamed) -> Result<(Alerting, String)> {
    let who = args.name.clone().unwrap_or_else(app::operator);
    Ok((app.alerting(who.clone()).await?, who))
}

/// What no store says is not known, rather than nothing.
fn unverified(e: Error) -> Error {
    Error::new(Kind::Unverified, "it is not known which alerts are open").caused_by(e)
}

fn listed(open: &[Entry], now: DateTime<Utc>) -> Done {
    let mut open: Vec<&Entry> = open.iter().collect();
    open.sort_by_key(|entry| (std::cmp::Reverse(entry.severity()), entry.since));
    let mut text = String::new();
    for entry in &open {
        let ago = |at: DateTime<Utc>| span((now - at).as_seconds_f64());
        let line = format!(
            "{:<8}  {}: {}",
            word(entry.severity()),
            entry.alert.key,
            entry.alert.summary.lines().next().unwrap_or_default()
        );
        text.push_str(&wrapped(&line, 80, "          "));
        for line in entry.alert.detail.lines() {
            text.push_str(&hung("          ", line, 80));
        }
        let told = match entry.told.is_empty() {
            true => "nobody was told".to_owned(),
            false => {
                let names: Vec<&str> = entry.told.keys().map(String::as_str).collect();
                format!("told {}", names.join(", "))
            }
        };
        let taken = match &entry.acknowledged {
            Some(taken) => format!("; taken on by {} {} ago", taken.by, ago(taken.at)),
            None => String::new(),
        };
        let line =
            format!("since {}, seen {} ago; {told}{taken}", ago(entry.since), ago(entry.seen));
        text.push_str(&hung("          ", &line, 80));
        for (channel, due) in &entry.due {
            let why = due.why.as_deref().unwrap_or("under way");
            text.push_str(&hung("          ", &format!("NOT TOLD to `{channel}`: {why}"), 80));
        }
    }
    let wrong = open.iter().filter(|entry| entry.severity() > Severity::Info).count();
    text.push_str(&match open.len() as u64 {
        0 => "No alert is open.\n".to_owned(),
        n => format!("\n{} open. Take one on: drctl alerts ack KEY\n", plural(n, "alert")),
    });
    let code = if wrong == 0 { 0 } else { Kind::Failed.exit_code() };
    let alerts: Vec<_> = open
        .iter()
        .map(|entry| {
            json!({
                "key": entry.alert.key,
                "severity": entry.severity(),
                "summary": entry.alert.summary,
                "detail": entry.alert.detail,
                "since": entry.since,
                "seen": entry.seen,
                "told": entry.told,
                "untold": entry.due.iter().map(|(c, d)| (c, &d.why)).collect::<std::collections::BTreeMap<_, _>>(),
                "acknowledged": entry.acknowledged,
                "reminders": entry.reminders,
            })
        })
        .collect();
    Done::with(code, text, json!({ "alerts": alerts }))
}

/// What came of an act of an operator's on an alert: who was told, and who could not be.
pub(super) fn acted(subject: &str, key: &str, what: &str, told: Told) -> Done {
    let mut text = format!("{subject} is {what}");
    let names: Vec<&str> = told.told.iter().map(|(_, channel)| channel.as_str()).collect();
    if !names.is_empty() {
        text.push_str(&format!("; told {}", names.join(", ")));
    }
    text.push('\n');
    for (_, channel, why) in &told.untold {
        text.push_str(&hung(
            "  ",
            &format!("NOT TOLD to `{channel}`: {why}; it is tried again"),
            80,
        ));
    }
    let code = match &told.unkept {
        Some(why) => {
            text.push_str(&hung("  ", &format!("NOT KEPT, so reminders go on: {why}"), 80));
            Kind::Unverified.exit_code()
        }
        None => 0,
    };
    let untold: Vec<_> = told
        .untold
        .iter()
        .map(|(_, channel, why)| json!({ "channel": channel, "why": why }))
        .collect();
    Done::with(code, text, json!({ "key": key, "told": names, "untold": untold }))
}

async fn test(app: &App, args: &AlertTest, now: DateTime<Utc>) -> Result<Done> {
    if let Some(name) = &args.channel {
        // Tells what there is, for one that is not there.
        if !app.config.channel_names().any(|known| known == name) {
            app.config.channel(name)?;
        }
    }
    if app.config.channel_names().next().is_none() {
        return Err(Error::new(Kind::Usage, "there is no channel: alerts reach nobody").hint(
            "add [channel.NAME] tables to the configuration; docs/notifications.md shows how",
        ));
    }
    let alerting = Alerting::new(app.config.clone(), None, app::operator())?;
    let wanted =
        Wanted { channel: args.channel.clone(), severity: args.severity, resolve: args.resolve };
    let trials = notify::try_channels(&alerting, &wanted, now).await;
    let mut text = tested(&trials, args.resolve);
    let mut nowhere = Vec::new();
    if args.channel.is_none() {
        for check in notify::route_checks(&app.config) {
            if check.standing != Standing::Ready {
                text.push_str(&hung("  ", &format!("{}: {}", check.what, check.found), 80));
                if let Some(hint) = &check.hint {
                    text.push_str(&hung("    -> ", hint, 80));
                }
                nowhere.push(json!({ "what": check.what, "found": check.found }));
            }
        }
        for name in notify::unreached(&alerting) {
            text.push_str(&format!("  channel `{name}`: no route leads there\n"));
            nowhere.push(
                json!({ "what": format!("channel `{name}`"), "found": "no route leads there" }),
            );
        }
    }
    let failed = trials.is_empty() || trials.iter().any(|trial| !trial.taken);
    let code = if failed { Kind::Failed.exit_code() } else { 0 };
    Ok(Done::with(code, text, json!({ "trials": trials, "routes": nowhere })))
}

fn tested(trials: &[Trial], resolve: bool) -> String {
    let mut rows = vec![];
    for trial in trials {
        let taken = if trial.taken { "taken" } else { "NOT TAKEN" };
        let severities = match trial.severities.is_empty() {
            true => "no route".to_owned(),
            false => trial.severities.join(", "),
        };
        rows.push(vec![
            taken.to_owned(),
            trial.channel.clone(),
            trial.kind.to_owned(),
            severities,
            span(trial.seconds),
        ]);
    }
    let table = columns(&rows, &[4]);
    let mut text = String::new();
    for (line, trial) in table.lines().zip(trials) {
        text.push_str(&format!("{line}\n"));
        text.push_str(&hung("           ", &trial.said, 80));
    }
    let failed = trials.iter().filter(|trial| !trial.taken).count() as u64;
    text.push_str(&match (trials.len() as u64, failed) {
        (0, _) => "\nNo channel was tried: no alert of this severity goes anywhere.\n".to_owned(),
        (n, 0) if resolve => format!("\n{} told that the test is over.\n", plural(n, "channel")),
        (n, 0) => format!(
            "\n{} took the test. Look whether it came; end it with --resolve.\n",
            plural(n, "channel")
        ),
        (n, failed) => format!("\n{failed} of {n} took no message.\n"),
    });
    text
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "CRITICAL",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_says_what_each_channel_said() {
        let trial = |channel: &str, kind, severities: &[&'static str], taken, said: &str| Trial {
            channel: channel.to_owned(),
            kind,
            severities: severities.to_vec(),
            taken,
            said: said.to_owned(),
            seconds: 0.21,
        };
        let trials = [
            trial(
                "oncall",
                "pagerduty",
                &["critical"],
                true,
                "status 202: {\"status\":\"success\"}",
            ),
            trial("mail", "email", &[], false, "535 authentication failed"),
        ];
        insta::assert_snapshot!(tested(&trials, false), @r#"
        taken      oncall  pagerduty  critical  0.2 s
                   status 202: {"status":"success"}
        NOT TAKEN  mail    email      no route  0.2 s
                   535 authentication failed

        1 of 2 took no message.
        "#);
    }
}
