//! Telling people of alerts: folded by their key, routed by severity, kept in the control store so
//! that several runners tell a thing once, and told again where it did not get through.
//!
//! Order of things: the book says what is to be told, a process takes that on by `If-Match`, sends,
//! and writes down how it went. A process that dies in between leaves a claim that runs out, and
//! another sends again, under the same ids. Where the store does not answer, people are told all
//! the same: rather twice than never.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures_util::stream::{self, StreamExt as _};
use rustls::pki_types::CertificateDer;
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::book::{Book, Entry, Outcome, Task};
use super::kept::Kept;
use super::sending::{self, Line, Trouble};
use super::{alert, routing};
use crate::config::{ChannelKind, Config};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{Alert, Severity};
use crate::providers::world;
use crate::store::ObjectStore;

/// How long one round of messages may take.
const WITHIN: Duration = Duration::from_secs(15);
/// Messages under way at once.
const AT_ONCE: usize = 16;
/// The key of an alert about a channel begins so.
const CHANNEL: &str = "channel/";

/// What came of it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Told {
    /// Key of the alert and channel.
    pub told: Vec<(String, String)>,
    /// Likewise, and why not.
    pub untold: Vec<(String, String, String)>,
    /// The state of alerts could not be kept in the control store.
    pub unkept: Option<String>,
}

/// Tells of alerts. Cheap when nothing is new; one for each process.
pub struct Alerting {
    config: Arc<Config>,
    http: reqwest::Client,
    authorities: Vec<CertificateDer<'static>>,
    /// This process, among all that tell.
    me: String,
    by: String,
    /// One round at a time: what a process claims twice it would tell twice.
    turn: Mutex<()>,
    kept: Mutex<Kept>,
}

/// What is done to the book before it is asked what is due.
#[derive(Clone, Copy)]
enum Change<'a> {
    Tend,
    Take(&'a [Alert]),
    Acknowledge { key: &'a str, who: &'a str },
    Settle { tasks: &'a [Task], outcomes: &'a [Outcome] },
}

impl Alerting {
    /// Trusting the authorities of this machine. Without a store each process folds for itself. `by`
    /// is told to people: "runner on ops-1".
    pub fn new(
        config: Arc<Config>,
        store: Option<Arc<dyn ObjectStore>>,
        by: impl Into<String>,
    ) -> Result<Self> {
        Self::trusting(world::authorities_of_this_machine(), config, store, by)
    }

    /// As `new`, trusting these.
    pub fn trusting(
        authorities: Vec<CertificateDer<'static>>,
        config: Arc<Config>,
        store: Option<Arc<dyn ObjectStore>>,
        by: impl Into<String>,
    ) -> Result<Self> {
        let http = world::http_client(&authorities)?;
        let by = by.into();
        let random = getrandom::u64()
            .map_err(|e| Error::new(Kind::Failed, e.to_string()))
            .attempt(Kind::Failed, || "ask the system for a random number".to_owned())?;
        let me = format!("{by} {random:x}");
        let kept = Mutex::new(Kept::new(store));
        Ok(Self { config, http, authorities, me, by, turn: Mutex::default(), kept })
    }

    pub(super) fn line(&self) -> Line<'_> {
        Line { config: &self.config, http: &self.http, authorities: &self.authorities }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    pub(super) fn by(&self) -> &str {
        &self.by
    }

    /// Takes alerts in and tells what is new.
    pub async fn handle(&self, alerts: &[Alert], now: DateTime<Utc>) -> Told {
        self.work(Change::Take(alerts), now).await
    }

    /// Reminds, and tells what did not get through before. To be called every few seconds.
    pub async fn tend(&self, now: DateTime<Utc>) -> Told {
        self.work(Change::Tend, now).await
    }

    /// Somebody takes an alert on; whoever was told of it is told of that. `Kind::Usage`: there is no
    /// such alert.
    pub async fn acknowledge(&self, key: &str, who: &str, now: DateTime<Utc>) -> Result<Told> {
        let open = self.open(now).await?;
        known(&open, key)?;
        Ok(self.work(Change::Acknowledge { key, who }, now).await)
    }

    /// Somebody says that an alert is over. `Kind::Usage`: there is no such alert.
    pub async fn resolve(&self, key: &str, who: &str, now: DateTime<Utc>) -> Result<Told> {
        let open = self.open(now).await?;
        let entry = known(&open, key)?;
        let over = Alert {
            detail: format!("{who} says so; it comes back where that is not so"),
            resolved: true,
            at: now,
            ..entry.alert.clone()
        };
        Ok(self.handle(&[over], now).await)
    }

