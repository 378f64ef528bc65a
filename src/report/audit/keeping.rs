//! Whether what has expired is gone: the plan of prune, as it was two days ago.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};

use crate::config::Keep;
use crate::integrity::audit::{Aspect, Check, Standing};
use crate::integrity::verified::{Depth, Record};
use crate::integrity::verify::Holding;
use crate::snapshot::retention::{self, Generation, Snapshot};
use crate::store::ObjectStore;

/// Prune may take so long to come by.
const LATE: TimeDelta = TimeDelta::days(2);

pub(super) async fn check(
    keep: &Keep,
    database: &str,
    store: &dyn ObjectStore,
    holding: &Holding,
    now: DateTime<Utc>,
) -> Check {
    let check = |standing, said: String| {
        Check::new(Aspect::Retention, standing, said).of_database(database).in_store(store.name())
    };
    let places = match &holding.snapshots {
        Ok(places) => places,
        Err(why) => return check(Standing::Unverified, why.clone()),
    };
    let record = match Record::read(store, database).await {
        Ok(record) => record,
        Err(e) => return check(Standing::Unverified, e.one_line()),
    };
    let mut generations: BTreeMap<_, Generation> = BTreeMap::new();
    for place in places {
        let taken = place.snapshot.began();
        let generation = generations.entry(&place.generation).or_insert_with(|| Generation {
            id: place.generation.clone(),
            snapshots: Vec::new(),
            unreadable: 0,
            changed: taken,
        });
        generation.changed = taken.max(generation.changed);
        generation.snapshots.push(Snapshot {
            id: place.snapshot.clone(),
            taken,
            sealed: true,
            verified: record.intact(&place.snapshot, Depth::Listing),
        });
    }
    let generations: Vec<Generation> = generations.into_values().collect();
    let plan = retention::plan(&generations, keep, now - LATE);
    match plan.remove.as_slice() {
        [] => check(
            Standing::Passed,
            format!("{} generations, each still wanted", generations.len()),
        ),
        [first, ..] => check(
            Standing::Failed,
            format!(
                "{} generations expired more than two days ago and are still there; the oldest is {}",
                plan.remove.len(),
                first.generation
            ),
        )
        .hint(format!("`drctl prune {database} --dry-run` shows what would go")),
    }
}
