//! A folder that keeps plain parts read or written lately, so that deltas need no download, and the
//! keys of encrypted generations. Losing it costs time, nothing else: a new generation begins.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use zeroize::Zeroizing;

use crate::error::{Attempt as _, Kind, Result};
use crate::model::GenerationId;

/// A cache of stored parts by their keys. What is read from it is hashed by whoever uses it.
#[derive(Debug, Clone)]
pub struct Cache {
    dir: PathBuf,
}

impl Cache {
    pub fn new(dir: PathBuf) -> Self {
        Self { dir }
    }

    pub async fn get(&self, key: &str) -> Option<Bytes> {
        tokio::fs::read(self.dir.join(key)).await.ok().map(Bytes::from)
    }

    /// Keeps an object. A reader never sees half of one.
    pub async fn put(&self, key: &str, stored: &Bytes) {
        let path = self.dir.join(key);
        let stored = stored.clone();
        let _ = tokio::task::spawn_blocking(move || write(&path, &stored)).await;
    }

    fn key_path(&self, database: &str, generation: &GenerationId) -> PathBuf {
        self.dir.join(database).join(generation.as_str()).join("generation.key")
    }

    /// The identity file of a generation's key.
    pub async fn key(
        &self,
        database: &str,
        generation: &GenerationId,
    ) -> Option<Zeroizing<String>> {
        let path = self.key_path(database, generation);
        tokio::fs::read_to_string(path).await.ok().map(Zeroizing::new)
    }

    /// Keeps the identity file of a generation's key. Unlike parts, whoever keeps it wants to know
    /// whether that was possible.
    pub async fn put_key(
        &self,
        database: &str,
        generation: &GenerationId,
        text: Zeroizing<String>,
    ) -> Result<()> {
        let path = self.key_path(database, generation);
        let what = format!("write {}", path.display());
        tokio::task::spawn_blocking(move || write(&path, text.as_bytes()))
            .await
            .attempt(Kind::Bug, || what.clone())?
            .attempt(Kind::Failed, || what.clone())
    }

    /// Drops what belongs to other generations of the database than `keep`.
    pub async fn keep_only(&self, database: &str, keep: &str) {
        let dir = self.dir.join(database);
        let keep = keep.to_owned();
        let sweep = move || -> std::io::Result<()> {
            for entry in std::fs::read_dir(&dir)? {
                let entry = entry?;
                let name = entry.file_name();
                let ours =
                    name.to_str().is_some_and(|n| n.parse::<crate::model::GenerationId>().is_ok());
                if ours && name != keep.as_str() {
                    std::fs::remove_dir_all(entry.path())?;
                }
            }
            Ok(())
        };
        let _ = tokio::task::spawn_blocking(sweep).await;
    }
}

/// Writes a file that only this user may read (`tempfile` makes it so).
fn write(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    std::fs::create_dir_all(parent)?;
    let mut file = tempfile::NamedTempFile::new_in(parent)?;
    std::io::Write::write_all(&mut file, bytes)?;
    file.persist(path)?;
    Ok(())
}
