//! How a snapshot begins: which stores are there, what they hold, and which generation goes on.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;

use super::keyring::Keyring;
use crate::error::{Error, Result};
use crate::integrity::history;
use crate::integrity::seal::Keys;
use crate::model::{GenerationId, Level, Manifest, RowFormat, Sink, SnapshotId};
use crate::store::{ObjectStore, marker};

/// One store as it was found.
pub struct Opened {
    pub store: Arc<dyn ObjectStore>,
    /// The newest snapshot that is complete here, or why that cannot be told.
    pub newest: Result<Option<Manifest>>,
    /// The newest id of a snapshot, readable or not.
    pub newest_id: Option<SnapshotId>,
    /// The newest generation, finished or not.
    pub newest_generation: Option<GenerationId>,
}

/// What a store without a repository marker is marked with.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    pub now: DateTime<Utc>,
    pub random: u128,
}

/// Looks at every store at once; with a mark, marks those that are new. Manifests that cannot be proven are told and passed over.
pub async fn open(
    stores: &[Arc<dyn ObjectStore>],
    keys: &Keys,
    database: &str,
    mark: Option<Mark>,
    sink: &dyn Sink,
) -> Vec<Opened> {
    join_all(stores.iter().map(async |store| {
        let look = async {
            match mark {
                Some(Mark { now, random }) => drop(marker::ensure(&**store, now, random).await?),
                None => drop(marker::find(&**store).await?),
            }
            let (newest, broken) = history::newest(&**store, keys, database).await?;
            for (place, e) in &broken {
                sink.notice(
                    Level::Warning,
                    format!(
                        "snapshot {} in store `{}` is not used: {}",
                        place.snapshot,
                        store.name(),
                        e.one_line()
                    ),
                );
            }
            let ids = broken.into_iter().map(|(place, _)| place.snapshot);
            let newest_id = ids.chain(newest.as_ref().map(|m| m.id.clone())).max();
            let newest_generation = history::generations(&**store, database).await?.pop();
            let store = Arc::clone(store);
            Ok::<_, Error>(Opened { store, newest: Ok(newest), newest_id, newest_generation })
        };
        look.await.unwrap_or_else(|e| Opened {
            store: Arc::clone(store),
            newest: Err(e),
            newest_id: None,
            newest_generation: None,
        })
    }))
    .await
}

/// A newest snapshot further ahead of the clock than this is told.
const AHEAD: chrono::TimeDelta = chrono::TimeDelta::minutes(5);

/// The newest id of a snapshot in any of the stores. One that is dated in the future is told: the
/// clock that named it, or this machine's, is wrong, and ages cannot be believed.
pub fn newest_id<'o>(
    opened: &'o [Opened],
    now: DateTime<Utc>,
    sink: &dyn Sink,
) -> Option<&'o SnapshotId> {
    let newest = opened.iter().filter_map(|o| o.newest_id.as_ref()).max()?;
    if newest.began() > now + AHEAD {
        let now = now.format("%Y-%m-%d %H:%M:%S UTC");
        sink.notice(
            Level::Warning,
            format!(
                "the newest snapshot {newest} is dated in the future: it is {now} by this machine's \
                 clock; set the clock that is wrong"
            ),
        );
    }
    Some(newest)
}

/// Which generation a snapshot belongs to, and the snapshot that it builds upon.
#[derive(Debug, PartialEq, Eq)]
pub enum Course {
    /// Goes on from the newest snapshot, which the store of this index has.
    GoOn {
        from: usize,
    },
    /// Goes on in a generation that no snapshot was finished in: a run was cut short.
    TakeUp {
        generation: GenerationId,
    },
    Begin {
        reason: &'static str,
    },
}

/// Decides how to go on: pure.
pub fn course(
    opened: &[Opened],
    full: bool,
    full_every: chrono::TimeDelta,
    row_format: RowFormat,
    keyring: &Keyring,
    now: DateTime<Utc>,
) -> Course {
    if full {
        return Course::Begin { reason: "a full snapshot was asked for" };
    }
    let newest = opened
        .iter()
        .enumerate()
        .filter_map(|(i, o)| Some((o.newest.as_ref().ok()?.as_ref()?, i)))
        .max_by(|a, b| a.0.id.cmp(&b.0.id).then(b.1.cmp(&a.1)));
    let unfinished = opened
        .iter()
        .filter_map(|o| o.newest_generation.clone())
        .max()
        .filter(|g| newest.is_none_or(|(m, _)| *g > m.generation))
        .filter(|g| now - g.began() < full_every);
    if let Some(generation) = unfinished {
        return match keyring.may_go_on(&generation) {
            Ok(()) => Course::TakeUp { generation },
            Err(reason) => Course::Begin { reason },
        };
    }
    match newest {
        None => Course::Begin { reason: "there is no snapshot yet" },
        Some((m, _)) if now - m.generation.began() >= full_every => {
            Course::Begin { reason: "the last generation is old enough" }
        }
        Some((m, _)) if m.row_format != row_format => {
            Course::Begin { reason: "the row format was changed" }
        }
        Some((m, from)) => match keyring.may_go_on(&m.generation) {
            Ok(()) => Course::GoOn { from },
            Err(reason) => Course::Begin { reason },
        },
    }
}
