//! The epoch: which region is active, under a number that only grows. One object in the control
//! store, changed only by conditional writes.
//!
//! Whatever was told an older number than the one that stands here has been overtaken, and must not
//! act for the service any more.

use std::fmt;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::keys;
use super::port::{Class, Condition, Etag, ObjectStore, Put, StoreError};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::Digest;

/// How often a write whose answer was lost is settled by looking, before the caller is told.
const ROUNDS: u32 = 4;

/// Which region is active since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Epoch {
    /// From 1; each is one more than the one before.
    pub number: u64,
    /// The active region.
    pub region: String,
    pub since: DateTime<Utc>,
    /// The run that made it so; none: it was set by hand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<String>,
    /// "ann on ops-1".
    pub by: String,
    /// The fencing number of the lease under which it was written. Nobody with a lower one, whom a
    /// later operator has overtaken, may advance it.
    #[serde(default)]
    pub fence: u64,
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { number, region, since, by, .. } = self;
        let since = since.format("%Y-%m-%d %H:%M:%S UTC");
        write!(f, "epoch {number}: {region} is active since {since}, by {by}")?;
        self.run.iter().try_for_each(|run| write!(f, " in run {run}"))
    }
}

/// What the next epoch is to be; its number follows from the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    pub region: String,
    pub run: Option<String>,
    pub by: String,
    pub fence: u64,
    pub at: DateTime<Utc>,
}

/// The epoch as it stands; `None`: none was ever written, and the primary region of the
/// configuration is active.
pub async fn read(store: &dyn ObjectStore) -> Result<Option<Epoch>> {
    Ok(find(store).await?.map(|(epoch, _)| epoch))
}

/// Writes the epoch after `expected` (0: the first one), and gives it. One that the same run has
/// written already is given as it is. Any other epoch in its place is `Kind::Failed` and names it:
/// the world is not as the caller believes. `Kind::Storage`: it is not known whether it was written.
pub async fn advance(store: &dyn ObjectStore, expected: u64, next: Next) -> Result<Epoch> {
    let wanted = Epoch {
        number: expected + 1,
        region: next.region,
        since: next.at,
        run: next.run,
        by: next.by,
        fence: next.fence,
    };
    let bytes: Bytes = serde_json::to_vec_pretty(&wanted)
        .attempt(Kind::Bug, || "write the epoch as JSON".to_owned())?
        .into();
    let sha256 = Digest::of(&bytes);
    let mut lost: Option<StoreError> = None;
    for _ in 0..ROUNDS {
        let found = find(store).await?;
        let condition = match &found {
            Some((there, _)) if is_ours(there, &wanted) => return Ok(there.clone()),
            Some((there, etag)) if there.number == expected && there.fence <= wanted.fence => {
                Condition::Matches(etag.clone())
            }
            None if expected == 0 => Condition::Absent,
            found => return Err(overtaken(found.as_ref().map(|(e, _)| e), &wanted)),
        };
        let key = keys::state_key(NAME);
        match store.put_if(&key, bytes.clone(), sha256, condition).await {
            Ok(Put::Written(_)) => return Ok(wanted),
            // Another wrote in between, or our own write whose answer was lost: look.
            Ok(Put::Refused) => {}
            Err(e) if matches!(e.class, Class::Unknown | Class::Transient) => lost = Some(e),
            Err(e) => return Err(e.into()),
        }
    }
    let what = format!("write epoch {} to store `{}`", wanted.number, store.name());
    Err(match lost {
        Some(e) => Error::from(e).during(what),
        None => Error::new(Kind::Failed, what).caused_by("it keeps changing"),
    })
}

const NAME: &str = "epoch";

/// Whether the wanted epoch is there, written by this run. A run that is resumed has another fencing
/// number and another time.
fn is_ours(there: &Epoch, wanted: &Epoch) -> bool {
    there.number == wanted.number
        && there.region == wanted.region
        && there.run == wanted.run
        && (wanted.run.is_some() || there == wanted)
}

fn overtaken(there: Option<&Epoch>, wanted: &Epoch) -> Error {
    let what = format!("write epoch {} (active: {})", wanted.number, wanted.region);
    let found = match there {
        Some(there) => there.to_string(),
        None => "there is no epoch at all any more".to_owned(),
    };
    Error::new(Kind::Failed, what)
        .caused_by(found)
        .hint("another run has changed which region is active: look at `drctl runs list`")
}

