//! The ledger in stores: records and signs of life in the control store and one more, leases in the
//! first of them that answers. A store that does not is left alone for a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::{BoxFuture, join_all};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::OnceCell;
use tokio::time::Instant;

use super::life::{FORGOTTEN, SILENT};
use super::ports::{Claim, Claimed, Ledger};
use super::record::{FORMAT, Record};
use super::standing::RunnerStanding;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::Digest;
use crate::store::lease::{self, Standing};
use crate::store::{Class, Condition, Holder, Lease, ObjectStore, Put, keys};

/// How long one store may take to answer.
const LIMIT: Duration = Duration::from_secs(5);
/// How long one that did not answer is left alone.
const LEFT_ALONE: Duration = Duration::from_secs(30);
/// How long a lease outlives the last sign of its holder.
pub const TTL: Duration = Duration::from_secs(60);
/// How often to look again when others write at the same moment.
const ROUNDS: u32 = 8;
/// Stores that records are kept in.
const COPIES: usize = 2;
/// Records and signs of life that are read at the same time.
const READERS: usize = 16;

/// Opens a store.
pub type Opener =
    Arc<dyn Fn(String) -> BoxFuture<'static, Result<Arc<dyn ObjectStore>>> + Send + Sync>;

/// See the module.
pub struct StoreLedger {
    places: Vec<Place>,
    open: Opener,
}

struct Place {
    name: String,
    store: OnceCell<Arc<dyn ObjectStore>>,
    down_until: Mutex<Option<Instant>>,
}

impl Place {
    fn is_down(&self) -> bool {
        let down = self.down_until.lock().unwrap_or_else(PoisonError::into_inner);
        down.is_some_and(|until| Instant::now() < until)
    }

