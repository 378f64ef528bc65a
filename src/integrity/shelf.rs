//! The shelf: every snapshot of a database over all stores, and where each is whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;

use super::history::{self, Place};
use super::seal::Keys;
use super::verified::{Depth, Record};
use crate::error::{Error, Kind, Result};
use crate::model::{GenerationId, Manifest, SnapshotId, Totals};
use crate::store::ObjectStore;

/// Manifests read at once from each store.
const READERS: usize = 16;

/// How a snapshot stands in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum State {
    /// Its manifest, which is written last, is there and sealed.
    Complete,
    /// Its manifest is there and is not what was sealed.
    Damaged { why: String },
    /// Its manifest could not be read, or not be trusted.
    Unverified { why: String },
    /// It is not there, though its manifest elsewhere names this store.
    Missing,
    /// It is not there and was not to be.
    Absent,
    /// The store could not be reached.
    Unreachable,
}

/// A snapshot's share in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Share {
    pub store: String,
    #[serde(flatten)]
    pub state: State,
    /// When a check of any depth last found it intact here; none also where damage stands.
    pub verified: Option<DateTime<Utc>>,
    /// A check found damage that still stands.
    pub found_damaged: bool,
}

/// What a listing tells of a snapshot from its manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Facts {
    pub taken: DateTime<Utc>,
    /// The stores that were to have it.
    pub stores: Vec<String>,
    pub totals: Totals,
}

/// One snapshot on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shelved {
    pub id: SnapshotId,
    pub generation: GenerationId,
    /// None: no store has a manifest that can be read.
    pub facts: Option<Facts>,
    /// In the order of the stores.
    pub shares: Vec<Share>,
}

impl Shelved {
    /// The stores that have it complete.
    pub fn complete_in(&self) -> impl Iterator<Item = &str> {
        self.shares.iter().filter(|s| s.state == State::Complete).map(|s| s.store.as_str())
    }

    /// What is wrong with it, by store.
    pub fn troubles(&self) -> Vec<String> {
        let trouble = |share: &Share| match &share.state {
            State::Damaged { why } | State::Unverified { why } => Some(why.clone()),
            State::Missing => Some(format!("it is not in store `{}`", share.store)),
            State::Unreachable => Some(format!("store `{}` does not answer", share.store)),
            State::Complete | State::Absent => None,
        };
        self.shares.iter().filter_map(trouble).collect()
    }

    /// When it began to be taken, or the moment it shows where the manifest tells.
    pub fn taken(&self) -> DateTime<Utc> {
        self.facts.as_ref().map_or_else(|| self.id.began(), |facts| facts.taken)
    }
}

/// Every snapshot of one database.
#[derive(Debug, Clone, Serialize)]
pub struct Shelf {
    pub database: String,
    /// Oldest first.
    pub snapshots: Vec<Shelved>,
    /// Stores that could not be listed, and why.
    pub unreachable: Vec<(String, String)>,
}

/// One manifest as a store has it.
type Seen = (Place, std::result::Result<Facts, State>);

struct Shown {
    store: String,
    seen: Result<Vec<Seen>>,
    record: Record,
}

async fn look(store: &Arc<dyn ObjectStore>, keys: &Keys, database: &str) -> Shown {
    let seen = async {
        let places = history::places(&**store, database).await?;
        let reads = stream::iter(places).map(async |place| {
            let read = history::read_manifest(&**store, keys, database, &place).await;
            let facts = read.map(|m| Facts { taken: m.taken, stores: m.stores, totals: m.totals });
            (place, facts.map_err(|e| state_of(&e)))
        });
        Ok(reads.buffered(READERS).collect().await)
    };
    let seen = seen.await;
    // Without it nothing counts as verified.
    let record = match &seen {
        Ok(_) => Record::read(&**store, database).await.unwrap_or_default(),
        Err(_) => Record::default(),
    };
    Shown { store: store.name().to_owned(), seen, record }
}

fn state_of(e: &Error) -> State {
    match e.kind() {
        Kind::Damaged => State::Damaged { why: e.one_line() },
        _ => State::Unverified { why: e.one_line() },
    }
}

/// Looks at every store at once. A store that cannot be listed is told of; only if none can is that
/// an error.
pub async fn shelf(stores: &[Arc<dyn ObjectStore>], keys: &Keys, database: &str) -> Result<Shelf> {
    let shown = join_all(stores.iter().map(|store| look(store, keys, database))).await;
    let mut unreachable = Vec::new();
    let mut by_id: BTreeMap<SnapshotId, Shelved> = BTreeMap::new();
    for Shown { store, seen, .. } in &shown {
        match seen {
            Err(e) => unreachable.push((store.clone(), e.one_line())),
            Ok(seen) => {
                for (place, facts) in seen {
                    let shelved = by_id.entry(place.snapshot.clone()).or_insert_with(|| Shelved {
                        id: place.snapshot.clone(),
                        generation: place.generation.clone(),
                        facts: None,
                        shares: Vec::new(),
                    });
                    if let (None, Ok(facts)) = (&shelved.facts, facts) {
                        shelved.facts = Some(facts.clone());
                        shelved.generation = place.generation.clone();
                    }
                }
            }
        }
    }
    for shown in shown {
        shelve(&mut by_id, shown);
    }
    if unreachable.len() == stores.len() && !stores.is_empty() {
        let told = unreachable.iter().map(|(name, why)| format!("store `{name}`: {why}"));
        return Err(Error::new(
            Kind::Storage,
            format!("no store could be listed: {}", told.collect::<Vec<_>>().join("; ")),
        )
        .hint("`drctl doctor` looks at each store"));
    }
    let snapshots = by_id.into_values().collect();
    Ok(Shelf { database: database.to_owned(), snapshots, unreachable })
}

