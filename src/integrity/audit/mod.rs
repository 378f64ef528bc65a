//! Audit: everything that `verify` checks, over all databases, stores and snapshots, and what is seen
//! only from above: the row of snapshots, the sameness of the stores, the setting of the buckets, and
//! that in time everything is read.

pub mod chain;
pub mod check;
pub mod coverage;
pub mod days;
mod judging;
mod outside;
pub mod turns;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

pub use self::check::{Aspect, Check, Standing};
pub use self::coverage::{Ages, Coverage};
pub use self::turns::Shard;

use self::turns::{Held, Turn, Turns};
use super::history::Which;
use super::seal::Keys;
use super::verify::{
    self, Depth, Holding, Sample, Scope, StoreVerdict, VerifyReport, VerifyRequest,
};
use crate::error::{Kind, Result};
use crate::model::{Event, Finding, Level, Sink};
use crate::store::ObjectStore;

/// A database to audit.
pub struct Subject {
    pub name: String,
    /// Nearest first.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// Threads that hash and undo parts.
    pub jobs: usize,
    /// How long a generation may go on.
    pub full_every: TimeDelta,
}

/// What to audit, and how.
pub struct AuditRequest {
    pub subjects: Vec<Subject>,
    /// Every store that is audited, each once.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// Every database of the configuration: others are strangers.
    pub known: Vec<String>,
    /// Of each database, only this store is asked, so that nothing is said of the others.
    pub one_store: bool,
    pub depth: Depth,
    pub sample: Sample,
    /// Only snapshots begun since.
    pub since: Option<DateTime<Utc>>,
    /// Stored bytes to look into at most.
    pub budget: Option<u64>,
    pub shard: Option<Shard>,
    /// Everything is to be read at least once in so long.
    pub within: TimeDelta,
    /// Compare every checksum, also where the listing shows that nothing has changed.
    pub afresh: bool,
    /// A snapshot is due once in so long.
    pub every: TimeDelta,
    pub keys: Keys,
    pub sink: Arc<dyn Sink>,
    pub now: DateTime<Utc>,
}

/// What was found of one database.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DatabaseAudit {
    pub database: String,
    /// Distinct snapshots over all stores.
    pub snapshots: u64,
    pub first: Option<DateTime<Utc>>,
    pub last: Option<DateTime<Utc>>,
    pub holes: Vec<chain::Hole>,
    pub days: Vec<days::Day>,
    pub objects: u64,
    pub checked_objects: u64,
    pub vouched_objects: u64,
    pub checked_bytes: u64,
    pub raw_bytes: u64,
    /// By store, oldest snapshot first.
    pub verdicts: Vec<StoreVerdict>,
    /// What was read when, by store.
    pub coverage: BTreeMap<String, Ages>,
    pub seconds: f64,
}

/// What an audit of the stores found.
#[derive(Debug, Clone, Default)]
pub struct Audited {
    pub databases: Vec<DatabaseAudit>,
    pub checks: Vec<Check>,
    pub findings: Vec<Finding>,
    /// Findings that are not among them, since there are too many.
    pub more_findings: u64,
    /// What each store holds of each database.
    pub holdings: Vec<(String, Holding)>,
    /// What the budget came to: bytes chosen, and of how many.
    pub chosen: Option<(u64, u64)>,
}

/// Findings kept one by one.
const FINDINGS: usize = 20_000;