    /// Every open alert. An error: the control store does not say.
    pub async fn open(&self, now: DateTime<Utc>) -> Result<Vec<Entry>> {
        let book = self.kept.lock().await.read(now).await?;
        Ok(book.alerts.into_values().filter(|entry| !entry.alert.resolved).collect())
    }

    fn route(&self, failing: &BTreeSet<String>, key: &str, severity: Severity) -> BTreeSet<String> {
        let mut channels = routing::channels(&self.config, key, severity);
        // Of a channel's trouble the others are told, whatever the routes say.
        if let Some(own) = key.strip_prefix(CHANNEL) {
            let well = |name: &str| name != own && !failing.contains(name);
            channels.retain(|name| well(name));
            if channels.is_empty() {
                let all = self.config.channel_names().filter(|name| well(name));
                channels = all.map(str::to_owned).collect();
            }
        }
        channels
    }

    /// Changes the book, tells what is due, writes down how that went; again while telling brings
    /// something new to tell, as the failure of a channel does.
    async fn work(&self, change: Change<'_>, now: DateTime<Utc>) -> Told {
        let began = Instant::now();
        let clock = || now + TimeDelta::from_std(began.elapsed()).unwrap_or_default();
        let _turn = self.turn.lock().await;
        let mut told = Told::default();
        let step = Step { alerting: self, change, now };
        let fresh = self.kept.lock().await.fresh(now);
        if fresh.is_some_and(|mut book| !step.apply(&mut book).0) {
            return told;
        }
        let (mut tasks, mut unkept) = self.kept.lock().await.update(&step).await;
        // Each channel has one alert about it, so this ends by itself.
        for _ in 0..self.config.channel_names().count() + 2 {
            if tasks.is_empty() {
                break;
            }
            let outcomes = self.send(&tasks, clock(), &mut told).await;
            let change = Change::Settle { tasks: &tasks, outcomes: &outcomes };
            let step = Step { alerting: self, change, now: clock() };
            let (next, why) = self.kept.lock().await.update(&step).await;
            tasks = next;
            unkept = unkept.or(why);
        }
        told.unkept = unkept;
        told
    }

    /// Makes the change and takes on what is due then. Gives whether the book is another one.
    fn apply(&self, book: &mut Book, change: Change<'_>, now: DateTime<Utc>) -> (bool, Vec<Task>) {
        let failing = book_failing(book);
        let route = |key: &str, severity| self.route(&failing, key, severity);
        let mut changed = false;
        match change {
            Change::Tend => {}
            Change::Take(alerts) => {
                for alert in alerts {
                    changed |= book.take(alert, &route, now);
                }
            }
            Change::Acknowledge { key, who } => {
                changed |= book.acknowledge(key, who, now).is_some();
            }
            Change::Settle { tasks, outcomes } => {
                self.settle(book, tasks, outcomes, now);
                changed = true;
            }
        }
        let forgets = |name: &str| self.forgets(name);
        changed |= book.tend(self.config.alerts.remind, &forgets, &route, now);
        let tasks = book.claim(&self.me, now);
        (changed || !tasks.is_empty(), tasks)
    }

    /// An Alertmanager lets an alert end that nobody repeats, and forgets all when it starts anew.
    fn forgets(&self, channel: &str) -> bool {
        let channel = self.config.channel(channel);
        channel.is_ok_and(|c| matches!(c.kind, ChannelKind::Alertmanager { .. }))
    }

    async fn send(&self, tasks: &[Task], now: DateTime<Utc>, told: &mut Told) -> Vec<Outcome> {
        let deadline = Instant::now() + WITHIN;
        let sending = tasks.iter().cloned().map(|task| self.send_one(task, now, deadline));
        let outcomes: Vec<Outcome> =
            stream::iter(sending.collect::<Vec<_>>()).buffer_unordered(AT_ONCE).collect().await;
        for Outcome { key, channel, sent, .. } in &outcomes {
            match sent {
                Ok(()) => told.told.push((key.clone(), channel.clone())),
                Err((why, _)) => told.untold.push((key.clone(), channel.clone(), why.clone())),
            }
        }
        outcomes
    }

