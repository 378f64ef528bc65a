//! Alerts from outside: who sends them is proven, those that count open an incident, and for that a
//! failover is prepared. None is begun here, unless a policy says so (policy.rs).

mod alertmanager;
mod incident;
mod pagerduty;
mod policy;
mod preparing;
mod sns;
mod watching;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::{HeaderMap, StatusCode};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

pub use incident::{AlertStanding, Begun, Incident, Prepared, close, open};
pub use policy::{Decision, Evidence, decide};

use crate::config::{IntakeConfig, IntakeKind};
use crate::error::{Kind, Result};
use crate::model::{Alert, AlertSink, Level, Severity, Sink};
use crate::providers::World;
use crate::snapshot::matches;
use crate::store::epoch;
use incident::Recorded;

/// Senders try again for an hour or so; what is older is a recording.
const OLDEST: TimeDelta = TimeDelta::hours(1);
/// Their clock may be ahead.
const AHEAD: TimeDelta = TimeDelta::minutes(5);
/// Looked into at once; a flood must not take the page's memory or the store's patience.
const AT_ONCE: usize = 4;

/// One alert that began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// The same for the beginning, every repeat and the end of it.
    pub key: String,
    pub firing: bool,
    /// When it began, or ended.
    pub at: DateTime<Utc>,
    /// One line.
    pub summary: String,
    /// By which rules know it.
    pub labels: BTreeMap<String, String>,
}

/// Why a request is not taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is not proven who sends.
    Stranger(String),
    /// It is proven, and makes no sense.
    Senseless(String),
    /// It cannot be looked into now; the sender should try again.
    Later(String),
}

/// Begins a failover that a policy has decided on.
#[async_trait]
pub trait Starter: Send + Sync {
    /// Runs drctl with these arguments, apart from this process, which may end before it.
    async fn start(&self, incident: &str, args: &[String]) -> Result<()>;
}

/// Everything that is taken in.
pub struct Intake {
    pub world: Arc<World>,
    pub alerts: Arc<dyn AlertSink>,
    pub starter: Arc<dyn Starter>,
    pub sink: Arc<dyn Sink>,
    /// "ops-1".
    pub by: String,
    /// How the page is reached, for links.
    pub url: String,
    places: Semaphore,
}

impl Intake {
    pub fn new(
        world: Arc<World>,
        alerts: Arc<dyn AlertSink>,
        starter: Arc<dyn Starter>,
        sink: Arc<dyn Sink>,
        by: String,
        url: String,
    ) -> Self {
        Self { world, alerts, starter, sink, by, url, places: Semaphore::new(AT_ONCE) }
    }

