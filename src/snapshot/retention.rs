//! Which generations of one store may be removed. Pure: who asks gathers the facts and acts.
//!
//! Parts belong to a generation, not to a snapshot, so only whole generations go. Whoever carries
//! a plan out must, for each generation, delete
//!
//! 1. its manifests, oldest snapshot first and the newest last: no manifest ever promises a part
//!    that is gone, and after a crash the rest of the generation is still judged by the snapshot
//!    it was judged by before;
//! 2. then everything else below the generation, once every manifest is known to be gone.
//!
//! A generation whose manifests are gone is an unfinished one, so the next run ends what a crash
//! left half done.

use std::collections::BTreeSet;
use std::fmt;

use chrono::{DateTime, Datelike as _, TimeDelta, Timelike as _, Utc};

use crate::config::Keep;
use crate::model::{GenerationId, SnapshotId};

/// A generation that changed within this time may be in use by a snapshot that is being taken.
const QUIET: TimeDelta = TimeDelta::hours(24);

/// One generation as one store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generation {
    pub id: GenerationId,
    /// Snapshots whose manifest could be read, in any order.
    pub snapshots: Vec<Snapshot>,
    /// Manifests that are there and could not be read or parsed.
    pub unreadable: usize,
    /// The youngest `last_modified` of all its objects in this store, by the store's clock.
    pub changed: DateTime<Utc>,
}

/// One snapshot as one store holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pub id: SnapshotId,
    pub taken: DateTime<Utc>,
    /// Whether its manifest is sealed and the seal holds.
    pub sealed: bool,
    /// When it was last found intact in this store; none also where a later check found damage.
    pub verified: Option<DateTime<Utc>>,
}

/// What to do with each generation of one store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Oldest first.
    pub remove: Vec<Removal>,
    /// Oldest first.
    pub keep: Vec<Kept>,
}

/// A generation to remove.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    pub generation: GenerationId,
    /// In the order in which their manifests are to be deleted.
    pub snapshots: Vec<SnapshotId>,
    pub reason: RemoveReason,
}

/// A generation to keep.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    pub generation: GenerationId,
    /// Every reason that holds, the weightiest first; never empty.
    pub reasons: Vec<KeepReason>,
}

/// Why a generation goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RemoveReason {
    /// `keep` asks for none of its snapshots.
    Expired,
    /// It has no manifest, so no snapshot.
    Unfinished,
}

/// Why a generation stays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeepReason {
    /// `keep` asks for so many of its snapshots.
    Wanted { snapshots: usize },
    /// Snapshots are added to it.
    Newest,
    /// Something in it is younger than 24 hours, or dated in the future.
    ChangedLately,
    /// It holds the newest snapshot that is known to be intact.
    NewestGood { snapshot: SnapshotId },
    /// Nothing newer than it is known to be intact.
    NewestUnverified { snapshot: SnapshotId },
    /// A manifest of it cannot be read, or its seal is broken: what it holds is not known.
    NotUnderstood { manifests: usize },
    /// A snapshot of it is dated in the future, so some clock was wrong.
    Future { snapshot: SnapshotId },
}

impl fmt::Display for RemoveReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "all its snapshots have expired",
            Self::Unfinished => "unfinished: it has no manifest, and has not changed for 24 hours",
        })
    }
}

impl fmt::Display for KeepReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wanted { snapshots: 1 } => f.write_str("1 of its snapshots is to be kept"),
            Self::Wanted { snapshots } => write!(f, "{snapshots} of its snapshots are to be kept"),
            Self::Newest => f.write_str("it is the newest generation"),
            Self::ChangedLately => f.write_str("it changed within 24 hours"),
            Self::NewestGood { snapshot } => {
                write!(f, "{snapshot} is the newest snapshot known to be intact in this store")
            }
            Self::NewestUnverified { snapshot } => write!(
                f,
                "its newest snapshot {snapshot} is not known to be intact in this store; run \
                 `drctl verify --snapshot {snapshot}`"
            ),
            Self::NotUnderstood { manifests: 1 } => {
                f.write_str("1 of its manifests cannot be read or has a broken seal")
            }
            Self::NotUnderstood { manifests } => {
                write!(f, "{manifests} of its manifests cannot be read or have a broken seal")
            }
            Self::Future { snapshot } => write!(f, "{snapshot} is dated in the future"),
        }
    }
}

