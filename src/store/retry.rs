//! Trying again: by class, with growing jittered waits, for a bounded time.

use std::any::Any;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use super::port::{
    ByteStream, Class, Condition, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
use crate::model::Digest;

/// How long to go on trying, and how fast.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// The wait after the first failure; each is about twice the one before.
    pub first_wait: Duration,
    pub longest_wait: Duration,
    /// How long after the first failure another try may begin. It counts from there, not from the
    /// beginning, so that a transfer of an hour that breaks off is worth another try too.
    pub window: Duration,
}

impl Default for Patience {
    /// For unattended work: sits out a throttled minute.
    fn default() -> Self {
        Self {
            first_wait: Duration::from_millis(200),
            longest_wait: Duration::from_secs(10),
            window: Duration::from_secs(120),
        }
    }
}

impl Patience {
    /// As the default, for another window.
    pub fn of(window: Duration) -> Self {
        Self { window, ..Self::default() }
    }

    /// For work against the clock, where a store that is gone must be found gone soon.
    pub fn brief() -> Self {
        Self {
            first_wait: Duration::from_millis(100),
            longest_wait: Duration::from_secs(2),
            window: Duration::from_secs(10),
        }
    }

    /// Runs `act` until it succeeds, fails for good, or the window ends.
    pub async fn run<T, F: Future<Output = Result<T>>>(
        &self,
        mut act: impl FnMut() -> F,
    ) -> Result<T> {
        let mut tries = self.begin();
        loop {
            match act().await {
                Ok(value) => return Ok(value),
                Err(e) => tries.wait_after(e).await?,
            }
        }
    }

    fn begin(&self) -> Tries {
        let waits = ExponentialBuilder::default()
            .with_min_delay(self.first_wait)
            .with_max_delay(self.longest_wait)
            .with_factor(2.0)
            .with_jitter()
            .without_max_times()
            .build();
        Tries { patience: *self, waits, failed: 0, first_failure: None }
    }
}

struct Tries {
    patience: Patience,
    waits: ExponentialBackoff,
    failed: u32,
    first_failure: Option<Instant>,
}

impl Tries {
    /// Waits before the next try, or gives the error back if there is to be none.
    async fn wait_after(&mut self, e: StoreError) -> Result<()> {
        if !matches!(e.class, Class::Transient | Class::Unknown) {
            return Err(e);
        }
        self.failed += 1;
        let since = self.first_failure.get_or_insert_with(Instant::now).elapsed();
        match self.waits.next() {
            Some(wait) if since + wait <= self.patience.window => {
                tokio::time::sleep(wait).await;
                Ok(())
            }
            _ => {
                let (failed, seconds) = (self.failed, since.as_secs());
                let what = format!("{} (gave up after {failed} tries in {seconds} s)", e.what);
                Err(StoreError { what, ..e })
            }
        }
    }
}

/// A store whose acts are tried again.
///
/// A conditional write that is refused after a try with an unknown outcome may have been refused by
/// its own earlier try. That is settled by looking: if the object holds the bytes that were to be
/// written, they were written.
#[derive(Debug, Clone)]
pub struct Retrying {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
}

impl Retrying {
    pub fn new(inner: Arc<dyn ObjectStore>, patience: Patience) -> Self {
        Self { inner, patience }
    }

    /// Runs a conditional write of bytes with `sha256` until its outcome is known.
    async fn settled<F: Future<Output = Result<Option<Put>>>>(
        &self,
        key: &str,
        sha256: Digest,
        mut write: impl FnMut() -> F,
    ) -> Result<Option<Put>> {
        let mut tries = self.patience.begin();
        loop {
            match write().await {
                Ok(Some(Put::Refused)) if tries.failed > 0 => {
                    return self.whose(key, sha256).await.map(Some);
                }
                Ok(ended) => return Ok(ended),
                Err(e) => tries.wait_after(e).await?,
            }
        }
    }

    /// Whether the object at `key` is what we meant to write.
    async fn whose(&self, key: &str, sha256: Digest) -> Result<Put> {
        let Some(meta) = self.head(key, true).await? else {
            return Ok(Put::Refused);
        };
        let found = match meta.sha256 {
            Some(found) => found,
            // A multipart upload: S3 has no digest of the whole.
            None => {
                let mut hash = Sha256::new();
                let mut stream = self.get_stream(key).await?;
                while let Some(chunk) = stream.try_next().await? {
                    hash.update(&chunk);
                }
                Digest::from_bytes(hash.finalize().into())
            }
        };
        Ok(if found == sha256 { Put::Written(meta.etag) } else { Put::Refused })
    }

    fn listing(&self, prefix: &str, after: Option<String>) -> BoxStream<'_, Result<Listed>> {
        let state = Listing {
            store: self,
            prefix: prefix.to_owned(),
            after,
            open: None,
            tries: self.patience.begin(),
        };
        stream::try_unfold(state, async |mut state: Listing<'_>| {
            Ok(state.next().await?.map(|listed| (listed, state)))
        })
        .boxed()
    }
}

/// A listing that goes on after its last key when it breaks off.
struct Listing<'a> {
    store: &'a Retrying,
    prefix: String,
    after: Option<String>,
    open: Option<BoxStream<'a, Result<Listed>>>,
    tries: Tries,
}

