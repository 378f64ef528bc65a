//! How the schedule stands, from the stores alone: for whoever asks beside the runners.

use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use super::ledger::StoreLedger;
use super::plan::Plan;
use super::ports::{Ledger as _, Replicas, Snapshots};
use super::standing::{ReplicaStanding, Standing};
use crate::error::{Error, Kind};
use crate::model::Learned;

/// How long any one answer is waited for.
const LIMIT: Duration = Duration::from_secs(8);
/// Looks at the same time.
const LOOKS: usize = 32;

/// Asks the stores, each within a limit.
pub async fn gather(
    mut plan: Plan,
    ledger: &StoreLedger,
    snapshots: &dyn Snapshots,
    replicas: &dyn Replicas,
    now: DateTime<Utc>,
) -> Standing {
    let ids: Vec<String> = plan.units.iter().map(super::due::Unit::id).collect();
    let places: Vec<_> =
        plan.watches.iter().map(|w| (w.database.clone(), w.store.clone())).collect();
    let looks = stream::iter(places).map(|(database, store)| async move {
        let look = tokio::time::timeout(LIMIT, snapshots.newest(&database, &store)).await;
        let what = || format!("look for snapshots of `{database}` in store `{store}`");
        look.unwrap_or_else(|_| Err(Error::new(Kind::Storage, format!("{}: no answer", what()))))
            .map_err(|e| e.one_line())
    });
    let replicas = plan.sampled.iter().map(|database| async move {
        let last = tokio::time::timeout(LIMIT, replicas.last(database)).await;
        let last = last.unwrap_or_else(|_| Err(Error::new(Kind::Storage, "no answer")));
        ReplicaStanding { database: database.clone(), seen: last.into() }
    });
    let (records, found, replicas, runners) = tokio::join!(
        ledger.read_all(&ids),
        looks.buffered(LOOKS).collect::<Vec<_>>(),
        join_all(replicas),
        ledger.runners(),
    );
    for (watch, found) in plan.watches.iter_mut().zip(found) {
        watch.learn(found, Duration::ZERO);
    }
    let known = plan.units.iter().zip(&records).map(|(unit, record)| match record {
        Ok(record) => (unit, Learned::Known(record), unit.look(record, now).turn),
        Err(e) => (unit, Learned::Unknown(e.one_line()), None),
    });
    Standing {
        at: now,
        project: plan.project.clone(),
        jobs: Plan::jobs(known, now),
        rpo: plan.watches.iter().map(|w| w.standing(Duration::ZERO, now)).collect(),
        replicas,
        runners: runners.into(),
    }
}
