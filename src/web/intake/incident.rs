//! Incidents in the control store: objects that are written once each, so that any number of runners
//! that hear the same alerts keep one incident between them.
//!
//! ```text
//! state/incident.ID.opened.json            the first alert that counts
//! state/incident.ID.event-DIGEST.json      an alert that began or ended; a repeat is the same object
//! state/incident.ID.prepared.json          the plan, the loss to expect, the command
//! state/incident.ID.begun.json             drctl began the failover itself
//! state/incident.ID.closed.json            it is over
//! ```

use std::collections::BTreeMap;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Told;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::Digest;
use crate::store::{Class, Condition, ObjectStore, Put, keys};

const PREFIX: &str = "state/incident.";
/// How often another runner may open or close one meanwhile.
const ROUNDS: u32 = 8;

/// What was written first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    pub id: String,
    pub runbook: String,
    pub forced: bool,
    /// That held then; 0: none was ever written.
    pub epoch: u64,
    pub at: DateTime<Utc>,
    /// The machine that heard of it.
    pub by: String,
}

/// An alert that began or ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The name of the intake.
    pub source: String,
    pub told: Told,
    /// By the clock of the machine that took it in.
    pub heard: DateTime<Utc>,
}

/// What somebody who is woken up needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prepared {
    pub at: DateTime<Utc>,
    pub by: String,
    /// The arguments of drctl that begin it.
    pub args: Vec<String>,
    /// The same, to be copied into a shell.
    pub command: String,
    /// In words.
    pub loss: String,
    /// In words.
    pub preflight: String,
    pub steps: usize,
    /// The longest that the plan may take.
    pub seconds: f64,
    /// What speaks against it, or could not be found out.
    pub troubles: Vec<String>,
}

/// drctl began it by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    pub at: DateTime<Utc>,
    pub by: String,
    pub command: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Closed {
    at: DateTime<Utc>,
    why: String,
}

/// One incident as its objects tell it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Incident {
    pub id: String,
    pub runbook: String,
    pub forced: bool,
    pub epoch: u64,
    pub opened: DateTime<Utc>,
    pub alerts: Vec<AlertStanding>,
    pub prepared: Option<Prepared>,
    pub begun: Option<Begun>,
}

/// An alert of an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AlertStanding {
    /// The name of the intake.
    pub source: String,
    pub key: String,
    pub summary: String,
    /// Since when it lasts, as its sender says.
    pub since: DateTime<Utc>,
    /// When it was first heard of; repeats of an alert that lasts do not move it.
    pub heard: DateTime<Utc>,
    pub over: Option<DateTime<Utc>>,
}

/// What came of an alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Recorded {
    /// It opened this incident.
    Opened(String),
    /// It is new in this incident.
    Joined(String),
    /// It was known.
    Known(String),
    /// It ended the last alert of this incident, which is closed.
    Closed(String),
    /// Something ended of which nobody had heard.
    Nothing,
}

/// An alert and what it is for.
pub struct Report<'r> {
    pub source: &'r str,
    pub runbook: &'r str,
    pub forced: bool,
    pub epoch: u64,
    pub told: &'r Told,
    pub by: &'r str,
    pub now: DateTime<Utc>,
}

/// Keeps an alert, in the open incident of its runbook and epoch or in a new one.
pub async fn record(store: &dyn ObjectStore, report: &Report<'_>) -> Result<Recorded> {
    for _ in 0..ROUNDS {
        let listed = list(store).await?;
        let mine = format!("{}-e{}-", report.runbook, report.epoch);
        let number = |id: &str| id.strip_prefix(&mine).and_then(|n| n.parse::<u64>().ok());
        let last = listed.keys().filter_map(|id| number(id)).max();
        let last_id = last.map(|n| format!("{mine}{n}"));
        // The same alert is the same object, whoever heard it and when.
        let named = format!("event-{}", &Digest::of(identity(report).as_bytes()).to_string()[..24]);
        let open = last_id.clone().filter(|id| !is_closed(&listed[id]));
        let (id, opened) = match (open, report.told.firing) {
            (Some(id), _) => (id, false),
            (None, false) => return Ok(Recorded::Nothing),
            // A repeat of what was heard before it was closed, perhaps by hand.
            (None, true) if last_id.as_ref().is_some_and(|id| listed[id].contains(&named)) => {
                return Ok(Recorded::Known(last_id.unwrap_or_default()));
            }
            (None, true) => {
                let id = format!("{mine}{}", last.unwrap_or(0) + 1);
                let first = Opened {
                    id: id.clone(),
                    runbook: report.runbook.to_owned(),
                    forced: report.forced,
                    epoch: report.epoch,
                    at: report.now,
                    by: report.by.to_owned(),
                };
                let written = put(store, &id, "opened", &first).await?;
                (id, written)
            }
        };
        let event = Event {
            source: report.source.to_owned(),
            told: report.told.clone(),
            heard: report.now,
        };
        let new = put(store, &id, &named, &event).await?;
        let Some(incident) = read(store, &id).await? else {
            // Closed by another runner before this alert was in it: then it belongs to the next.
            if report.told.firing && new {
                continue;
            }
            return Ok(Recorded::Known(id));
        };
        if incident.alerts.iter().all(|alert| alert.over.is_some()) {
            close(store, &id, "every alert is over", report.now).await?;
            return Ok(if new { Recorded::Closed(id) } else { Recorded::Known(id) });
        }
        return Ok(match (opened, new) {
            (true, _) => Recorded::Opened(id),
            (false, true) => Recorded::Joined(id),
            (false, false) => Recorded::Known(id),
        });
    }
    let what = format!("keep an alert in store `{}`: incidents change all the time", store.name());
    Err(Error::new(Kind::Storage, what))
}

