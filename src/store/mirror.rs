//! Copying one object from store to store: create-only, resumable, verified at the destination.

use std::io::Write;

use futures_util::TryStreamExt;
use sha2::{Digest as _, Sha256};

use super::port::{Class, Condition, Meta, ObjectStore, Put};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::Digest;

/// Up to this size an object is copied through memory, above it through a temporary file.
const IN_MEMORY: u64 = 32 << 20;

/// How an object came to be at the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// It was there already, with the same content.
    Present,
    /// The stores copied it between them.
    Within,
    /// Its bytes went through this process.
    Streamed,
}

/// A copy that was made, or needed none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Bytes written to the destination.
    pub bytes: u64,
    pub how: How,
}

/// Copies the object `key` of `size` stored bytes and the given SHA-256.
///
/// Errors: `Damaged` where the source has not those bytes, or the destination has others under the
/// key; nothing that is there is ever replaced. `Storage` where a store failed.
pub async fn copy_object(
    from: &dyn ObjectStore,
    to: &dyn ObjectStore,
    key: &str,
    size: u64,
    sha256: Digest,
) -> Result<Copied> {
    let wanted = Wanted { key, size, sha256 };
    if wanted.is_at(to).await? {
        return Ok(Copied { bytes: 0, how: How::Present });
    }
    let how = match to.copy_within(from, key, size, sha256).await? {
        Some(Put::Written(_)) => How::Within,
        Some(Put::Refused) => How::Present,
        None => match wanted.stream(from, to).await? {
            Put::Written(_) => How::Streamed,
            Put::Refused => How::Present,
        },
    };
    // Whoever wrote it: what counts is what is there now.
    if !wanted.is_at(to).await? {
        let what = format!("copy {key} to store `{}`: it is not there afterwards", to.name());
        return Err(Error::new(Kind::Storage, what).hint("run the command again"));
    }
    Ok(Copied { bytes: if how == How::Present { 0 } else { size }, how })
}

struct Wanted<'a> {
    key: &'a str,
    size: u64,
    sha256: Digest,
}