/// Adds one store's share to every snapshot.
fn shelve(by_id: &mut BTreeMap<SnapshotId, Shelved>, shown: Shown) {
    let Shown { store, seen, record } = shown;
    let mut here: Option<BTreeMap<SnapshotId, State>> = seen.ok().map(|seen| {
        let state = |facts: std::result::Result<Facts, State>| match facts {
            Ok(_) => State::Complete,
            Err(state) => state,
        };
        seen.into_iter().map(|(place, facts)| (place.snapshot, state(facts))).collect()
    });
    for shelved in by_id.values_mut() {
        let named = shelved.facts.as_ref().is_some_and(|f| f.stores.contains(&store));
        let state = match &mut here {
            None => State::Unreachable,
            Some(here) => here.remove(&shelved.id).unwrap_or_else(|| {
                match named && !record.was_removed(&shelved.generation) {
                    true => State::Missing,
                    false => State::Absent,
                }
            }),
        };
        shelved.shares.push(Share {
            store: store.clone(),
            state,
            verified: record.intact(&shelved.id, Depth::Listing),
            found_damaged: record.is_damaged(&shelved.id),
        });
    }
}

impl Shelf {
    /// The newest snapshot that is complete in some store.
    pub fn latest(&self) -> Option<&Shelved> {
        self.snapshots.iter().rfind(|s| s.complete_in().next().is_some())
    }

    /// The snapshots that were begun later, oldest first.
    pub fn newer_than(&self, id: &SnapshotId) -> impl Iterator<Item = &Shelved> {
        self.snapshots.iter().filter(move |s| s.id > *id)
    }

    /// Finds a snapshot by `latest`, its id, or the beginning of its id that no other shares.
    ///
    /// `Kind::Usage` with the nearest id if there is none, or with all candidates if several.
    pub fn resolve(&self, text: &str) -> Result<&Shelved> {
        if text == "latest" {
            return self.latest().ok_or_else(|| self.nothing());
        }
        let mut found = self.snapshots.iter().filter(|s| s.id.as_str() == text);
        if let Some(exact) = found.next() {
            return Ok(exact);
        }
        let matching: Vec<&Shelved> = match text.is_empty() {
            true => Vec::new(),
            false => self.snapshots.iter().filter(|s| s.id.as_str().starts_with(text)).collect(),
        };
        match matching.as_slice() {
            [one] => Ok(one),
            [] if self.snapshots.is_empty() => Err(self.nothing()),
            [] => {
                let mut error = unknown(text, self.snapshots.iter().map(|s| s.id.as_str()));
                if let [(store, why), ..] = self.unreachable.as_slice() {
                    error = error.caused_by(format!("store `{store}` could not be asked: {why}"));
                }
                Err(error)
            }
            [first, .., last] => Err(Error::new(
                Kind::Usage,
                format!("{} snapshots begin with `{text}`", matching.len()),
            )
            .hint(format!("give more of the id: they run from {} to {}", first.id, last.id))),
        }
    }

    fn nothing(&self) -> Error {
        let what = format!("there is no complete snapshot of `{}` in any store", self.database);
        let error = Error::new(Kind::Failed, what);
        match self.unreachable.as_slice() {
            [] => error.hint(format!("take one with `drctl snapshot {}`", self.database)),
            [(store, why), ..] => {
                error.caused_by(format!("store `{store}` could not be asked: {why}"))
            }
        }
    }
}

/// The manifest of a snapshot, from the first store that gives a proven one; else the first reason
/// why a store that has it does not.
pub async fn manifest(
    stores: &[Arc<dyn ObjectStore>],
    keys: &Keys,
    database: &str,
    shelved: &Shelved,
) -> Result<(Arc<dyn ObjectStore>, Manifest)> {
    let place = Place { snapshot: shelved.id.clone(), generation: shelved.generation.clone() };
    let state = |store: &str| shelved.shares.iter().find(|s| s.store == store).map(|s| &s.state);
    let mut there: Vec<_> = stores
        .iter()
        .filter(|store| {
            let state = state(store.name());
            state.is_some_and(|s| !matches!(s, State::Missing | State::Absent | State::Unreachable))
        })
        .collect();
    there.sort_by_key(|store| state(store.name()) != Some(&State::Complete));
    let mut first = None;
    for store in there {
        match history::read_manifest(&**store, keys, database, &place).await {
            Ok(manifest) => return Ok((Arc::clone(store), manifest)),
            Err(e) => _ = first.get_or_insert(e),
        }
    }
    let error = first.unwrap_or_else(|| {
        let what = format!("no store has a manifest of snapshot {} that can be read", shelved.id);
        Error::new(Kind::Unverified, what)
    });
    match error.advice() {
        Some(_) => Err(error),
        None => Err(error.hint(format!(
            "`drctl verify {database} --snapshot all` tells what each store has; an earlier \
             snapshot may be whole"
        ))),
    }
}

