//! The scope of a check: from when on, and which slices of the parts. A slice is what one
//! in 256 parts belong to, by the first byte of the digest; a delta belongs to its base's, so that
//! both are read together.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use sha2::{Digest as _, Sha256};
use std::sync::Arc;

use crate::model::{GenerationId, PartName, SnapshotId};
use crate::store::Listed;

/// Slices of a generation.
pub const SLICES: usize = 256;

/// One bit of what is looked at in turn.
pub type Slice = u8;

/// What a listing says of every object of a slice, in one number: keys, sizes, versions and times.
pub type Fingerprint = [u8; 16];

/// A slice that was looked at whole, and found as promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    pub slice: Slice,
    /// Where the listing tells versions.
    pub fingerprint: Option<Fingerprint>,
}

/// Decides which slices have their turn, and keeps what became of them.
#[async_trait]
pub trait Ledger: Send + Sync {
    fn picks(&self, store: &str, generation: &GenerationId, slice: Slice) -> bool;

    /// Whether the slice had this fingerprint when the store's checksums were last compared.
    fn vouches(
        &self,
        store: &str,
        generation: &GenerationId,
        slice: Slice,
        seen: &Fingerprint,
    ) -> bool;

    /// What a generation holds, in bytes by slice.
    fn holds(&self, store: &str, generation: &GenerationId, bytes: &[u64]);

    /// Slices that have had their turn.
    async fn covered(&self, store: &str, generation: &GenerationId, slices: &[Covered]);
}

/// What of the snapshots is checked.
#[derive(Clone, Default)]
pub struct Scope {
    /// Only snapshots begun since.
    pub since: Option<DateTime<Utc>>,
    /// None: every slice, and nobody remembers.
    pub ledger: Option<Arc<dyn Ledger>>,
    /// The ledger does not pick everything, so a verdict says less than the depth does.
    pub partial: bool,
}

/// The slice of a part.
pub fn of_part(name: &PartName) -> Slice {
    name.base.unwrap_or(name.digest).as_bytes()[0]
}

/// The slice of a schema archive.
pub fn of_archive(snapshot: &SnapshotId) -> Slice {
    // The cast takes the lowest byte.
    xxhash_rust::xxh3::xxh3_64(snapshot.as_str().as_bytes()) as Slice
}

/// Fingerprints and sizes of slices, as a listing goes by.
#[derive(Debug, Clone)]
pub struct Tallies {
    hashes: Vec<Option<Sha256>>,
    pub bytes: Vec<u64>,
}

impl Default for Tallies {
    fn default() -> Self {
        Self { hashes: vec![Some(Sha256::new()); SLICES], bytes: vec![0; SLICES] }
    }
}

impl Tallies {
    pub fn add(&mut self, slice: Slice, listed: &Listed) {
        let slice = usize::from(slice);
        self.bytes[slice] += listed.size;
        let Some(etag) = &listed.etag else {
            self.hashes[slice] = None;
            return;
        };
        if let Some(hash) = &mut self.hashes[slice] {
            let time = listed.last_modified.timestamp_millis();
            hash.update((listed.key.len() as u64).to_le_bytes());
            hash.update(listed.key.as_bytes());
            hash.update(listed.size.to_le_bytes());
            hash.update(time.to_le_bytes());
            hash.update((etag.0.len() as u64).to_le_bytes());
            hash.update(etag.0.as_bytes());
        }
    }

    /// None where the listing does not vouch for the bytes.
    pub fn fingerprint(&self, slice: Slice) -> Option<Fingerprint> {
        let hash = self.hashes[usize::from(slice)].clone()?;
        let mut first = Fingerprint::default();
        first.copy_from_slice(&hash.finalize()[..16]);
        Some(first)
    }
}
