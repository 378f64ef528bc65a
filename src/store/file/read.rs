//! Reading objects of a file store.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures_util::stream::{self, StreamExt};
use sha2::{Digest as _, Sha256};
use tokio::sync::mpsc;

use super::failure::{failure, read_failure};
use super::path_of;
use crate::model::Digest;
use crate::store::port::{ByteStream, Class, Etag, Meta, Object, Result, StoreError};

/// Up to this size an etag is the digest of the content. Whatever is replaced is far smaller; a
/// larger object is written once, so that its inode, time and size tell it well enough.
const ETAG_BY_CONTENT: u64 = 64 * 1024;

const CHUNK: usize = 256 * 1024;

/// Opens an object; a folder is none.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() {
        Ok((file, metadata))
    } else {
        Err(io::Error::from(rustix::io::Errno::ISDIR))
    }
}

pub(super) fn modified(metadata: &Metadata) -> DateTime<Utc> {
    let nanos = u32::try_from(metadata.mtime_nsec()).unwrap_or(0);
    DateTime::from_timestamp(metadata.mtime(), nanos).unwrap_or(DateTime::UNIX_EPOCH)
}

/// The etag of a file whose content has the given digest.
pub(super) fn etag(
    metadata: &Metadata,
    digest: impl FnOnce() -> io::Result<Digest>,
) -> io::Result<Etag> {
    if metadata.len() <= ETAG_BY_CONTENT {
        return Ok(Etag(digest()?.to_string()));
    }
    let (inode, size) = (metadata.ino(), metadata.len());
    Ok(Etag(format!("{inode:x}-{:x}.{:x}-{size:x}", metadata.mtime(), metadata.mtime_nsec())))
}

/// The digest of everything that `from` gives, in constant memory.
pub(super) fn digest(mut from: impl Read) -> io::Result<Digest> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK];
    loop {
        match from.read(&mut chunk)? {
            0 => return Ok(Digest::from_bytes(hash.finalize().into())),
            n => hash.update(&chunk[..n]),
        }
    }
}

pub(super) fn whole(root: &Path, key: &str) -> Result<Object> {
    let path = path_of(root, key)?;
    let read = || {
        let (mut file, metadata) = open(&path)?;
        let mut bytes = Vec::with_capacity(metadata.len() as usize);
        file.read_to_end(&mut bytes)?;
        let etag = etag(&metadata, || Ok(Digest::of(&bytes)))?;
        Ok(Object { bytes: bytes.into(), etag, last_modified: modified(&metadata) })
    };
    read().map_err(|e| read_failure(root, &path, e))
}

pub(super) fn meta(root: &Path, key: &str, checksum: bool) -> Result<Option<Meta>> {
    let path = path_of(root, key)?;
    let read = || {
        let (file, metadata) = open(&path)?;
        let whole = if checksum { Some(digest(&file)?) } else { None };
        let etag = etag(&metadata, || match whole {
            Some(digest) => Ok(digest),
            None => digest(&file),
        })?;
        let (size, last_modified) = (metadata.len(), modified(&metadata));
        Ok(Meta { size, etag, last_modified, sha256: whole })
    };
    match read().map_err(|e| read_failure(root, &path, e)) {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if e.class == Class::NotFound => Ok(None),
        Err(e) => Err(e),
    }
}

/// Reads ahead by a few chunks on a blocking thread, which ends when the stream is dropped.
pub(super) fn streamed(root: &Path, key: &str) -> Result<ByteStream> {
    let path = path_of(root, key)?;
    let (mut file, _) = open(&path).map_err(|e| read_failure(root, &path, e))?;
    let (send, receive) = mpsc::channel::<Result<Bytes>>(4);
    tokio::task::spawn_blocking(move || {
        loop {
            let next = match read_chunk(&mut file) {
                Ok(bytes) if bytes.is_empty() => break,
                Ok(bytes) => Ok(bytes),
                Err(e) => Err(failure("read", &path, e)),
            };
            let last = next.is_err();
            if send.blocking_send(next).is_err() || last {
                break;
            }
        }
    });
    Ok(from_channel(receive).boxed())
}

fn read_chunk(file: &mut File) -> io::Result<Bytes> {
    let mut chunk = BytesMut::zeroed(CHUNK);
    let n = file.read(&mut chunk)?;
    chunk.truncate(n);
    Ok(chunk.freeze())
}

/// What a channel brings, as a stream.
pub(super) fn from_channel<T: Send + 'static>(
    receive: mpsc::Receiver<T>,
) -> impl stream::Stream<Item = T> + Send + 'static {
    stream::unfold(receive, async |mut receive| Some((receive.recv().await?, receive)))
}

/// A file that turned out shorter or longer than promised.
pub(super) fn wrong_size(file: &Path, promised: u64, found: u64) -> StoreError {
    let what = format!("read {}: {found} bytes where {promised} were promised", file.display());
    StoreError::new(Class::Corrupt, what)
}
