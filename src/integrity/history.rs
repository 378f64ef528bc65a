//! What snapshots a store holds: generations, manifests, part lists, each proven as it is read.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::lists;
use super::seal::{self, Keys};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{GenerationId, Manifest, PartList, SnapshotId, Table};
use crate::store::keys::{self, KeyKind};
use crate::store::{Class, ObjectStore};

/// Parallel requests when many manifests are read.
const READERS: usize = 16;

/// Where one snapshot's manifest lies in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub snapshot: SnapshotId,
    pub generation: GenerationId,
}

/// Which snapshots of a database are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Which {
    /// The newest.
    Latest,
    All,
    One(SnapshotId),
}

/// The generations of `database`, oldest first, whether or not any snapshot was finished in them.
pub async fn generations(store: &dyn ObjectStore, database: &str) -> Result<Vec<GenerationId>> {
    let mut found: Vec<GenerationId> = store
        .list_dirs(&keys::database_prefix(database))
        .await?
        .iter()
        .filter_map(|name| name.parse().ok())
        .collect();
    found.sort();
    Ok(found)
}

/// The snapshots of one generation that have a manifest, oldest first.
pub async fn snapshots(
    store: &dyn ObjectStore,
    database: &str,
    generation: &GenerationId,
) -> Result<Vec<Place>> {
    let prefix = keys::snapshots_prefix(database, generation);
    let mut found: Vec<Place> = store
        .list(&prefix)
        .try_filter_map(|listed| {
            std::future::ready(Ok(match keys::parse(&listed.key) {
                Some(KeyKind::Manifest { generation, snapshot, .. }) => {
                    Some(Place { snapshot, generation })
                }
                _ => None,
            }))
        })
        .try_collect()
        .await?;
    found.sort();
    Ok(found)
}

/// Every snapshot of `database` that has a manifest in the store, oldest first.
pub async fn places(store: &dyn ObjectStore, database: &str) -> Result<Vec<Place>> {
    let generations = generations(store, database).await?;
    let mut found: Vec<Place> = stream::iter(generations)
        .map(|generation| async move { snapshots(store, database, &generation).await })
        .buffer_unordered(READERS)
        .try_concat()
        .await?;
    found.sort();
    Ok(found)
}

/// Reads one manifest and proves its seal, its format and that it is the one asked for.
pub async fn read_manifest(
    store: &dyn ObjectStore,
    keys: &Keys,
    database: &str,
    place: &Place,
) -> Result<Manifest> {
    let key = keys::manifest_key(database, &place.generation, &place.snapshot);
    let during = |e: Error| e.during(format!("read {key} in store `{}`", store.name()));
    let object = store.get(&key).await.map_err(|e| during(e.into()))?;
    prove_manifest(&object.bytes, keys, database, place).map_err(during)
}

/// Proves a manifest's bytes: its seal, its format and that it is the one of this place.
pub fn prove_manifest(
    bytes: &[u8],
    keys: &Keys,
    database: &str,
    place: &Place,
) -> Result<Manifest> {
    let manifest = seal::open(bytes, keys)?;
    if manifest.id != place.snapshot
        || manifest.generation != place.generation
        || manifest.database != database
    {
        return Err(Error::new(
            Kind::Damaged,
            format!(
                "it is the manifest of snapshot {} of `{}` in generation {}",
                manifest.id, manifest.database, manifest.generation
            ),
        ));
    }
    Ok(manifest)
}

/// A manifest, or why it could not be had.
pub type Read = (Place, Result<Manifest>);

/// Reads many manifests side by side; the order is kept.
pub async fn read_manifests(
    store: &dyn ObjectStore,
    keys: &Keys,
    database: &str,
    places: Vec<Place>,
) -> Vec<Read> {
    stream::iter(places)
        .map(|place| async move {
            let manifest = read_manifest(store, keys, database, &place).await;
            (place, manifest)
        })
        .buffered(READERS)
        .collect()
        .await
}

/// The newest snapshot of `database` in the store whose manifest can be read and proven, and the
/// newer ones that cannot.
pub async fn newest(
    store: &dyn ObjectStore,
    keys: &Keys,
    database: &str,
) -> Result<(Option<Manifest>, Vec<(Place, Error)>)> {
    let mut broken = Vec::new();
    for generation in generations(store, database).await?.iter().rev() {
        for place in snapshots(store, database, generation).await?.into_iter().rev() {
            match read_manifest(store, keys, database, &place).await {
                Ok(manifest) => return Ok((Some(manifest), broken)),
                // A store that went away says nothing about its manifests.
                Err(e) if e.kind() == Kind::Storage && !is_not_found(&e) => return Err(e),
                Err(e) => broken.push((place, e)),
            }
        }
    }
    Ok((None, broken))
}

fn is_not_found(e: &Error) -> bool {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(e);
    while let Some(c) = cause {
        if let Some(s) = c.downcast_ref::<crate::store::StoreError>() {
            return s.class == Class::NotFound;
        }
        cause = c.source();
    }
    false
}

/// Reads a table's part list and proves both of its digests and the sums that the manifest names.
pub async fn read_list(
    store: &dyn ObjectStore,
    manifest: &Manifest,
    table: &Table,
) -> Result<PartList> {
    let key = keys::list_key(&manifest.database, &manifest.generation, table.list);
    let during = |e: Error| {
        e.during(format!("read the part list of {} in store `{}`", table.name, store.name()))
    };
    let object = store.get(&key).await.map_err(|e| during(e.into()))?;
    let stored = object.bytes;
    let promise = lists::Promise::of(table);
    // Large lists take a while to read.
    tokio::task::spawn_blocking(move || lists::open(&stored, &promise))
        .await
        .attempt(Kind::Bug, || "read a part list on another thread".to_owned())?
        .map_err(during)
}

/// Proves a stored part list against its line in the manifest.
pub fn open_list(stored: &[u8], table: &Table) -> Result<PartList> {
    lists::open(stored, &lists::Promise::of(table))
}
