//! What one store holds of one generation, from a listing, compactly: there may be millions.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt as _;

use super::scope::{self, Tallies};
use crate::model::{Digest, GenerationId, Kept, PartName, SnapshotId};
use crate::store::keys::{self, KeyKind};
use crate::store::{Listed, ObjectStore, StoreError};

/// Foreign objects remembered one by one; the others are counted.
const FOREIGN: usize = 1000;

/// A listed part.
#[derive(Debug, Clone, Copy)]
pub struct Held {
    pub name: PartName,
    pub size: u64,
    /// Last change, in seconds since 1970.
    pub modified: i64,
}

/// A listed object of another kind.
#[derive(Debug, Clone, Copy)]
pub struct Other {
    pub size: u64,
    pub modified: i64,
}

/// The objects of a generation as a store lists them.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Ordered by name.
    parts: Vec<Held>,
    pub lists: HashMap<Digest, Other>,
    pub schemas: HashMap<(SnapshotId, Kept), Other>,
    pub manifests: HashMap<SnapshotId, Other>,
    /// Objects that drctl does not write, up to `FOREIGN` of them.
    pub foreign: Vec<Listed>,
    pub foreign_count: u64,
    pub bytes: u64,
    /// By slice: of parts and schema archives.
    pub tallies: Tallies,
    /// The youngest change of anything that drctl wrote.
    pub changed: Option<DateTime<Utc>>,
}

impl Inventory {
    /// Lists a generation.
    pub async fn list(
        store: &dyn ObjectStore,
        database: &str,
        generation: &GenerationId,
    ) -> Result<Self, StoreError> {
        let parts_prefix = keys::parts_prefix(database, generation);
        let mut inventory = Self::default();
        let prefix = keys::generation_prefix(database, generation);
        let mut listing = store.list(&prefix);
        while let Some(listed) = listing.try_next().await? {
            inventory.add(listed, &parts_prefix);
        }
        // A listing is in the order of keys, which is nearly that of names.
        inventory.parts.sort_unstable_by_key(|held| held.name);
        Ok(inventory)
    }

    fn add(&mut self, listed: Listed, parts_prefix: &str) {
        let (size, modified) = (listed.size, listed.last_modified.timestamp());
        let other = Other { size, modified };
        if let Some(name) = listed.key.strip_prefix(parts_prefix).and_then(keys::parse_part) {
            self.tallies.add(scope::of_part(&name), &listed);
            self.parts.push(Held { name, size, modified });
        } else {
            match keys::parse(&listed.key) {
                Some(KeyKind::List { digest, .. }) => {
                    self.lists.insert(digest, other);
                }
                Some(KeyKind::Schema { snapshot, kept, .. }) => {
                    self.tallies.add(scope::of_archive(&snapshot), &listed);
                    self.schemas.insert((snapshot, kept), other);
                }
                Some(KeyKind::Manifest { snapshot, .. }) => {
                    self.manifests.insert(snapshot, other);
                }
                _ => {
                    self.foreign_count += 1;
                    if self.foreign.len() < FOREIGN {
                        self.foreign.push(listed);
                    }
                    return;
                }
            }
        }
        self.bytes += size;
        self.changed = self.changed.max(Some(listed.last_modified));
    }

    /// Every part, ordered by name.
    pub fn parts(&self) -> &[Held] {
        &self.parts
    }

    /// The place of a part in `parts`.
    pub fn find(&self, name: &PartName) -> Option<usize> {
        self.parts.binary_search_by(|held| held.name.cmp(name)).ok()
    }

    /// How many objects there are that drctl writes.
    pub fn objects(&self) -> u64 {
        (self.parts.len() + self.lists.len() + self.schemas.len() + self.manifests.len()) as u64
    }
}
