//! The journal of a run: what happened, written down before it happens, in the control store and in
//! a folder of this machine. Entries are create-only and each holds the digest of the one before.

mod chain;
mod listing;
mod load;
mod proof;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use tokio::time::Instant;

use super::plan::Plan;
use super::record::{Entry, Record};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::Digest;
use crate::providers::RunFacts;
use crate::store::{Class, Condition, ObjectStore, Put, keys};

pub use self::listing::{RunSummary, list, resolve};
pub use self::load::{Loaded, load};
pub use self::proof::{Flaw, Proof, verify};

/// Between two attempts to reach a store that is away, and how long one may take: the clock runs.
const AGAIN: Duration = Duration::from_secs(15);
const BRIEFLY: Duration = Duration::from_secs(2);

/// How often a write whose answer was lost is settled by looking.
const ROUNDS: u32 = 3;

/// Where a run's journal lies.
#[derive(Debug, Clone)]
pub struct Copies {
    /// The store of the standby region: the copy that counts.
    pub control: Arc<dyn ObjectStore>,
    /// A folder of this machine.
    pub local: Arc<dyn ObjectStore>,
}

/// The key of an entry, in either copy.
pub(super) fn entry_key(run: &str, number: u64) -> String {
    format!("{}{number:08}.json", keys::run_prefix(run))
}

/// The key of a run's plan, in either copy.
pub(super) fn plan_key(run: &str) -> String {
    format!("{}plan.json", keys::run_prefix(run))
}

/// What a seal says of so many entries, of which the last one has this digest.
pub(super) fn seal_text(entries: u64, last: Digest) -> String {
    serde_json::json!({ "entries": entries, "last": last }).to_string()
}

/// The key of the seal that vouches for the entries up to `number`.
pub(super) fn seal_key(run: &str, number: u64) -> String {
    format!("{}seal-{number:08}.json", keys::run_prefix(run))
}

/// An object that was written locally and not yet to the control store.
#[derive(Debug)]
struct Unsent {
    key: String,
    bytes: Bytes,
}

/// A journal that this process writes.
#[derive(Debug)]
pub struct Journal {
    run: String,
    copies: Copies,
    next: u64,
    last: Digest,
    /// Whether to go on when only the local copy can be written.
    local_alone: bool,
    unsent: Vec<Unsent>,
    tried: Option<Instant>,
    /// Why the local copy is given up.
    local_lost: Option<String>,
    /// What a person should know and was not yet told.
    news: Vec<String>,
}

/// The plan as it is stored, and its digest.
pub fn plan_bytes(plan: &Plan) -> Result<(Bytes, Digest)> {
    let bytes: Bytes = serde_json::to_vec_pretty(plan)
        .attempt(Kind::Bug, || "write the plan as JSON".to_owned())?
        .into();
    let digest = Digest::of(&bytes);
    Ok((bytes, digest))
}

impl Journal {
    /// Begins the journal of a new run: stores its plan and the first entry.
    pub async fn begin(
        copies: Copies,
        plan: &Plan,
        run: RunFacts,
        at: DateTime<Utc>,
        local_alone: bool,
    ) -> Result<(Self, Entry)> {
        let (bytes, digest) = plan_bytes(plan)?;
        let mut journal = Self::after(copies, run.id.clone(), 0, Digest::of(b""), local_alone);
        let key = plan_key(&run.id);
        journal.write(&key, &bytes).await?;
        let fence = run.fence;
        let entry = journal.append(Record::RunBegan { run, plan: digest }, at, fence).await?;
        Ok((journal, entry))
    }

    fn after(copies: Copies, run: String, next: u64, last: Digest, local_alone: bool) -> Self {
        Self {
            run,
            copies,
            next,
            last,
            local_alone,
            unsent: Vec::new(),
            tried: None,
            local_lost: None,
            news: Vec::new(),
        }
    }

    /// Goes on with a journal that was loaded.
    pub async fn go_on(copies: Copies, loaded: &Loaded, local_alone: bool) -> Result<Self> {
        let (run, next) = (loaded.run.clone(), loaded.entries.len() as u64);
        let mut journal = Self::after(copies, run, next, loaded.last, local_alone);
        journal.even_out(loaded).await?;
        Ok(journal)
    }

    /// Writes an entry. It is durable when this returns; an error means that nothing that should
    /// follow it may happen.
    ///
    /// `Kind::LeaseHeld`: another process writes this journal.
    pub async fn append(&mut self, record: Record, at: DateTime<Utc>, fence: u64) -> Result<Entry> {
        let entry = Entry { number: self.next, at, fence, previous: self.last, record };
        let bytes: Bytes = entry.to_bytes()?.into();
        let digest = Digest::of(&bytes);
        self.write(&entry_key(&self.run, entry.number), &bytes).await?;
        self.next += 1;
        self.last = digest;
        Ok(entry)
    }

