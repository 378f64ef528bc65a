//! When each snapshot was last checked in a store, and how deep: kept in the store as state, since
//! expiry may rely on nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::remembered;
use crate::error::{Error, Kind, Result};
use crate::model::{FORMAT, GenerationId, Level, Sink, SnapshotId};
use crate::store::ObjectStore;
use crate::store::keys;

/// How closely a check looks.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, Default,
)]
#[serde(rename_all = "lowercase")]
pub enum Depth {
    /// The manifest is sealed and every object is there with its size.
    Listing,
    /// The store's own SHA-256 of every object is the promised one.
    #[default]
    Checksums,
    /// Every object is downloaded, hashed, undone, hashed again, and its rows are counted.
    Content,
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Listing => "listing",
            Self::Checksums => "checksums",
            Self::Content => "content",
        })
    }
}

impl FromStr for Depth {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self> {
        [Self::Listing, Self::Checksums, Self::Content]
            .into_iter()
            .find(|depth| depth.to_string() == text)
            .ok_or_else(|| {
                Error::new(Kind::Usage, format!("`{text}` is not a depth"))
                    .hint("the depths are `listing`, `checksums` and `content`")
            })
    }
}

/// What a check of one snapshot in one store came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All that was looked at is as promised.
    Intact,
    /// Something could not be looked at, and nothing is known to be wrong.
    Unverified,
    /// Something is missing or not what was promised.
    Damaged,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Intact => "intact",
            Self::Unverified => "unverified",
            Self::Damaged => "damaged",
        })
    }
}

/// One remembered check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub at: DateTime<Utc>,
    pub verdict: Verdict,
}

/// Snapshots remembered at most; the newest stay.
const SNAPSHOTS: usize = 10_000;

/// Removed generations remembered at most; the newest stay.
const REMOVED: usize = 500;

/// Writers that came between are waited out so many times.
const TRIES: usize = 8;

/// What is remembered of one database in one store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    format: u32,
    /// The newest check of each depth.
    #[serde(default)]
    snapshots: BTreeMap<SnapshotId, BTreeMap<Depth, Check>>,
    /// Generations that were removed on purpose, so that nobody misses them.
    #[serde(default)]
    removed: BTreeMap<GenerationId, DateTime<Utc>>,
}

impl Default for Record {
    fn default() -> Self {
        Self { format: FORMAT, snapshots: BTreeMap::new(), removed: BTreeMap::new() }
    }
}

fn key(database: &str) -> String {
    keys::state_key(&format!("verified-{database}"))
}

impl Record {
    /// Reads the record; one that was never written is empty.
    pub async fn read(store: &dyn ObjectStore, database: &str) -> Result<Self> {
        Ok(remembered::read(store, &key(database)).await?.0)
    }

    /// Changes the record by compare-and-swap.
    pub async fn update(
        store: &dyn ObjectStore,
        database: &str,
        change: impl Fn(&mut Record),
    ) -> Result<()> {
        let bounded = |record: &mut Record| {
            change(record);
            record.bound();
        };
        remembered::update(store, &key(database), TRIES, bounded).await
    }

    /// As `update`; a failure is told and no more, since what was found stands without it.
    pub async fn remember(
        store: &dyn ObjectStore,
        database: &str,
        sink: &dyn Sink,
        change: impl Fn(&mut Record),
    ) {
        if let Err(e) = Self::update(store, database, change).await {
            sink.notice(
                Level::Warning,
                format!(
                    "store `{}` does not remember this check, so prune will not rely on it: {}",
                    store.name(),
                    e.one_line()
                ),
            );
        }
    }

    fn bound(&mut self) {
        while self.snapshots.len() > SNAPSHOTS {
            self.snapshots.pop_first();
        }
        while self.removed.len() > REMOVED {
            self.removed.pop_first();
        }
    }

    /// Notes a check. One that found out nothing leaves what is known.
    pub fn note(
        &mut self,
        snapshot: &SnapshotId,
        depth: Depth,
        at: DateTime<Utc>,
        verdict: Verdict,
    ) {
        if verdict != Verdict::Unverified {
            let checks = self.snapshots.entry(snapshot.clone()).or_default();
            checks.insert(depth, Check { at, verdict });
        }
    }

