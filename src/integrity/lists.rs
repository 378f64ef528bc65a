//! Part lists as they are stored: proven and read without ever holding their JSON whole.

use std::io::{self, BufReader, Read};

use sha2::{Digest as _, Sha256};

use crate::error::{Error, Kind, Result};
use crate::model::{Digest, ENCRYPTED_FORMAT, PartList, RowDigest, Table};

/// What a manifest promises of a table's list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Promise {
    pub list: Digest,
    pub stored_digest: Digest,
    pub parts: u64,
    pub rows: u64,
    pub row_digest: RowDigest,
    pub raw_bytes: u64,
}

impl Promise {
    pub fn of(table: &Table) -> Self {
        Self {
            list: table.list,
            stored_digest: table.list_stored_digest,
            parts: table.parts,
            rows: table.rows,
            row_digest: table.row_digest,
            raw_bytes: table.raw_bytes,
        }
    }
}

/// Hashes what is read through it.
struct Hashing<R> {
    from: R,
    hash: Sha256,
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.from.read(buffer)?;
        self.hash.update(&buffer[..n]);
        Ok(n)
    }
}

/// Reads a stored part list and proves both of its digests and the sums that the manifest names.
///
/// `Kind::Damaged`: it is not what was promised. `Kind::Unverified`: it is of a newer format.
pub fn open(stored: &[u8], promise: &Promise) -> Result<PartList> {
    let damaged = |why: String| Error::new(Kind::Damaged, why);
    let seen = Digest::of(stored);
    if seen != promise.stored_digest {
        let promised = promise.stored_digest;
        return Err(damaged(format!("its stored SHA-256 is {seen}, {promised} is promised")));
    }
    let unread = |e: serde_json::Error| damaged("it is not a part list".to_owned()).caused_by(e);
    let decoder = zstd::stream::read::Decoder::with_buffer(stored)
        .map_err(|e| damaged("zstd cannot read it".to_owned()).caused_by(e))?;
    let mut json =
        BufReader::with_capacity(64 << 10, Hashing { from: decoder, hash: Sha256::new() });
    let mut reader = serde_json::Deserializer::from_reader(&mut json);
    let list: PartList = serde::Deserialize::deserialize(&mut reader).map_err(unread)?;
    // Reads to the end, so that all of it is hashed.
    reader.end().map_err(unread)?;
    let seen = Digest::from_bytes(json.into_inner().hash.finalize().into());
    if seen != promise.list {
        return Err(damaged(format!("its SHA-256 is {seen}, not the one in its name")));
    }
    if list.format > ENCRYPTED_FORMAT {
        let (format, newest) = (list.format, ENCRYPTED_FORMAT);
        return Err(Error::new(
            Kind::Unverified,
            format!("it is of format {format}; this drctl reads up to format {newest}"),
        ));
    }
    agrees(&list, promise)?;
    Ok(list)
}

/// Whether the sums over the list are those of the manifest. Empty tables share a list, so this is
/// asked for each table.
fn agrees(list: &PartList, promise: &Promise) -> Result<()> {
    let (mut rows, mut raw, mut digest) = (0u64, 0u64, RowDigest::default());
    for part in &list.parts {
        rows = rows.wrapping_add(part.rows);
        raw = raw.wrapping_add(part.raw);
        digest.add(part.row_digest);
    }
    let parts = list.parts.len() as u64;
    let expected = (promise.parts, promise.rows, promise.raw_bytes, promise.row_digest);
    if (parts, rows, raw, digest) == expected {
        return Ok(());
    }
    Err(Error::new(
        Kind::Damaged,
        format!(
            "it names {parts} parts, {rows} rows, {raw} bytes and the row digest {digest}; the \
             manifest {} parts, {} rows, {} bytes and {}",
            promise.parts, promise.rows, promise.raw_bytes, promise.row_digest
        ),
    ))
}