    /// Takes a request for `/intake/NAME`, and tells what to answer.
    pub async fn take(
        self: &Arc<Self>,
        name: &str,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> (StatusCode, String) {
        let Ok(rule) = self.world.config.intake(name) else {
            return (StatusCode::NOT_FOUND, "there is no such intake".to_owned());
        };
        let Ok(_place) = self.places.try_acquire() else {
            return (StatusCode::TOO_MANY_REQUESTS, "too many at once: try again".to_owned());
        };
        let told = match self.proven(rule, headers, body, now).await {
            Ok(told) => told,
            Err(refusal) => {
                let (status, why) = match refusal {
                    Refusal::Stranger(why) => (StatusCode::UNAUTHORIZED, why),
                    Refusal::Senseless(why) => (StatusCode::BAD_REQUEST, why),
                    Refusal::Later(why) => (StatusCode::SERVICE_UNAVAILABLE, why),
                };
                self.say(Level::Warning, format!("intake {name}: refused: {why}"));
                return (status, why);
            }
        };
        self.record_all(rule, told, now).await
    }

    /// What is told, if it is proven who tells it.
    async fn proven(
        &self,
        rule: &IntakeConfig,
        headers: &HeaderMap,
        body: &[u8],
        now: DateTime<Utc>,
    ) -> std::result::Result<Vec<Told>, Refusal> {
        let unset = |e: crate::error::Error| Refusal::Later(e.one_line());
        match &rule.from {
            IntakeKind::Alertmanager { secret } => {
                alertmanager::told(secret.expose().map_err(unset)?, headers, body)
            }
            IntakeKind::PagerDuty { secret } => {
                pagerduty::told(secret.expose().map_err(unset)?, headers, body, now)
            }
            IntakeKind::Sns { topics } => sns::told(&self.world, topics, body, now).await,
        }
    }

    async fn record_all(
        self: &Arc<Self>,
        rule: &IntakeConfig,
        told: Vec<Told>,
        now: DateTime<Utc>,
    ) -> (StatusCode, String) {
        let mut said = Vec::new();
        for told in told {
            if !counts(rule, &told) {
                said.push(format!("{}: does not count", told.key));
                continue;
            }
            match self.record(rule, &told, now).await {
                Ok(line) => said.push(format!("{}: {line}", told.key)),
                Err(e) => {
                    // The sender tries again; nothing is lost that it does not have.
                    let why = e.one_line();
                    self.say(Level::Warning, format!("intake {}: NOT KEPT: {why}", rule.name));
                    return (StatusCode::SERVICE_UNAVAILABLE, "not kept: try again".to_owned());
                }
            }
        }
        let text = if said.is_empty() { "nothing to do".to_owned() } else { said.join("\n") };
        (StatusCode::ACCEPTED, text)
    }

    async fn record(
        self: &Arc<Self>,
        rule: &IntakeConfig,
        told: &Told,
        now: DateTime<Utc>,
    ) -> Result<String> {
        let control = &self.world.control;
        let epoch = epoch::read(&**control).await?.map_or(0, |epoch| epoch.number);
        let runbook = rule.runbook.as_ref().unwrap_or(&self.world.config.failover.runbook);
        let report = incident::Report {
            source: &rule.name,
            runbook,
            forced: rule.forced,
            epoch,
            told,
            by: &self.by,
            now,
        };
        let recorded = incident::record(&**control, &report).await?;
        let line = match &recorded {
            Recorded::Opened(id) => format!("opened incident {id}"),
            Recorded::Joined(id) => format!("is in incident {id}"),
            Recorded::Known(id) => format!("was known in incident {id}"),
            Recorded::Closed(id) => format!("was the last of incident {id}, which is over"),
            Recorded::Nothing => "ended, and nobody had heard of it".to_owned(),
        };
        self.say(Level::Info, format!("intake {}: {}: {line}", rule.name, told.summary));
        match recorded {
            Recorded::Opened(id) => {
                let intake = Arc::clone(self);
                // The sender waits for the record only: a plan may take longer than it has patience.
                tokio::spawn(async move { intake.prepare(&id).await });
            }
            Recorded::Closed(id) => self.tell_over(&id, now).await,
            Recorded::Joined(_) | Recorded::Known(_) | Recorded::Nothing => {}
        }
        Ok(line)
    }

    async fn tell_over(&self, id: &str, now: DateTime<Utc>) {
        let alert = Alert {
            key: format!("incident/{id}"),
            severity: Severity::Critical,
            summary: format!("incident {id} is over: every alert of it is"),
            detail: "no failover is needed for it any more".to_owned(),
            at: now,
            resolved: true,
        };
        self.alerts.alert(alert).await;
    }

    pub(super) fn say(&self, level: Level, text: String) {
        self.sink.notice(level, text);
    }
}

/// Whether every label of the rule is there and fits.
fn counts(rule: &IntakeConfig, told: &Told) -> bool {
    let fits = |(name, pattern): (&String, &String)| {
        told.labels.get(name).is_some_and(|value| matches(pattern, value))
    };
    !rule.labels.is_empty() && rule.labels.iter().all(fits)
}

/// Whether it was sent lately; what is not may be a recording of somebody who overheard it.
fn recent(at: DateTime<Utc>, now: DateTime<Utc>) -> std::result::Result<(), Refusal> {
    match at > now - OLDEST && at < now + AHEAD {
        true => Ok(()),
        false => {
            Err(Refusal::Stranger(format!("it is of {}, and that is not now", at.to_rfc3339())))
        }
    }
}

/// JSON as it should be.
fn parsed<T: serde::de::DeserializeOwned>(body: &[u8]) -> std::result::Result<T, Refusal> {
    serde_json::from_slice(body)
        .map_err(|e| Refusal::Senseless(format!("not as it should be: {e}")))
}

/// One line, of bounded length.
fn line(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.chars().take(300).collect()
}

impl Refusal {
    /// Of a failure on the way to prove it.
    fn of(e: &crate::error::Error) -> Self {
        match e.kind() {
            Kind::Damaged | Kind::Usage => Self::Stranger(e.one_line()),
            _ => Self::Later(e.one_line()),
        }
    }
}
