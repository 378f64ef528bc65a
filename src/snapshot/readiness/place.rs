//! One store: reachable, writable, and as good as its word about conditions and checksums.

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;
use futures_util::future::join_all;

use super::notes::Stopped;
use super::{Notes, Request};
use crate::error::Error;
use crate::integrity::history;
use crate::integrity::seal::Keys;
use crate::model::{Digest, Encryption, GenerationId};
use crate::store::{Condition, Etag, ObjectStore, Put, keys, marker};

/// A clock off by more than this is worth a word.
const SKEWED: TimeDelta = TimeDelta::seconds(30);

/// S3 refuses requests that are off by 15 minutes (`RequestTimeTooSkewed`), so this is near the end.
const TOO_SKEWED: TimeDelta = TimeDelta::minutes(10);

/// What was seen of a store besides its findings.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// One for each database that could be looked up here.
    pub newest: Vec<Newest>,
    pub free_bytes: Option<u64>,
}

/// The newest snapshot of a database in one store: when it was taken, and its id.
#[derive(Debug)]
pub(super) struct Newest {
    pub database: String,
    pub taken: Option<(DateTime<Utc>, String)>,
    /// Its generation and what it says of the key, where it is encrypted.
    pub encryption: Option<(GenerationId, Encryption)>,
}

pub(super) async fn check(
    store: &dyn ObjectStore,
    request: &Request<'_>,
    notes: &mut Notes,
) -> Visit {
    let mut visit = Visit::default();
    let begun = std::time::Instant::now();
    let before = Utc::now();
    let asked = async { Ok(store.now().await?) };
    let Some(theirs) = notes.within(&format!("reach {}", store.url()), asked).await else {
        return visit;
    };
    notes.ok(format!("{} answers in {} ms", store.url(), begun.elapsed().as_millis()));
    clock(theirs, before, Utc::now(), notes);
    visit.free_bytes = store.free_bytes();
    // A store of a newer format must not be written by this program.
    notes.within(&format!("read the marker of {}", store.url()), marker::find(store)).await;

    let name = format!("doctor-{:08x}", request.random);
    let probe = Probe {
        store,
        key: keys::state_key(&name),
        torn: keys::state_key(&format!("{name}-torn")),
        raced: keys::state_key(&format!("{name}-raced")),
    };
    if let Err(stopped) = probe.all(notes).await {
        notes.stopped(&stopped);
    }
    probe.tidy_up(notes).await;

    if let Ok(keys) = &request.keys {
        for database in &request.databases {
            let used = request.config.database(database).ok();
            if used.is_some_and(|config| config.stores.iter().any(|s| s == store.name())) {
                visit.newest.extend(newest(store, keys, database, notes).await);
            }
        }
    }
    visit
}

/// Compares the store's clock, read between `before` and `after`, with ours.
fn clock(theirs: DateTime<Utc>, before: DateTime<Utc>, after: DateTime<Utc>, notes: &mut Notes) {
    // Within the time that asking took, neither clock is known to be wrong.
    let skew =
        if theirs < before { before - theirs } else { (theirs - after).max(TimeDelta::zero()) };
    let seconds = skew.num_seconds();
    let hint = "set this machine's clock: chronyc makestep, or timedatectl set-ntp true";
    if skew > TOO_SKEWED {
        let what = format!("its clock and this machine's are {seconds} s apart; S3 refuses 900 s");
        notes.critical(what, hint);
    } else if skew > SKEWED {
        notes.warning(format!("its clock and this machine's are {seconds} s apart"), hint);
    } else {
        notes.ok("its clock and this machine's agree");
    }
}

async fn newest(
    store: &dyn ObjectStore,
    keys: &Keys,
    database: &str,
    notes: &mut Notes,
) -> Option<Newest> {
    let what = format!("look for snapshots of `{database}` in {}", store.url());
    let (newest, broken) = notes.within(&what, history::newest(store, keys, database)).await?;
    for (place, e) in &broken {
        notes.critical(
            format!("snapshot {} of `{database}` cannot be used: {}", place.snapshot, e.one_line()),
            format!("run `drctl verify {database} --snapshot {}`", place.snapshot),
        );
    }
    let taken = newest.as_ref().map(|m| (m.taken, m.id.to_string()));
    let encryption = newest.and_then(|m| Some((m.generation, m.encryption?)));
    Some(Newest { database: database.to_owned(), taken, encryption })
}

/// Objects that are written to see what the store makes of them.
struct Probe<'a> {
    store: &'a dyn ObjectStore,
    key: String,
    /// Where bytes go that are not those that were promised.
    torn: String,
    /// What several want to make at once.
    raced: String,
}

type Step<T> = std::result::Result<T, Stopped>;