    /// Asks the store, within the limit; no answer makes it a place to leave alone.
    async fn ask<T, F: Future<Output = Result<T>>>(
        &self,
        open: &Opener,
        what: &str,
        act: impl FnOnce(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T> {
        let asked = async {
            let store = self.store.get_or_try_init(|| open(self.name.clone())).await?;
            act(Arc::clone(store)).await
        };
        let done = match tokio::time::timeout(LIMIT, asked).await {
            Ok(done) => done,
            Err(_) => {
                let limit = LIMIT.as_secs();
                let what = format!("{what} in store `{}`: no answer within {limit} s", self.name);
                Err(Error::new(Kind::Storage, what))
            }
        };
        let down = matches!(&done, Err(e) if e.kind() == Kind::Storage);
        let until = down.then(|| Instant::now() + LEFT_ALONE);
        *self.down_until.lock().unwrap_or_else(PoisonError::into_inner) = until;
        done
    }
}

impl StoreLedger {
    /// `names`: the control store first. Nothing is opened yet.
    pub fn new(names: Vec<String>, open: Opener) -> Self {
        let place = |name| Place { name, store: OnceCell::new(), down_until: Mutex::new(None) };
        Self { places: names.into_iter().map(place).collect(), open }
    }

    /// The places to ask: those that answer; all of them where none does.
    fn places(&self) -> Vec<&Place> {
        let up: Vec<&Place> = self.places.iter().filter(|place| !place.is_down()).collect();
        match up.is_empty() {
            true => self.places.iter().collect(),
            false => up,
        }
    }

    /// Records of many units, side by side, in their order.
    pub async fn read_all(&self, units: &[String]) -> Vec<Result<Record>> {
        let reads: Vec<_> = units.iter().map(|unit| self.read(unit)).collect();
        stream::iter(reads).buffered(READERS).collect().await
    }
}

fn none(what: &str, why: &[String]) -> Error {
    let why = why.join("\n  ");
    Error::new(Kind::Storage, format!("{what}: no store can be asked\n  {why}"))
        .hint("`drctl doctor` tests every store")
}

fn key(unit: &str) -> String {
    keys::state_key(&format!("job-{unit}"))
}

const RUNNERS: &str = "state/runner-";

fn runner_key(name: &str) -> String {
    keys::state_key(&format!("runner-{name}"))
}

pub(super) async fn fetch(store: &dyn ObjectStore, unit: &str) -> Result<(Record, Condition)> {
    let key = key(unit);
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok((Record::default(), Condition::Absent)),
        Err(e) => return Err(e.into()),
    };
    let record: Record = serde_json::from_slice(&object.bytes).map_err(|e| {
        Error::new(Kind::Damaged, format!("read {key} in store `{}`", store.name()))
            .caused_by(e)
            .hint("remove it: it only holds how the job ended lately, and is written anew")
    })?;
    if record.format > FORMAT {
        let what = format!("read {key} in store `{}`: a newer drctl wrote it", store.name());
        return Err(Error::new(Kind::Usage, what).hint("use that version here too"));
    }
    Ok((record, Condition::Matches(object.etag)))
}

async fn put(
    store: &dyn ObjectStore,
    key: &str,
    value: &impl serde::Serialize,
    condition: Condition,
) -> Result<Put> {
    let bytes: Bytes = serde_json::to_vec_pretty(value)
        .attempt(Kind::Bug, || format!("write {key} as JSON"))?
        .into();
    let digest = Digest::of(&bytes);
    Ok(store.put_if(key, bytes, digest, condition).await?)
}

/// Writes `record` with what is there, and gives both together.
pub(super) async fn update(store: &dyn ObjectStore, unit: &str, record: &Record) -> Result<Record> {
    for _ in 0..ROUNDS {
        let (there, condition) = fetch(store, unit).await?;
        let mut both = record.clone();
        both.format = FORMAT;
        both.merge(there);
        if let Put::Written(_) = put(store, &key(unit), &both, condition).await? {
            return Ok(both);
        }
    }
    let what = format!("write {} in store `{}`: others keep writing", key(unit), store.name());
    Err(Error::new(Kind::Failed, what))
}

#[async_trait]
impl Ledger for StoreLedger {
    async fn claim(&self, name: &str, purpose: &str) -> Result<Claimed> {
        let mut why = Vec::new();
        for place in self.places() {
            let took = place
                .ask(&self.open, "take a lease", |store| async move {
                    let holder = Holder::this_process(purpose);
                    match Lease::acquire(Arc::clone(&store), name, holder, TTL).await {
                        Ok(lease) => Ok(Claimed::Ours(Box::new(Held(lease)))),
                        Err(e) if e.kind() == Kind::LeaseHeld => held(&*store, name, &e).await,
                        Err(e) => Err(e),
                    }
                })
                .await;
            match took {
                Ok(claimed) => return Ok(claimed),
                Err(e) => why.push(e.one_line()),
            }
        }
        Err(none(&format!("take the lease `{name}`"), &why))
    }

    async fn read(&self, unit: &str) -> Result<Record> {
        let asked = self.places().into_iter().take(COPIES).map(|place| {
            place.ask(&self.open, "read a record", |store| async move {
                Ok(fetch(&*store, unit).await?.0)
            })
        });
        let mut both: Option<Record> = None;
        let mut why = Vec::new();
        for found in join_all(asked).await {
            match (found, &mut both) {
                (Ok(found), Some(both)) => both.merge(found),
                (Ok(found), none) => *none = Some(found),
                (Err(e), _) => why.push(e.one_line()),
            }
        }
        both.ok_or_else(|| none(&format!("read the record of {unit}"), &why))
    }

    async fn write(&self, unit: &str, record: &Record) -> Result<Record> {
        let asked = self.places().into_iter().take(COPIES).map(|place| {
            place.ask(&self.open, "write a record", |store| async move {
                update(&*store, unit, record).await
            })
        });
        let mut written: Option<Record> = None;
        let mut why = Vec::new();
        for done in join_all(asked).await {
            match (done, &mut written) {
                (Ok(done), Some(written)) => written.merge(done),
                (Ok(done), none) => *none = Some(done),
                (Err(e), _) => why.push(e.one_line()),
            }
        }
        written.ok_or_else(|| none(&format!("write the record of {unit}"), &why))
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        let mut why = Vec::new();
        for place in self.places() {
            let asked = place
                .ask(&self.open, "ask for the time", |store| async move { Ok(store.now().await?) });
            match asked.await {
                Ok(now) => return Ok(now),
                Err(e) => why.push(e.one_line()),
            }
        }
        Err(none("ask for the time", &why))
    }