/// Audits. What cannot be looked at is in the report, never an error.
pub async fn audit(request: &AuditRequest) -> Result<Audited> {
    let mut audited = Audited::default();
    let picked = plan(request, &mut audited).await;
    let mut witnesses: BTreeMap<String, String> = BTreeMap::new();
    for subject in &request.subjects {
        let turns = Arc::new(turns_of(request, subject, picked.as_ref()).await);
        let report = look(request, subject, &turns).await?;
        judging::database(request, subject, &report, &turns.close().await, &mut audited).await;
        for holding in report.iter().flat_map(|r| &r.holdings) {
            judging::witness(&subject.name, holding, &mut witnesses);
        }
        if let Some(report) = report {
            let held = report.holdings.into_iter().map(|h| (subject.name.clone(), h));
            audited.holdings.extend(held);
            keep(&mut audited, report.findings);
        }
    }
    for store in &request.stores {
        request
            .sink
            .emit(Event::Phase { name: format!("audit the place of store `{}`", store.name()) });
        let witness = witnesses.get(store.name()).map(String::as_str);
        audited.checks.extend(judging::posture(&**store, witness).await);
        match outside::look(&**store, &request.known).await {
            Ok((found, unnamed)) => {
                judging::strangers(&**store, &found, &unnamed, &mut audited);
                found.iter().for_each(|f| request.sink.emit(Event::Found(f.clone())));
                keep(&mut audited, found);
            }
            Err(e) => audited.checks.push(
                Check::new(Aspect::Strangers, Standing::Unverified, e.one_line())
                    .in_store(store.name()),
            ),
        }
    }
    Ok(audited)
}

/// Adds findings, as many as are kept one by one.
fn keep(audited: &mut Audited, found: Vec<Finding>) {
    for finding in found {
        match audited.findings.len() < FINDINGS {
            true => audited.findings.push(finding),
            false => audited.more_findings += 1,
        }
    }
}

/// With a budget or a shard, the slices to look into; the stores are listed for it.
async fn plan(request: &AuditRequest, audited: &mut Audited) -> Option<Arc<HashSet<Turn>>> {
    if request.budget.is_none() && request.shard.is_none() {
        return None;
    }
    let mut held = Vec::new();
    for subject in &request.subjects {
        for store in &subject.stores {
            // A store that cannot be listed is told of by the check itself.
            if let Ok(found) = Held::list(&**store, &subject.name).await {
                held.push(found);
            }
        }
    }
    let plan = turns::plan(&held, request.depth, request.budget, request.shard);
    audited.chosen = Some((plan.bytes, plan.total));
    Some(Arc::new(plan.turns))
}

async fn turns_of(
    request: &AuditRequest,
    subject: &Subject,
    picked: Option<&Arc<HashSet<Turn>>>,
) -> Turns {
    let mut coverage = BTreeMap::new();
    for store in &subject.stores {
        match Coverage::read(&**store, &subject.name).await {
            Ok(read) => _ = coverage.insert(store.name().to_owned(), read),
            Err(e) => request.sink.notice(
                Level::Warning,
                format!("what was audited before is not known: {}", e.one_line()),
            ),
        }
    }
    Turns {
        database: subject.name.clone(),
        depth: request.depth,
        picked: picked.map(Arc::clone),
        coverage,
        stores: subject.stores.clone(),
        remembers: request.sample.is_all() && request.since.is_none(),
        afresh: request.afresh,
        now: request.now,
        sink: Arc::clone(&request.sink),
        seen: Mutex::default(),
    }
}

/// Verifies all snapshots of a database; `None`: there are none.
async fn look(
    request: &AuditRequest,
    subject: &Subject,
    turns: &Arc<Turns>,
) -> Result<Option<VerifyReport>> {
    let verify = VerifyRequest {
        database: subject.name.clone(),
        stores: subject.stores.clone(),
        which: Which::All,
        depth: request.depth,
        sample: request.sample,
        jobs: subject.jobs,
        keys: request.keys.clone(),
        sink: Arc::clone(&request.sink),
        now: request.now,
    };
    let scope = Scope {
        since: request.since,
        ledger: Some(Arc::clone(turns) as Arc<dyn verify::scope::Ledger>),
        partial: turns.picked.is_some(),
    };
    match verify::verify_within(&verify, scope).await {
        Ok(report) => Ok(Some(report)),
        Err(e) if e.kind() == Kind::Failed => Ok(None),
        Err(e) => Err(e),
    }
}