impl Wanted<'_> {
    /// Whether the object is at `store`; another content under its key is an error.
    async fn is_at(&self, store: &dyn ObjectStore) -> Result<bool> {
        let Some(meta) = store.head(self.key, true).await? else {
            return Ok(false);
        };
        if meta.size == self.size && self.digest_at(store, &meta).await? == self.sha256 {
            return Ok(true);
        }
        let (key, name) = (self.key, store.name());
        let what = format!("copy {key} to store `{name}`: other bytes are there under this key");
        let hint = format!(
            "run `drctl verify --store {name} --depth checksums`: it names what is \
                            damaged; nothing was replaced"
        );
        Err(Error::new(Kind::Damaged, what).hint(hint))
    }

    async fn digest_at(&self, store: &dyn ObjectStore, meta: &Meta) -> Result<Digest> {
        if let Some(digest) = meta.sha256 {
            return Ok(digest);
        }
        // The store has no digest of the whole: read it.
        let mut hash = Sha256::new();
        let mut stream = store.get_stream(self.key).await?;
        while let Some(chunk) = stream.try_next().await? {
            hash.update(&chunk);
        }
        Ok(Digest::from_bytes(hash.finalize().into()))
    }

    async fn stream(&self, from: &dyn ObjectStore, to: &dyn ObjectStore) -> Result<Put> {
        if self.size > IN_MEMORY {
            return self.stream_through_file(from, to).await;
        }
        let bytes = from.get(self.key).await.map_err(|e| self.unreadable(from, e))?.bytes;
        if bytes.len() as u64 != self.size || Digest::of(&bytes) != self.sha256 {
            return Err(self.damaged(from));
        }
        Ok(to.put_if(self.key, bytes, self.sha256, Condition::Absent).await?)
    }

    async fn stream_through_file(
        &self,
        from: &dyn ObjectStore,
        to: &dyn ObjectStore,
    ) -> Result<Put> {
        let failed = || format!("copy {} through a temporary file", self.key);
        let mut file = tempfile::NamedTempFile::new().attempt(Kind::Failed, failed)?;
        let mut hash = Sha256::new();
        let mut size = 0;
        let mut stream = from.get_stream(self.key).await.map_err(|e| self.unreadable(from, e))?;
        while let Some(chunk) = stream.try_next().await? {
            hash.update(&chunk);
            size += chunk.len() as u64;
            file.write_all(&chunk).attempt(Kind::Failed, failed)?;
        }
        if size != self.size || Digest::from_bytes(hash.finalize().into()) != self.sha256 {
            return Err(self.damaged(from));
        }
        file.flush().attempt(Kind::Failed, failed)?;
        Ok(to.put_file_new(self.key, file.path(), size, self.sha256).await?)
    }

    fn damaged(&self, from: &dyn ObjectStore) -> Error {
        let (key, name) = (self.key, from.name());
        let what = format!("copy {key} from store `{name}`: its bytes are not those promised");
        Error::new(Kind::Damaged, what)
            .hint("copy the snapshot from a store in which it verifies, or take a new one")
    }

    fn unreadable(&self, from: &dyn ObjectStore, e: super::StoreError) -> Error {
        if e.class != Class::NotFound {
            return e.into();
        }
        let (key, name) = (self.key, from.name());
        let what = format!("copy {key} from store `{name}`: it is missing there");
        Error::new(Kind::Damaged, what).caused_by(e)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::fault::{Fault, FaultyStore, Op};
    use super::super::{FileStore, MemoryStore};
    use super::*;

    #[tokio::test]
    async fn objects_are_copied_once_and_verified() {
        let (from, to) = (MemoryStore::new("east"), MemoryStore::new("west"));
        from.overwrite("k", "bytes");
        let sha256 = Digest::of(b"bytes");
        let first = copy_object(&from, &to, "k", 5, sha256).await.unwrap();
        assert_eq!(first, Copied { bytes: 5, how: How::Streamed });
        let second = copy_object(&from, &to, "k", 5, sha256).await.unwrap();
        assert_eq!(second, Copied { bytes: 0, how: How::Present });
    }

    #[tokio::test]
    async fn large_objects_go_through_a_file() {
        let dir = tempfile::tempdir().unwrap();
        let from = MemoryStore::new("east");
        let to = FileStore::new("west", "local", dir.path());
        let bytes = vec![9; IN_MEMORY as usize + 1];
        let (size, sha256) = (bytes.len() as u64, Digest::of(&bytes));
        from.overwrite("big", bytes);
        let copied = copy_object(&from, &to, "big", size, sha256).await.unwrap();
        assert_eq!(copied, Copied { bytes: size, how: How::Streamed });
    }

    #[tokio::test]
    async fn damage_is_not_spread_and_nothing_is_replaced() {
        let (memory, to) = (MemoryStore::new("east"), MemoryStore::new("west"));
        memory.overwrite("k", "bytes");
        let sha256 = Digest::of(b"bytes");
        let from = FaultyStore::new(Arc::new(memory));
        from.on(Op::Get, 1, Fault::Flip(3));
        from.on(Op::Get, 2, Fault::Truncate(3));
        for _ in 0..2 {
            let e = copy_object(&from, &to, "k", 5, sha256).await.unwrap_err();
            assert_eq!(e.kind(), Kind::Damaged);
            assert!(e.what().contains("`east`"), "{e}");
            assert_eq!(to.head("k", false).await.unwrap(), None);
        }
        to.overwrite("k", "other");
        let e = copy_object(&from, &to, "k", 5, sha256).await.unwrap_err();
        assert_eq!(e.kind(), Kind::Damaged);
        assert!(e.what().contains("other bytes are there"), "{e}");
        assert_eq!(to.get("k").await.unwrap().bytes, "other");
        let e = copy_object(&from, &to, "none", 5, sha256).await.unwrap_err();
        assert!(e.what().contains("missing"), "{e}");
    }
}
