//! Verify: what lies in the stores against what the manifests promise. It tells missing, damaged,
//! unreadable and surplus apart, and never stops at the first finding.

mod bench;
mod elsewhere;
mod generation;
mod inventory;
mod looking;
mod needs;
mod promise;
mod proven;
mod reading;
mod sample;
pub mod scope;
mod surplus;
#[doc(hidden)]
pub mod synthetic;
mod tasks;
mod terms;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

pub use self::bench::Benches;
pub use self::bench::Task;
pub use self::inventory::{Held, Inventory, Other};
pub use self::looking::{Fault, listed, listed_part};
pub use self::promise::{Names, Promise, TableLine};
pub use self::sample::Sample;
pub use self::scope::Scope;
pub use self::tasks::tasks;
pub use super::verified::{Depth, Verdict};

use self::looking::Looker;
use self::terms::{Checked, Counts, Terms};
use super::history::{self, Place, Which};
use super::seal::Keys;
use super::verified::Record;
use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Event, Finding, FindingKind, GenerationId, Sink, SnapshotId};
use crate::store::ObjectStore;

/// What is said of an object that drctl does not write.
pub const NOT_OURS: &str = "it is not drctl's";

/// Heads asked for at once of a store across a network, where each waits for an answer.
const HEADS: usize = 32;

/// What to verify, and how.
pub struct VerifyRequest {
    pub database: String,
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// Of each store; `Latest` is each store's own newest.
    pub which: Which,
    pub depth: Depth,
    /// The share of the parts to look at, at the depths beyond `listing`.
    pub sample: Sample,
    /// Threads that hash and undo parts; also bounds memory.
    pub jobs: usize,
    pub keys: Keys,
    pub sink: Arc<dyn Sink>,
    pub now: DateTime<Utc>,
}

/// The verdict over one snapshot in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreVerdict {
    pub store: String,
    pub snapshot: SnapshotId,
    pub generation: GenerationId,
    pub verdict: Verdict,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct VerifyReport {
    pub depth: Depth,
    pub sample: Sample,
    /// Distinct objects that the snapshots need, summed over the stores.
    pub objects: u64,
    /// Those of them that were checked at this depth; fewer than `objects` in a sample.
    pub checked_objects: u64,
    /// Stored bytes of the checked objects.
    pub checked_bytes: u64,
    /// Those that the store's listing shows unchanged since their checksums were last compared.
    pub vouched_objects: u64,
    /// Uncompressed bytes that were gone through at depth `content`, or that are the same as those of
    /// another store that were.
    pub raw_bytes: u64,
    pub findings: Vec<Finding>,
    /// By store, oldest snapshot first.
    pub verdicts: Vec<StoreVerdict>,
    pub seconds: f64,
    /// What each store holds, in the order of the request.
    #[serde(skip)]
    pub holdings: Vec<Holding>,
}

/// The snapshots of one store.
#[derive(Debug, Clone)]
pub struct Holding {
    pub store: String,
    /// Oldest first; or why they cannot be told.
    pub snapshots: std::result::Result<Vec<Place>, String>,
    /// By snapshot, the SHA-256 of its manifest, where that could be proven.
    pub manifests: BTreeMap<SnapshotId, Digest>,
    pub removed: Vec<GenerationId>,
}

impl VerifyReport {
    /// The worst of it: damage goes before what could not be verified. Surplus is no fault.
    pub fn verdict(&self) -> Verdict {
        let any = |kinds: &[FindingKind]| self.findings.iter().any(|f| kinds.contains(&f.kind));
        if any(&[FindingKind::Missing, FindingKind::Damaged]) {
            Verdict::Damaged
        } else if any(&[FindingKind::Unreadable]) {
            Verdict::Unverified
        } else {
            Verdict::Intact
        }
    }
}

/// One store as a check finds it.
pub(super) struct Site {
    pub store: Arc<dyn ObjectStore>,
    /// Its snapshots, oldest first, or why they cannot be told.
    pub places: Result<Vec<Place>>,
    pub generations: Vec<GenerationId>,
    pub record: Record,
}

