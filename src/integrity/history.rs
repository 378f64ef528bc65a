//! What snapshots a store holds: generations, manifests, part lists, each proven as it is read.

use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::codec;
use super::seal::{self, Keys};
use crate::error::{Error, Kind, Result};
use crate::model::{Digest, GenerationId, Manifest, PartList, SnapshotId, Table};
use crate::store::keys::{self, KeyKind};
use crate::store::{Class, ObjectStore};

/// Parallel requests when many manifests are read.
const READERS: usize = 16;

/// A part list larger than this is not believed: 2^32 heap blocks in ranges of 128 make 2^25 parts.
const LIST_LIMIT: u64 = 16 << 30;

/// Where one snapshot's manifest lies in a store.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub snapshot: SnapshotId,
    pub generation: GenerationId,
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
        .try_filter_map(async |listed| {
            Ok(match keys::parse(&listed.key) {
                Some(KeyKind::Manifest { generation, snapshot, .. }) => {
                    Some(Place { snapshot, generation })
                }
                _ => None,
            })
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
    let manifest = seal::open(&object.bytes, keys).map_err(during)?;
    if manifest.id != place.snapshot
        || manifest.generation != place.generation
        || manifest.database != database
    {
        return Err(during(Error::new(
            Kind::Damaged,
            format!(
                "it is the manifest of snapshot {} of `{}` in generation {}",
                manifest.id, manifest.database, manifest.generation
            ),
        )));
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
    let list = open_list(&object.bytes, table).map_err(during)?;
    Ok(list)
}

/// Proves a stored part list against its line in the manifest.
pub fn open_list(stored: &[u8], table: &Table) -> Result<PartList> {
    let damaged = |why: String| Error::new(Kind::Damaged, why);
    let seen = Digest::of(stored);
    if seen != table.list_stored_digest {
        let promised = table.list_stored_digest;
        return Err(damaged(format!("its stored SHA-256 is {seen}, {promised} is promised")));
    }
    let json = codec::decompress_document(stored, LIST_LIMIT)?;
    if Digest::of(&json) != table.list {
        return Err(damaged("its SHA-256 is not the one in its name".to_owned()));
    }
    let list: PartList = serde_json::from_slice(&json)
        .map_err(|e| damaged("it is not a part list".to_owned()).caused_by(e))?;
    let rows: u64 = list.parts.iter().map(|p| p.rows).sum();
    if list.parts.len() as u64 != table.parts || rows != table.rows {
        return Err(damaged(format!(
            "it names {} parts with {rows} rows, the manifest {} with {}",
            list.parts.len(),
            table.parts,
            table.rows
        )));
    }
    Ok(list)
}
