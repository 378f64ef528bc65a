//! What a notification says: the words of the runbook, and where the run stands.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::notification::{Act, Notification, shortened};
use crate::providers::{Context, Mode};

/// How long an incident that a run opened is to be believed where nobody closes it.
const BELIEVED: Duration = Duration::from_hours(4);

/// How bad it is; the words are PagerDuty's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    Critical,
    Error,
    Warning,
    #[default]
    Info,
}

impl Severity {
    /// The word for it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

impl From<crate::model::Severity> for Severity {
    fn from(severity: crate::model::Severity) -> Self {
        match severity {
            crate::model::Severity::Critical => Self::Critical,
            crate::model::Severity::Warning => Self::Warning,
            crate::model::Severity::Info => Self::Info,
        }
    }
}

/// One notification, the same for every channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    pub project: String,
    pub run: String,
    pub runbook: String,
    pub step: String,
    pub mode: Mode,
    pub from: String,
    pub to: String,
    /// None: not known at this step.
    pub epoch: Option<u64>,
    pub operator: String,
    /// Since the operator confirmed.
    pub elapsed: Duration,
    pub rto: Duration,
    pub text: String,
    pub severity: Severity,
    /// What the reader should do.
    pub next: String,
    pub drill: bool,
    /// The incident of this key is over.
    pub resolve: bool,
    /// What tells one incident of a run from another.
    pub key: String,
    pub at: DateTime<Utc>,
}

/// What the runbook says about a notification.
pub struct Words<'w> {
    pub text: &'w str,
    pub severity: Severity,
    pub key: Option<&'w str>,
    pub resolve: bool,
    pub next: Option<&'w str>,
}

impl Message {
    pub fn new(words: &Words<'_>, cx: &Context<'_>, at: DateTime<Utc>) -> Self {
        let run = cx.run;
        // The highest: a run that went back and forth has several.
        let epochs = cx.facts.values().filter_map(|facts| facts.get("epoch")?.as_u64());
        Self {
            project: cx.world.config.project.clone(),
            run: run.id.clone(),
            runbook: run.runbook.clone(),
            step: cx.step.to_owned(),
            mode: run.mode,
            from: run.from.clone(),
            to: run.to.clone(),
            epoch: epochs.max(),
            operator: run.operator.clone(),
            elapsed: (at - run.confirmed).to_std().unwrap_or_default(),
            rto: cx.world.config.objectives.rto,
            text: words.text.to_owned(),
            severity: words.severity,
            next: match words.next {
                Some(next) => next.to_owned(),
                None => format!("drctl runs show {}", run.id),
            },
            drill: run.drill,
            resolve: words.resolve,
            key: words.key.unwrap_or(&run.runbook).to_owned(),
            at,
        }
    }

    /// The same for every try of this step of this run: receivers fold repeats by it.
    pub fn id(&self) -> String {
        format!("{}.{}", self.run, self.step)
    }

    /// The same for what opens an incident and what closes it.
    pub fn incident(&self) -> String {
        // PagerDuty takes 255 characters (Events API v2, `dedup_key`).
        shortened(format!("drctl.{}.{}.{}", self.project, self.run, self.key), 255)
    }

    /// One line: "DRILL: petforce, us-east-1 to us-west-2: promoted".
    pub fn headline(&self) -> String {
        let first = self.text.lines().next().unwrap_or_default();
        let mark = if self.drill { "DRILL: " } else { "" };
        let over = if self.resolve { "resolved: " } else { "" };
        let route = match (self.from.as_str(), self.to.as_str()) {
            ("", _) | (_, "") => String::new(),
            (from, to) if from == to => format!(", {to}"),
            (from, to) => format!(", {from} to {to}"),
        };
        format!("{mark}{over}{}{route}: {first}", self.project)
    }

    /// What of the text is not in the headline.
    pub fn rest(&self) -> Option<&str> {
        let (_, rest) = self.text.split_once('\n')?;
        Some(rest.trim()).filter(|rest| !rest.is_empty())
    }

    /// "2m 3s of 15m".
    pub fn clock(&self) -> String {
        let whole = |d: Duration| humantime::format_duration(Duration::from_secs(d.as_secs()));
        let late = if self.elapsed > self.rto { ", over the objective" } else { "" };
        format!("{} of {}{late}", whole(self.elapsed), whole(self.rto))
    }

