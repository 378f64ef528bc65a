//! What was looked at when: kept in each store as state, so that the next audit goes on where this
//! one ended, on any machine.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::integrity::remembered;
use crate::integrity::verified::Depth;
use crate::integrity::verify::scope::{Covered, Fingerprint, SLICES, Slice};
use crate::model::{FORMAT, GenerationId};
use crate::store::{ObjectStore, keys};

/// Writers that came between are waited out so many times: every worker writes.
const TRIES: usize = 64;

/// When each slice of a generation was looked at last, and what its listing was then.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Looks {
    /// Seconds since 1970 by slice (two hexadecimal digits); one that is not there never was.
    #[serde(default)]
    at: BTreeMap<String, i64>,
    /// 32 hexadecimal digits by slice.
    #[serde(default)]
    fingerprints: BTreeMap<String, String>,
}

fn name(slice: Slice) -> String {
    format!("{slice:02x}")
}

fn hex(fingerprint: &Fingerprint) -> String {
    fingerprint.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Looks {
    pub fn at(&self, slice: Slice) -> Option<DateTime<Utc>> {
        DateTime::from_timestamp(*self.at.get(&name(slice))?, 0)
    }

    fn note(&mut self, covered: &Covered, at: DateTime<Utc>) {
        let slice = name(covered.slice);
        let seen = self.at.entry(slice.clone()).or_insert(i64::MIN);
        *seen = at.timestamp().max(*seen);
        match &covered.fingerprint {
            Some(fingerprint) => self.fingerprints.insert(slice, hex(fingerprint)),
            None => self.fingerprints.remove(&slice),
        };
    }
}

/// The looks at one database in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    format: u32,
    #[serde(default)]
    generations: BTreeMap<GenerationId, BTreeMap<Depth, Looks>>,
}

impl Default for Coverage {
    fn default() -> Self {
        Self { format: FORMAT, generations: BTreeMap::new() }
    }
}

fn key(database: &str) -> String {
    keys::state_key(&format!("audited-{database}"))
}

impl Coverage {
    /// Reads it; one that was never written, or that is spoilt, is empty: then everything is looked
    /// at anew.
    pub async fn read(store: &dyn ObjectStore, database: &str) -> Result<Self> {
        Ok(remembered::read(store, &key(database)).await?.0)
    }

    /// Changes it by compare-and-swap.
    async fn update(
        store: &dyn ObjectStore,
        database: &str,
        change: impl Fn(&mut Self),
    ) -> Result<()> {
        remembered::update(store, &key(database), TRIES, change).await
    }

    /// Notes slices that were looked at.
    pub async fn note(
        store: &dyn ObjectStore,
        database: &str,
        generation: &GenerationId,
        depth: Depth,
        slices: &[Covered],
        at: DateTime<Utc>,
    ) -> Result<()> {
        Self::update(store, database, |coverage| {
            let depths = coverage.generations.entry(generation.clone()).or_default();
            // Whoever has read an object has also compared its checksum.
            for depth in [Depth::Checksums, Depth::Content].into_iter().filter(|d| *d <= depth) {
                let looks = depths.entry(depth).or_default();
                slices.iter().for_each(|covered| looks.note(covered, at));
            }
        })
        .await
    }

    /// Forgets generations that are no longer there.
    pub async fn keep_only(
        store: &dyn ObjectStore,
        database: &str,
        there: &BTreeSet<GenerationId>,
    ) -> Result<()> {
        Self::update(store, database, |coverage| {
            let newest = there.last();
            coverage.generations.retain(|id, _| there.contains(id) || Some(id) > newest);
        })
        .await
    }

    /// When a slice was last looked at, at this depth or deeper.
    pub fn at(
        &self,
        generation: &GenerationId,
        depth: Depth,
        slice: Slice,
    ) -> Option<DateTime<Utc>> {
        self.generations.get(generation)?.get(&depth)?.at(slice)
    }

    /// Whether the slice had this fingerprint when its checksums were compared.
    pub fn vouches(&self, generation: &GenerationId, slice: Slice, seen: &Fingerprint) -> bool {
        let looks = self.generations.get(generation).and_then(|d| d.get(&Depth::Checksums));
        looks.and_then(|l| l.fingerprints.get(&name(slice))).is_some_and(|f| *f == hex(seen))
    }
}

/// How old the looks at the slices of a store are, by what they hold.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Ages {
    /// Bytes that were looked at within a day, a week, a month, and before that.
    pub day: u64,
    pub week: u64,
    pub month: u64,
    pub older: u64,
    pub never: u64,
    /// The oldest look at anything that is there; none where something never was looked at.
    pub oldest: Option<DateTime<Utc>>,
    /// Bytes whose last look is longer ago than it may be, or never was.
    pub overdue: u64,
}

impl Ages {
    pub fn total(&self) -> u64 {
        self.day + self.week + self.month + self.older + self.never
    }
}

/// The ages of everything in one store, from its listing.
pub fn ages(
    coverage: &Coverage,
    held: &BTreeMap<GenerationId, Vec<u64>>,
    depth: Depth,
    within: chrono::TimeDelta,
    now: DateTime<Utc>,
) -> Ages {
    let mut ages = Ages::default();
    let mut oldest = Some(now);
    for (generation, bytes) in held {
        for slice in (0..SLICES).filter(|slice| bytes[*slice] > 0) {
            let size = bytes[slice];
            // There are as many slices as a byte has values.
            let at = coverage.at(generation, depth, slice as Slice);
            // What was written within the time need not have been looked at yet.
            let since = at.unwrap_or(generation.began());
            ages.overdue += if now - since > within { size } else { 0 };
            oldest = oldest.zip(at).map(|(a, b)| a.min(b));
            let Some(at) = at else {
                ages.never += size;
                continue;
            };
            match (now - at).num_hours() {
                ..=24 => ages.day += size,
                25..=168 => ages.week += size,
                169..=744 => ages.month += size,
                _ => ages.older += size,
            }
        }
    }
    ages.oldest = oldest.filter(|_| ages.total() > 0);
    ages
}
