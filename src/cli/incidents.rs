//! `drctl incidents`.

use chrono::{DateTime, Utc};
use clap::{Args, Subcommand};
use serde_json::json;

use super::alerts;
use super::args::Cli;
use super::render::{Done, plural, span};
use super::wrapping::{hung, wrapped};
use crate::app::{self, App};
use crate::config::nearest;
use crate::error::{Error, Kind, Result};
use crate::providers::notify::Told;
use crate::web::intake::{self, Incident, Prepared};

/// Show what alerts from outside have opened and what is prepared for it, or end it by hand
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl incidents                     what is open, and the command that begins the failover
  drctl incidents close region-failover-e0-1 --reason 'the monitor was wrong'

An incident ends by itself when the last of its alerts does, or when another epoch holds. One that is
closed is never acted on, also not by `auto`, and what its alerts repeat does not open another;
another alert does, or one that ended and begins again.

Exit codes: 0 none is open, or it is closed; 1 one is open; 2 there is no such incident; 4 the
control store does not say.")]
pub struct Incidents {
    #[command(subcommand)]
    pub act: Option<IncidentAct>,
}

#[derive(Debug, Subcommand)]
pub enum IncidentAct {
    /// Show the open incidents
    List,
    /// End an incident: nothing is prepared or begun for it any more
    Close(IncidentClose),
}

#[derive(Debug, Args)]
pub struct IncidentClose {
    /// The incident, as `drctl incidents` shows it
    pub id: String,
    /// Why; kept with it
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
}

pub async fn run(cli: &Cli, args: &Incidents) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let now = Utc::now();
    let control = app.store_in_haste(app.control_store()?).await.map_err(unverified)?;
    let open = intake::open(&*control).await.map_err(unverified)?;
    match &args.act {
        None | Some(IncidentAct::List) => Ok(listed(&open, now)),
        Some(IncidentAct::Close(args)) => {
            if !open.iter().any(|incident| incident.id == args.id) {
                return Err(unknown(&args.id, &open));
            }
            let who = args.name.clone().unwrap_or_else(app::operator);
            let why = format!("closed by {who}: {}", args.reason);
            // Closed by another in between is closed as well.
            intake::close(&*control, &args.id, &why, now).await?;
            let alerting = app.alerting(who.clone()).await?;
            let key = format!("incident/{}", args.id);
            let told = match alerting.resolve(&key, &who, now).await {
                // Nobody was told of it, so nobody needs to be told that it is over.
                Err(e) if e.kind() == Kind::Usage => Told::default(),
                told => told?,
            };
            Ok(alerts::acted(&format!("incident {}", args.id), &key, "closed", told))
        }
    }
}

/// What no store says is not known, rather than nothing.
fn unverified(e: Error) -> Error {
    Error::new(Kind::Unverified, "it is not known which incidents are open").caused_by(e)
}

fn unknown(id: &str, open: &[Incident]) -> Error {
    let error = Error::new(Kind::Usage, format!("no incident `{id}` is open"));
    match nearest(id, open.iter().map(|incident| incident.id.as_str())) {
        Some(near) => error.hint(format!("is `{near}` meant?")),
        None => error.hint("`drctl incidents` shows those that are"),
    }
}

fn listed(open: &[Incident], now: DateTime<Utc>) -> Done {
    let ago = |at: DateTime<Utc>| span((now - at).as_seconds_f64());
    let mut text = String::new();
    for incident in open {
        let mode = if incident.forced { "forced" } else { "graceful" };
        let line = format!(
            "incident {}, open for {}: runbook {} ({mode}), epoch {}",
            incident.id,
            ago(incident.opened),
            incident.runbook,
            incident.epoch
        );
        text.push_str(&wrapped(&line, 80, "  "));
        for alert in &incident.alerts {
            let since = match alert.over {
                Some(over) => format!("over for {}", ago(over)),
                None => format!("for {}", ago(alert.since)),
            };
            let line = format!("{}: {} ({since})", alert.source, alert.summary);
            text.push_str(&hung("  ", &line, 80));
        }
        if let Some(begun) = &incident.begun {
            let line = format!(
                "drctl began the failover by itself {} ago, on {}",
                ago(begun.at),
                begun.by
            );
            text.push_str(&hung("  ", &line, 80));
        }
        match &incident.prepared {
            None => text.push_str("  no plan was prepared yet\n"),
            Some(prepared) => plan(prepared, &mut text),
        }
        text.push('\n');
    }
    text.push_str(&match open.len() as u64 {
        0 => "No incident is open.\n".to_owned(),
        n => format!(
            "{} open. If it is none: drctl incidents close ID --reason TEXT\n",
            plural(n, "incident")
        ),
    });
    let code = if open.is_empty() { 0 } else { Kind::Failed.exit_code() };
    Done::with(code, text, json!({ "incidents": open }))
}

fn plan(prepared: &Prepared, text: &mut String) {
    text.push_str(&hung("  ", &format!("loss to expect: {}", prepared.loss), 80));
    text.push_str(&hung("  ", &format!("preflight: {}", prepared.preflight), 80));
    for trouble in &prepared.troubles {
        text.push_str(&hung("  ", &format!("! {trouble}"), 80));
    }
    // In one line, to be copied.
    text.push_str(&format!(
        "  {}, at most {}; to begin it:\n    {}\n",
        plural(prepared.steps as u64, "step"),
        span(prepared.seconds),
        prepared.command
    ));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(at: DateTime<Utc>) -> Incident {
        let prepared = Prepared {
            at,
            by: "ops-1".to_owned(),
            args: Vec::new(),
            command: "drctl failover --mode forced --confirm us-west-2".to_owned(),
            loss: "about 3 s".to_owned(),
            preflight: "ready".to_owned(),
            steps: 12,
            seconds: 540.0,
            troubles: vec!["the sampler is silent".to_owned()],
        };
        Incident {
            id: "region-failover-e0-1".to_owned(),
            runbook: "region-failover".to_owned(),
            forced: true,
            epoch: 0,
            opened: at,
            alerts: vec![intake::AlertStanding {
                source: "prom".to_owned(),
                key: "db".to_owned(),
                summary: "the primary does not answer".to_owned(),
                since: at,
                heard: at,
                over: None,
            }],
            prepared: Some(prepared),
            begun: None,
        }
    }

    #[test]
    fn whoever_looks_sees_what_is_wrong_and_what_to_type() {
        let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let done = listed(&[incident(at)], at + chrono::TimeDelta::minutes(4));
        assert_eq!(done.code, 1);
        assert_eq!(
            done.text,
            "\
incident region-failover-e0-1, open for 4 min 0 s: runbook region-failover
  (forced), epoch 0
  prom: the primary does not answer (for 4 min 0 s)
  loss to expect: about 3 s
  preflight: ready
  ! the sampler is silent
  12 steps, at most 9 min 0 s; to begin it:
    drctl failover --mode forced --confirm us-west-2

1 incident open. If it is none: drctl incidents close ID --reason TEXT
"
        );
        assert_eq!(listed(&[], at).text, "No incident is open.\n");
    }

    #[test]
    fn an_incident_that_is_not_there_is_told_with_the_nearest() {
        let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let e = unknown("region-failover-e0-2", &[incident(at)]);
        assert_eq!(e.advice(), Some("is `region-failover-e0-1` meant?"));
        assert_eq!(unknown("x", &[]).advice(), Some("`drctl incidents` shows those that are"));
    }
}
