//! A folder that keeps plain parts read or written lately, so that deltas need no download. Losing
//! it costs time, nothing else, so nothing here fails.

use std::path::PathBuf;

use bytes::Bytes;

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
        let write = move || -> std::io::Result<()> {
            let Some(parent) = path.parent() else { return Ok(()) };
            std::fs::create_dir_all(parent)?;
            let mut file = tempfile::NamedTempFile::new_in(parent)?;
            std::io::Write::write_all(&mut file, &stored)?;
            file.persist(&path)?;
            Ok(())
        };
        let _ = tokio::task::spawn_blocking(write).await;
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
