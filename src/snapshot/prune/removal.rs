//! Removing one generation: its manifests, oldest first, and when all are gone, what they named.

use futures_util::TryStreamExt as _;

use super::{Guard, PruneRequest, Removed, broken};
use crate::error::{Error, Result};
use crate::integrity::history;
use crate::integrity::verified::Record;
use crate::integrity::verify::Inventory;
use crate::snapshot::retention::Removal;
use crate::store::{ObjectStore, keys};

/// Objects deleted in one request: S3's DeleteObjects takes up to 1000 keys.
const BATCH: usize = 1000;

/// Why a removal ended early.
pub enum Stop {
    /// The lease is not held any more.
    Guard(Error),
    /// The generation is not what the plan saw.
    Spared(String),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(e: Error) -> Self {
        Self::Failed(e)
    }
}

impl From<crate::store::StoreError> for Stop {
    fn from(e: crate::store::StoreError) -> Self {
        Self::Failed(e.into())
    }
}

/// Removes a generation that a fresh plan gives up. `objects` is how many that plan saw.
pub async fn remove(
    request: &PruneRequest,
    store: &dyn ObjectStore,
    removal: &Removal,
    objects: u64,
    guard: Guard<'_>,
) -> Result<Removed, Stop> {
    let (database, generation) = (&request.database, &removal.generation);
    let seen = Inventory::list(store, database, generation).await?;
    let same = seen.objects() == objects
        && seen.manifests.len() == removal.snapshots.len()
        && removal.snapshots.iter().all(|id| seen.manifests.contains_key(id));
    if !same {
        return Err(Stop::Spared("it changed while the store was pruned".to_owned()));
    }
    drop(seen);
    let now = store.now().await?;
    // Said first, so that nobody misses what goes. What is known of its snapshots stays until they
    // are gone: a run after a crash judges the rest by it.
    let mark = |record: &mut Record| record.note_removed(generation, &[], now);
    Record::update(store, database, mark).await?;
    for snapshot in &removal.snapshots {
        guard().map_err(Stop::Guard)?;
        store.delete(&[keys::manifest_key(database, generation, snapshot)]).await?;
    }
    let left = history::snapshots(store, database, generation).await?;
    if !left.is_empty() {
        let what = format!(
            "{} manifests of generation {generation} are still in store `{}`",
            left.len(),
            store.name()
        );
        return Err(Stop::Failed(broken(what).hint(
            "if the bucket holds objects under lock, they go when the lock ends; prune again then",
        )));
    }
    let (deleted, foreign) = sweep(request, store, removal, guard).await?;
    Record::remember(store, database, &*request.sink, |record| {
        record.note_removed(generation, &removal.snapshots, now);
    })
    .await;
    Ok(Removed {
        store: store.name().to_owned(),
        generation: generation.clone(),
        snapshots: removal.snapshots.clone(),
        objects: deleted + removal.snapshots.len() as u64,
        foreign,
    })
}

/// Deletes whatever drctl wrote below the generation, batch by batch; foreign objects stay.
async fn sweep(
    request: &PruneRequest,
    store: &dyn ObjectStore,
    removal: &Removal,
    guard: Guard<'_>,
) -> Result<(u64, Vec<String>), Stop> {
    let prefix = keys::generation_prefix(&request.database, &removal.generation);
    let (mut deleted, mut foreign) = (0, Vec::new());
    // What is deleted is behind the listing, which goes on by key.
    let mut listing = store.list(&prefix);
    loop {
        let mut batch = Vec::new();
        while batch.len() < BATCH {
            let Some(listed) = listing.try_next().await? else { break };
            match keys::parse(&listed.key) {
                // A snapshot committed just now: the rest is its.
                Some(keys::KeyKind::Manifest { .. }) => {
                    return Err(Stop::Spared(
                        "a snapshot was committed in it meanwhile".to_owned(),
                    ));
                }
                Some(_) => batch.push(listed.key),
                None => foreign.push(listed.key),
            }
        }
        if batch.is_empty() {
            return Ok((deleted, foreign));
        }
        guard().map_err(Stop::Guard)?;
        store.delete(&batch).await?;
        deleted += batch.len() as u64;
    }
}
