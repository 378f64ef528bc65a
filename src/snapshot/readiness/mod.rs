//! Readiness: everything that a snapshot needs, looked at before it is needed, and all of it at once.

mod disk;
mod freshness;
mod notes;
mod place;
mod reading;
mod secrecy;
mod server;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use self::place::Visit;
use crate::config::{Config, DatabaseConfig};
use crate::error::{Error, Result};
use crate::integrity::seal::Keys;
use crate::store::ObjectStore;

pub use notes::Notes;

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// A snapshot would fail, or would not be what it seems.
    Critical,
    /// A snapshot would work; somebody should know.
    Warning,
    Ok,
}

/// One thing that was looked at, and how it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub severity: Severity,
    /// `config`, `encryption`, `database petforce`, `store west`, `machine`, `alerts` or
    /// `drill.rds.scratch`.
    pub subject: String,
    pub what: String,
    /// The next move; none where all is well.
    pub hint: Option<String>,
}

/// A store that is to be looked at, or why it could not even be opened.
pub struct Candidate {
    pub name: String,
    pub store: Result<Arc<dyn ObjectStore>>,
}

/// What to look at.
pub struct Request<'a> {
    pub config: &'a Config,
    /// Names of databases; each is in the configuration.
    pub databases: Vec<String>,
    /// The stores of those databases, each once. Those tried again patiently make a slow doctor.
    pub stores: Vec<Candidate>,
    pub keys: Result<Keys>,
    /// How long any one step may take.
    pub limit: Duration,
    pub now: DateTime<Utc>,
    /// Keeps the probes of two doctors apart.
    pub random: u32,
}

/// The config's subject.
const CONFIG: &str = "config";

/// Looks at everything side by side. Findings come grouped by subject: the configuration, each
/// database, each store, this machine.
pub async fn check(request: &Request<'_>) -> Vec<Finding> {
    let databases: Vec<Result<&DatabaseConfig>> =
        request.databases.iter().map(|name| request.config.database(name)).collect();
    let looks = join_all(request.databases.iter().zip(&databases).map(async |(name, config)| {
        let mut notes = Notes::new(format!("database {name}"), request.limit);
        let facts = match config {
            Ok(config) if unresolved(request.config, "database", name, &mut notes) == 0 => {
                server::check(config, &mut notes).await
            }
            Ok(_) => None,
            Err(e) => {
                notes.failed(e);
                None
            }
        };
        (notes, facts)
    }));
    let visits = join_all(request.stores.iter().map(async |candidate| {
        let mut notes = Notes::new(format!("store {}", candidate.name), request.limit);
        if unresolved(request.config, "store", &candidate.name, &mut notes) > 0 {
            return (notes, Visit::default());
        }
        let visit = match &candidate.store {
            Ok(store) => place::check(&**store, request, &mut notes).await,
            Err(e) => {
                notes.failed(e);
                Visit::default()
            }
        };
        (notes, visit)
    }));
    let (looks, visits) = tokio::join!(looks, visits);

    let mut found = configuration(request, &databases);
    let mut secrecy = Notes::new("encryption".to_owned(), request.limit);
    let newest = visits.iter().flat_map(|(_, visit)| &visit.newest);
    let usable: Vec<&DatabaseConfig> = databases.iter().flatten().copied().collect();
    secrecy::check(request, &usable, newest, &mut secrecy);
    found.extend(secrecy.into_findings());
    let mut facts = Vec::new();
    for ((name, (mut notes, look)), config) in request.databases.iter().zip(looks).zip(&databases) {
        if let Ok(config) = config {
            let stores =
                request.stores.iter().zip(&visits).filter_map(|(candidate, (_, visit))| {
                    config.stores.contains(&candidate.name).then_some((&*candidate.name, visit))
                });
            freshness::judge(name, stores, request.now, &mut notes);
            facts.push((*config, look));
        }
        found.extend(notes.into_findings());
    }
    for (candidate, (mut notes, visit)) in request.stores.iter().zip(visits) {
        let users = facts.iter().filter(|(config, _)| config.stores.contains(&candidate.name));
        disk::of_store(visit.free_bytes, users.map(|(_, facts)| facts.as_ref()), &mut notes);
        found.extend(notes.into_findings());
    }
    let mut machine = Notes::new("machine".to_owned(), request.limit);
    for (config, facts) in &facts {
        disk::of_cache(config, facts.as_ref(), &mut machine);
    }
    disk::of_temporary(facts.iter().filter_map(|(_, facts)| facts.as_ref()), &mut machine);
    found.extend(machine.into_findings());
    found
}

