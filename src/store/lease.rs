//! Leases: locks in a store, by conditional writes, that end by themselves when their holder dies.
//!
//! Only the store's clock decides whether a lease has run out: its date of the last renewal against
//! its time now. The clocks of the holders do not matter.

mod keeper;
pub mod process;
mod record;

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::TryStreamExt;

use self::keeper::Keeper;
use self::record::{Found, Record};
pub use self::record::{Holder, LeaseInfo, Standing};
use super::keys;
use super::port::{Condition, ObjectStore, Put};
use crate::error::{Error, Kind, Result};

/// How often to look again when others write the lease at the same moment.
const ROUNDS: u32 = 8;

/// A lease that this process holds. It is renewed in the background, and ends when it is released,
/// or, if it is only dropped, when its time has run out.
#[derive(Debug)]
pub struct Lease {
    name: String,
    keeper: Keeper,
}

impl Lease {
    /// Takes the lease `name`, unless somebody holds it: an error of kind `LeaseHeld`, which names
    /// the holder. It runs out when it was not renewed for `ttl`.
    pub async fn acquire(
        store: Arc<dyn ObjectStore>,
        name: &str,
        holder: Holder,
        ttl: Duration,
    ) -> Result<Self> {
        if !keys::is_plain_name(name) {
            return Err(Error::new(Kind::Usage, format!("take lease `{name}`: not a name")));
        }
        let token = token()?;
        for _ in 0..ROUNDS {
            let found = record::read(&*store, name).await?;
            let now = store.now().await?;
            let (fence, condition) = match &found {
                None => (1, Condition::Absent),
                Some(found) => match found.info(now).standing {
                    // Its process has ended without a word; nobody will renew it.
                    Standing::Held { .. } if process::is_gone(&found.record.holder) => {
                        (found.record.fence + 1, Condition::Matches(found.etag.clone()))
                    }
                    Standing::Held { .. } => return Err(found.held(&*store, now)),
                    // The number grows with every holder, so that what an old one still sends can
                    // be told from what the new one sends.
                    _ => (found.record.fence + 1, Condition::Matches(found.etag.clone())),
                },
            };
            let record = Record {
                name: name.to_owned(),
                fence,
                token: token.clone(),
                holder: holder.clone(),
                acquired: now,
                renewed: now,
                ttl_s: ttl.as_secs().max(1),
                released: None,
                broken_by: None,
            };
            let sent = tokio::time::Instant::now();
            if let Put::Written(etag) = record.write(&*store, condition).await? {
                let keeper = Keeper::start(store, record, etag, sent, ttl);
                return Ok(Self { name: name.to_owned(), keeper });
            }
            // Somebody else wrote in between: look at who that was.
        }
        let what =
            format!("take lease `{name}` in store `{}`: others kept writing it", store.name());
        Err(Error::new(Kind::LeaseHeld, what).hint("run the command again in a minute"))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// The fencing number: every later holder has a greater one.
    pub fn fence(&self) -> u64 {
        self.keeper.fence()
    }

    /// Whether the lease is still ours, as far as is known: it was renewed in time and nobody took
    /// or broke it.
    pub fn is_held(&self) -> bool {
        self.keeper.why_lost().is_none()
    }

    /// Whether it is lost only because the store did not answer for too long; nobody is known to have
    /// taken it.
    pub fn is_silent(&self) -> bool {
        self.keeper.is_silent()
    }

    /// `Ok` while the lease is ours, else the error to end with.
    pub fn check(&self) -> Result<()> {
        match self.keeper.why_lost() {
            None => Ok(()),
            Some(why) => Err(self.lost_error(&why)),
        }
    }

    /// Ends when the lease is lost, with the error to end with.
    pub async fn lost(&self) -> Error {
        let why = self.keeper.lost().await;
        self.lost_error(&why)
    }

    fn lost_error(&self, why: &str) -> Error {
        let what = format!("keep lease `{}`: {why}", self.name);
        Error::new(Kind::LeaseHeld, what)
            .hint("this run stopped so as not to work beside another; run the command again")
    }

    /// Gives the lease back, so that the next holder need not wait. An error leaves it to run out.
    pub async fn release(self) -> Result<()> {
        self.keeper.release().await
    }
}

fn token() -> Result<String> {
    let mut bytes = [0; 8];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(Kind::Failed, "ask the system for random bytes").caused_by(e.to_string())
    })?;
    Ok(format!("{:016x}", u64::from_ne_bytes(bytes)))
}

/// What is known of a lease; `None`: nobody ever took it.
pub async fn inspect(store: &dyn ObjectStore, name: &str) -> Result<Option<LeaseInfo>> {
    let Some(found) = record::read(store, name).await? else {
        return Ok(None);
    };
    Ok(Some(found.info(store.now().await?)))
}

/// Takes a lease from its holder, who notices at its next renewal. `by` says who did it. Gives what
/// was known before; `None`: nobody ever took it.
pub async fn break_lease(
    store: &dyn ObjectStore,
    name: &str,
    by: &str,
) -> Result<Option<LeaseInfo>> {
    for _ in 0..ROUNDS {
        let Some(Found { record, etag, last_modified }) = record::read(store, name).await? else {
            return Ok(None);
        };
        let now = store.now().await?;
        let info = Found { record: record.clone(), etag: etag.clone(), last_modified }.info(now);
        if info.standing == Standing::Free {
            return Ok(Some(info));
        }
        let broken = Record { released: Some(now), broken_by: Some(by.to_owned()), ..record };
        // A renewal in between changes the version: look again.
        if let Put::Written(_) = broken.write(store, Condition::Matches(etag)).await? {
            return Ok(Some(info));
        }
    }
    let what = format!("break lease `{name}` in store `{}`: it keeps changing", store.name());
    Err(Error::new(Kind::LeaseHeld, what).hint("run the command again"))
}

/// Every lease of a store, by name.
pub async fn list(store: &dyn ObjectStore) -> Result<Vec<LeaseInfo>> {
    let now: DateTime<Utc> = store.now().await?;
    let mut listed = store.list(keys::LEASES);
    let mut leases = Vec::new();
    while let Some(object) = listed.try_next().await? {
        if let Some(keys::KeyKind::Lease { name }) = keys::parse(&object.key)
            && let Some(found) = record::read(store, &name).await?
        {
            leases.push(found.info(now));
        }
    }
    Ok(leases)
}

#[cfg(test)]
mod tests;
