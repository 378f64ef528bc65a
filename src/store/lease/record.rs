//! A lease as it lies in a store, and what that means at a given time.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Error, Kind, Result};
use crate::model::Digest;
use crate::store::keys;
use crate::store::port::{Class, Condition, Etag, ObjectStore, Put};

/// S3 dates objects to the second, so a lease that seems to have run out may have a second left.
const COARSE: i64 = 2;

/// Who holds a lease, for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    pub host: String,
    pub pid: u32,
    pub user: String,
    /// "take a snapshot of petforce".
    pub purpose: String,
    /// What `process::identity` gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<String>,
}

impl Holder {
    /// This process; `purpose` goes on "to …".
    pub fn this_process(purpose: impl Into<String>) -> Self {
        Self {
            host: gethostname::gethostname().to_string_lossy().into_owned(),
            pid: std::process::id(),
            // Only for people, so a user without a name is no failure.
            user: whoami::username().unwrap_or_else(|_| "an unknown user".to_owned()),
            purpose: purpose.into(),
            process: super::process::identity(),
        }
    }
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, pid, user, purpose, .. } = self;
        write!(f, "{user} on {host} (pid {pid}), to {purpose}")
    }
}

/// The object's JSON.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) name: String,
    pub(super) fence: u64,
    /// Tells one taking from another, whoever took it.
    pub(super) token: String,
    pub(super) holder: Holder,
    /// By the store's clock.
    pub(super) acquired: DateTime<Utc>,
    /// By the holder's clock; it makes every renewal another content, and nothing is judged by it.
    pub(super) renewed: DateTime<Utc>,
    pub(super) ttl_s: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) released: Option<DateTime<Utc>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) broken_by: Option<String>,
}

impl Record {
    pub(super) async fn write(&self, store: &dyn ObjectStore, condition: Condition) -> Result<Put> {
        let bytes: Bytes = serde_json::to_vec_pretty(self)
            .attempt(Kind::Bug, || format!("write lease `{}` as JSON", self.name))?
            .into();
        let sha256 = Digest::of(&bytes);
        Ok(store.put_if(&keys::lease_key(&self.name), bytes, sha256, condition).await?)
    }
}

/// A record with its version and date.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub(super) record: Record,
    pub(super) etag: Etag,
    pub(super) last_modified: DateTime<Utc>,
}

/// Whether anybody holds a lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Released or broken.
    Free,
    /// Held; it runs out after so long if it is not renewed.
    Held { left: Duration },
    /// Its holder has not renewed it in time.
    RunOut { since: DateTime<Utc> },
}

/// What is known of a lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseInfo {
    pub name: String,
    /// The fencing number: it grows with every holder.
    pub fence: u64,
    /// The present holder, or the last one.
    pub holder: Holder,
    pub acquired: DateTime<Utc>,
    /// When the store last had a sign of the holder.
    pub renewed: DateTime<Utc>,
    pub ttl: Duration,
    pub released: Option<DateTime<Utc>>,
    /// Who broke it, if it was broken.
    pub broken_by: Option<String>,
    pub standing: Standing,
}

impl Found {
    /// What the record means at the store's time `now`.
    pub(super) fn info(&self, now: DateTime<Utc>) -> LeaseInfo {
        let record = &self.record;
        let ttl = Duration::from_secs(record.ttl_s);
        let seconds = i64::try_from(record.ttl_s).unwrap_or(i64::MAX / 2_000);
        let end = TimeDelta::try_seconds(seconds.saturating_add(COARSE))
            .and_then(|time| self.last_modified.checked_add_signed(time))
            .unwrap_or(DateTime::<Utc>::MAX_UTC);
        let standing = match (record.released, (end - now).to_std()) {
            (Some(_), _) => Standing::Free,
            (None, Ok(left)) if !left.is_zero() => Standing::Held { left },
            (None, _) => Standing::RunOut { since: end },
        };
        LeaseInfo {
            name: record.name.clone(),
            fence: record.fence,
            holder: record.holder.clone(),
            acquired: record.acquired,
            renewed: self.last_modified,
            ttl,
            released: record.released,
            broken_by: record.broken_by.clone(),
            standing,
        }
    }

    /// The error for somebody who wanted the lease.
    pub(super) fn held(&self, store: &dyn ObjectStore, now: DateTime<Utc>) -> Error {
        let info = self.info(now);
        let left = match info.standing {
            Standing::Held { left } => left.as_secs(),
            _ => 0,
        };
        let since = info.acquired.format("%Y-%m-%d %H:%M:%S UTC");
        let (name, holder) = (&info.name, &info.holder);
        let what = format!(
            "take lease `{name}` in store `{}`: held since {since} by {holder}; without a sign of \
             that process it runs out in {left} s",
            store.name()
        );
        let hint = format!(
            "wait for it; if that process is gone for good, look with `drctl unlock {name}` and \
             break the lease with `drctl unlock {name} --force`"
        );
        Error::new(Kind::LeaseHeld, what).hint(hint)
    }
}

/// The lease `name` as it lies in the store.
pub(super) async fn read(store: &dyn ObjectStore, name: &str) -> Result<Option<Found>> {
    let key = keys::lease_key(name);
    let object = match store.get(&key).await {
        Ok(object) => object,
        Err(e) if e.class == Class::NotFound => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let record = serde_json::from_slice(&object.bytes).map_err(|e| {
        let what = format!("read lease `{name}` in store `{}`: it is not a lease", store.name());
        let hint = format!("look at {}/{key}; if no drctl is at work, remove it", store.url());
        Error::new(Kind::Damaged, what).caused_by(e).hint(hint)
    })?;
    Ok(Some(Found { record, etag: object.etag, last_modified: object.last_modified }))
}
