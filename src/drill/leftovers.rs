//! What killed drills left: found by their records, and cleared away before the next one begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::Utc;
use futures_util::TryStreamExt as _;

use super::embedded::Embedded;
use super::record::{BEGAN, Began, CLEARED, Cleared, REPORT, ROLES, Records, Roles, Scratch, json};
use super::scratch::Grounds;
use super::staging;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{DrillId, Level};
use crate::store::keys::{self, KeyKind};
use crate::store::lease::{self, process};
use crate::store::{Holder, ObjectStore};

/// The lease under which drills of one subject run.
pub fn lease_name(rehearsal: &str, subject: &str) -> String {
    format!("drill-{rehearsal}-{subject}")
}

/// A drill that began and of which something may be left.
#[derive(Debug, Clone)]
pub struct Leftover {
    pub began: Began,
    /// A record of it is on this machine.
    pub local: bool,
}

/// Drills that ended without a word: records without an end whose drill nobody carries on. `held` is
/// the lease that this process holds, so that whoever held it before does not.
pub async fn find(records: &Records, held: &str) -> Vec<Leftover> {
    let mut found: BTreeMap<DrillId, Leftover> = BTreeMap::new();
    for began in records.of_this_machine() {
        found.insert(began.id.clone(), Leftover { began, local: true });
    }
    for store in &records.stores {
        match open_in(&**store).await {
            Ok(open) => {
                for began in open {
                    found.entry(began.id.clone()).or_insert(Leftover { began, local: false });
                }
            }
            Err(e) => records.sink.notice(
                Level::Warning,
                format!(
                    "store `{}` cannot be asked for what drills left: {}",
                    store.name(),
                    e.one_line()
                ),
            ),
        }
    }
    let mut left = Vec::new();
    for leftover in found.into_values() {
        if !leftover.began.keep && !goes_on(&leftover.began, records, held).await {
            left.push(leftover);
        }
    }
    left
}

/// The drills of a store that began and neither ended nor were cleared away.
async fn open_in(store: &dyn ObjectStore) -> Result<Vec<Began>> {
    let mut seen: BTreeMap<String, (bool, bool)> = BTreeMap::new();
    let mut listed = store.list(keys::DRILLS);
    while let Some(object) = listed.try_next().await? {
        if let Some(KeyKind::Drill { drill, entry }) = keys::parse(&object.key) {
            let (began, ended) = seen.entry(drill).or_default();
            *began |= entry == BEGAN;
            *ended |= entry == REPORT || entry == CLEARED;
        }
    }
    let mut open = Vec::new();
    for (drill, _) in seen.into_iter().filter(|(_, (began, ended))| *began && !*ended) {
        let Ok(id) = drill.parse::<DrillId>() else { continue };
        open.push(read(store, &id, BEGAN).await?);
    }
    Ok(open)
}

async fn read<T: serde::de::DeserializeOwned>(
    store: &dyn ObjectStore,
    id: &DrillId,
    entry: &str,
) -> Result<T> {
    let key = keys::drill_key(id, entry);
    let object = store.get(&key).await?;
    serde_json::from_slice(&object.bytes)
        .attempt(Kind::Damaged, || format!("read `{key}` in store `{}`", store.name()))
}

/// Whether somebody still carries the drill out. Unknown counts as yes: better to leave something for
/// the next one than to pull it from under somebody.
pub(super) async fn goes_on(began: &Began, records: &Records, held: &str) -> bool {
    let holder = &began.holder;
    if process::is_gone(holder) {
        return false;
    }
    if Holder::this_process("").process.is_some_and(|me| {
        // On this machine and not gone: alive.
        let here = |p: &str| p.rsplit_once('/').map(|(place, _)| place.to_owned());
        holder.process.as_deref().and_then(here) == here(&me)
    }) {
        return true;
    }
    let lease = lease_name(began.rehearsal.as_str(), &began.subject);
    if lease == held {
        return false;
    }
    let stores: Vec<&Arc<dyn ObjectStore>> = records.stores.iter().collect();
    let mut known = false;
    for store in stores {
        match lease::inspect(&**store, &lease).await {
            Ok(Some(info)) if matches!(info.standing, lease::Standing::Held { .. }) => return true,
            Ok(_) => known = true,
            Err(_) => {}
        }
    }
    !known
}

/// Clears one away, and writes that down. Gives what was removed; an error: something is left.
pub async fn clear(
    leftover: &Leftover,
    records: &Records,
    grounds: &Grounds,
    by: &str,
) -> Result<Vec<String>> {
    let began = &leftover.began;
    let removed = clear_scratch(began, records, grounds).await.map_err(|e| {
        e.during(format!("clear away what drill {} left: {}", began.id, began.scratch.place()))
    })?;
    let cleared = Cleared { at: Utc::now(), by: by.to_owned(), removed: removed.clone() };
    records.put(&began.id, CLEARED, json(&cleared)?).await?;
    records.forget(&began.id)?;
    Ok(removed)
}

/// Refuses what is on another machine: the same path is another file there.
fn here(host: &str, id: &DrillId) -> Result<()> {
    let here = Holder::this_process("").host;
    if host == here {
        return Ok(());
    }
    let what = format!("it is on {host}, and this is {here}");
    Err(Error::new(Kind::Failed, what).hint(format!("run `drctl drill clear {id}` there")))
}

pub(super) async fn clear_scratch(
    began: &Began,
    records: &Records,
    grounds: &Grounds,
) -> Result<Vec<String>> {
    let id = &began.id;
    match &began.scratch {
        Scratch::Embedded { host, folder } => {
            here(host, id)?;
            Embedded::clear(id, folder).await
        }
        Scratch::Database { target, .. } => {
            // What an application was started with is on the machine of the drill.
            super::processes::end(id, None).await?;
            let info = grounds.target(target)?;
            let roles = roles(records, id).await;
            let (removed, left) = staging::clear(info, id, &roles).await?;
            match left.is_empty() {
                true => Ok(removed),
                false => Err(Error::new(Kind::Failed, format!("left: {}", left.join("; ")))),
            }
        }
        Scratch::Instance { lender, region, .. } => {
            super::processes::end(id, None).await?;
            // Its name is made from the drill's id, so that no record can name another one.
            grounds.lender_in(lender, region)?.take_back(id, &*records.sink).await
        }
        Scratch::Regions { host, config, run } => {
            here(host, id)?;
            let mending = grounds.mending(config)?;
            mending.idle().await?;
            // A fault, or a step, that is still at work would come after its mending.
            super::processes::end(id, None).await?;
            super::processes::end_of_run(id, run).await?;
            let mended = mending.mend().await?;
            match mending.end_run(run, &records.sink).await? {
                Some(left) if left.is_open => {
                    records.sink.notice(Level::Warning, left.said);
                    Ok(vec![mended])
                }
                undone => Ok([mended].into_iter().chain(undone.map(|u| u.said)).collect()),
            }
        }
    }
}

/// The roles that a drill made, from whichever store has the record.
pub async fn roles(records: &Records, id: &DrillId) -> Vec<String> {
    for store in &records.stores {
        if let Ok(Roles { names }) = read(&**store, id, ROLES).await {
            return names;
        }
    }
    Vec::new()
}

/// The record of one drill, wherever it lies.
pub async fn record_of(records: &Records, id: &DrillId) -> Option<Leftover> {
    if let Some(began) = records.of_this_machine().into_iter().find(|b| b.id == *id) {
        return Some(Leftover { began, local: true });
    }
    for store in &records.stores {
        if let Ok(began) = read(&**store, id, BEGAN).await {
            return Some(Leftover { began, local: false });
        }
    }
    None
}
