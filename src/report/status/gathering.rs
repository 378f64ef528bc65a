//! Asking everybody at once, each within limits, so that a region that hangs holds up nothing.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::Deserialize;

use super::{
    DatabaseStatus, LastDrill, Learned, LeaseLine, Newest, OpenRun, Preflight, ServerStatus,
    Status, StoreStatus,
};
use crate::config::{Config, DatabaseConfig};
use crate::drill::history::{self as drills, Known};
use crate::error::{Error, Kind, Result};
use crate::integrity::history;
use crate::integrity::seal::Keys;
use crate::model::DrillId;
use crate::postgres::replication::{Limits, Role};
use crate::providers::Standing;
use crate::providers::postgres::Server;
use crate::providers::postgres::loss::{self, Prediction};
use crate::runbook::journal::{self, Copies};
use crate::store::epoch::{self, Epoch};
use crate::store::{Class, ObjectStore, keys, lease};

/// Drills that are looked at for the last one that ended.
const LOOKED_AT: usize = 5;

/// Snapshots that are passed over, when their manifest cannot be read, before the newest is unknown.
const PASSED_OVER: usize = 5;

/// Where everything is asked for.
pub struct Sources {
    pub config: Arc<Config>,
    pub keys: Keys,
    /// Every store, or why it cannot be opened; in the order of the configuration.
    pub stores: Vec<(String, Result<Arc<dyn ObjectStore>>)>,
    /// The store of runs, their lease and the epoch, or why there is none.
    pub control: Result<Arc<dyn ObjectStore>>,
    /// How long each server may take to a session, and again to answer; and how long each store.
    pub limit: Duration,
}

/// Asks everybody. Ends after a few times the limit, whoever hangs.
pub async fn gather(sources: &Sources, now: DateTime<Utc>) -> Status {
    let config = &sources.config;
    let control = sources.control.as_ref().ok();
    let limit = sources.limit;
    let runbook = config.failover.runbook.clone();
    let (epoch, preflight, open_runs, leases, stores) = tokio::join!(
        on_control(sources, "read the epoch", |store| async move { epoch::read(&*store).await }),
        on_control(sources, "read the last preflight", |store| {
            let runbook = runbook.clone();
            async move { preflight(&*store, &runbook).await }
        }),
        on_control(sources, "list runs", |store| async move { open_runs(store).await }),
        join_all(sources.stores.iter().map(|(name, store)| leases(name, store, limit))),
        join_all(config.database_names().map(|name| stores_of(sources, name))),
    );
    let epoch = match control {
        // Without a standby region there is nothing to be active but the primary.
        None if config.regions.standby.is_none() => Learned::Known(None),
        _ => epoch,
    };
    let active = match epoch.known() {
        Some(Some(Epoch { region, .. })) => region.clone(),
        _ => config.regions.primary.clone(),
    };
    let servers =
        join_all(config.database_names().map(|name| servers(sources, name, &active, now)));
    let databases = servers.await.into_iter().zip(stores).zip(config.database_names());
    let databases = databases
        .map(|(((servers, loss), stores), name)| DatabaseStatus {
            name: name.to_owned(),
            servers,
            loss,
            stores,
        })
        .collect();
    let mut lines = Vec::new();
    let mut leases_unknown = Vec::new();
    for (store, found) in leases {
        match found {
            Ok(found) => lines.extend(found),
            Err(e) => leases_unknown.push((store, e.one_line())),
        }
    }
    let none =
        |learned: Learned<Vec<OpenRun>>| match (&sources.control, config.regions.standby.is_none())
        {
            (Err(_), true) => Learned::Known(Vec::new()),
            _ => learned,
        };
    let drill = last_drill(sources).await;
    Status {
        at: now,
        project: config.project.clone(),
        active,
        epoch,
        databases,
        preflight,
        runbook,
        drill,
        open_runs: none(open_runs),
        leases: lines,
        leases_unknown,
    }
}

/// Asks the control store, within the limit.
async fn on_control<T, F: Future<Output = Result<T>>>(
    sources: &Sources,
    what: &str,
    ask: impl FnOnce(Arc<dyn ObjectStore>) -> F,
) -> Learned<T> {
    match &sources.control {
        Err(e) => Learned::Unknown(e.one_line()),
        Ok(store) => within(sources.limit, what, store.name(), ask(Arc::clone(store))).await.into(),
    }
}

