//! Trying again: by class, with growing jittered waits, for a bounded time.

mod patience;
mod resuming;

use std::any::Any;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use sha2::{Digest as _, Sha256};
use tokio::io::AsyncReadExt;

use super::port::{
    ByteStream, Class, Condition, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
use super::posture::Posture;
use crate::model::Digest;

pub use self::patience::Patience;
use self::resuming::{Download, Listing};

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
        let state = Listing::new(self, prefix, after);
        stream::try_unfold(state, async |mut state: Listing<'_>| {
            Ok(state.next().await?.map(|listed| (listed, state)))
        })
        .boxed()
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
        let download = Download::new(self.inner.clone(), self.patience, key, open);
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

    async fn posture(&self, witness: Option<&str>) -> Option<Posture> {
        let look = || async {
            let mut posture = self.inner.posture(witness).await;
            let broken = posture
                .iter_mut()
                .flatten()
                .position(|(_, seen)| seen.as_ref().is_err_and(|e| e.class == Class::Transient));
            match (broken, posture) {
                (Some(at), Some(mut posture)) => match posture.swap_remove(at).1 {
                    Err(e) => Err(e),
                    Ok(_) => Ok(Some(posture)),
                },
                (_, posture) => Ok(posture),
            }
        };
        match self.patience.run(look).await {
            Ok(posture) => posture,
            // What can be told is told, with what cannot as it is.
            Err(_) => self.inner.posture(witness).await,
        }
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
