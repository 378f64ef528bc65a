//! The book of open alerts: what is wrong, who was told, who is still to be told. Pure; it lies in
//! the control store, so that runners fold what another has told already.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::model::{Alert, Severity};

/// How long a process that said it would tell is believed to be at it.
const CLAIM: TimeDelta = TimeDelta::seconds(90);
/// Between two notes that a trouble was seen again: each is a write to the store.
const NOTED: TimeDelta = TimeDelta::minutes(10);
/// How often a channel that forgets what it is not told again is told again.
const REFRESH: TimeDelta = TimeDelta::minutes(5);
/// How long what nobody repeats or can be told of is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// What is to be said about an alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    Opened,
    /// It has become more severe.
    Worse,
    /// It lasts; counts from 1.
    Reminder(u32),
    /// Nothing new: for channels that forget.
    Again,
    Acknowledged,
    Resolved,
}

/// Something that one channel is still to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Due {
    pub stage: Stage,
    pub since: DateTime<Utc>,
    /// Not before then.
    pub not_before: DateTime<Utc>,
    #[serde(default)]
    pub tries: u32,
    /// Why it did not get through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// Somebody has taken it on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    pub by: String,
    pub at: DateTime<Utc>,
}

/// One open alert.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// As it was last seen.
    pub alert: Alert,
    pub since: DateTime<Utc>,
    pub seen: DateTime<Utc>,
    /// Every severity that it had.
    pub severities: BTreeSet<Severity>,
    /// Channels that know of it, and when they were last told.
    #[serde(default)]
    pub told: BTreeMap<String, DateTime<Utc>>,
    #[serde(default)]
    pub due: BTreeMap<String, Due>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged: Option<Acknowledged>,
    #[serde(default)]
    pub reminders: u32,
    /// When it was last decided to tell people anything.
    pub spoken: DateTime<Utc>,
    /// Who is telling now, and until when that is believed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    claim: Option<Claim>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Claim {
    by: String,
    until: DateTime<Utc>,
}

/// One message that this process is to send.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    pub entry: Entry,
    pub channel: String,
    pub stage: Stage,
}

/// How one message went. `Err`: why not, and how long the channel wants to be left alone.
pub struct Outcome {
    pub key: String,
    pub channel: String,
    pub stage: Stage,
    pub sent: Result<(), (String, Option<Duration>)>,
}

/// Who is to be told of an alert of this key and severity.
pub type Route<'a> = &'a dyn Fn(&str, Severity) -> BTreeSet<String>;

/// Every open alert, by its key.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    pub alerts: BTreeMap<String, Entry>,
}

impl Entry {
    fn new(alert: &Alert, route: Route<'_>, now: DateTime<Utc>) -> Self {
        let mut entry = Self {
            alert: alert.clone(),
            since: alert.at.min(now),
            seen: now,
            severities: [alert.severity].into(),
            told: BTreeMap::new(),
            due: BTreeMap::new(),
            acknowledged: None,
            reminders: 0,
            spoken: now,
            claim: None,
        };
        entry.owe(route(&alert.key, alert.severity), Stage::Opened, now);
        entry
    }

    fn owe(
        &mut self,
        channels: impl IntoIterator<Item = String>,
        stage: Stage,
        now: DateTime<Utc>,
    ) {
        for channel in channels {
            // One that failed is not asked sooner because there is more to say.
            let (tries, not_before) = match self.due.get(&channel) {
                Some(due) => (due.tries, due.not_before),
                None => (0, now),
            };
            let due = Due { stage, since: now, not_before, tries, why: None };
            self.due.insert(channel, due);
        }
        if stage != Stage::Again {
            self.spoken = now;
        }
    }

    /// The severity that people know it by.
    pub fn severity(&self) -> Severity {
        self.alert.severity
    }

    fn take(&mut self, alert: &Alert, route: Route<'_>, now: DateTime<Utc>) -> bool {
        if self.alert.resolved {
            if alert.resolved {
                return false;
            }
            // Back before its end was told everywhere: whoever heard of the end hears of it anew.
            *self = Self::new(alert, route, now);
            return true;
        }
        if alert.resolved {
            // Also whoever may have heard: a message whose answer was lost.
            let hearers: BTreeSet<String> =
                self.told.keys().chain(self.due.keys()).cloned().collect();
            self.alert = Alert { severity: self.alert.severity, ..alert.clone() };
            self.owe(hearers, Stage::Resolved, now);
            return true;
        }
        let worst = self.severities.last().copied();
        let changed = alert.severity != self.alert.severity;
        let noted = changed || now - self.seen >= NOTED;
        if noted {
            (self.alert, self.seen) = (alert.clone(), now);
            self.severities.insert(alert.severity);
        }
        // One that eased and came back is no news to those who know the worst of it.
        if worst.is_none_or(|worst| alert.severity > worst) {
            self.acknowledged = None;
            self.owe(route(&alert.key, alert.severity), Stage::Worse, now);
        }
        noted
    }

    /// Whether people are to be reminded.
    fn lasts(&self, remind: Duration, now: DateTime<Utc>) -> bool {
        let remind = TimeDelta::from_std(remind).unwrap_or(TimeDelta::MAX);
        !self.alert.resolved
            && self.acknowledged.is_none()
            && self.alert.severity > Severity::Info
            && now - self.spoken >= remind
    }

    /// Whether there is nothing to keep it for.
    fn is_over(&self, now: DateTime<Utc>) -> bool {
        match self.alert.resolved {
            true => self.due.is_empty() || now - self.spoken >= KEPT,
            // Nobody says that an information is over.
            false => {
                self.alert.severity == Severity::Info
                    && self.due.is_empty()
                    && now - self.seen >= KEPT
            }
        }
    }
}