fn identity(report: &Report<'_>) -> String {
    let Told { key, firing, at, .. } = report.told;
    serde_json::json!([report.source, key, firing, at.timestamp_millis()]).to_string()
}

/// Every open incident, newest first.
pub async fn open(store: &dyn ObjectStore) -> Result<Vec<Incident>> {
    let mut found = Vec::new();
    for (id, parts) in list(store).await? {
        if !is_closed(&parts) {
            found.extend(assembled(store, &id, &parts).await?);
        }
    }
    found.sort_by_key(|incident| std::cmp::Reverse(incident.opened));
    Ok(found)
}

/// An incident that is open; none: it is closed, or there is none.
pub async fn read(store: &dyn ObjectStore, id: &str) -> Result<Option<Incident>> {
    match list(store).await?.get(id) {
        Some(parts) if !is_closed(parts) => assembled(store, id, parts).await,
        _ => Ok(None),
    }
}

/// Keeps what was prepared, unless somebody was quicker. Whether it is this one.
pub async fn keep(store: &dyn ObjectStore, id: &str, prepared: &Prepared) -> Result<bool> {
    put(store, id, "prepared", prepared).await
}

/// Claims the beginning of the failover. Whoever gets `true` begins it, and nobody else ever does.
pub async fn claim(store: &dyn ObjectStore, id: &str, begun: &Begun) -> Result<bool> {
    put(store, id, "begun", begun).await
}

/// Ends an incident.
pub async fn close(
    store: &dyn ObjectStore,
    id: &str,
    why: &str,
    at: DateTime<Utc>,
) -> Result<bool> {
    put(store, id, "closed", &Closed { at, why: why.to_owned() }).await
}

fn is_closed(parts: &[String]) -> bool {
    parts.iter().any(|part| part == "closed")
}

/// The parts of every incident that was ever opened.
async fn list(store: &dyn ObjectStore) -> Result<BTreeMap<String, Vec<String>>> {
    let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut listed = store.list(PREFIX);
    while let Some(object) = listed.try_next().await? {
        let name = object.key.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(".json"));
        let Some((id, part)) = name.and_then(|name| name.rsplit_once('.')) else { continue };
        found.entry(id.to_owned()).or_default().push(part.to_owned());
    }
    found.retain(|_, parts| parts.iter().any(|part| part == "opened"));
    Ok(found)
}

async fn assembled(
    store: &dyn ObjectStore,
    id: &str,
    parts: &[String],
) -> Result<Option<Incident>> {
    let Some(opened) = get::<Opened>(store, id, "opened").await? else { return Ok(None) };
    let mut events = Vec::new();
    for part in parts.iter().filter(|part| part.starts_with("event-")) {
        events.extend(get::<Event>(store, id, part).await?);
    }
    Ok(Some(Incident {
        id: id.to_owned(),
        runbook: opened.runbook,
        forced: opened.forced,
        epoch: opened.epoch,
        opened: opened.at,
        alerts: standings(events),
        prepared: get(store, id, "prepared").await?,
        begun: get(store, id, "begun").await?,
    }))
}

/// How each alert stands after all that was told of it, in any order. Pure.
fn standings(mut events: Vec<Event>) -> Vec<AlertStanding> {
    // At the same moment the end counts last: an alert that is over must not be held for lasting.
    events.sort_by_key(|e| (e.told.at, !e.told.firing, e.heard));
    let mut found: Vec<AlertStanding> = Vec::new();
    for Event { source, told, heard } in events {
        let known = found.iter_mut().find(|a| a.source == source && a.key == told.key);
        match (known, told.firing) {
            (Some(alert), false) => {
                alert.over.get_or_insert(told.at);
            }
            (Some(alert), true) if alert.over.is_some() => {
                alert.over = None;
                (alert.since, alert.heard) = (told.at, heard);
                alert.summary = told.summary;
            }
            (Some(_), true) | (None, false) => {}
            (None, true) => found.push(AlertStanding {
                source,
                key: told.key,
                summary: told.summary,
                since: told.at,
                heard,
                over: None,
            }),
        }
    }
    found
}

fn key(id: &str, part: &str) -> Result<String> {
    let name = format!("incident.{id}.{part}");
    match keys::is_plain_name(&name) {
        true => Ok(keys::state_key(&name)),
        false => Err(Error::new(Kind::Usage, format!("`{id}` cannot name an incident"))
            .hint("the name of the runbook is too long or has odd characters in it")),
    }
}

/// Writes an object that must not be there yet. Whether it was not.
async fn put<T: Serialize>(
    store: &dyn ObjectStore,
    id: &str,
    part: &str,
    value: &T,
) -> Result<bool> {
    let key = key(id, part)?;
    let bytes: Bytes = serde_json::to_vec_pretty(value)
        .attempt(Kind::Bug, || format!("write {key} as JSON"))?
        .into();
    let sha256 = Digest::of(&bytes);
    match store.put_if(&key, bytes.clone(), sha256, Condition::Absent).await {
        Ok(Put::Written(_)) => Ok(true),
        Ok(Put::Refused) => Ok(false),
        // The answer was lost: what is there now settles it.
        Err(e) if e.class == Class::Unknown => match store.get(&key).await {
            Ok(object) => Ok(object.bytes == bytes),
            Err(_) => Err(e.into()),
        },
        Err(e) => Err(e.into()),
    }
}

async fn get<T: DeserializeOwned>(
    store: &dyn ObjectStore,
    id: &str,
    part: &str,
) -> Result<Option<T>> {
    let key = key(id, part)?;
    match store.get(&key).await {
        Ok(object) => serde_json::from_slice(&object.bytes)
            .attempt(Kind::Damaged, || format!("read {key} in store `{}`", store.name()))
            .map(Some),
        Err(e) if e.class == Class::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests;