/// There is no such snapshot; the nearest id is suggested.
pub fn unknown<'a>(given: &str, known: impl Iterator<Item = &'a str>) -> Error {
    let nearest = known
        .map(|id| (strsim::damerau_levenshtein(given, id), id))
        .min_by_key(|(distance, id)| (*distance, std::cmp::Reverse(*id)));
    let error = Error::new(Kind::Usage, format!("there is no snapshot `{given}`"));
    match nearest {
        _ if given == "all" => error.hint("give one id, the beginning of one, or `latest`"),
        _ if strsim::damerau_levenshtein(given, "latest") <= 2 => error.hint("is `latest` meant?"),
        Some((_, id)) => error.hint(format!("the nearest is `{id}`; `drctl list` shows all")),
        None => error.hint("`drctl list` shows what there is"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::specimen::World;
    use crate::store::fault::{Fault, FaultyStore, Op};
    use crate::store::{Class, MemoryStore, keys};

    fn states(shelf: &Shelf, store: &str) -> Vec<State> {
        let share = |s: &Shelved| s.shares.iter().find(|s| s.store == store).unwrap().state.clone();
        shelf.snapshots.iter().map(share).collect()
    }

    #[tokio::test]
    async fn it_tells_where_each_snapshot_is_whole() {
        let world = World::new().await;
        let west = world.store("west");
        let key = |i: usize| {
            let manifest = &world.manifests[i];
            keys::manifest_key("petforce", &manifest.generation, &manifest.id)
        };
        west.overwrite(&key(0), "{}");
        west.delete(&[key(1)]).await.unwrap();
        let lost = FaultyStore::new(Arc::new(world.store("south")));
        lost.always(Op::ListDirs, Fault::Fail(Class::Transient));
        lost.always(Op::List, Fault::Fail(Class::Transient));
        let stores: [Arc<dyn ObjectStore>; 3] =
            [Arc::new(world.store("east")), Arc::new(west), Arc::new(lost.clone())];
        let shelf = shelf(&stores, &Keys::default(), "petforce").await.unwrap();
        assert_eq!(states(&shelf, "east"), vec![State::Complete; 3]);
        assert_eq!(states(&shelf, "south"), vec![State::Unreachable; 3]);
        assert!(
            matches!(
                states(&shelf, "west").as_slice(),
                [State::Damaged { .. }, State::Missing, State::Complete]
            ),
            "{shelf:#?}"
        );
        assert_eq!(shelf.unreachable[0].0, "south");
        let facts = shelf.snapshots[2].facts.as_ref().unwrap();
        assert_eq!(facts.totals, world.manifests[2].totals);
        assert_eq!(shelf.latest().unwrap().id, world.manifests[2].id);
        let (from, read) =
            manifest(&stores[1..], &Keys::default(), "petforce", &shelf.snapshots[2])
                .await
                .unwrap();
        assert_eq!((from.name(), &read), ("west", &world.manifests[2]));

        let e = super::shelf(&[Arc::new(lost)], &Keys::default(), "petforce").await.unwrap_err();
        assert_eq!(e.kind(), Kind::Storage);
    }

    #[tokio::test]
    async fn snapshots_are_found_by_what_people_type() {
        let world = World::new().await;
        let stores: [Arc<dyn ObjectStore>; 1] = [Arc::new(world.store("east"))];
        let shelf = shelf(&stores, &Keys::default(), "petforce").await.unwrap();
        let find = |text: &str| shelf.resolve(text).map(|s| s.id.to_string());
        assert_eq!(find("latest").unwrap(), "20261122T120000Z-000abc");
        assert_eq!(find("20261122T110000Z-000abc").unwrap(), "20261122T110000Z-000abc");
        assert_eq!(find("20261122T11").unwrap(), "20261122T110000Z-000abc");
        let e = find("20261122").unwrap_err();
        assert_eq!((e.kind(), e.what()), (Kind::Usage, "3 snapshots begin with `20261122`"));
        let e = find("20261122T11000Z-000abc").unwrap_err();
        let hint = "the nearest is `20261122T110000Z-000abc`; `drctl list` shows all";
        assert_eq!((e.kind(), e.advice()), (Kind::Usage, Some(hint)));
        assert!(find("").is_err());
        let empty: [Arc<dyn ObjectStore>; 1] = [Arc::new(MemoryStore::new("east"))];
        let shelf = super::shelf(&empty, &Keys::default(), "petforce").await.unwrap();
        assert_eq!(shelf.resolve("latest").unwrap_err().kind(), Kind::Failed);
    }
}