impl Probe<'_> {
    /// Stops where going on would tell nothing.
    async fn all(&self, notes: &mut Notes) -> Step<()> {
        let etag = match self.put(notes, &self.key, "first", Condition::Absent).await? {
            Put::Written(etag) => etag,
            Put::Refused => {
                notes.critical(
                    format!("it refuses a new object ({}) as if it were there", self.key),
                    "the store must support `If-None-Match: *`; use another store or version",
                );
                return Ok(());
            }
        };
        self.conditions(notes, etag).await?;
        self.checksum(notes).await?;
        self.listing(notes).await
    }

    async fn put(
        &self,
        notes: &Notes,
        key: &str,
        text: &'static str,
        condition: Condition,
    ) -> Step<Put> {
        let bytes = Bytes::from_static(text.as_bytes());
        let sha256 = Digest::of(&bytes);
        let what = format!("write {}/{key}", self.store.url());
        let put = async { Ok(self.store.put_if(key, bytes, sha256, condition).await?) };
        notes.wait(&what, put).await
    }

    /// Every write has bytes of its own, so that none can pass for another's retry.
    async fn conditions(&self, notes: &mut Notes, etag: Etag) -> Step<()> {
        let wrong = Etag("\"00000000000000000000000000000000\"".to_owned());
        let second = self.put(notes, &self.key, "second", Condition::Absent).await?;
        let foreign = self.put(notes, &self.key, "foreign", Condition::Matches(wrong)).await?;
        let own = match (&second, &foreign) {
            (Put::Refused, Put::Refused) => {
                self.put(notes, &self.key, "own", Condition::Matches(etag)).await?
            }
            _ => Put::Refused,
        };
        let hint = "two snapshots could overwrite each other, and two operators could fail over at \
                    once: use a store with conditional writes (AWS S3 has them)";
        if second != Put::Refused {
            notes.critical("it overwrites objects in spite of `If-None-Match: *`", hint);
        }
        if foreign != Put::Refused {
            notes.critical("it overwrites objects in spite of another `If-Match`", hint);
        }
        if second == Put::Refused && foreign == Put::Refused {
            match own {
                Put::Written(_) => self.race(notes, hint).await?,
                Put::Refused => notes.critical(
                    "it refuses `If-Match` with the object's own etag",
                    "leases cannot be renewed there: use a store with conditional writes",
                ),
            }
        }
        Ok(())
    }

    /// Some services look first and write then: they honour conditions as long as nobody else writes.
    async fn race(&self, notes: &mut Notes, hint: &str) -> Step<()> {
        let racers = ["one", "two", "three", "four", "five", "six", "seven", "eight"];
        let puts = racers.map(|text| self.put(notes, &self.raced, text, Condition::Absent));
        let mut won = 0;
        for put in join_all(puts).await {
            won += usize::from(put? != Put::Refused);
        }
        match won {
            1 => notes.ok("it honours conditional writes, also of several at once"),
            n => notes.critical(format!("of 8 that made one object at once, {n} were let"), hint),
        }
        Ok(())
    }

    async fn checksum(&self, notes: &mut Notes) -> Step<()> {
        let what = format!("write {}/{}", self.store.url(), self.torn);
        let sent = async {
            let refused = self.store.refuses_damage(&self.torn).await;
            refused.map_err(|e| Error::from(e).during("find out whether it checks SHA-256"))
        };
        match notes.wait(&what, sent).await? {
            true => notes.ok("it checks SHA-256 checksums"),
            false => notes.warning(
                "it accepts bytes that do not have the SHA-256 that was promised",
                "damage on the way to it is found only by `drctl verify --depth content`; AWS S3 \
                 would refuse it",
            ),
        }
        Ok(())
    }

    async fn listing(&self, notes: &mut Notes) -> Step<()> {
        let what = format!("list and read {}", self.store.url());
        let look = async {
            let listed: Vec<_> = self.store.list(&self.key).try_collect().await?;
            let object = self.store.get(&self.key).await?;
            let meta = self.store.head(&self.key, true).await?;
            let digest = Digest::of(&object.bytes);
            let promised = meta.and_then(|m| m.sha256);
            Ok((listed.iter().any(|l| l.key == self.key), promised == Some(digest)))
        };
        let (listed, promised) = notes.wait(&what, look).await?;
        if !listed {
            notes.critical(
                "an object that was just written is not in its listing",
                "drctl needs a store that is consistent from write to list",
            );
        }
        match promised {
            true => notes.ok("objects can be written, listed, read, and asked for their SHA-256"),
            false => notes.warning(
                "it does not tell an object's SHA-256",
                "`verify --depth checksums` cannot work there; use `--depth content`",
            ),
        }
        Ok(())
    }

    /// Removes the probe, whatever came before.
    async fn tidy_up(&self, notes: &mut Notes) {
        let keys = [self.key.clone(), self.torn.clone(), self.raced.clone()];
        let remove = async { Ok::<_, Error>(self.store.delete(&keys).await) };
        let why = match notes.wait("remove the probe", remove).await {
            Ok(Ok(())) => return,
            Ok(Err(e)) => Error::from(e).one_line(),
            Err(Stopped::Failed(e)) => e.one_line(),
            Err(Stopped::Late(what)) => what,
        };
        notes.warning(
            format!("the probe {} may be left: {why}", self.key),
            "prune needs s3:DeleteObject (or a writable folder); snapshots do not",
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::super::Severity;
    use super::*;
    use crate::store::fault::{Fault, FaultyStore, Op};
    use crate::store::{Class, MemoryStore};

    async fn probed(store: &dyn ObjectStore) -> Vec<(Severity, String)> {
        let mut notes = Notes::new("store east".to_owned(), Duration::from_millis(300));
        let probe = Probe {
            store,
            key: keys::state_key("doctor-1"),
            torn: keys::state_key("doctor-1-torn"),
            raced: keys::state_key("doctor-1-raced"),
        };
        if let Err(stopped) = probe.all(&mut notes).await {
            notes.stopped(&stopped);
        }
        probe.tidy_up(&mut notes).await;
        notes.into_findings().into_iter().map(|f| (f.severity, f.what)).collect()
    }

    fn faulty(memory: &MemoryStore) -> FaultyStore {
        FaultyStore::new(Arc::new(memory.clone()))
    }

    async fn left(store: &MemoryStore) -> usize {
        store.list("").try_collect::<Vec<_>>().await.unwrap().len()
    }

    #[tokio::test]
    async fn a_good_store_passes_and_nothing_is_left() {
        let memory = MemoryStore::new("east");
        let found = probed(&memory).await;
        assert!(found.iter().all(|(severity, _)| *severity == Severity::Ok), "{found:?}");
        assert_eq!(found.len(), 3);
        assert_eq!(left(&memory).await, 0);
        assert!(keys::parse(&keys::state_key("doctor-1-torn")).is_some());
    }

    #[tokio::test]
    async fn a_store_that_ignores_conditions_is_found_out() {
        let memory = MemoryStore::new("east");
        let store = faulty(&memory);
        store.always(Op::Put, Fault::Unconditional);
        let found = probed(&store).await;
        let critical: Vec<_> = found.iter().filter(|f| f.0 == Severity::Critical).collect();
        assert_eq!(critical.len(), 2, "{found:?}");
        assert!(critical[0].1.contains("If-None-Match"), "{found:?}");
        assert!(critical[1].1.contains("If-Match"), "{found:?}");
        assert_eq!(left(&memory).await, 0);
    }

    #[tokio::test]
    async fn a_store_that_looks_first_and_writes_then_is_found_out() {
        let memory = MemoryStore::new("east");
        let store = faulty(&memory);
        // Four writes come before those at once.
        store.on(Op::Put, 6, Fault::Unconditional);
        let found = probed(&store).await;
        let text = "of 8 that made one object at once, 2 were let";
        assert_eq!(found[0], (Severity::Critical, text.to_owned()));
        assert_eq!(left(&memory).await, 0);
    }

    #[tokio::test]
    async fn a_store_that_ignores_checksums_is_found_out() {
        let memory = MemoryStore::new("east");
        let store = faulty(&memory);
        store.always(Op::Put, Fault::Unchecked);
        let found = probed(&store).await;
        assert_eq!(found[0].0, Severity::Warning);
        assert!(found[0].1.contains("SHA-256 that was promised"), "{found:?}");
        assert_eq!(left(&memory).await, 0);
    }

    #[tokio::test]
    async fn a_store_that_refuses_writes_or_removals_or_says_nothing_is_told_as_such() {
        let store = faulty(&MemoryStore::new("east"));
        store.always(Op::Put, Fault::Fail(Class::Denied));
        let found = probed(&store).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0, Severity::Critical);

        let store = faulty(&MemoryStore::new("east"));
        store.always(Op::Delete, Fault::Fail(Class::Denied));
        let found = probed(&store).await;
        assert_eq!(found[0].0, Severity::Warning);
        assert!(found[0].1.contains("may be left"), "{found:?}");

        let store = faulty(&MemoryStore::new("east"));
        store.on(Op::Put, 2, Fault::Slow(Duration::from_secs(60)));
        let found = probed(&store).await;
        assert_eq!(found[0].0, Severity::Critical);
        assert!(found[0].1.contains("no answer within 300ms"), "{found:?}");
    }

    #[test]
    fn clocks_are_compared_within_the_time_that_asking_took() {
        let at = |seconds| DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds);
        let judged = |theirs| {
            let mut notes = Notes::new("store x".to_owned(), Duration::ZERO);
            clock(at(theirs), at(10_000), at(10_005), &mut notes);
            notes.into_findings()[0].severity
        };
        for (theirs, severity) in [
            (10_003, Severity::Ok),
            (9_971, Severity::Ok),
            (9_969, Severity::Warning),
            (10_034, Severity::Ok),
            (10_036, Severity::Warning),
            (10_606, Severity::Critical),
            (9_399, Severity::Critical),
        ] {
            assert_eq!(judged(theirs), severity, "{theirs}");
        }
    }
}
