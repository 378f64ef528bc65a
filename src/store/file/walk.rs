//! Listing the objects of a file store in the order of their keys.

use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};

use futures_util::stream::{Stream, StreamExt, iter};
use tokio::sync::mpsc;

use super::TEMP;
use super::failure::{failure, no_folder};
use super::read::{from_channel, modified};
use crate::store::port::{Listed, Result};

/// Objects that go through the channel at once.
const BATCH: usize = 256;

/// Every object whose key begins with `prefix`, in key order, read on a blocking thread as the
/// stream is drawn.
pub(super) fn list(root: PathBuf, prefix: String) -> impl Stream<Item = Result<Listed>> + Send {
    let (send, receive) = mpsc::channel(4);
    tokio::task::spawn_blocking(move || {
        let mut walk = Walk { send, batch: Vec::with_capacity(BATCH) };
        if let Some(e) = no_folder("list", &root) {
            walk.batch.push(Err(e));
            walk.flush();
            return;
        }
        // The folder in which the prefix ends, and what names there must begin with.
        let (dir, start) =
            prefix.rsplit_once('/').map_or(("", &*prefix), |(dir, rest)| (dir, rest));
        if is_foreign(dir) || prefix.starts_with('/') {
            return;
        }
        let key = if dir.is_empty() { String::new() } else { format!("{dir}/") };
        if let Some(Err(e)) = walk.folder(&root.join(dir), &key, start) {
            walk.batch.push(Err(e));
        }
        walk.flush();
    });
    from_channel(receive).flat_map(iter)
}

/// Whether no key can lie below `dir`: it would leave the root, or is the store's own.
fn is_foreign(dir: &str) -> bool {
    let odd = |piece| matches!(piece, "" | "." | "..");
    !dir.is_empty() && (dir.split('/').any(odd) || dir.split('/').next() == Some(TEMP))
}

struct Walk {
    send: mpsc::Sender<Vec<Result<Listed>>>,
    batch: Vec<Result<Listed>>,
}

impl Walk {
    /// Lists a folder whose keys begin with `key`. `None`: nobody listens any more.
    fn folder(&mut self, dir: &Path, key: &str, start: &str) -> Option<Result<()>> {
        let entries = match entries(dir, start, key.is_empty()) {
            Ok(entries) => entries,
            Err(e) => return Some(Err(failure("list", dir, e))),
        };
        for (name, is_dir, entry) in entries {
            let key = format!("{key}{name}");
            if is_dir {
                if let Err(e) = self.folder(&entry.path(), &key, "")? {
                    return Some(Err(e));
                }
                continue;
            }
            match entry.metadata() {
                Ok(metadata) => self.batch.push(Ok(Listed {
                    // A disk may lose bits and tell nobody.
                    etag: None,
                    key,
                    size: metadata.len(),
                    last_modified: modified(&metadata),
                })),
                // Removed since the folder was read.
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Some(Err(failure("list", &entry.path(), e))),
            }
            if self.batch.len() >= BATCH && !self.flush() {
                return None;
            }
        }
        Some(Ok(()))
    }

    fn flush(&mut self) -> bool {
        let batch = std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH));
        self.send.blocking_send(batch).is_ok()
    }
}

/// The files and folders of `dir` whose names begin with `start`; folders' names end with `/`, so
/// that sorting them gives the order of the keys below. A folder that is not there has none.
/// Links, devices and names that are not UTF-8 are never ours.
fn entries(dir: &Path, start: &str, is_root: bool) -> io::Result<Vec<(String, bool, DirEntry)>> {
    let read = match fs::read_dir(dir) {
        Ok(read) => read,
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(e) => return Err(e),
    };
    let mut found = Vec::new();
    for entry in read {
        let entry = entry?;
        let Ok(mut name) = entry.file_name().into_string() else { continue };
        if !name.starts_with(start) || (is_root && name == TEMP) {
            continue;
        }
        let kind = entry.file_type()?;
        if kind.is_dir() {
            name.push('/');
        } else if !kind.is_file() {
            continue;
        }
        found.push((name, kind.is_dir(), entry));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// The folders directly below `prefix` that hold objects, sorted by name.
pub(super) fn dirs(root: &Path, prefix: &str) -> Result<Vec<String>> {
    if is_foreign(prefix.trim_end_matches('/')) || prefix.starts_with('/') {
        return Ok(Vec::new());
    }
    if let Some(e) = no_folder("list", root) {
        return Err(e);
    }
    let dir = root.join(prefix);
    let found = || {
        let mut names = Vec::new();
        for (name, is_dir, entry) in entries(&dir, "", prefix.is_empty())? {
            if is_dir && holds_objects(&entry.path())? {
                names.push(name.trim_end_matches('/').to_owned());
            }
        }
        names.sort();
        Ok(names)
    };
    found().map_err(|e| failure("list", &dir, e))
}

fn holds_objects(dir: &Path) -> io::Result<bool> {
    for (_, is_dir, entry) in entries(dir, "", false)? {
        if !is_dir || holds_objects(&entry.path())? {
            return Ok(true);
        }
    }
    Ok(false)
}