    /// Where the run stands, name by name.
    pub fn standing(&self) -> Vec<(&'static str, String)> {
        let mut lines = vec![
            ("run", self.run.clone()),
            ("runbook", format!("{} ({})", self.runbook, self.mode.as_str())),
            ("step", self.step.clone()),
            ("region", format!("{} to {}", self.from, self.to)),
            ("epoch", self.epoch.map_or("not written yet".to_owned(), |epoch| epoch.to_string())),
            ("clock", self.clock()),
            ("operator", self.operator.clone()),
            ("next", self.next.clone()),
        ];
        if self.from.is_empty() || self.to.is_empty() {
            lines.retain(|(name, _)| *name != "region");
        }
        if self.drill {
            lines.insert(
                0,
                ("drill", "this is a rehearsal; nothing of production is touched".to_owned()),
            );
        }
        lines
    }

    /// As channels take it.
    pub fn notification(&self) -> Notification {
        let act = if self.resolve { Act::Resolve } else { Act::Open };
        let mut headers = vec![("X-Drctl-Run", self.run.clone())];
        if self.drill {
            headers.push(("X-Drctl-Drill", "yes".to_owned()));
        }
        Notification {
            project: self.project.clone(),
            id: self.id(),
            incident: self.incident(),
            thread: self.run.clone(),
            headline: self.headline(),
            text: self.rest().map(str::to_owned),
            standing: self.standing(),
            severity: self.severity,
            act,
            group: self.runbook.clone(),
            class: if self.drill { "drill" } else { "failover" },
            drill: self.drill,
            labels: vec![
                ("run", self.run.clone()),
                ("runbook", self.runbook.clone()),
                ("key", self.key.clone()),
            ],
            // What closes an incident need not know how bad it was when it was opened.
            before: vec![Severity::Critical, Severity::Error, Severity::Warning, Severity::Info],
            since: self.at,
            believed: BELIEVED,
            headers,
            kind: "drctl.notification",
            data: self.json(),
            at: self.at,
        }
    }

    /// For programs.
    pub fn json(&self) -> Value {
        json!({
            "project": self.project,
            "run": self.run,
            "runbook": self.runbook,
            "step": self.step,
            "mode": self.mode,
            "from": self.from,
            "to": self.to,
            "epoch": self.epoch,
            "operator": self.operator,
            "elapsed_seconds": self.elapsed.as_secs(),
            "rto_seconds": self.rto.as_secs(),
            "text": self.text,
            "headline": self.headline(),
            "severity": self.severity,
            "next": self.next,
            "drill": self.drill,
            "resolve": self.resolve,
            "incident": self.incident(),
            "at": self.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        })
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub fn message() -> Message {
        Message {
            project: "petforce".to_owned(),
            run: "20261124-0300-ab12".to_owned(),
            runbook: "region-failover".to_owned(),
            step: "tell".to_owned(),
            mode: Mode::Forced,
            from: "us-east-1".to_owned(),
            to: "us-west-2".to_owned(),
            epoch: Some(4),
            operator: "ann on ops-1".to_owned(),
            elapsed: Duration::from_millis(123_456),
            rto: Duration::from_mins(15),
            text: "promoted & serving\nwrites go to <us-west-2> now".to_owned(),
            severity: Severity::Critical,
            next: "watch the error rate".to_owned(),
            drill: false,
            resolve: false,
            key: "region-failover".to_owned(),
            at: DateTime::from_timestamp(1_795_000_000, 0).unwrap(),
        }
    }

    #[test]
    fn a_message_says_where_the_run_stands() {
        insta::assert_snapshot!(message().notification().plain(), @r"
        petforce, us-east-1 to us-west-2: promoted & serving
        writes go to <us-west-2> now

        run       20261124-0300-ab12
        runbook   region-failover (forced)
        step      tell
        region    us-east-1 to us-west-2
        epoch     4
        clock     2m 3s of 15m
        operator  ann on ops-1
        next      watch the error rate
        ");
    }

    #[test]
    fn a_drill_cannot_be_taken_for_the_real_thing() {
        let drill = Message { drill: true, resolve: true, ..message() };
        assert!(drill.headline().starts_with("DRILL: resolved: petforce"), "{}", drill.headline());
        assert!(drill.notification().plain().contains("rehearsal"));
        let late = Message { elapsed: Duration::from_mins(16), ..message() };
        assert_eq!(late.clock(), "16m of 15m, over the objective");
    }

    #[test]
    fn an_incident_has_one_key_and_a_message_one_id() {
        let opening = message();
        let closing = Message { resolve: true, step: "over".to_owned(), ..message() };
        assert_eq!(opening.incident(), closing.incident());
        assert_ne!(opening.id(), closing.id());
        let long = Message { key: "x".repeat(400), ..message() };
        assert_eq!(long.incident().len(), 255);
    }
}
