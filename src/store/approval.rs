//! Approvals: what a person writes into the control store to agree to a step of a run. One object
//! for each step, create-only, beside the run's journal.

use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys;
use super::port::{Class, Condition, ObjectStore, Put};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::Digest;

/// How often `wait` looks, against the clock of a failover.
pub const POLL: Duration = Duration::from_secs(1);

/// Somebody's agreement to a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Approval {
    pub run: String,
    pub step: String,
    /// "bob on laptop-7".
    pub by: String,
    pub at: DateTime<Utc>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// An approval as it lies in the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub approval: Approval,
    /// Of the object's bytes.
    pub digest: Digest,
}

/// Where the approval of a step lies.
pub fn key(run: &str, step: &str) -> String {
    format!("{}approval-{step}.json", keys::run_prefix(run))
}

/// Writes an approval, and gives the one that counts: the first that was written. The caller
/// compares, to tell somebody who came second.
pub async fn give(store: &dyn ObjectStore, approval: &Approval) -> Result<Found> {
    let Approval { run, step, .. } = approval;
    if !keys::is_plain_name(run) || !keys::is_plain_name(step) {
        let what = format!("approve step `{step}` of run `{run}`: not a name");
        return Err(Error::new(Kind::Usage, what));
    }
    let bytes: Bytes = serde_json::to_vec_pretty(approval)
        .attempt(Kind::Bug, || "write an approval as JSON".to_owned())?
        .into();
    let digest = Digest::of(&bytes);
    match store.put_if(&key(run, step), bytes, digest, Condition::Absent).await {
        Ok(Put::Written(_)) => Ok(Found { approval: approval.clone(), digest }),
        Ok(Put::Refused) => there(store, run, step).await,
        // The answer was lost: if an approval is there, that settles it.
        Err(e) if e.class == Class::Unknown => match read(store, run, step).await {
            Ok(Some(found)) => Ok(found),
            _ => Err(e.into()),
        },
        Err(e) => Err(e.into()),
    }
}

async fn there(store: &dyn ObjectStore, run: &str, step: &str) -> Result<Found> {
    read(store, run, step).await?.ok_or_else(|| {
        let what = format!("approve step `{step}` of run `{run}` in store `{}`", store.name());
        Error::new(Kind::Storage, what)
            .caused_by("an approval was there and is gone")
            .hint("run the command again")
    })
}

/// The approval of a step, if there is one.
pub async fn read(store: &dyn ObjectStore, run: &str, step: &str) -> Result<Option<Found>> {
    let key = key(run, step);
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let digest = Digest::of(&object.bytes);
    let read = serde_json::from_slice::<Approval>(&object.bytes);
    let approval = read.map_err(|e| damaged(store, &key).caused_by(e))?;
    if approval.run != run || approval.step != step {
        return Err(damaged(store, &key).caused_by("it is for another step"));
    }
    Ok(Some(Found { approval, digest }))
}

fn damaged(store: &dyn ObjectStore, key: &str) -> Error {
    let what = format!("read {}/{key}: it is not an approval of this step", store.url());
    Error::new(Kind::Damaged, what).hint("look who wrote it; the step stays unapproved")
}

/// Waits until a step is approved; the caller bounds the time. A store that does not answer is asked
/// again; an object that is no approval ends the wait.
pub async fn wait(
    store: &dyn ObjectStore,
    run: &str,
    step: &str,
    every: Duration,
) -> Result<Found> {
    loop {
        match read(store, run, step).await {
            Ok(Some(found)) => return Ok(found),
            Err(e) if e.kind() != Kind::Storage => return Err(e),
            // An approver cannot be told from one who cannot be heard: both are waited for.
            Ok(None) | Err(_) => tokio::time::sleep(every).await,
        }
    }
}

/// Whether two names, such as "ann on ops-1" and "Ann", mean one person. Who works on two machines
/// is not two people.
pub fn same_person(one: &str, other: &str) -> bool {
    person(one).eq_ignore_ascii_case(person(other))
}

fn person(name: &str) -> &str {
    name.split_once(" on ").map_or(name, |(person, _)| person).trim()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::MemoryStore;
    use super::super::fault::{Fault, FaultyStore, Op};
    use super::*;

    fn approval(by: &str) -> Approval {
        Approval {
            run: "r1".to_owned(),
            step: "promote".to_owned(),
            by: by.to_owned(),
            at: DateTime::UNIX_EPOCH,
            reason: None,
        }
    }

    #[tokio::test]
    async fn the_first_approval_counts() {
        let store = MemoryStore::new("west");
        assert_eq!(read(&store, "r1", "promote").await.unwrap(), None);
        let first = give(&store, &approval("bob on b")).await.unwrap();
        let second = give(&store, &approval("eve on e")).await.unwrap();
        assert_eq!(second, first);
        assert_eq!(first.approval.by, "bob on b");
        assert_eq!(read(&store, "r1", "promote").await.unwrap(), Some(first));
        let odd = Approval { step: "../x".to_owned(), ..approval("bob") };
        assert_eq!(give(&store, &odd).await.unwrap_err().kind(), Kind::Usage);
    }

    #[tokio::test]
    async fn a_lost_answer_and_a_store_that_is_away_are_sat_out() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new("west")));
        let every = Duration::from_millis(5);
        let waiting = tokio::spawn({
            let store = store.clone();
            async move { wait(&store, "r1", "promote", every).await }
        });
        store.on(Op::Put, 1, Fault::FailAfter);
        let next = store.count(Op::Get) + 2;
        store.on(Op::Get, next, Fault::Fail(Class::Transient));
        let given = give(&store, &approval("bob")).await.unwrap();
        assert_eq!(waiting.await.unwrap().unwrap(), given);
    }

    #[tokio::test]
    async fn what_is_no_approval_approves_nothing() {
        let store = MemoryStore::new("west");
        store.overwrite(&key("r1", "promote"), "yes");
        let e = wait(&store, "r1", "promote", POLL).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Damaged);
        let other = serde_json::to_vec(&approval("bob")).unwrap();
        store.overwrite(&key("r2", "promote"), other);
        assert!(read(&store, "r2", "promote").await.is_err());
    }

    #[test]
    fn a_person_is_one_whatever_the_machine() {
        assert!(same_person("ann on ops-1", "Ann on laptop"));
        assert!(same_person("ann", "ann on ops-1"));
        assert!(!same_person("ann on ops-1", "bob on ops-1"));
    }
}
