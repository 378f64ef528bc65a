//! Repair: a damaged or missing object of one store is made good from another. Nothing is written
//! before the good copy is proven by its digest; what is damaged is kept aside; what is good is
//! never touched.

mod acting;
mod promises;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use self::promises::{Promise, Promises};
use super::copying::{self, CopyReport, CopyRequest};
use crate::error::{Error, Result};
use crate::integrity::history::{Place, Which};
use crate::integrity::seal::Keys;
use crate::integrity::verify::{self, Depth, Sample, Verdict, VerifyReport, VerifyRequest};
use crate::model::{Event, Finding, FindingKind, Level, Sink, SnapshotId};
use crate::store::ObjectStore;
use crate::store::keys::{self, KeyKind};

/// What to repair.
pub struct RepairRequest {
    pub database: String,
    /// Nearest first; each is looked at, and each may mend the others.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    pub depth: Depth,
    pub jobs: usize,
    pub keys: Keys,
    pub sink: Arc<dyn Sink>,
    pub now: DateTime<Utc>,
    pub random: u32,
}

/// What an object needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "act", rename_all = "snake_case")]
pub enum Act {
    /// It is missing: written from `from`.
    Bring { from: String },
    /// It is damaged: kept aside, then written anew from `from`.
    Replace { from: String },
    /// No store has it as promised.
    Lost { why: String },
}

/// One object that is not as promised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mend {
    pub store: String,
    pub key: String,
    pub bytes: u64,
    /// Tables whose rows it holds.
    pub tables: Vec<String>,
    pub snapshots: Vec<String>,
    #[serde(flatten)]
    pub act: Act,
    #[serde(skip)]
    promise: Option<Promise>,
}

/// A snapshot that a store lacks as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Absent {
    pub snapshot: SnapshotId,
    pub store: String,
    pub from: String,
}

/// What would be done.
#[derive(Debug, Clone, Serialize)]
pub struct RepairPlan {
    /// Manifests last.
    pub mends: Vec<Mend>,
    pub absent: Vec<Absent>,
    /// What could not be looked at, so that nothing is done about it.
    pub unread: Vec<Finding>,
}

impl RepairPlan {
    /// Whether there is anything to do.
    pub fn is_empty(&self) -> bool {
        self.absent.is_empty() && self.mendable() == 0
    }

    pub fn mendable(&self) -> usize {
        self.mends.iter().filter(|mend| !matches!(mend.act, Act::Lost { .. })).count()
    }

    pub fn lost(&self) -> usize {
        self.mends.len() - self.mendable()
    }

    /// Bytes that would be written.
    pub fn bytes(&self) -> u64 {
        let mended = self.mends.iter().filter(|mend| !matches!(mend.act, Act::Lost { .. }));
        mended.map(|mend| mend.bytes).sum()
    }
}

/// One object that was mended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Mended {
    pub store: String,
    pub key: String,
    pub from: String,
    pub bytes: u64,
    /// Where the damaged bytes are now.
    pub aside: Option<String>,
}

/// What was done.
#[derive(Debug, Default, Serialize)]
pub struct RepairReport {
    pub mended: Vec<Mended>,
    pub copies: Vec<CopyReport>,
    /// Store, key and reason.
    pub failed: Vec<(String, String, String)>,
    /// The look at everything afterwards.
    pub after: Option<VerifyReport>,
}

impl RepairReport {
    pub fn verdict(&self) -> Verdict {
        self.after.as_ref().map_or(Verdict::Unverified, VerifyReport::verdict)
    }
}

/// Looks at every snapshot in every store.
async fn look(request: &RepairRequest) -> Result<VerifyReport> {
    let verify = VerifyRequest {
        database: request.database.clone(),
        stores: request.stores.clone(),
        which: Which::All,
        depth: request.depth,
        sample: Sample::ALL,
        jobs: request.jobs,
        keys: request.keys.clone(),
        sink: Arc::clone(&request.sink),
        now: request.now,
    };
    verify::verify(&verify).await
}