    async fn send_one(&self, task: Task, now: DateTime<Utc>, deadline: Instant) -> Outcome {
        let Task { entry, channel, stage } = task;
        let sent = match self.config.channel(&channel) {
            Ok(channel) => {
                let project = &self.config.project;
                let said = alert::notification(project, &self.by, &entry, stage, now);
                sending::send(self.line(), channel, &said, deadline).await
            }
            Err(e) => Err(Trouble::Never(e.one_line())),
        };
        let sent = sent.map(|_| ()).map_err(|e| match e {
            Trouble::Again { why, after } => (why, after),
            Trouble::Never(why) => (why, None),
        });
        Outcome { key: entry.alert.key, channel, stage, sent }
    }

    /// Writes the outcomes into the book, and opens or ends the alerts about channels.
    fn settle(&self, book: &mut Book, tasks: &[Task], outcomes: &[Outcome], now: DateTime<Utc>) {
        book.settle(&self.me, outcomes, now);
        let mut seen = BTreeSet::new();
        let mut alerts = Vec::new();
        // The most severe of what did not get through names the trouble.
        let mut failed: Vec<_> = outcomes.iter().filter(|o| o.sent.is_err()).collect();
        let severity = |key: &str| {
            let task = tasks.iter().find(|task| task.entry.alert.key == key);
            task.map_or(Severity::Warning, |task| task.entry.severity())
        };
        failed.sort_by_key(|o| std::cmp::Reverse(severity(&o.key)));
        for Outcome { key, channel, sent, .. } in &failed {
            if let (true, Err((why, _))) = (seen.insert(channel.clone()), sent) {
                let task = tasks.iter().find(|task| task.entry.alert.key == *key);
                alerts.push(self.failing(channel, why, task, now));
            }
        }
        for Outcome { channel, sent, .. } in outcomes {
            if sent.is_ok() && seen.insert(channel.clone()) {
                alerts.push(Alert {
                    key: format!("{CHANNEL}{channel}"),
                    severity: Severity::Warning,
                    summary: format!("channel `{channel}` takes messages again"),
                    detail: String::new(),
                    at: now,
                    resolved: true,
                });
            }
        }
        let mut failing = book_failing(book);
        failing.extend(failed.iter().map(|o| o.channel.clone()));
        let route = |key: &str, severity| self.route(&failing, key, severity);
        for alert in alerts {
            book.take(&alert, &route, now);
        }
    }

    /// The alert about a channel that does not take messages; it says what was not told.
    fn failing(&self, channel: &str, why: &str, task: Option<&Task>, now: DateTime<Utc>) -> Alert {
        let kind = self.config.channel(channel).map_or("unusable here", |c| c.kind.word());
        let mut detail = why.to_owned();
        let mut severity = Severity::Warning;
        if let Some(Task { entry, .. }) = task {
            severity = severity.max(entry.severity());
            detail.push_str(&format!("\nnot told there: {}", entry.alert.summary));
        }
        detail.push_str("\nit is tried again; `drctl alerts test` tries every channel");
        Alert {
            key: format!("{CHANNEL}{channel}"),
            severity,
            summary: format!("channel `{channel}` ({kind}) takes no messages"),
            detail,
            at: now,
            resolved: false,
        }
    }
}

/// One change, at one moment.
pub(super) struct Step<'a> {
    alerting: &'a Alerting,
    change: Change<'a>,
    pub now: DateTime<Utc>,
}

impl Step<'_> {
    /// Whether the book is another one then, and what this process is to tell.
    pub fn apply(&self, book: &mut Book) -> (bool, Vec<Task>) {
        self.alerting.apply(book, self.change, self.now)
    }
}

/// Channels that are known to take no messages.
fn book_failing(book: &Book) -> BTreeSet<String> {
    let open = book.alerts.values().filter(|entry| !entry.alert.resolved);
    open.filter_map(|entry| entry.alert.key.strip_prefix(CHANNEL)).map(str::to_owned).collect()
}

fn known<'e>(open: &'e [Entry], key: &str) -> Result<&'e Entry> {
    open.iter().find(|entry| entry.alert.key == key).ok_or_else(|| {
        let names: Vec<&str> = open.iter().map(|entry| entry.alert.key.as_str()).collect();
        let error = Error::new(Kind::Usage, format!("there is no open alert `{key}`"));
        match names.is_empty() {
            true => error.hint("no alert is open"),
            false => error.hint(format!("open are: {}", names.join(", "))),
        }
    })
}