async fn visit(request: &VerifyRequest, store: &Arc<dyn ObjectStore>) -> Site {
    let places = history::places(&**store, &request.database).await;
    let generations = match &places {
        Ok(_) => history::generations(&**store, &request.database).await.unwrap_or_default(),
        Err(_) => Vec::new(),
    };
    // Without it, snapshots of removed generations count as missing, which is the safe side.
    let record = Record::read(&**store, &request.database).await.unwrap_or_default();
    Site { store: Arc::clone(store), places, generations, record }
}

/// The snapshots to check in a store, by generation. With `All`, also generations without any.
fn targets(
    which: &Which,
    since: Option<DateTime<Utc>>,
    site: &Site,
) -> BTreeMap<GenerationId, Vec<Place>> {
    let mut by_generation: BTreeMap<GenerationId, Vec<Place>> = BTreeMap::new();
    let Ok(places) = &site.places else { return by_generation };
    if *which == Which::All {
        by_generation.extend(site.generations.iter().map(|g| (g.clone(), Vec::new())));
    }
    let late = |place: &&Place| since.is_none_or(|since| place.snapshot.began() >= since);
    let wanted = places.iter().filter(late).filter(|place| match which {
        Which::All => true,
        Which::Latest => places.last() == Some(place),
        Which::One(id) => place.snapshot == *id,
    });
    for place in wanted {
        by_generation.entry(place.generation.clone()).or_default().push(place.clone());
    }
    by_generation
}

/// Verifies snapshots in every store of the request, the stores side by side.
///
/// Errors: `Kind::Usage` if no store has the snapshot that was asked for, `Kind::Failed` if there is
/// none at all. Everything else is in the report, also a store that is out of reach.
pub async fn verify(request: &VerifyRequest) -> Result<VerifyReport> {
    verify_within(request, Scope::default()).await
}

/// As `verify`, of what is within the scope.
pub async fn verify_within(request: &VerifyRequest, scope: Scope) -> Result<VerifyReport> {
    let began = Instant::now();
    let database = request.database.clone();
    let id = match &request.which {
        Which::One(id) => Some(id.to_string()),
        Which::Latest | Which::All => None,
    };
    request.sink.emit(Event::Started {
        command: "verify".to_owned(),
        database,
        id,
        at: request.now,
    });
    let sites = join_all(request.stores.iter().map(|store| visit(request, store))).await;
    elsewhere::must_exist(&request.database, &request.which, &sites)?;
    let terms = Terms {
        keys: request.keys.clone(),
        depth: request.depth,
        sample: request.sample,
        scope,
        all: request.which == Which::All,
        now: request.now,
        sink: Arc::clone(&request.sink),
    };
    let benches = Benches::new(request.jobs, sites.len());
    let checks = join_all(sites.iter().map(|site| check_site(request, &terms, &benches, site)));
    let mut by_store: Vec<SiteChecked> = checks.await.into_iter().collect::<Result<_>>()?;
    let absent = elsewhere::absent(&request.database, &sites, &by_store).await;
    for finding in absent {
        request.sink.emit(Event::Found(finding.clone()));
        if let Some(site) = by_store.iter_mut().find(|s| s.store == finding.store) {
            site.findings.push(finding);
        }
    }
    for (site, checked) in sites.iter().zip(&by_store) {
        remember(request, &terms.scope, site, checked).await;
    }
    let mut report = report(request, by_store, began.elapsed().as_secs_f64());
    for (site, holding) in sites.into_iter().zip(&mut report.holdings) {
        holding.removed = site.record.removed().cloned().collect();
        holding.snapshots = site.places.map_err(|e| e.one_line());
    }
    Ok(report)
}

/// What was found in one store.
pub(super) struct SiteChecked {
    pub store: String,
    pub findings: Vec<Finding>,
    pub verdicts: Vec<(GenerationId, SnapshotId, Verdict)>,
    /// For each snapshot that could be read, its generation and the stores that were to have it.
    pub stores: Vec<(GenerationId, SnapshotId, Vec<String>)>,
    pub manifests: BTreeMap<SnapshotId, Digest>,
    pub counts: Counts,
}

