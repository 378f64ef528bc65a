//! Expiry: gathers what each store holds, asks the pure plan, and carries it out. Only whole
//! generations go, and only what drctl wrote.

mod removal;

use std::sync::Arc;

use serde::Serialize;

use super::retention::{self, Plan};
use crate::config::Keep;
use crate::error::{Error, Kind, Result};
use crate::integrity::history;
use crate::integrity::seal::Keys;
use crate::integrity::verified::{Depth, Record};
use crate::integrity::verify::Inventory;
use crate::model::{Event, GenerationId, Level, Sink, SnapshotId};
use crate::store::ObjectStore;

/// Manifests held at once.
const READERS: usize = 16;

/// What to prune.
pub struct PruneRequest {
    pub database: String,
    pub stores: Vec<Arc<dyn ObjectStore>>,
    pub keep: Keep,
    pub keys: Keys,
    /// A snapshot counts as intact after a check of at least this depth.
    pub least: Depth,
    pub sink: Arc<dyn Sink>,
}

/// Asked before each deletion: whether the lease is still held.
pub type Guard<'a> = &'a (dyn Fn() -> Result<()> + Send + Sync);

/// How much one generation holds in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Volume {
    pub generation: GenerationId,
    pub objects: u64,
    pub bytes: u64,
    /// Objects in it that drctl did not write: they stay.
    pub foreign: u64,
}

/// The plan for one store.
#[derive(Debug, Clone)]
pub struct StorePlan {
    pub store: String,
    /// What goes and what stays, each with the reason.
    pub plan: Plan,
    /// Every generation, oldest first.
    pub volumes: Vec<Volume>,
    /// Foreign objects in generations, the first of them by key.
    pub foreign: Vec<String>,
}

impl StorePlan {
    fn volume(&self, generation: &GenerationId) -> (u64, u64) {
        let found = self.volumes.iter().find(|v| v.generation == *generation);
        found.map_or((0, 0), |v| (v.objects, v.bytes))
    }

    /// Objects and bytes that would go.
    pub fn freed(&self) -> (u64, u64) {
        self.plan.remove.iter().fold((0, 0), |(objects, bytes), removal| {
            let (o, b) = self.volume(&removal.generation);
            (objects + o, bytes + b)
        })
    }
}

/// The plan over all stores.
#[derive(Debug)]
pub struct PrunePlan {
    pub stores: Vec<StorePlan>,
    /// Stores of which no plan can be made, so nothing is removed there.
    pub unplanned: Vec<(String, Error)>,
}

/// A generation that is gone from a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Removed {
    pub store: String,
    pub generation: GenerationId,
    pub snapshots: Vec<SnapshotId>,
    pub objects: u64,
    /// Foreign objects that were left.
    pub foreign: Vec<String>,
}

/// What was done.
#[derive(Debug, Default)]
pub struct PruneReport {
    pub removed: Vec<Removed>,
    /// Generations that were planned to go and stayed, since the store had changed: store,
    /// generation, why.
    pub spared: Vec<(String, GenerationId, String)>,
    /// Removals that failed; the next run goes on with them.
    pub failed: Vec<(String, GenerationId, Error)>,
}

/// What a store holds, as the plan wants it.
struct Gathered {
    generations: Vec<retention::Generation>,
    volumes: Vec<Volume>,
    foreign: Vec<String>,
}