impl Listing<'_> {
    async fn next(&mut self) -> Result<Option<Listed>> {
        loop {
            let open = self.open.get_or_insert_with(|| match &self.after {
                None => self.store.inner.list(&self.prefix),
                Some(key) => self.store.inner.list_after(&self.prefix, key),
            });
            match open.next().await {
                None => return Ok(None),
                Some(Ok(listed)) => {
                    self.after = Some(listed.key.clone());
                    if self.tries.failed > 0 {
                        self.tries = self.store.patience.begin();
                    }
                    return Ok(Some(listed));
                }
                Some(Err(e)) => {
                    self.open = None;
                    self.tries.wait_after(e).await?;
                }
            }
        }
    }
}

/// A download that goes on where it broke off. Objects do not change, so the bytes before are the
/// same; whoever reads compares digests anyway.
struct Download {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
    key: String,
    open: Option<ByteStream>,
    given: u64,
    /// Bytes of the open stream that were given before it was opened.
    skip: u64,
    tries: Tries,
}

impl Download {
    async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.step().await {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => {
                    self.given += chunk.len() as u64;
                    if self.tries.failed > 0 {
                        self.tries = self.patience.begin();
                    }
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(e) => {
                    self.open = None;
                    self.tries.wait_after(e).await?;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                self.skip = self.given;
                self.open.insert(self.inner.get_stream(&self.key).await?)
            }
        };
        let Some(mut chunk) = open.try_next().await? else {
            if self.skip == 0 {
                return Ok(None);
            }
            let what = format!("read {}: it became shorter while it was read", self.key);
            return Err(StoreError::new(Class::Corrupt, what));
        };
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
        self.skip -= known as u64;
        Ok(Some(chunk.split_off(known)))
    }
}

/// The SHA-256 of a file, in constant memory.
pub(super) async fn digest_of(file: &Path) -> Result<Digest> {
    let read = async {
        let mut file = tokio::fs::File::open(file).await?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 256 * 1024];
        loop {
            match file.read(&mut chunk).await? {
                0 => return std::io::Result::Ok(Digest::from_bytes(hash.finalize().into())),
                n => hash.update(&chunk[..n]),
            }
        }
    };
    read.await.map_err(|e| {
        StoreError::new(Class::Permanent, format!("read {}", file.display())).caused_by(e)
    })
}

#[async_trait]
impl ObjectStore for Retrying {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn url(&self) -> &str {
        self.inner.url()
    }

    fn region(&self) -> &str {
        self.inner.region()
    }

    async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Digest,
        condition: Condition,
    ) -> Result<Put> {
        let write = || async {
            match self.inner.put_if(key, bytes.clone(), sha256, condition.clone()).await {
                // The store got other bytes than these: they changed on the way.
                Err(e) if e.class == Class::Corrupt && Digest::of(&bytes) == sha256 => {
                    Err(StoreError { class: Class::Transient, ..e })
                }
                put => put.map(Some),
            }
        };
        Ok(self.settled(key, sha256, write).await?.unwrap_or(Put::Refused))
    }

    async fn put_file_new(&self, key: &str, file: &Path, size: u64, sha256: Digest) -> Result<Put> {
        let write = || async {
            match self.inner.put_file_new(key, file, size, sha256).await {
                Err(e) if e.class == Class::Corrupt && digest_of(file).await? == sha256 => {
                    Err(StoreError { class: Class::Transient, ..e })
                }
                put => put.map(Some),
            }
        };
        Ok(self.settled(key, sha256, write).await?.unwrap_or(Put::Refused))
    }

    async fn get(&self, key: &str) -> Result<Object> {
        self.patience.run(|| self.inner.get(key)).await
    }

    async fn get_stream(&self, key: &str) -> Result<ByteStream> {
        let open = self.patience.run(|| self.inner.get_stream(key)).await?;
        let download = Download {
            inner: self.inner.clone(),
            patience: self.patience,
            key: key.to_owned(),
            open: Some(open),
            given: 0,
            skip: 0,
            tries: self.patience.begin(),
        };
        let chunks = stream::try_unfold(download, async |mut download| {
            Ok(download.next().await?.map(|chunk| (chunk, download)))
        });
        Ok(chunks.boxed())
    }

    async fn head(&self, key: &str, checksum: bool) -> Result<Option<Meta>> {
        self.patience.run(|| self.inner.head(key, checksum)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed>> {
        self.listing(prefix, None)
    }

    fn list_after(&self, prefix: &str, after: &str) -> BoxStream<'_, Result<Listed>> {
        self.listing(prefix, Some(after.to_owned()))
    }

    async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        self.patience.run(|| self.inner.list_dirs(prefix)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        self.patience.run(|| self.inner.delete(keys)).await
    }

    async fn copy_within(
        &self,
        from: &dyn ObjectStore,
        key: &str,
        size: u64,
        sha256: Digest,
    ) -> Result<Option<Put>> {
        self.settled(key, sha256, || self.inner.copy_within(from, key, size, sha256)).await
    }

    /// The store within, so that `copy_within` recognises it.
    fn as_any(&self) -> &dyn Any {
        self.inner.as_any()
    }

    async fn refuses_damage(&self, key: &str) -> Result<bool> {
        self.patience.run(|| self.inner.refuses_damage(key)).await
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        self.patience.run(|| self.inner.now()).await
    }

    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }
}

#[cfg(test)]
mod tests;