impl Book {
    /// Takes an alert in. Gives whether the book is another one now.
    pub fn take(&mut self, alert: &Alert, route: Route<'_>, now: DateTime<Utc>) -> bool {
        match self.alerts.get_mut(&alert.key) {
            Some(entry) => entry.take(alert, route, now),
            None if alert.resolved => false,
            None => {
                self.alerts.insert(alert.key.clone(), Entry::new(alert, route, now));
                true
            }
        }
    }

    /// Somebody takes the alert on: no more reminders. `None`: there is no such alert.
    pub fn acknowledge(&mut self, key: &str, by: &str, now: DateTime<Utc>) -> Option<()> {
        let entry = self.alerts.get_mut(key).filter(|entry| !entry.alert.resolved)?;
        entry.acknowledged = Some(Acknowledged { by: by.to_owned(), at: now });
        let told: Vec<String> = entry.told.keys().cloned().collect();
        entry.owe(told, Stage::Acknowledged, now);
        Some(())
    }

    /// What time alone brings: reminders, channels that forget, and what is over.
    pub fn tend(
        &mut self,
        remind: Duration,
        forgets: &dyn Fn(&str) -> bool,
        route: Route<'_>,
        now: DateTime<Utc>,
    ) -> bool {
        let mut changed = false;
        for (key, entry) in &mut self.alerts {
            if entry.lasts(remind, now) {
                entry.reminders += 1;
                let stage = Stage::Reminder(entry.reminders);
                entry.owe(route(key, entry.alert.severity), stage, now);
                changed = true;
            }
            let forgotten = entry.told.iter().filter(|(channel, at)| {
                forgets(channel) && now - **at >= REFRESH && !entry.due.contains_key(*channel)
            });
            let forgotten: Vec<String> = forgotten.map(|(channel, _)| channel.clone()).collect();
            if !entry.alert.resolved && !forgotten.is_empty() {
                entry.owe(forgotten, Stage::Again, now);
                changed = true;
            }
        }
        let before = self.alerts.len();
        self.alerts.retain(|_, entry| !entry.is_over(now));
        changed || self.alerts.len() != before
    }

    /// Takes on what is to be told now, unless another process is at it.
    pub fn claim(&mut self, by: &str, now: DateTime<Utc>) -> Vec<Task> {
        let mut tasks = Vec::new();
        for entry in self.alerts.values_mut() {
            // Its own is one whose write was answered by silence.
            if entry.claim.as_ref().is_some_and(|claim| claim.until > now && claim.by != by) {
                continue;
            }
            let due: Vec<_> = entry
                .due
                .iter()
                .filter(|(_, due)| due.not_before <= now)
                .map(|(channel, due)| (channel.clone(), due.stage))
                .collect();
            if !due.is_empty() {
                entry.claim = Some(Claim { by: by.to_owned(), until: now + CLAIM });
                let entry = entry.clone();
                tasks.extend(due.into_iter().map(|(channel, stage)| Task {
                    entry: entry.clone(),
                    channel,
                    stage,
                }));
            }
        }
        tasks
    }

    /// Writes down how the messages went.
    pub fn settle(&mut self, by: &str, outcomes: &[Outcome], now: DateTime<Utc>) {
        for Outcome { key, channel, stage, sent } in outcomes {
            let Some(entry) = self.alerts.get_mut(key) else { continue };
            if entry.claim.as_ref().is_some_and(|claim| claim.by == by) {
                entry.claim = None;
            }
            match sent {
                Ok(()) => {
                    entry.told.insert(channel.clone(), now);
                    // Another thing may be due since.
                    if entry.due.get(channel).is_some_and(|due| due.stage == *stage) {
                        entry.due.remove(channel);
                    }
                }
                Err((why, after)) => {
                    if let Some(due) = entry.due.get_mut(channel) {
                        due.tries += 1;
                        due.why = Some(why.clone());
                        let pause = pause(due.tries).max(after.unwrap_or_default());
                        due.not_before = now + TimeDelta::from_std(pause).unwrap_or(KEPT);
                    }
                }
            }
        }
        self.alerts.retain(|_, entry| !entry.is_over(now));
    }

    /// Takes over what `own`, a book that was begun as `base` and kept while this one could not be
    /// reached, knows better.
    pub fn merge(&mut self, base: &Book, own: &Book) {
        for (key, was) in &base.alerts {
            // Over, and told; unless others said more of it since.
            let untouched = self.alerts.get(key).is_some_and(|ours| ours.spoken <= was.spoken);
            if untouched && !own.alerts.contains_key(key) {
                self.alerts.remove(key);
            }
        }
        for (key, theirs) in &own.alerts {
            match self.alerts.get_mut(key) {
                None => {
                    self.alerts.insert(key.clone(), theirs.clone());
                }
                Some(ours) => {
                    let mut told = theirs.told.clone();
                    if theirs.spoken > ours.spoken {
                        let known = std::mem::replace(ours, theirs.clone()).told;
                        told.extend(known);
                    }
                    for (channel, at) in told {
                        let known = ours.told.entry(channel).or_insert(at);
                        *known = (*known).max(at);
                    }
                }
            }
        }
    }
}

/// Before the next try: 15 s, then twice as long each time, up to half an hour.
fn pause(tries: u32) -> Duration {
    Duration::from_secs(15 << tries.saturating_sub(1).min(7)).min(Duration::from_mins(30))
}

#[cfg(test)]
#[path = "book_tests.rs"]
mod tests;