/// Tells what of `[kind.name]` could not be resolved, and how much that is.
fn unresolved(config: &Config, kind: &str, name: &str, notes: &mut Notes) -> usize {
    let table = format!("{kind}.{name}");
    let reasons: Vec<_> = config.unresolved.iter().filter(|u| u.table == table).collect();
    // Of a table that cannot be used at all, `Config` tells the same reasons.
    for reason in &reasons {
        notes.critical(
            &*reason.reason,
            "give the value in drctl's environment or file; under cron, in its own environment",
        );
    }
    reasons.len()
}

/// What the configuration itself gives to think about.
fn configuration(request: &Request<'_>, databases: &[Result<&DatabaseConfig>]) -> Vec<Finding> {
    let config = request.config;
    let mut notes = Notes::new(CONFIG.to_owned(), request.limit);
    notes.ok(format!(
        "{} is valid",
        config.path.strip_prefix(".").unwrap_or(&config.path).display()
    ));
    for warning in &config.warnings {
        notes.warning(&**warning, "correct it in the file, if it is not meant");
    }
    let elsewhere = config
        .unresolved
        .iter()
        .filter(|u| !u.table.starts_with("database.") && !u.table.starts_with("store."));
    for u in elsewhere {
        let hint = "give the value in drctl's environment or file before it is needed";
        // A snapshot needs neither a place to restore to nor what opens it.
        match u.table.starts_with("target.") || u.table == "encryption" {
            true => notes.warning(&*u.reason, hint),
            false => notes.critical(&*u.reason, hint),
        }
    }
    if let Err(e) = &request.keys
        && !config.unresolved.iter().any(|u| u.table == "signing")
    {
        notes.failed(e);
    }
    for database in databases.iter().flatten() {
        regions(config, database, &mut notes);
    }
    notes.into_findings()
}

/// Where the copies are. Copies that all lie in one region are among the configuration's warnings.
fn regions(config: &Config, database: &DatabaseConfig, notes: &mut Notes) {
    let stores: Vec<_> =
        database.stores.iter().filter_map(|name| config.store(name).ok()).collect();
    let standby = config.regions.standby.as_deref();
    let region_of = |name: &str| match name {
        name if name == config.regions.primary => " (primary)",
        name if Some(name) == standby => " (standby)",
        _ => "",
    };
    if standby.is_some_and(|standby| stores.iter().any(|s| s.region == standby)) {
        let places: Vec<_> = stores
            .iter()
            .map(|s| format!("`{}` in {}{}", s.name, s.region, region_of(&s.region)))
            .collect();
        notes.ok(format!("`{}` goes to {}", database.name, places.join(", ")));
    } else if standby.is_none() {
        notes.warning(
            "[regions] names no standby region",
            "name it, and give the database a store there: a copy in one region is lost with it",
        );
    }
}

/// An error as it is told in a finding.
fn told(e: &Error) -> (String, Option<String>) {
    (e.one_line().replace('\n', "; "), e.advice().map(str::to_owned))
}

/// `1 table`, `2 tables`.
fn counted(n: usize, what: &str) -> String {
    let s = if n == 1 { "" } else { "s" };
    format!("{n} {what}{s}")
}