async fn check_site(
    request: &VerifyRequest,
    terms: &Terms,
    benches: &Arc<Benches>,
    site: &Site,
) -> Result<SiteChecked> {
    let name = site.store.name().to_owned();
    request.sink.emit(Event::Phase { name: format!("verify store `{name}`") });
    let mut all = SiteChecked {
        store: name.clone(),
        findings: Vec::new(),
        verdicts: Vec::new(),
        stores: Vec::new(),
        manifests: BTreeMap::new(),
        counts: Counts::default(),
    };
    if let Err(e) = &site.places {
        let finding = elsewhere::out_of_reach(&request.database, &name, e);
        request.sink.emit(Event::Found(finding.clone()));
        all.findings.push(finding);
        return Ok(all);
    }
    // A disk of this machine is read by the threads that hash; a remote store answers many at once.
    let local = site.store.free_bytes().is_some();
    let width = match (request.depth, local) {
        (Depth::Content, _) => request.jobs.max(1) * 2,
        (_, true) => request.jobs.max(1),
        (_, false) => HEADS,
    };
    for (generation, places) in targets(&request.which, terms.scope.since, site) {
        let looker = Looker {
            store: Arc::clone(&site.store),
            benches: Arc::clone(benches),
            database: request.database.clone(),
            generation: generation.clone(),
            width,
        };
        let Checked { findings, verdicts, stores, manifests, counts } =
            generation::check(terms, &looker, places).await?;
        findings.iter().for_each(|f| request.sink.emit(Event::Found(f.clone())));
        all.findings.extend(findings);
        all.verdicts.extend(verdicts.into_iter().map(|(s, v)| (generation.clone(), s, v)));
        all.stores.extend(stores.into_iter().map(|(s, n)| (generation.clone(), s, n)));
        all.manifests.extend(manifests);
        all.counts.add(&counts);
    }
    let strangers = elsewhere::strangers(request, &site.store).await;
    strangers.iter().for_each(|f| request.sink.emit(Event::Found(f.clone())));
    all.findings.extend(strangers);
    terms::notices(terms, &name, &all.counts);
    Ok(all)
}

/// Remembers the verdicts in the store, where prune looks for them.
async fn remember(request: &VerifyRequest, scope: &Scope, site: &Site, checked: &SiteChecked) {
    let Ok(places) = &site.places else { return };
    let there: HashSet<&SnapshotId> = places.iter().map(|place| &place.snapshot).collect();
    // A sample proves no more of the whole than the listing did.
    let whole = request.sample.is_all() && !scope.partial;
    let depth = if whole { request.depth } else { Depth::Listing };
    let database = &request.database;
    Record::remember(&*site.store, database, &*request.sink, |record| {
        for (_, snapshot, verdict) in &checked.verdicts {
            let depth = if *verdict == Verdict::Damaged { request.depth } else { depth };
            record.note(snapshot, depth, request.now, *verdict);
        }
        // Snapshots committed since the listing are younger than what it showed.
        let newest = places.last().map(|place| &place.snapshot);
        record.keep_only(|id| there.contains(id) || newest.is_none_or(|newest| id > newest));
    })
    .await;
}

fn report(request: &VerifyRequest, by_store: Vec<SiteChecked>, seconds: f64) -> VerifyReport {
    let mut counts = Counts::default();
    let (mut findings, mut verdicts, mut holdings) = (Vec::new(), Vec::new(), Vec::new());
    for site in by_store {
        holdings.push(Holding {
            store: site.store.clone(),
            snapshots: Ok(Vec::new()),
            manifests: site.manifests,
            removed: Vec::new(),
        });
        counts.add(&site.counts);
        findings.extend(site.findings);
        verdicts.extend(site.verdicts.into_iter().map(|(generation, snapshot, verdict)| {
            StoreVerdict { store: site.store.clone(), snapshot, generation, verdict }
        }));
    }
    VerifyReport {
        depth: request.depth,
        sample: request.sample,
        objects: counts.objects,
        checked_objects: counts.checked,
        checked_bytes: counts.bytes,
        vouched_objects: counts.vouched,
        raw_bytes: counts.raw_bytes,
        findings,
        verdicts,
        seconds,
        holdings,
    }
}

/// Nothing to check is not fine: there is no such snapshot, or none at all.
fn none_found(what: String) -> Error {
    Error::new(Kind::Failed, what)
}