async fn find(store: &dyn ObjectStore) -> Result<Option<(Epoch, Etag)>> {
    let key = keys::state_key(NAME);
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let epoch = serde_json::from_slice(&object.bytes).map_err(|e| {
        let what = format!("read the epoch in store `{}`", store.name());
        let hint = format!("{}/{key} is not an epoch; look who wrote it", store.url());
        Error::new(Kind::Damaged, what).caused_by(e).hint(hint)
    })?;
    Ok(Some((epoch, object.etag)))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::MemoryStore;
    use super::super::fault::{Fault, FaultyStore, Op};
    use super::*;

    fn next(region: &str, run: &str, fence: u64) -> Next {
        Next {
            region: region.to_owned(),
            run: Some(run.to_owned()),
            by: "ann on ops-1".to_owned(),
            fence,
            at: DateTime::UNIX_EPOCH,
        }
    }

    #[tokio::test]
    async fn it_grows_by_one_and_only_from_the_expected_one() {
        let store = MemoryStore::new("west");
        assert_eq!(read(&store).await.unwrap(), None);
        let first = advance(&store, 0, next("us-west-2", "r1", 1)).await.unwrap();
        assert_eq!((first.number, &*first.region), (1, "us-west-2"));
        assert_eq!(read(&store).await.unwrap(), Some(first.clone()));
        // The same run again, with a later lease: nothing is written.
        assert_eq!(advance(&store, 0, next("us-west-2", "r1", 2)).await.unwrap(), first);
        for (expected, run, fence) in [(0, "r2", 3), (2, "r2", 3), (7, "r2", 3), (1, "r2", 0)] {
            let e = advance(&store, expected, next("us-east-1", run, fence)).await.unwrap_err();
            assert_eq!(e.kind(), Kind::Failed);
            assert!(e.one_line().contains("us-west-2 is active"), "{e:?}");
        }
        let second = advance(&store, 1, next("us-east-1", "r2", 3)).await.unwrap();
        assert_eq!(second.number, 2);
    }

    #[tokio::test]
    async fn a_lost_answer_is_settled_by_looking() {
        let store = FaultyStore::new(Arc::new(MemoryStore::new("west")));
        store.on(Op::Put, 1, Fault::FailAfter);
        let epoch = advance(&store, 0, next("us-west-2", "r1", 1)).await.unwrap();
        assert_eq!((epoch.number, store.count(Op::Put)), (1, 1));
        store.on(Op::Put, 2, Fault::Fail(Class::Unknown));
        let epoch = advance(&store, 1, next("us-east-1", "r2", 2)).await.unwrap();
        assert_eq!((epoch.number, store.count(Op::Put)), (2, 3));
        store.always(Op::Put, Fault::Fail(Class::Unknown));
        let e = advance(&store, 2, next("us-west-2", "r3", 3)).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Storage);
        store.heal();
        store.on(Op::Put, store.count(Op::Put) + 1, Fault::Fail(Class::Denied));
        assert!(advance(&store, 2, next("us-west-2", "r3", 3)).await.is_err());
        assert_eq!(read(&store).await.unwrap().unwrap().number, 2);
    }

    #[tokio::test]
    async fn of_many_at_once_one_writes_it() {
        let store = Arc::new(MemoryStore::new("west"));
        let tries = (0..8).map(|i| {
            let store = store.clone();
            let next = next("us-west-2", &format!("r{i}"), i);
            tokio::spawn(async move { advance(&*store, 0, next).await })
        });
        let mut won = 0;
        for tried in tries.collect::<Vec<_>>() {
            won += usize::from(tried.await.unwrap().is_ok());
        }
        assert_eq!((won, read(&*store).await.unwrap().unwrap().number), (1, 1));
    }

    #[tokio::test]
    async fn nonsense_is_no_epoch() {
        let store = MemoryStore::new("west");
        store.overwrite(&keys::state_key(NAME), "nonsense");
        assert_eq!(read(&store).await.unwrap_err().kind(), Kind::Damaged);
        let e = advance(&store, 0, next("us-west-2", "r1", 1)).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Damaged);
    }
}