/// What `apply` would do. Changes nothing but what verify remembers.
pub async fn plan(request: &RepairRequest) -> Result<RepairPlan> {
    let report = look(request).await?;
    let mut bad: BTreeMap<(String, String), Vec<&Finding>> = BTreeMap::new();
    let mut unread = Vec::new();
    for finding in &report.findings {
        match (finding.kind, &finding.part) {
            (FindingKind::Missing | FindingKind::Damaged, Some(key)) => {
                bad.entry((finding.store.clone(), key.clone())).or_default().push(finding);
            }
            (FindingKind::Surplus, _) => {}
            _ => unread.push(finding.clone()),
        }
    }
    let places: Vec<Place> = {
        let all = report.holdings.iter().flat_map(|h| h.snapshots.iter().flatten().cloned());
        let set: std::collections::BTreeSet<Place> = all.collect();
        set.into_iter().collect()
    };
    let promises = Promises::gather(request, &places, bad.keys().map(|(_, key)| key)).await;
    let mut plan = RepairPlan { mends: Vec::new(), absent: Vec::new(), unread };
    for ((store, key), findings) in bad {
        let manifest = match keys::parse(&key) {
            Some(KeyKind::Manifest { snapshot, .. }) => Some(snapshot),
            _ => None,
        };
        let missing = findings.iter().all(|f| f.kind == FindingKind::Missing);
        if let (Some(snapshot), true) = (&manifest, missing)
            && let Some(from) = promises.holder(request, &store, &key)
        {
            let from = from.name().to_owned();
            plan.absent.push(Absent { snapshot: snapshot.clone(), store, from });
            continue;
        }
        plan.mends.push(promises.mend(request, store, key, &findings, missing).await);
    }
    let rank = |mend: &Mend| matches!(keys::parse(&mend.key), Some(KeyKind::Manifest { .. }));
    plan.mends.sort_by_key(|mend| (rank(mend), mend.store.clone(), mend.key.clone()));
    Ok(plan)
}

/// Asked before each write: whether the lease is still held.
pub type Guard<'a> = &'a (dyn Fn() -> Result<()> + Send + Sync);

/// Carries a plan out and looks at everything again. What fails is reported and the rest goes on;
/// a guard that fails ends it all. It can be stopped anywhere and run again.
pub async fn apply(
    request: &RepairRequest,
    plan: &RepairPlan,
    guard: Guard<'_>,
) -> Result<RepairReport> {
    let mut report = RepairReport::default();
    for mend in &plan.mends {
        if let Act::Lost { .. } = mend.act {
            continue;
        }
        guard()?;
        match acting::mend(request, mend).await {
            Ok(mended) => {
                let message = format!(
                    "{} in store `{}` is as promised again, from store `{}`",
                    mended.key, mended.store, mended.from
                );
                request.sink.notice(Level::Info, message);
                report.mended.push(mended);
            }
            Err(e) => report.failed.push((mend.store.clone(), mend.key.clone(), e.one_line())),
        }
    }
    for absent in &plan.absent {
        guard()?;
        match bring(request, absent).await {
            Ok(copied) => report.copies.push(copied),
            Err(e) => {
                let snapshot = absent.snapshot.to_string();
                report.failed.push((absent.store.clone(), snapshot, e.one_line()));
            }
        }
    }
    request.sink.emit(Event::Phase { name: "look at everything again".to_owned() });
    report.after = Some(look(request).await?);
    Ok(report)
}

/// Copies a snapshot that a store lacks.
async fn bring(request: &RepairRequest, absent: &Absent) -> Result<CopyReport> {
    let copy = CopyRequest {
        database: request.database.clone(),
        from: store(request, &absent.from)?,
        to: store(request, &absent.store)?,
        which: Which::One(absent.snapshot.clone()),
        keys: request.keys.clone(),
        jobs: 16,
        sink: Arc::clone(&request.sink),
        now: request.now,
        random: request.random,
    };
    copying::copy(&copy).await
}

fn store(request: &RepairRequest, name: &str) -> Result<Arc<dyn ObjectStore>> {
    let found = request.stores.iter().find(|store| store.name() == name).map(Arc::clone);
    found.ok_or_else(|| {
        Error::new(crate::error::Kind::Bug, format!("a repair names the unknown store `{name}`"))
    })
}