/// Decides about every generation of one store. Removes one only if all of its snapshots have
/// expired, it is understood in full, its newest snapshot is known to be intact, and a newer one
/// known to be intact stays; or if it never came to hold a snapshot. `now` is the store's clock.
pub fn plan(generations: &[Generation], keep: &Keep, now: DateTime<Utc>) -> Plan {
    let wanted = wanted(generations, keep, now);
    let newest = newest_generations(generations, now);
    let good = newest_good(generations, now);
    let mut sorted: Vec<_> = generations.iter().collect();
    sorted.sort_by(|a, b| a.id.cmp(&b.id));

    let mut plan = Plan::default();
    for generation in sorted {
        let mut snapshots: Vec<_> = generation.snapshots.iter().collect();
        snapshots.sort_by_key(|s| age_order(s));
        let mut reasons = Vec::new();

        let count = snapshots.iter().filter(|s| wanted.contains(&s.id)).count();
        if count > 0 {
            reasons.push(KeepReason::Wanted { snapshots: count });
        }
        if newest.contains(&generation.id) {
            reasons.push(KeepReason::Newest);
        }
        // A begin in the future is a wrong clock, and no proof of age.
        let quiet_since = generation.changed.max(generation.id.began());
        if quiet_since > now - QUIET {
            reasons.push(KeepReason::ChangedLately);
        }
        if let Some(s) = snapshots.iter().rfind(|s| good.contains(&s.id)) {
            reasons.push(KeepReason::NewestGood { snapshot: s.id.clone() });
        }
        if let Some(s) = snapshots.last().filter(|s| !is_good(s)) {
            reasons.push(KeepReason::NewestUnverified { snapshot: s.id.clone() });
        }
        let unsealed = snapshots.iter().filter(|s| !s.sealed).count();
        if generation.unreadable + unsealed > 0 {
            let manifests = generation.unreadable + unsealed;
            reasons.push(KeepReason::NotUnderstood { manifests });
        }
        if let Some(s) = snapshots.last().filter(|s| s.taken > now) {
            reasons.push(KeepReason::Future { snapshot: s.id.clone() });
        }

        let id = generation.id.clone();
        if reasons.is_empty() {
            let reason = match snapshots.is_empty() {
                true => RemoveReason::Unfinished,
                false => RemoveReason::Expired,
            };
            let snapshots = snapshots.into_iter().map(|s| s.id.clone()).collect();
            plan.remove.push(Removal { generation: id, snapshots, reason });
        } else {
            plan.keep.push(Kept { generation: id, reasons });
        }
    }
    plan
}

fn is_good(snapshot: &Snapshot) -> bool {
    snapshot.sealed && snapshot.verified.is_some()
}

fn age_order(snapshot: &Snapshot) -> (DateTime<Utc>, SnapshotId) {
    (snapshot.taken, snapshot.id.clone())
}

/// The generation that snapshots are added to. One from the future must not leave the newest true
/// one without this protection.
fn newest_generations(generations: &[Generation], now: DateTime<Utc>) -> BTreeSet<GenerationId> {
    let by_id = generations.iter().max_by_key(|g| &g.id);
    let past = generations.iter().filter(|g| g.id.began() <= now).max_by_key(|g| &g.id);
    [by_id, past].into_iter().flatten().map(|g| g.id.clone()).collect()
}

/// The newest snapshot known to be intact, and the newest such that is not dated in the future.
fn newest_good(generations: &[Generation], now: DateTime<Utc>) -> BTreeSet<SnapshotId> {
    let good = || generations.iter().flat_map(|g| &g.snapshots).filter(|s| is_good(s));
    let any = good().max_by_key(|s| age_order(s));
    let past = good().filter(|s| s.taken <= now).max_by_key(|s| age_order(s));
    [any, past].into_iter().flatten().map(|s| s.id.clone()).collect()
}

/// What `keep` asks for: of each of the last so many hours, days, ISO weeks and months (UTC) that
/// have a sealed snapshot, the newest; and where that one is not known to be intact, the newest
/// that is, so that nothing good expires on the strength of something unverified.
fn wanted(generations: &[Generation], keep: &Keep, now: DateTime<Utc>) -> BTreeSet<SnapshotId> {
    let mut snapshots: Vec<_> = generations
        .iter()
        .flat_map(|g| &g.snapshots)
        // What is dated in the future is kept for that alone and must not take a true one's place.
        .filter(|s| s.sealed && s.taken <= now)
        .collect();
    snapshots.sort_by_key(|s| std::cmp::Reverse(age_order(s)));

    let mut wanted = BTreeSet::new();
    for (count, period) in periods(keep) {
        let mut seen = BTreeSet::new();
        let mut without_good = BTreeSet::new();
        for snapshot in &snapshots {
            let key = period(snapshot.taken);
            if !seen.contains(&key) {
                if seen.len() == count as usize {
                    break;
                }
                seen.insert(key);
                wanted.insert(snapshot.id.clone());
                if !is_good(snapshot) {
                    without_good.insert(key);
                }
            } else if is_good(snapshot) && without_good.remove(&key) {
                wanted.insert(snapshot.id.clone());
            }
        }
    }
    wanted
}

/// A period as a pair of numbers that no other period has.
type Period = fn(DateTime<Utc>) -> (i32, u32);

fn periods(keep: &Keep) -> [(u32, Period); 4] {
    [
        (keep.hourly, |t| (t.num_days_from_ce(), t.hour())),
        (keep.daily, |t| (t.num_days_from_ce(), 0)),
        (keep.weekly, |t| (t.iso_week().year(), t.iso_week().week())),
        (keep.monthly, |t| (t.year(), t.month())),
    ]
}

#[cfg(test)]
mod tests;
