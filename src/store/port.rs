//! The port that every kind of store implements, and its error with a class for retries.

use std::fmt;
use std::path::Path;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{BoxStream, StreamExt};

use super::posture::Posture;
use crate::error::{Error, Kind};
use crate::model::Digest;

/// What a failure means for the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Worth another try: throttled, unavailable, timed out, reset.
    Transient,
    /// No try will help: bad request, bucket missing, disk full.
    Permanent,
    /// The credentials may not do this, or are not valid.
    Denied,
    /// The object is not there.
    NotFound,
    /// The bytes that arrived are not those that were sent or promised.
    Corrupt,
    /// Sent, and no answer came: it may have happened. Settle it by looking.
    Unknown,
}

/// A store's failure. `what` names the act and the object; the class decides about retries.
#[derive(Debug)]
pub struct StoreError {
    pub class: Class,
    pub what: String,
    pub hint: Option<String>,
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The result of a store's act.
pub type Result<T> = std::result::Result<T, StoreError>;

impl StoreError {
    pub fn new(class: Class, what: impl Into<String>) -> Self {
        Self { class, what: what.into(), hint: None, source: None }
    }

    pub fn caused_by(mut self, e: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(e.into());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn std::error::Error + 'static))
    }
}

impl From<StoreError> for Error {
    fn from(e: StoreError) -> Self {
        let kind = match e.class {
            Class::Corrupt => Kind::Damaged,
            _ => Kind::Storage,
        };
        let error = Error::new(kind, e.what.clone());
        let error = match &e.hint {
            Some(hint) => error.hint(hint.clone()),
            None => error,
        };
        // The store's own error stays in the chain, so that its class can be asked for.
        error.caused_by(e)
    }
}

/// An opaque version of an object's content, for conditional writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Etag(pub String);

/// What a store tells of an object without its bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    pub size: u64,
    pub etag: Etag,
    pub last_modified: DateTime<Utc>,
    /// The store's own SHA-256 of the bytes, where it keeps one over the whole object (S3:
    /// `x-amz-checksum-sha256` of a single put; a file store reads the file).
    pub sha256: Option<Digest>,
}

/// An object with its bytes.
#[derive(Debug, Clone)]
pub struct Object {
    pub bytes: Bytes,
    pub etag: Etag,
    pub last_modified: DateTime<Utc>,
}

/// One line of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The key below the store's prefix.
    pub key: String,
    pub size: u64,
    pub last_modified: DateTime<Utc>,
    /// The version, where the listing tells it and the store gives every change a new one: the same
    /// version is then the same bytes, as far as the store knows.
    pub etag: Option<Etag>,
}

/// When a `put_if` may write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Only if there is no object.
    Absent,
    /// Only if the object still has this version.
    Matches(Etag),
}

/// How a conditional write ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Written; the new version.
    Written(Etag),
    /// The condition did not hold; nothing was written.
    Refused,
}

/// Bytes as they arrive.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// What `refuses_damage` sends, and what it promises.
pub(super) const DAMAGED: &[u8] = b"these bytes were sent";
pub(super) const PROMISED: &[u8] = b"those bytes were promised";

/// Whether the answer to damaged bytes is that the store will not have them.
pub(super) fn refused(answer: Result<Put>) -> Result<bool> {
    match answer {
        Ok(_) => Ok(false),
        Err(e) if matches!(e.class, Class::Corrupt | Class::Permanent) => Ok(true),
        Err(e) => Err(e),
    }
}

/// One place for objects. Keys are relative to the store's prefix, use `/`, and never begin with it.
///
/// Every implementation passes the conformance suite in `store/conformance.rs`.
#[async_trait]
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// The store's name in the configuration.
    fn name(&self) -> &str;

    /// Where it is, for people: `s3://bucket/prefix` or `file:///dir`. Never holds a secret.
    fn url(&self) -> &str;

    /// The region it is in.
    fn region(&self) -> &str;

    /// Writes an object if `condition` holds. The store verifies `sha256` against the bytes that
    /// arrived. Atomic: no reader ever sees a part of it, and it is durable when this returns.
    async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Digest,
        condition: Condition,
    ) -> Result<Put>;

    /// As `put_if` with `Absent`, from a file of `size` bytes, in constant memory.
    async fn put_file_new(&self, key: &str, file: &Path, size: u64, sha256: Digest) -> Result<Put>;

    /// The whole object; for objects of bounded size.
    async fn get(&self, key: &str) -> Result<Object>;

    /// The object's bytes as they arrive; for objects of any size.
    async fn get_stream(&self, key: &str) -> Result<ByteStream>;

    /// What the store tells of the object, or `None` if it is not there. With `checksum`, also its
    /// SHA-256 where the store has it.
    async fn head(&self, key: &str, checksum: bool) -> Result<Option<Meta>>;

    /// Every object whose key begins with `prefix`, in key order. An error ends the stream.
    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed>>;

    /// As `list`, from the first key after `after` on: where a listing that broke off goes on.
    fn list_after(&self, prefix: &str, after: &str) -> BoxStream<'_, Result<Listed>> {
        let after = after.to_owned();
        let rest = self.list(prefix).filter(move |found| {
            let wanted = found.as_ref().map_or(true, |listed| listed.key > after);
            std::future::ready(wanted)
        });
        rest.boxed()
    }

    /// The names directly below `prefix` (which is empty or ends with `/`) that have objects below
    /// them: `a/` gives `b` and `c` for `a/b/x` and `a/c/y`. Sorted.
    async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>>;

    /// Removes objects; one that is not there is no error.
    async fn delete(&self, keys: &[String]) -> Result<()>;

    /// Copies an object from another store without moving bytes through this process, where both
    /// are at one endpoint. `None`: not possible here, stream it instead. Create-only.
    async fn copy_within(
        &self,
        _from: &dyn ObjectStore,
        _key: &str,
        _size: u64,
        _sha256: Digest,
    ) -> Result<Option<Put>> {
        Ok(None)
    }

    /// Whether the store itself refuses bytes that are not those that were promised, found out by
    /// sending such bytes to `key`, where no object is. A store that does not refuse keeps them.
    async fn refuses_damage(&self, key: &str) -> Result<bool> {
        let (sent, promised) = (Bytes::from_static(DAMAGED), Digest::of(PROMISED));
        refused(self.put_if(key, sent, promised, Condition::Absent).await)
    }

    /// For `copy_within`: lets an adapter recognise its own kind.
    fn as_any(&self) -> &dyn std::any::Any;

    /// The store's clock.
    async fn now(&self) -> Result<DateTime<Utc>>;

    /// How the place is set up against how the configuration has it; `witness` is the key of an
    /// object that drctl wrote lately. `None`: the place has no such settings.
    async fn posture(&self, _witness: Option<&str>) -> Option<Posture> {
        None
    }

    /// Free bytes where the store is a disk of this machine.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}
