//! Whether a failover could go ahead, and if not, why. Pure.

use std::time::Duration;

use chrono::TimeDelta;

use super::{DatabaseStatus, Learned, ServerStatus, Status, StoreStatus};
use crate::postgres::replication::{Receiver, Role};

/// What counts as ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Terms {
    pub rpo: Duration,
    /// A run refuses a preflight that is older.
    pub preflight_max_age: Duration,
}

/// Every reason why the service is not ready; empty: it is.
pub fn reasons(status: &Status, terms: &Terms) -> Vec<String> {
    let mut reasons = Vec::new();
    if let Learned::Unknown(_) = &status.epoch {
        reasons.push("which region is active could not be read".to_owned());
    }
    for database in &status.databases {
        servers(database, terms, &mut reasons);
        for store in &database.stores {
            reasons.extend(snapshot(status, &database.name, store, terms));
        }
    }
    // Without a second server there is nowhere to go, and nothing to check beforehand.
    if status.databases.iter().any(|d| d.servers.len() > 1) {
        reasons.extend(preflight(status, terms));
    }
    match &status.open_runs {
        Learned::Known(runs) => {
            reasons.extend(runs.iter().map(|r| format!("run {} is {}", r.id, r.state)));
        }
        Learned::Unknown(_) => reasons.push("whether runs are open could not be read".to_owned()),
    }
    reasons
}

fn servers(database: &DatabaseStatus, terms: &Terms, reasons: &mut Vec<String>) {
    let name = &database.name;
    match database.servers.len() {
        0 => reasons.push(format!("{name} has no servers configured")),
        1 => reasons.push(format!("{name} has one server only")),
        _ => {}
    }
    for server in &database.servers {
        match server.active {
            true => reasons.extend(primary(name, server)),
            false => reasons.extend(standby(name, server, database, terms)),
        }
    }
}

fn primary(name: &str, server: &ServerStatus) -> Option<String> {
    let region = &server.region;
    match &server.seen {
        Learned::Unknown(_) => Some(format!("the primary of {name} in {region} does not answer")),
        Learned::Known(seen) if seen.role == Role::Standby => {
            Some(format!("{name} in {region}, the active region, is a standby"))
        }
        Learned::Known(seen) if seen.read_only == Some(true) => {
            Some(format!("{name} in {region} is read-only by default"))
        }
        Learned::Known(_) => None,
    }
}

fn standby(
    name: &str,
    server: &ServerStatus,
    database: &DatabaseStatus,
    terms: &Terms,
) -> Vec<String> {
    let region = &server.region;
    let mut reasons = Vec::new();
    let Learned::Known(seen) = &server.seen else {
        return vec![format!("the standby of {name} in {region} does not answer")];
    };
    if seen.role == Role::Primary {
        return vec![format!("{name} in {region} is a second primary")];
    }
    let active = database.servers.iter().find(|s| s.active).and_then(|s| s.seen.known());
    if let Some(primary) = active
        && let (Some(a), Some(b)) = (&primary.system_identifier, &seen.system_identifier)
        && a != b
    {
        return vec![format!("{name} in {region} is no copy of its primary")];
    }
    if let (Some(ours), Some(its)) = (active.and_then(|p| p.timeline), seen.timeline)
        && ours != its
    {
        reasons.push(format!("{name} in {region} is on timeline {its}, its primary on {ours}"));
    }
    match (seen.is_streaming(), &seen.receiver) {
        (Some(true), _) => {}
        (Some(false), Receiver::Absent) => {
            reasons.push(format!("nothing streams to {name} in {region}"));
        }
        (Some(false), _) => reasons.push(format!("{name} in {region} does not stream")),
        (None, _) => reasons.push(format!("whether {name} in {region} streams is unknown")),
    }
    if seen.paused == Some(true) {
        reasons.push(format!("the replay of {name} in {region} is paused"));
    }
    match (server.bytes_behind, server.seconds_behind) {
        (Some(0), _) => {}
        (_, Some(seconds)) if seconds <= terms.rpo.as_secs_f64() => {}
        (_, Some(_)) => {
            reasons.push(format!("{name} in {region} is behind by more than the RPO"));
        }
        (_, None) => reasons.push(format!("how far {name} in {region} is behind is unknown")),
    }
    reasons
}

fn snapshot(status: &Status, name: &str, store: &StoreStatus, terms: &Terms) -> Option<String> {
    let place = &store.store;
    let newest = match &store.newest {
        Learned::Unknown(_) => {
            return Some(format!("the snapshots of {name} in {place} could not be read"));
        }
        Learned::Known(None) => return Some(format!("{place} has no snapshot of {name}")),
        Learned::Known(Some(newest)) => newest,
    };
    let rpo = TimeDelta::from_std(terms.rpo).unwrap_or(TimeDelta::MAX);
    (status.at - newest.taken > rpo)
        .then(|| format!("the last snapshot of {name} in {place} is older than the RPO"))
}

fn preflight(status: &Status, terms: &Terms) -> Option<String> {
    let runbook = &status.runbook;
    let last = match &status.preflight {
        Learned::Unknown(_) => {
            return Some(format!("the last preflight of {runbook} could not be read"));
        }
        Learned::Known(None) => return Some(format!("{runbook} had no preflight yet")),
        Learned::Known(Some(last)) => last,
    };
    let limit = TimeDelta::from_std(terms.preflight_max_age).unwrap_or(TimeDelta::MAX);
    if last.not_ready > 0 {
        return Some(format!("the last preflight of {runbook} found it not ready"));
    }
    (status.at - last.at > limit).then(|| format!("the last preflight of {runbook} is too old"))
}