async fn gather(request: &PruneRequest, store: &dyn ObjectStore) -> Result<Gathered> {
    let database = &request.database;
    let record = Record::read(store, database).await?;
    let mut gathered =
        Gathered { generations: Vec::new(), volumes: Vec::new(), foreign: Vec::new() };
    for id in history::generations(store, database).await? {
        let places = history::snapshots(store, database, &id).await?;
        let (mut snapshots, mut unreadable) = (Vec::new(), 0);
        // A few at a time: manifests of many tables are large.
        for some in places.chunks(READERS) {
            let reads = history::read_manifests(store, &request.keys, database, some.to_vec());
            for (place, read) in reads.await {
                match read {
                    Ok(manifest) => snapshots.push(retention::Snapshot {
                        verified: record.intact(&place.snapshot, request.least),
                        id: place.snapshot,
                        taken: manifest.taken,
                        sealed: true,
                    }),
                    Err(_) => unreadable += 1,
                }
            }
        }
        let inventory = Inventory::list(store, database, &id).await?;
        // What came between the two listings is not understood yet.
        unreadable += inventory.manifests.len().abs_diff(places.len());
        gathered.volumes.push(Volume {
            generation: id.clone(),
            objects: inventory.objects(),
            bytes: inventory.bytes,
            foreign: inventory.foreign_count,
        });
        gathered.foreign.extend(inventory.foreign.iter().map(|listed| listed.key.clone()));
        // Where only foreign objects are left, nothing is ours to remove.
        if let Some(changed) = inventory.changed {
            gathered.generations.push(retention::Generation { id, snapshots, unreadable, changed });
        }
    }
    Ok(gathered)
}

async fn plan_store(request: &PruneRequest, store: &dyn ObjectStore) -> Result<StorePlan> {
    let Gathered { generations, volumes, foreign } = gather(request, store).await?;
    let now = store.now().await?;
    let plan = retention::plan(&generations, &request.keep, now);
    Ok(StorePlan { store: store.name().to_owned(), plan, volumes, foreign })
}

/// What `apply` would remove from each store, and why the rest stays. Changes nothing.
pub async fn plan(request: &PruneRequest) -> Result<PrunePlan> {
    let mut plan = PrunePlan { stores: Vec::new(), unplanned: Vec::new() };
    for store in &request.stores {
        match plan_store(request, &**store).await {
            Ok(planned) => plan.stores.push(planned),
            Err(e) => plan.unplanned.push((store.name().to_owned(), e)),
        }
    }
    Ok(plan)
}

/// Carries a plan out: what it names and a plan made afresh still names is removed. A generation
/// whose removal fails is reported and the others go on; a guard that fails ends it all.
pub async fn apply(
    request: &PruneRequest,
    planned: &PrunePlan,
    guard: Guard<'_>,
) -> Result<PruneReport> {
    let mut report = PruneReport::default();
    for store in &request.stores {
        let Some(planned) = planned.stores.iter().find(|p| p.store == store.name()) else {
            continue;
        };
        if planned.plan.remove.is_empty() {
            continue;
        }
        guard()?;
        request.sink.emit(Event::Phase { name: format!("prune store `{}`", store.name()) });
        let fresh = match plan_store(request, &**store).await {
            Ok(fresh) => fresh,
            Err(e) => {
                let why = e.one_line();
                let spared = planned.plan.remove.iter().map(|removal| {
                    (store.name().to_owned(), removal.generation.clone(), why.clone())
                });
                report.spared.extend(spared);
                continue;
            }
        };
        for removal in &planned.plan.remove {
            let generation = removal.generation.clone();
            if !fresh.plan.remove.contains(removal) {
                let why = "the store has changed since the plan was made".to_owned();
                report.spared.push((store.name().to_owned(), generation, why));
                continue;
            }
            let (objects, _) = fresh.volume(&generation);
            match removal::remove(request, &**store, removal, objects, guard).await {
                Ok(removed) => {
                    request.sink.notice(
                        Level::Info,
                        format!(
                            "removed generation {generation} with {} snapshots and {} objects \
                             from store `{}`",
                            removed.snapshots.len(),
                            removed.objects,
                            store.name()
                        ),
                    );
                    report.removed.push(removed);
                }
                Err(removal::Stop::Guard(e)) => {
                    return Err(e.during("stop pruning: the lease is not known to be held"));
                }
                Err(removal::Stop::Spared(why)) => {
                    report.spared.push((store.name().to_owned(), generation, why));
                }
                Err(removal::Stop::Failed(e)) => {
                    report.failed.push((store.name().to_owned(), generation, e));
                }
            }
        }
    }
    Ok(report)
}

/// A broken promise of a store.
fn broken(what: String) -> Error {
    Error::new(Kind::Storage, what)
}

#[cfg(test)]
mod tests;
