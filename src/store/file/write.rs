//! Writing and removing objects of a file store, so that they survive a power cut whole.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, Once, PoisonError};
use std::time::{Duration, SystemTime};

use chrono::{DateTime, Utc};
use rustix::fs::{FlockOperation, flock};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;

use super::failure::{failure, write_failure};
use super::read::{self, wrong_size};
use super::{TEMP, path_of};
use crate::model::Digest;
use crate::store::port::{Class, Condition, Etag, Put, Result, StoreError};

/// Unfinished writes of processes that are long gone.
const LEFTOVER: Duration = Duration::from_secs(24 * 60 * 60);

const LOCK: &str = "lock";

/// The folder of a store, and what this process knows of it.
#[derive(Debug)]
pub(super) struct Tree {
    pub(super) root: PathBuf,
    /// Folders whose own entries are known to be on disk.
    durable: Mutex<HashSet<PathBuf>>,
    swept: Once,
}

impl Tree {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root, durable: Mutex::default(), swept: Once::new() }
    }

    pub(super) fn put(
        &self,
        key: &str,
        bytes: &[u8],
        sha256: Digest,
        condition: &Condition,
    ) -> Result<Put> {
        let path = path_of(&self.root, key)?;
        if Digest::of(bytes) != sha256 {
            return Err(not_promised(key));
        }
        // Cheap, and spares a write that would be refused at the end.
        if *condition == Condition::Absent && fs::symlink_metadata(&path).is_ok() {
            return self.refused(&path);
        }
        let write = |mut temp: NamedTempFile| -> io::Result<NamedTempFile> {
            temp.write_all(bytes)?;
            temp.as_file().sync_data()?;
            Ok(temp)
        };
        let temp = self.temp().and_then(write).map_err(|e| write_failure(&path, e))?;
        match condition {
            Condition::Absent => self.create(temp, &path, sha256),
            Condition::Matches(etag) => {
                let _lock = self.lock()?;
                match read::meta(&self.root, key, false)? {
                    Some(meta) if meta.etag == *etag => self.replace(temp, &path, sha256),
                    _ => Ok(Put::Refused),
                }
            }
        }
    }

    pub(super) fn put_file(
        &self,
        key: &str,
        file: &Path,
        size: u64,
        sha256: Digest,
    ) -> Result<Put> {
        let path = path_of(&self.root, key)?;
        if fs::symlink_metadata(&path).is_ok() {
            return self.refused(&path);
        }
        let mut from = File::open(file).map_err(|e| failure("read", file, e))?;
        let mut temp = self.temp().map_err(|e| write_failure(&path, e))?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 1 << 20];
        let mut copied = 0;
        loop {
            let n = from.read(&mut chunk).map_err(|e| failure("read", file, e))?;
            if n == 0 {
                break;
            }
            hash.update(&chunk[..n]);
            temp.write_all(&chunk[..n]).map_err(|e| write_failure(&path, e))?;
            copied += n as u64;
        }
        if copied != size {
            return Err(wrong_size(file, size, copied));
        }
        if Digest::from_bytes(hash.finalize().into()) != sha256 {
            return Err(not_promised(key));
        }
        temp.as_file().sync_data().map_err(|e| write_failure(&path, e))?;
        self.create(temp, &path, sha256)
    }

    pub(super) fn delete(&self, keys: &[String]) -> Result<()> {
        if !self.root.exists() {
            return Ok(());
        }
        let _lock = self.lock()?;
        for key in keys {
            let path = path_of(&self.root, key)?;
            match fs::remove_file(&path) {
                Ok(()) => self.remove_empty_folders(&path),
                Err(e) => {
                    let e = failure("remove", &path, e);
                    if e.class != Class::NotFound {
                        return Err(e);
                    }
                }
            }
        }
        // Not synced: a removal that a power cut undoes is done again by the next prune.
        Ok(())
    }

    /// The clock by which this file system dates its files.
    pub(super) fn now(&self) -> Result<DateTime<Utc>> {
        match self.temp().and_then(|temp| temp.as_file().metadata()) {
            Ok(metadata) => Ok(read::modified(&metadata)),
            Err(e) => {
                let e = write_failure(&self.root, e);
                // Where we may only read, nothing is judged by the store's clock.
                if e.class == Class::Denied { Ok(Utc::now()) } else { Err(e) }
            }
        }
    }

    /// A new unfinished file; it is removed when dropped.
    fn temp(&self) -> io::Result<NamedTempFile> {
        let dir = self.root.join(TEMP);
        let mut builder = tempfile::Builder::new();
        builder.prefix("put-").permissions(Permissions::from_mode(0o640));
        let temp = match builder.tempfile_in(&dir) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                self.make_folder(&dir)?;
                builder.tempfile_in(&dir)?
            }
            other => other?,
        };
        self.swept.call_once(|| sweep(&dir, SystemTime::now()));
        Ok(temp)
    }

    /// Moves a synced file to `path` unless there is one.
    fn create(&self, temp: NamedTempFile, path: &Path, sha256: Digest) -> Result<Put> {
        let etag = etag_of(&temp, sha256).map_err(|e| write_failure(path, e))?;
        let mut temp = temp.into_temp_path();
        let mut tries = 0;
        loop {
            let dir = self.folder_of(path).map_err(|e| write_failure(path, e))?;
            // renameat2(RENAME_NOREPLACE), or link and unlink where the file system lacks it.
            match temp.persist_noclobber(path) {
                Ok(()) => {
                    sync_folder(dir).map_err(|e| write_failure(path, e))?;
                    return Ok(Put::Written(etag));
                }
                Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => {
                    return self.refused(path);
                }
                // A removal took the emptied folder away in between.
                Err(e) if e.error.kind() == io::ErrorKind::NotFound && tries < 5 => {
                    self.forget(dir);
                    temp = e.path;
                    tries += 1;
                }
                Err(e) => return Err(write_failure(path, e.error)),
            }
        }
    }

    /// Moves a synced file over the one at `path`; the caller holds the lock.
    fn replace(&self, temp: NamedTempFile, path: &Path, sha256: Digest) -> Result<Put> {
        let place = || {
            let etag = etag_of(&temp, sha256)?;
            temp.persist(path).map_err(|e| e.error)?;
            sync_folder(path.parent().unwrap_or(&self.root))?;
            Ok(Put::Written(etag))
        };
        place().map_err(|e| write_failure(path, e))
    }

    fn refused(&self, path: &Path) -> Result<Put> {
        // What refuses us must be as durable as what we would have written, and its writer may not
        // have synced the folder yet.
        let sync = || sync_folder(self.folder_of(path)?);
        sync().map_err(|e| write_failure(path, e))?;
        Ok(Put::Refused)
    }

    /// The folder of `path`, made if need be, with all folders above it on disk.
    fn folder_of<'a>(&'a self, path: &'a Path) -> io::Result<&'a Path> {
        let dir = path.parent().unwrap_or(&self.root);
        if !self.durable().contains(dir) {
            self.make_folder(dir)?;
        }
        Ok(dir)
    }

    fn make_folder(&self, dir: &Path) -> io::Result<()> {
        if self.durable().contains(dir) && dir.is_dir() {
            return Ok(());
        }
        let Some(parent) = dir.parent() else { return Ok(()) };
        let below_root = parent.starts_with(&self.root);
        if below_root && !self.durable().contains(parent) {
            self.make_folder(parent)?;
        }
        let create = || DirBuilder::new().mode(0o750).create(dir);
        let mut created = create();
        // Its parent is not there yet, or a removal takes it away as often as it is made; but not for
        // ever: there are folders in which nobody can make one, such as /proc.
        for _ in 0..5 {
            let Err(e) = &created else { break };
            if e.kind() != io::ErrorKind::NotFound {
                break;
            }
            self.make_folder(parent)?;
            created = create();
        }
        let made = match created {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => false,
            Err(e) => return Err(e),
        };
        // Another process may have made it and not synced it yet, so once per process and folder.
        // What lies above the root is not ours, and perhaps not ours to open.
        if made || below_root {
            sync_folder(parent)?;
        }
        self.durable().insert(dir.to_owned());
        Ok(())
    }

    fn forget(&self, dir: &Path) {
        self.durable().retain(|known| !known.starts_with(dir) && !dir.starts_with(known));
    }

    fn durable(&self) -> std::sync::MutexGuard<'_, HashSet<PathBuf>> {
        // A set of paths is whole whatever its holder was doing.
        self.durable.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remove_empty_folders(&self, path: &Path) {
        for dir in path.ancestors().skip(1).take_while(|dir| *dir != self.root) {
            if fs::remove_dir(dir).is_err() {
                break;
            }
            self.durable().remove(dir);
        }
    }

    /// Held until dropped; every holder opens the file itself, so threads exclude each other too.
    fn lock(&self) -> Result<File> {
        let path = self.root.join(TEMP).join(LOCK);
        let take = || {
            if let Some(dir) = path.parent() {
                self.make_folder(dir)?;
            }
            let file = File::options().create(true).append(true).open(&path)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        take().map_err(|e| write_failure(&path, e))
    }
}

/// Puts a folder's entries on disk. One that is gone held no object any more.
fn sync_folder(dir: &Path) -> io::Result<()> {
    match File::open(dir) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        opened => opened?.sync_all(),
    }
}

/// The etag that a written file has, and keeps when it is moved.
fn etag_of(temp: &NamedTempFile, sha256: Digest) -> io::Result<Etag> {
    read::etag(&temp.as_file().metadata()?, || Ok(sha256))
}

fn not_promised(key: &str) -> StoreError {
    let what = format!("write {key}: the bytes do not have the promised SHA-256");
    StoreError::new(Class::Corrupt, what)
}

/// Removes what killed processes left. Best effort: the next process tries again.
fn sweep(dir: &Path, now: SystemTime) {
    let Ok(entries) = fs::read_dir(dir) else { return };
    for entry in entries.flatten() {
        let age = entry.metadata().and_then(|m| m.modified()).map(|at| now.duration_since(at));
        let old = matches!(age, Ok(Ok(age)) if age > LEFTOVER);
        if old && entry.file_name() != LOCK {
            let _ = fs::remove_file(entry.path());
        }
    }
}