async fn within<T>(
    limit: Duration,
    what: &str,
    store: &str,
    act: impl Future<Output = Result<T>>,
) -> Result<T> {
    match tokio::time::timeout(limit, act).await {
        Ok(done) => done,
        Err(_) => {
            let what = format!(
                "{what} in store `{store}`: no answer within {}",
                humantime::format_duration(limit)
            );
            Err(Error::new(Kind::Storage, what))
        }
    }
}

/// The newest drills of all stores, newest first; unknown where no store could be asked in time.
pub async fn newest_drills(sources: &Sources, most: usize) -> Learned<Vec<(DrillId, Known)>> {
    let stores = sources.stores.iter().filter_map(|(_, store)| store.as_ref().ok());
    let stores: Vec<Arc<dyn ObjectStore>> = stores.map(Arc::clone).collect();
    if stores.is_empty() {
        return Learned::Unknown("no store can be opened".to_owned());
    }
    let asked = async {
        let (ids, away) = drills::ids(&stores).await;
        if let (true, Some((store, why))) = (away.len() == stores.len(), away.first()) {
            return Learned::Unknown(format!("store `{store}`: {why}"));
        }
        Learned::Known(drills::newest(&stores, &sources.keys, &ids, most).await)
    };
    match tokio::time::timeout(sources.limit, asked).await {
        Ok(learned) => learned,
        Err(_) => Learned::Unknown("the stores do not answer in time".to_owned()),
    }
}

/// The last drill that ended; unknown too where the last reports cannot be read.
async fn last_drill(sources: &Sources) -> Learned<Option<LastDrill>> {
    let newest = match newest_drills(sources, LOOKED_AT).await {
        Learned::Known(newest) => newest,
        Learned::Unknown(why) => return Learned::Unknown(why),
    };
    let mut trouble = None;
    for (_, known) in newest {
        match known {
            Known::Ended(account) => {
                return Learned::Known(Some(LastDrill {
                    id: account.id.clone(),
                    at: account.began,
                    what: format!("{} {}", account.rehearsal.as_str(), account.subject),
                    outcome: account.outcome,
                    recovery_seconds: account.objectives.recovery_seconds,
                }));
            }
            Known::Unreadable(why) => trouble = trouble.or(Some(why)),
            Known::Cleared(..) | Known::Open(_) => {}
        }
    }
    trouble.map_or(Learned::Known(None), Learned::Unknown)
}

/// A stored preflight, as far as its outcome goes; more is kept.
#[derive(Deserialize)]
struct Stored {
    at: DateTime<Utc>,
    checks: Vec<StoredCheck>,
}

#[derive(Deserialize)]
struct StoredCheck {
    standing: Standing,
}

async fn preflight(store: &dyn ObjectStore, runbook: &str) -> Result<Option<Preflight>> {
    let key = keys::state_key(&format!("preflight-{runbook}"));
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let stored: Stored = serde_json::from_slice(&object.bytes).map_err(|e| {
        Error::new(Kind::Damaged, format!("read {key} in store `{}`", store.name())).caused_by(e)
    })?;
    let count = |standing| stored.checks.iter().filter(|c| c.standing == standing).count();
    Ok(Some(Preflight {
        at: stored.at,
        not_ready: count(Standing::NotReady),
        warnings: count(Standing::Warning),
        unproven: count(Standing::Unproven),
    }))
}

async fn open_runs(store: Arc<dyn ObjectStore>) -> Result<Vec<OpenRun>> {
    let copies = Copies { control: Arc::clone(&store), local: store };
    let all = journal::list(&copies).await?;
    if let Some(why) = all.control_away {
        return Err(Error::new(Kind::Storage, why));
    }
    let mut open: Vec<OpenRun> = all
        .runs
        .into_iter()
        .filter(|run| run.is_open())
        .map(|run| OpenRun {
            state: match (run.ending, run.paused) {
                (Some(_), _) => "stopped",
                (None, true) => "paused",
                (None, false) => "not ended",
            },
            id: run.run.id,
            runbook: run.run.runbook,
            operator: run.run.operator,
            began: run.run.confirmed,
        })
        .collect();
    // One that cannot be read may be open.
    open.extend(all.unreadable.into_iter().map(|(id, _)| OpenRun {
        id,
        runbook: "?".to_owned(),
        operator: "?".to_owned(),
        began: DateTime::UNIX_EPOCH,
        state: "unreadable",
    }));
    Ok(open)
}