    /// Vouches for all entries up to now: tells a changed last entry, which no later one names.
    pub async fn seal(&mut self) -> Result<()> {
        let Some(number) = self.next.checked_sub(1) else { return Ok(()) };
        let seal = seal_text(self.next, self.last);
        self.write(&seal_key(&self.run, number), &seal.into_bytes().into()).await
    }

    /// Whether entries lie in the local copy only.
    pub fn is_local_only(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What a person should know since the last time.
    pub fn news(&mut self) -> Vec<String> {
        std::mem::take(&mut self.news)
    }

    /// Sends what the control store does not have yet, if it can be reached by now.
    pub async fn send_rest(&mut self) -> Result<()> {
        self.tried = None;
        self.try_sending().await
    }

    async fn write(&mut self, key: &str, bytes: &Bytes) -> Result<()> {
        if self.unsent.is_empty() {
            match put(&*self.copies.control, key, bytes).await {
                Ok(()) => return self.write_local(key, bytes).await,
                Err(e) if e.kind() != Kind::Storage => return Err(e),
                Err(e) if !self.local_alone => {
                    return Err(e.during(format!("write the journal of run {}", self.run)).hint(
                        "nothing more was begun. When the store is back: `drctl resume RUN`. To go \
                         on without it: the same with `--local-journal`",
                    ));
                }
                Err(e) => {
                    self.tried = Some(Instant::now());
                    self.news.push(format!(
                        "THE JOURNAL IS LOCAL ONLY: store `{}` cannot be written ({}). Nobody else \
                         can see or take over this run until it is back",
                        self.copies.control.name(),
                        e.one_line()
                    ));
                }
            }
        }
        if let Some(why) = &self.local_lost {
            let what =
                format!("write the journal of run {}: neither copy can be written", self.run);
            return Err(Error::new(Kind::Storage, what).caused_by(why.clone()));
        }
        put(&*self.copies.local, key, bytes)
            .await
            .map_err(|e| e.during("write the journal: neither copy can be written"))?;
        self.unsent.push(Unsent { key: key.to_owned(), bytes: bytes.clone() });
        if self.tried.is_none_or(|at| at.elapsed() >= AGAIN) {
            self.try_sending().await?;
        }
        Ok(())
    }

    /// The local copy of something that the control store has. It is of use and not needed.
    async fn write_local(&mut self, key: &str, bytes: &Bytes) -> Result<()> {
        if self.local_lost.is_none()
            && let Err(e) = put(&*self.copies.local, key, bytes).await
        {
            let why = e.one_line();
            self.news.push(format!(
                "the local copy of the journal cannot be written ({why}); store `{}` has it",
                self.copies.control.name()
            ));
            self.local_lost = Some(why);
        }
        Ok(())
    }

    async fn try_sending(&mut self) -> Result<()> {
        while let Some(first) = self.unsent.first() {
            let sent = put(&*self.copies.control, &first.key, &first.bytes);
            match tokio::time::timeout(BRIEFLY, sent).await {
                Ok(Ok(())) => {
                    self.unsent.remove(0);
                    if self.unsent.is_empty() {
                        self.news.push(format!(
                            "store `{}` is back and has the whole journal",
                            self.copies.control.name()
                        ));
                    }
                }
                Ok(Err(e)) if e.kind() != Kind::Storage => return Err(e),
                Ok(Err(_)) | Err(_) => {
                    self.tried = Some(Instant::now());
                    return Ok(());
                }
            }
        }
        Ok(())
    }
}

/// Writes an object that nobody else may have written. `Kind::LeaseHeld`: somebody has, with other
/// bytes. A lost answer is settled by looking.
pub(super) async fn put(store: &dyn ObjectStore, key: &str, bytes: &Bytes) -> Result<()> {
    let digest = Digest::of(bytes);
    let mut rounds = 0;
    loop {
        rounds += 1;
        let lost = match store.put_if(key, bytes.clone(), digest, Condition::Absent).await {
            Ok(Put::Written(_)) => return Ok(()),
            Ok(Put::Refused) => None,
            Err(e) if e.class == Class::Unknown => Some(e),
            Err(e) => return Err(e.into()),
        };
        match (store.get(key).await, lost) {
            (Ok(there), _) if there.bytes == *bytes => return Ok(()),
            (Ok(_), _) => {
                let what = format!("write {}/{key}: another process has written it", store.url());
                return Err(Error::new(Kind::LeaseHeld, what).hint(
                    "somebody else carries this run on; this process has stopped. `drctl runs show \
                     RUN` shows what they do",
                ));
            }
            (Err(e), Some(_)) if e.class == Class::NotFound && rounds < ROUNDS => {}
            (Err(_), Some(lost)) => return Err(lost.into()),
            (Err(e), None) => return Err(e.into()),
        }
    }
}

#[cfg(test)]
mod tests;
