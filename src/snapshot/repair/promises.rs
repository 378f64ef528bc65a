//! What the objects that are not as promised should be, from whichever store tells it proven.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::Arc;

use super::{Act, Mend, RepairRequest};
use crate::integrity::history::{self, Place};
use crate::integrity::seal::Keys;
use crate::integrity::verify::tasks;
use crate::model::{Digest, Finding, Manifest, PartList};
use crate::store::{ObjectStore, keys};

/// What an object has to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Promise {
    Bytes {
        size: u64,
        sha256: Digest,
    },
    /// A manifest is proven by its own seal, and by where it lies.
    Manifest(Place),
}

impl Promise {
    /// Whether these bytes are what was promised.
    pub fn holds(&self, bytes: &[u8], keys: &Keys, database: &str) -> bool {
        match self {
            Self::Bytes { size, sha256 } => {
                bytes.len() as u64 == *size && Digest::of(bytes) == *sha256
            }
            Self::Manifest(place) => history::prove_manifest(bytes, keys, database, place).is_ok(),
        }
    }
}

/// The promises over the objects that were asked for.
#[derive(Default)]
pub struct Promises {
    known: BTreeMap<String, Promise>,
    /// By key, the stores that were seen to hold a manifest as it was sealed.
    holders: BTreeMap<String, Vec<Arc<dyn ObjectStore>>>,
}

impl Promises {
    pub async fn gather<'k>(
        request: &RepairRequest,
        places: &[Place],
        wanted: impl Iterator<Item = &'k String>,
    ) -> Self {
        let wanted: HashSet<&String> = wanted.collect();
        let mut promises = Self::default();
        if wanted.is_empty() {
            return promises;
        }
        let database = &request.database;
        let mut seen = BTreeSet::new();
        for place in places {
            let key = keys::manifest_key(database, &place.generation, &place.snapshot);
            let mut manifest = None;
            for store in &request.stores {
                let read = history::read_manifest(&**store, &request.keys, database, place).await;
                if let Ok(read) = read {
                    promises.holders.entry(key.clone()).or_default().push(Arc::clone(store));
                    manifest.get_or_insert(read);
                }
            }
            if wanted.contains(&key) {
                promises.known.insert(key, Promise::Manifest(place.clone()));
            }
            if let Some(manifest) = manifest {
                promises.of_manifest(request, &manifest, &wanted, &mut seen).await;
            }
        }
        promises
    }

    async fn of_manifest(
        &mut self,
        request: &RepairRequest,
        manifest: &Manifest,
        wanted: &HashSet<&String>,
        seen: &mut BTreeSet<(String, Digest)>,
    ) {
        let (database, generation) = (&manifest.database, &manifest.generation);
        let mut note = |key: String, size: u64, sha256: Digest| {
            if wanted.contains(&key) {
                self.known.insert(key, Promise::Bytes { size, sha256 });
            }
        };
        let schema = &manifest.schema;
        note(
            keys::schema_key(database, generation, &manifest.id, manifest.kept()),
            schema.stored,
            schema.stored_digest,
        );
        for table in &manifest.tables {
            let key = keys::list_key(database, generation, table.list);
            // Tables that did not change share their list with earlier snapshots.
            if !seen.insert((key.clone(), table.list_stored_digest)) {
                continue;
            }
            note(key, table.list_stored, table.list_stored_digest);
            let mut list: Option<PartList> = None;
            for store in &request.stores {
                if let Ok(read) = history::read_list(&**store, manifest, table).await {
                    list = Some(read);
                    break;
                }
            }
            for task in list.iter().flat_map(tasks) {
                let key = keys::part_key(database, generation, task.name);
                note(key, task.stored, task.stored_digest);
            }
        }
    }

    /// Another store that has this manifest as it was sealed.
    pub fn holder(
        &self,
        request: &RepairRequest,
        but: &str,
        key: &str,
    ) -> Option<&Arc<dyn ObjectStore>> {
        let holders = self.holders.get(key)?;
        let near =
            |s: &&Arc<dyn ObjectStore>| request.stores.iter().position(|r| r.name() == s.name());
        holders.iter().filter(|store| store.name() != but).min_by_key(near)
    }

    /// What an object needs: the nearest other store that has it as promised mends it.
    pub async fn mend(
        &self,
        request: &RepairRequest,
        store: String,
        key: String,
        findings: &[&Finding],
        missing: bool,
    ) -> Mend {
        let tables: BTreeSet<String> = findings.iter().filter_map(|f| f.table.clone()).collect();
        let snapshots: BTreeSet<String> =
            findings.iter().filter_map(|f| f.snapshot.clone()).collect();
        let promise = self.known.get(&key).cloned();
        let mut bytes = 0;
        let mut why = Vec::new();
        let mut act = None;
        match &promise {
            None => {
                why.push("no manifest or part list that can be read tells what it was".to_owned())
            }
            Some(promise) => {
                for other in request.stores.iter().filter(|other| other.name() != store) {
                    match other.get(&key).await {
                        Ok(object)
                            if promise.holds(&object.bytes, &request.keys, &request.database) =>
                        {
                            bytes = object.bytes.len() as u64;
                            let from = other.name().to_owned();
                            act = Some(match missing {
                                true => Act::Bring { from },
                                false => Act::Replace { from },
                            });
                            break;
                        }
                        Ok(_) => why.push(format!("store `{}` has it damaged too", other.name())),
                        Err(e) => why.push(format!(
                            "store `{}`: {}",
                            other.name(),
                            crate::error::Error::from(e).one_line()
                        )),
                    }
                }
                if request.stores.len() < 2 {
                    why.push("there is no other store to mend it from".to_owned());
                }
            }
        }
        Mend {
            store,
            key,
            bytes,
            tables: tables.into_iter().collect(),
            snapshots: snapshots.into_iter().collect(),
            act: act.unwrap_or(Act::Lost { why: why.join("; ") }),
            promise,
        }
    }
}