async fn leases(
    name: &str,
    store: &Result<Arc<dyn ObjectStore>>,
    limit: Duration,
) -> (String, Result<Vec<LeaseLine>>) {
    let store = match store {
        Ok(store) => store,
        Err(e) => return (name.to_owned(), Err(Error::new(e.kind(), e.one_line()))),
    };
    let listed = within(limit, "list leases", name, lease::list(&**store)).await.map(|all| {
        let held = |l: &lease::LeaseInfo| l.standing != lease::Standing::Free;
        let line = |l: lease::LeaseInfo| LeaseLine {
            store: name.to_owned(),
            holder: l.holder.to_string(),
            since: l.acquired,
            left: match l.standing {
                lease::Standing::Held { left } => Some(left),
                _ => None,
            },
            name: l.name,
        };
        all.into_iter().filter(held).map(line).collect()
    });
    (name.to_owned(), listed)
}

async fn stores_of(sources: &Sources, name: &str) -> Vec<StoreStatus> {
    let Ok(database) = sources.config.database(name) else { return Vec::new() };
    let looks = database.stores.iter().map(async |store| {
        let region = sources.config.store(store).map(|s| s.region.clone()).unwrap_or_default();
        let opened = sources.stores.iter().find(|(n, _)| n == store).map(|(_, s)| s);
        let newest = match opened {
            Some(Ok(open)) => {
                let act = newest(&**open, &sources.keys, name);
                within(sources.limit, "look for snapshots", store, act).await.into()
            }
            Some(Err(e)) => Learned::Unknown(e.one_line()),
            None => Learned::Unknown(format!("store `{store}` was not opened")),
        };
        StoreStatus { store: store.clone(), region, newest }
    });
    join_all(looks).await
}

/// The newest snapshot whose manifest is there and sealed.
async fn newest(store: &dyn ObjectStore, keys: &Keys, database: &str) -> Result<Option<Newest>> {
    let places = history::places(store, database).await?;
    let mut failure = None;
    for place in places.iter().rev().take(PASSED_OVER) {
        match history::read_manifest(store, keys, database, place).await {
            Ok(manifest) => {
                return Ok(Some(Newest { id: manifest.id, taken: manifest.taken }));
            }
            Err(e) => failure = Some(e),
        }
    }
    match failure {
        Some(e) => Err(e),
        None => Ok(None),
    }
}

async fn servers(
    sources: &Sources,
    name: &str,
    active: &str,
    now: DateTime<Utc>,
) -> (Vec<ServerStatus>, Option<Prediction>) {
    let config = &sources.config;
    let Ok(database) = config.database(name) else { return (Vec::new(), None) };
    let limits = Limits::each(sources.limit);
    let found = ordered(database, active)
        .into_iter()
        .filter_map(|region| Server::find(config, name, region).ok());
    let found: Vec<Server> = found.collect();
    let (first, rest) = match found.split_first() {
        None => return (Vec::new(), None),
        Some(split) => split,
    };
    let (pair, more) = match (rest.split_first(), &sources.control) {
        (Some((second, more)), Ok(control)) => {
            let seen = loss::sight(&**control, first, second, false, limits, now).await;
            seen.keep(&**control, name, limits).await;
            let pair = vec![(first, seen.primary), (second, seen.standby)];
            ((pair, Some(seen.prediction)), more)
        }
        _ => {
            let looks = join_all(found.iter().map(|s| s.look(limits))).await;
            ((found.iter().zip(looks).collect(), None), &[][..])
        }
    };
    let (mut all, prediction) = pair;
    let looks = join_all(more.iter().map(|s| s.look(limits))).await;
    all.extend(more.iter().zip(looks));
    let primary = all
        .first()
        .and_then(|(_, seen)| seen.as_ref().ok())
        .filter(|p| p.role == Role::Primary)
        .cloned();
    let statuses = all
        .into_iter()
        .map(|(server, seen)| {
            let standby = seen.as_ref().ok().filter(|s| s.role == Role::Standby);
            let both = standby.zip(primary.as_ref());
            ServerStatus {
                region: server.region.clone(),
                active: server.region == active,
                bytes_behind: both.and_then(|(s, p)| s.bytes_behind(p)),
                seconds_behind: both.and_then(|(s, p)| s.seconds_behind(p)),
                seen: seen.into(),
            }
        })
        .collect();
    (statuses, prediction)
}

/// The active region's server first.
fn ordered<'d>(database: &'d DatabaseConfig, active: &str) -> Vec<&'d str> {
    let mut regions: Vec<&str> = database.servers.keys().map(String::as_str).collect();
    regions.sort_by_key(|region| *region != active);
    regions
}