    async fn beat(&self, runner: &RunnerStanding) -> Result<()> {
        let mut why = Vec::new();
        let asked = self.places().into_iter().take(COPIES).map(|place| {
            place.ask(&self.open, "give a sign of life", |store| async move {
                let key = runner_key(&runner.name);
                let meta = store.head(&key, false).await?;
                let condition = meta.map_or(Condition::Absent, |m| Condition::Matches(m.etag));
                // Refused: another runner has the same name, and its sign is as good.
                put(&*store, &key, runner, condition).await.map(|_| ())
            })
        });
        let done = join_all(asked).await;
        let well = done.iter().any(Result::is_ok);
        why.extend(done.into_iter().filter_map(Result::err).map(|e| e.one_line()));
        if well { Ok(()) } else { Err(none("give a sign of life", &why)) }
    }

    async fn leave(&self, runner: &str) -> Result<()> {
        let asked = self.places().into_iter().take(COPIES).map(|place| {
            place.ask(&self.open, "take a sign of life away", |store| async move {
                Ok(store.delete(&[runner_key(runner)]).await?)
            })
        });
        join_all(asked).await.into_iter().collect()
    }

    async fn runners(&self) -> Result<Vec<RunnerStanding>> {
        let asked = self.places().into_iter().take(COPIES).map(|place| {
            place.ask(&self.open, "look for runners", |store| async move { runners(&*store).await })
        });
        let (mut all, mut why, mut answered) = (Vec::<RunnerStanding>::new(), Vec::new(), false);
        for found in join_all(asked).await {
            match found {
                Err(e) => why.push(e.one_line()),
                Ok(found) => {
                    answered = true;
                    for runner in found {
                        match all.iter_mut().find(|r| r.name == runner.name) {
                            Some(known) if known.heartbeat < runner.heartbeat => *known = runner,
                            Some(_) => {}
                            None => all.push(runner),
                        }
                    }
                }
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        if answered { Ok(all) } else { Err(none("look for runners", &why)) }
    }
}

/// The signs of life in one store; those that nobody misses any more are removed.
async fn runners(store: &dyn ObjectStore) -> Result<Vec<RunnerStanding>> {
    let now = store.now().await?;
    let listed: Vec<_> = store.list(RUNNERS).try_collect().await?;
    let mut found = Vec::new();
    for object in listed {
        let age = (now - object.last_modified).num_seconds();
        if age > FORGOTTEN {
            store.delete(&[object.key]).await?;
            continue;
        }
        let read = match store.get(&object.key).await {
            Ok(read) => read,
            // It has left meanwhile.
            Err(e) if e.class == Class::NotFound => continue,
            Err(e) => return Err(e.into()),
        };
        let runner: std::result::Result<RunnerStanding, _> = serde_json::from_slice(&read.bytes);
        // One that cannot be read says no more than that it is there.
        let Ok(runner) = runner else { continue };
        found.push(RunnerStanding {
            heartbeat: read.last_modified,
            silent: age > SILENT,
            ..runner
        });
    }
    Ok(found)
}

async fn held(store: &dyn ObjectStore, name: &str, e: &Error) -> Result<Claimed> {
    let left = match lease::inspect(store, name).await?.map(|info| info.standing) {
        Some(Standing::Held { left }) => left,
        _ => Duration::ZERO,
    };
    Ok(Claimed::Held { by: e.one_line(), left })
}

struct Held(Lease);

#[async_trait]
impl Claim for Held {
    fn is_held(&self) -> bool {
        self.0.is_held()
    }

    async fn release(self: Box<Self>) {
        // One that cannot be released runs out.
        let _ = self.0.release().await;
    }
}

#[cfg(test)]
mod tests;
