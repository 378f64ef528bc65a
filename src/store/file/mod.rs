//! A store in a folder of this machine, or of a network file system.
//!
//! Writes go to `.tmp` at the root, are synced, and move to their key by a rename that cannot
//! replace; the folder is synced before a write is confirmed. Replacing writes and removals hold a
//! lock on `.tmp/lock`.

mod failure;
mod read;
mod walk;
mod write;

use std::any::Any;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{BoxStream, StreamExt};

use self::write::Tree;
use super::port::{
    ByteStream, Class, Condition, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
use crate::model::Digest;

/// Folder at the root that holds unfinished writes and the lock; never listed.
const TEMP: &str = ".tmp";

/// Objects as files below one folder, which the first write makes.
#[derive(Debug, Clone)]
pub struct FileStore {
    name: String,
    url: String,
    region: String,
    tree: Arc<Tree>,
}

impl FileStore {
    pub fn new(name: &str, region: &str, root: &Path) -> Self {
        Self {
            name: name.to_owned(),
            url: format!("file://{}", root.display()),
            region: region.to_owned(),
            tree: Arc::new(Tree::new(root.to_owned())),
        }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Tree) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let tree = self.tree.clone();
        let joined = tokio::task::spawn_blocking(move || work(&tree)).await;
        joined.unwrap_or_else(|e| {
            let what = "finish file work: the program is shutting down";
            Err(StoreError::new(Class::Permanent, what).caused_by(e))
        })
    }
}

/// The path of a key below `root`; keys that could leave the root or reach `.tmp` are refused.
fn path_of(root: &Path, key: &str) -> Result<PathBuf> {
    let fail = |why: &str| {
        let what = format!("use `{key}` as the name of a file: {why}");
        Err(StoreError::new(Class::Permanent, what))
    };
    if key.contains('\0') {
        return fail("it has a NUL byte");
    }
    for (i, piece) in key.split('/').enumerate() {
        match piece {
            "" => return fail("it has an empty component"),
            "." | ".." => return fail("it has a `.` or `..` component"),
            TEMP if i == 0 => return fail("`.tmp` is the store's own"),
            _ => {}
        }
    }
    Ok(root.join(key))
}

#[async_trait]
impl ObjectStore for FileStore {
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
        let key = key.to_owned();
        self.blocking(move |tree| tree.put(&key, &bytes, sha256, &condition)).await
    }

    async fn put_file_new(&self, key: &str, file: &Path, size: u64, sha256: Digest) -> Result<Put> {
        let (key, file) = (key.to_owned(), file.to_owned());
        self.blocking(move |tree| tree.put_file(&key, &file, size, sha256)).await
    }

    async fn get(&self, key: &str) -> Result<Object> {
        let key = key.to_owned();
        self.blocking(move |tree| read::whole(&tree.root, &key)).await
    }

    async fn get_stream(&self, key: &str) -> Result<ByteStream> {
        let key = key.to_owned();
        self.blocking(move |tree| read::streamed(&tree.root, &key)).await
    }

    async fn head(&self, key: &str, checksum: bool) -> Result<Option<Meta>> {
        let key = key.to_owned();
        self.blocking(move |tree| read::meta(&tree.root, &key, checksum)).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed>> {
        walk::list(self.tree.root.clone(), prefix.to_owned()).boxed()
    }

    async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let prefix = prefix.to_owned();
        self.blocking(move |tree| walk::dirs(&tree.root, &prefix)).await
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let keys = keys.to_owned();
        self.blocking(move |tree| tree.delete(&keys)).await
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    /// The file system's clock, which on a network file system is the server's: the one by which
    /// it dates objects.
    async fn now(&self) -> Result<DateTime<Utc>> {
        self.blocking(|tree| tree.now()).await
    }

    fn free_bytes(&self) -> Option<u64> {
        // The root may not be there yet; its nearest ancestor is where it will be.
        let there = self.tree.root.ancestors().find(|dir| dir.exists())?;
        let stat = rustix::fs::statvfs(there).ok()?;
        Some(stat.f_bavail.saturating_mul(stat.f_frsize))
    }
}

#[cfg(test)]
mod tests;