    /// Forgets the snapshots of a generation that was removed, and remembers that it was.
    pub fn note_removed(
        &mut self,
        generation: &GenerationId,
        snapshots: &[SnapshotId],
        at: DateTime<Utc>,
    ) {
        for snapshot in snapshots {
            self.snapshots.remove(snapshot);
        }
        self.removed.insert(generation.clone(), at);
    }

    /// Forgets snapshots that are no longer there.
    pub fn keep_only(&mut self, there: impl Fn(&SnapshotId) -> bool) {
        self.snapshots.retain(|id, _| there(id));
    }

    /// The generations that were removed on purpose.
    pub fn removed(&self) -> impl Iterator<Item = &GenerationId> {
        self.removed.keys()
    }

    pub fn was_removed(&self, generation: &GenerationId) -> bool {
        self.removed.contains_key(generation)
    }

    /// When the snapshot was last found intact by a check of at least this depth; none where a
    /// check found damage that no later check, at least as deep, has refuted.
    pub fn intact(&self, snapshot: &SnapshotId, least: Depth) -> Option<DateTime<Utc>> {
        let checks = self.snapshots.get(snapshot)?;
        let intact_since = |depth: Depth| {
            let deep = checks.range(depth..).filter(|(_, c)| c.verdict == Verdict::Intact);
            deep.map(|(_, c)| c.at).max()
        };
        let standing = checks.iter().any(|(depth, check)| {
            check.verdict == Verdict::Damaged
                && intact_since(*depth).is_none_or(|at| at <= check.at)
        });
        if standing { None } else { intact_since(least) }
    }

    /// Whether a check found damage that still stands.
    pub fn is_damaged(&self, snapshot: &SnapshotId) -> bool {
        self.snapshots.contains_key(snapshot) && {
            let any = self.snapshots[snapshot].values().any(|c| c.verdict == Verdict::Damaged);
            any && self.intact(snapshot, Depth::Listing).is_none()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Silent;
    use crate::store::MemoryStore;

    fn at(hour: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(1_700_000_000 + i64::from(hour) * 3600, 0).unwrap()
    }

    #[test]
    fn damage_stands_until_a_check_as_deep_refutes_it() {
        let id = SnapshotId::new(at(0), 1);
        let mut record = Record::default();
        assert_eq!(record.intact(&id, Depth::Listing), None);
        record.note(&id, Depth::Checksums, at(1), Verdict::Intact);
        assert_eq!(record.intact(&id, Depth::Listing), Some(at(1)));
        assert_eq!(record.intact(&id, Depth::Content), None);
        record.note(&id, Depth::Content, at(2), Verdict::Damaged);
        assert_eq!(record.intact(&id, Depth::Checksums), None);
        assert!(record.is_damaged(&id));
        record.note(&id, Depth::Checksums, at(3), Verdict::Intact);
        assert_eq!(record.intact(&id, Depth::Checksums), None, "it did not look deep enough");
        record.note(&id, Depth::Content, at(4), Verdict::Unverified);
        assert!(record.is_damaged(&id));
        record.note(&id, Depth::Content, at(5), Verdict::Intact);
        assert_eq!(record.intact(&id, Depth::Checksums), Some(at(5)));
        assert!(!record.is_damaged(&id));
    }

    #[tokio::test]
    async fn it_is_kept_in_the_store_and_a_spoilt_one_counts_as_none() {
        let store = MemoryStore::new("east");
        let id = SnapshotId::new(at(0), 1);
        let note = |r: &mut Record| r.note(&id, Depth::Content, at(1), Verdict::Intact);
        Record::update(&store, "pet", note).await.unwrap();
        let read = Record::read(&store, "pet").await.unwrap();
        assert_eq!(read.intact(&id, Depth::Content), Some(at(1)));
        store.overwrite(&key("pet"), "{\"format\":1,\"snap");
        assert_eq!(Record::read(&store, "pet").await.unwrap(), Record::default());
        Record::remember(&store, "pet", &Silent, note).await;
        assert_eq!(Record::read(&store, "pet").await.unwrap(), read);
        store.overwrite(&key("pet"), "{\"format\":99}");
        assert_eq!(Record::read(&store, "pet").await.unwrap_err().kind(), Kind::Unverified);
    }
}
