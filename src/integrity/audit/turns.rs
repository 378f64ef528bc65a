//! Whose turn it is: slices that were never looked at, then those looked at longest ago, as many as
//! the budget allows; or the share of one worker among several. The plan is pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::coverage::Coverage;
use crate::error::Result;
use crate::integrity::history;
use crate::integrity::verified::Depth;
use crate::integrity::verify::Inventory;
use crate::integrity::verify::scope::{Covered, Fingerprint, Ledger, Slice};
use crate::model::{GenerationId, Level, Sink};
use crate::store::ObjectStore;

/// One worker of several: the third of eight is `Shard { number: 3, of: 8 }`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// From 1.
    pub number: u32,
    pub of: u32,
}

impl Shard {
    fn has(&self, slice: Slice) -> bool {
        u32::from(slice) % self.of.max(1) + 1 == self.number
    }
}

/// What one store holds of a database, by slice, and what is known of it.
pub struct Held {
    pub store: String,
    pub database: String,
    pub bytes: BTreeMap<GenerationId, Vec<u64>>,
    pub coverage: Coverage,
}

impl Held {
    /// Lists a database's generations in a store.
    pub async fn list(store: &dyn ObjectStore, database: &str) -> Result<Self> {
        let mut bytes = BTreeMap::new();
        for generation in history::generations(store, database).await? {
            let inventory = Inventory::list(store, database, &generation).await?;
            bytes.insert(generation, inventory.tallies.bytes);
        }
        let coverage = Coverage::read(store, database).await?;
        Ok(Self { store: store.name().to_owned(), database: database.to_owned(), bytes, coverage })
    }
}

/// Store, database, generation and slice.
pub type Turn = (String, String, GenerationId, Slice);

/// The slices to look into, and how many bytes they hold.
#[derive(Debug, Default)]
pub struct Plan {
    pub turns: HashSet<Turn>,
    pub bytes: u64,
    /// Of everything that this worker has to look at.
    pub total: u64,
}

/// Chooses: never looked at first, newest generation first; then the longest ago. Always at least
/// one slice, so that an audit gets on however small its budget.
pub fn plan(held: &[Held], depth: Depth, budget: Option<u64>, shard: Option<Shard>) -> Plan {
    let mut waiting = Vec::new();
    for held in held {
        for (generation, bytes) in &held.bytes {
            for (number, size) in (0..=Slice::MAX).zip(bytes.iter().copied()) {
                if size == 0 || shard.is_some_and(|shard| !shard.has(number)) {
                    continue;
                }
                let at = held.coverage.at(generation, depth, number);
                let age = (at, std::cmp::Reverse(generation.clone()), number, held.store.clone());
                let turn = (held.store.clone(), held.database.clone(), generation.clone(), number);
                waiting.push((age, turn, size));
            }
        }
    }
    waiting.sort();
    let mut plan = Plan::default();
    for (_, turn, bytes) in waiting {
        plan.total += bytes;
        let fits = budget.is_none_or(|budget| plan.bytes + bytes <= budget);
        if fits || plan.turns.is_empty() {
            plan.bytes += bytes;
            plan.turns.insert(turn);
        }
    }
    plan
}

/// The ledger of one database: picks what the plan has, and remembers in the stores.
pub struct Turns {
    pub database: String,
    pub depth: Depth,
    /// None: every slice.
    pub picked: Option<Arc<HashSet<Turn>>>,
    pub coverage: BTreeMap<String, Coverage>,
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// False where not all that lies in a slice is looked at.
    pub remembers: bool,
    /// An old look does not make a new one needless.
    pub afresh: bool,
    pub now: DateTime<Utc>,
    pub sink: Arc<dyn Sink>,
    /// What the stores were seen to hold.
    pub seen: Mutex<Seen>,
}

/// By store and generation, bytes by slice.
pub type Seen = BTreeMap<String, BTreeMap<GenerationId, Vec<u64>>>;

impl Turns {
    /// Forgets what is no longer in the stores, and tells what is.
    pub async fn close(&self) -> Seen {
        let seen = std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner));
        for store in &self.stores {
            let Some(there) = seen.get(store.name()) else { continue };
            let there: BTreeSet<GenerationId> = there.keys().cloned().collect();
            // It is only tidiness.
            let _ = Coverage::keep_only(&**store, &self.database, &there).await;
        }
        seen
    }
}

#[async_trait]
impl Ledger for Turns {
    fn picks(&self, store: &str, generation: &GenerationId, slice: Slice) -> bool {
        let turn = || (store.to_owned(), self.database.clone(), generation.clone(), slice);
        self.picked.as_ref().is_none_or(|picked| picked.contains(&turn()))
    }

    fn vouches(
        &self,
        store: &str,
        generation: &GenerationId,
        slice: Slice,
        seen: &Fingerprint,
    ) -> bool {
        let known = self.coverage.get(store);
        !self.afresh && known.is_some_and(|known| known.vouches(generation, slice, seen))
    }

    fn holds(&self, store: &str, generation: &GenerationId, bytes: &[u64]) {
        // No holder of the lock panics half-way through a change.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.entry(store.to_owned()).or_default().insert(generation.clone(), bytes.to_vec());
    }

    async fn covered(&self, store: &str, generation: &GenerationId, slices: &[Covered]) {
        let Some(at) = self.stores.iter().find(|s| s.name() == store) else { return };
        if !self.remembers || slices.is_empty() {
            return;
        }
        let noted =
            Coverage::note(&**at, &self.database, generation, self.depth, slices, self.now).await;
        if let Err(e) = noted {
            let message = format!(
                "store `{store}` does not remember this look, so the next audit looks again: {}",
                e.one_line()
            );
            self.sink.notice(Level::Warning, message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::verify::scope::SLICES;

    fn held(store: &str) -> Held {
        let generation: GenerationId = "g20261122T134512Z-3f9a1c".parse().unwrap();
        let bytes = (0..SLICES as u64).map(|slice| 10 + slice % 2).collect();
        Held {
            store: store.to_owned(),
            database: "pet".to_owned(),
            bytes: [(generation, bytes)].into(),
            coverage: Coverage::default(),
        }
    }

    #[test]
    fn shards_share_everything_and_nothing_twice() {
        let all = [held("east"), held("west")];
        let mut seen = HashSet::new();
        let mut bytes = 0;
        for number in 1..=8 {
            let plan = plan(&all, Depth::Content, None, Some(Shard { number, of: 8 }));
            assert_eq!(plan.total, plan.bytes);
            bytes += plan.bytes;
            for turn in plan.turns {
                assert!(seen.insert(turn));
            }
        }
        assert_eq!((seen.len(), bytes), (512, plan(&all, Depth::Content, None, None).total));
    }

    #[test]
    fn a_budget_is_kept_and_something_is_always_looked_at() {
        let all = [held("east")];
        let some = plan(&all, Depth::Content, Some(100), None);
        assert!(some.bytes <= 100 && some.bytes > 80, "{}", some.bytes);
        assert_eq!(plan(&all, Depth::Content, Some(1), None).turns.len(), 1);
    }
}
