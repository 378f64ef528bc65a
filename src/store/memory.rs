//! A store in memory, for tests and for work that must not touch the world.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt};

use super::port::{
    ByteStream, Class, Condition, Etag, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
use crate::model::Digest;

type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Objects in a map. Clones share them.
#[derive(Clone)]
pub struct MemoryStore {
    name: String,
    url: String,
    region: String,
    clock: Clock,
    vouches: bool,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    versions: u64,
    objects: BTreeMap<String, Kept>,
}

#[derive(Clone)]
struct Kept {
    bytes: Bytes,
    version: u64,
    last_modified: DateTime<Utc>,
}

impl Kept {
    fn etag(&self) -> Etag {
        Etag(self.version.to_string())
    }
}

impl MemoryStore {
    pub fn new(name: &str) -> Self {
        Self::with_clock(name, Arc::new(Utc::now))
    }

    /// As `new`, with the store's own clock.
    pub fn with_clock(name: &str, clock: Clock) -> Self {
        Self {
            name: name.to_owned(),
            url: format!("memory://{name}"),
            region: "local".to_owned(),
            clock,
            vouches: false,
            shelf: Arc::default(),
        }
    }

    /// Lists objects with their versions, as S3 does.
    pub fn listing_versions(mut self) -> Self {
        self.vouches = true;
        self
    }

    /// Replaces an object behind everyone's back: damage, for tests.
    pub fn overwrite(&self, key: &str, bytes: impl Into<Bytes>) {
        let now = (self.clock)();
        self.shelf().keep(key, bytes.into(), now);
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf> {
        // No holder of the lock panics half-way through a change.
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shelf {
    fn keep(&mut self, key: &str, bytes: Bytes, last_modified: DateTime<Utc>) -> Etag {
        self.versions += 1;
        let kept = Kept { bytes, version: self.versions, last_modified };
        let etag = kept.etag();
        self.objects.insert(key.to_owned(), kept);
        etag
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("name", &self.name).finish_non_exhaustive()
    }
}

fn missing(key: &str) -> StoreError {
    StoreError::new(Class::NotFound, format!("read {key}: no such object"))
}

#[async_trait]
impl ObjectStore for MemoryStore {
    fn name(&self) -> &str {
        &self.name
    }

    fn url(&self) -> &str {
        &self.url
    }

    fn region(&self) -> &str {
        &self.region
    }

    async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Digest,
        condition: Condition,
    ) -> Result<Put> {
        if Digest::of(&bytes) != sha256 {
            let what = format!("write {key}: the bytes do not have the promised SHA-256");
            return Err(StoreError::new(Class::Corrupt, what));
        }
        let now = (self.clock)();
        let mut shelf = self.shelf();
        let holds = match (&condition, shelf.objects.get(key)) {
            (Condition::Absent, there) => there.is_none(),
            (Condition::Matches(etag), there) => there.is_some_and(|kept| kept.etag() == *etag),
        };
        if !holds {
            return Ok(Put::Refused);
        }
        Ok(Put::Written(shelf.keep(key, bytes, now)))
    }

    async fn put_file_new(&self, key: &str, file: &Path, size: u64, sha256: Digest) -> Result<Put> {
        let bytes = tokio::fs::read(file).await.map_err(|e| {
            StoreError::new(Class::Permanent, format!("read {}", file.display())).caused_by(e)
        })?;
        if bytes.len() as u64 != size {
            let what = format!("write {key}: {} has another size than promised", file.display());
            return Err(StoreError::new(Class::Corrupt, what));
        }
        self.put_if(key, bytes.into(), sha256, Condition::Absent).await
    }

    async fn get(&self, key: &str) -> Result<Object> {
        let kept = self.shelf().objects.get(key).cloned().ok_or_else(|| missing(key))?;
        let etag = kept.etag();
        Ok(Object { bytes: kept.bytes, etag, last_modified: kept.last_modified })
    }

    async fn get_stream(&self, key: &str) -> Result<ByteStream> {
        let mut rest = self.get(key).await?.bytes;
        let mut chunks = Vec::new();
        while !rest.is_empty() {
            chunks.push(Ok(rest.split_to(rest.len().min(64 * 1024))));
        }
        Ok(stream::iter(chunks).boxed())
    }

    async fn head(&self, key: &str, checksum: bool) -> Result<Option<Meta>> {
        let kept = self.shelf().objects.get(key).cloned();
        Ok(kept.map(|kept| Meta {
            size: kept.bytes.len() as u64,
            etag: kept.etag(),
            last_modified: kept.last_modified,
            sha256: checksum.then(|| Digest::of(&kept.bytes)),
        }))
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed>> {
        let shelf = self.shelf();
        let found: Vec<_> = shelf
            .objects
            .range(prefix.to_owned()..)
            .take_while(|(key, _)| key.starts_with(prefix))
            .map(|(key, kept)| {
                Ok(Listed {
                    etag: self.vouches.then(|| kept.etag()),
                    key: key.clone(),
                    size: kept.bytes.len() as u64,
                    last_modified: kept.last_modified,
                })
            })
            .collect();
        stream::iter(found).boxed()
    }

    async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let shelf = self.shelf();
        let mut dirs: Vec<String> = shelf
            .objects
            .range(prefix.to_owned()..)
            .map_while(|(key, _)| key.strip_prefix(prefix))
            .filter_map(|rest| rest.split_once('/'))
            .map(|(dir, _)| dir.to_owned())
            .collect();
        // Key order is not the order of names: `a-b/` stands before `a/`.
        dirs.sort();
        dirs.dedup();
        Ok(dirs)
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let mut shelf = self.shelf();
        for key in keys {
            shelf.objects.remove(key);
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        Ok((self.clock)())
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance;
    use super::*;

    #[tokio::test]
    async fn the_memory_store_conforms() {
        let store = Arc::new(MemoryStore::new("east"));
        conformance::check(store, 12 << 20).await.unwrap();
    }
}
