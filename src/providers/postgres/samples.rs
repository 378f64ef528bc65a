//! What was last seen of a database's replication, kept in the control store: once the primary is
//! gone it says what was safe when.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{Digest, Lsn};
use crate::postgres::replication::{Replication, Role, bounded};
use crate::store::{Class, Condition, ObjectStore, Put, keys};

/// Samples that are kept.
const KEPT: usize = 64;
/// How often to look again when others write at the same moment.
const ROUNDS: u32 = 8;
/// The version of the object.
const FORMAT: u32 = 1;

/// One look at both servers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sample {
    /// This machine's clock before the primary was asked: whatever it had acknowledged by then is at
    /// or below `primary`.
    pub at: DateTime<Utc>,
    /// The end of the primary's WAL; none: it could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary: Option<Lsn>,
    /// Of the primary, or of the standby where the primary could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeline: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system_identifier: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub received: Option<Lsn>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replayed: Option<Lsn>,
}

impl Sample {
    /// From what was seen of both; none where there is nothing to keep.
    pub fn of(primary: Option<&Replication>, standby: Option<&Replication>) -> Option<Self> {
        let primary = primary.filter(|p| p.role == Role::Primary);
        let standby = standby.filter(|s| s.role == Role::Standby);
        let either = primary.or(standby)?;
        Some(Self {
            at: either.asked,
            primary: primary.and_then(|p| p.inserted),
            timeline: either.timeline,
            system_identifier: either.system_identifier.clone(),
            received: standby.and_then(|s| s.received),
            replayed: standby.and_then(|s| s.replayed),
        })
    }
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Ring {
    format: u32,
    /// Oldest first.
    samples: Vec<Sample>,
}

fn key(database: &str) -> String {
    keys::state_key(&format!("replication-{database}"))
}

/// The samples of a database, oldest first.
pub async fn read(store: &dyn ObjectStore, database: &str) -> Result<Vec<Sample>> {
    Ok(fetch(store, database).await?.0.samples)
}

async fn fetch(store: &dyn ObjectStore, database: &str) -> Result<(Ring, Condition)> {
    let key = key(database);
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok((Ring::default(), Condition::Absent)),
        Err(e) => return Err(e.into()),
    };
    let ring: Ring = serde_json::from_slice(&object.bytes).map_err(|e| {
        Error::new(Kind::Damaged, format!("read {key} in store `{}`", store.name()))
            .caused_by(e)
            .hint("remove it: it only holds what was seen lately, and is written anew")
    })?;
    if ring.format > FORMAT {
        let what = format!("read {key} in store `{}`: a newer drctl wrote it", store.name());
        return Err(Error::new(Kind::Usage, what).hint("use that version here too"));
    }
    Ok((ring, Condition::Matches(object.etag)))
}

/// Adds a sample, whoever else adds one at the same moment.
pub async fn append(store: &dyn ObjectStore, database: &str, sample: &Sample) -> Result<()> {
    for _ in 0..ROUNDS {
        let (mut ring, condition) = fetch(store, database).await?;
        ring.format = FORMAT;
        if ring.samples.contains(sample) {
            // Its answer was lost.
            return Ok(());
        }
        ring.samples.push(sample.clone());
        ring.samples.sort_by_key(|s| s.at);
        thin(&mut ring.samples);
        let bytes: Bytes = serde_json::to_vec(&ring)
            .attempt(Kind::Bug, || "write samples as JSON".to_owned())?
            .into();
        let digest = Digest::of(&bytes);
        if let Put::Written(_) = store.put_if(&key(database), bytes, digest, condition).await? {
            return Ok(());
        }
    }
    let what = format!("add to {} in store `{}`: others keep writing", key(database), store.name());
    Err(Error::new(Kind::Storage, what))
}

/// As `append`, given up after `limit`.
pub async fn append_within(
    limit: Duration,
    store: &dyn ObjectStore,
    database: &str,
    sample: &Sample,
) -> Result<()> {
    let what = || format!("add to {} in store `{}`", key(database), store.name());
    bounded(limit, what, append(store, database, sample)).await
}

/// Drops what is too much: the sample whose absence widens the gap between its neighbours least,
/// measured against how old they are. So the newest are dense and the oldest reach far back. Any
/// selection of samples gives a true bound; a thinner one a wider one.
fn thin(samples: &mut Vec<Sample>) {
    while samples.len() > KEPT {
        let newest = samples[samples.len() - 1].at;
        let cost = |i: usize| {
            let gap = (samples[i + 1].at - samples[i - 1].at).num_milliseconds() as f64;
            let age = (newest - samples[i].at).num_milliseconds() as f64 + 1000.0;
            gap / age
        };
        let least = (1..samples.len() - 1).min_by(|a, b| cost(*a).total_cmp(&cost(*b)));
        samples.remove(least.unwrap_or(0));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use chrono::TimeDelta;

    use super::*;
    use crate::store::MemoryStore;
    use crate::store::fault::{Fault, FaultyStore, Op};

    fn sample(seconds: i64) -> Sample {
        Sample {
            at: DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds),
            primary: Some(Lsn(seconds as u64)),
            timeline: Some(1),
            system_identifier: None,
            received: None,
            replayed: None,
        }
    }

    #[tokio::test]
    async fn samples_are_kept_dense_near_now_and_reach_far_back() {
        let store = MemoryStore::new("west");
        for seconds in 0..1000 {
            append(&store, "petforce", &sample(seconds * 10)).await.unwrap();
        }
        let kept = read(&store, "petforce").await.unwrap();
        assert_eq!(kept.len(), KEPT);
        assert_eq!((kept[0].clone(), kept[KEPT - 1].clone()), (sample(0), sample(9990)));
        let gaps: Vec<i64> =
            kept.windows(2).map(|two| (two[1].at - two[0].at).num_seconds()).collect();
        assert!(gaps[KEPT - 5..].iter().all(|gap| *gap <= 20), "{gaps:?}");
        assert!(gaps.iter().all(|gap| *gap < 2000), "{gaps:?}");
    }

    #[tokio::test]
    async fn two_writers_lose_nothing_and_a_lost_answer_adds_nothing() {
        let inner = Arc::new(MemoryStore::new("west"));
        let faulty = FaultyStore::new(Arc::<MemoryStore>::clone(&inner));
        let lists = (0..20).map(|i| {
            let store = Arc::clone(&inner);
            async move { append(&*store, "petforce", &sample(i)).await }
        });
        for done in futures_util::future::join_all(lists).await {
            done.unwrap();
        }
        assert_eq!(read(&*inner, "petforce").await.unwrap().len(), 20);
        faulty.on(Op::Put, 1, Fault::FailAfter);
        append(&faulty, "petforce", &sample(99)).await.unwrap_err();
        append(&*inner, "petforce", &sample(99)).await.unwrap();
        assert_eq!(read(&*inner, "petforce").await.unwrap().len(), 21);
    }
}
