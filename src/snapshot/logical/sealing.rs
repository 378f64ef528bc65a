//! From the bytes of a part to what is stored: hash, compress, or find it unchanged. Pure work for
//! the CPU.

use bytes::Bytes;

use crate::error::{Error, Kind, Result};
use crate::integrity::codec;
use crate::integrity::encryption::Cipher;
use crate::integrity::rows::{self, Tally};
use crate::model::{BasePart, Digest, Part, RowFormat};

/// Which heap range a part belongs to, and its place within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot {
    pub from: u64,
    pub to: u64,
    pub index: usize,
}

/// A part ready to be stored.
#[derive(Debug)]
pub struct Sealed {
    pub part: Part,
    pub stored: Bytes,
}

/// Counts and digests the rows of a part.
pub fn measure(format: RowFormat, raw: &[u8], cipher: &Cipher) -> Result<Tally> {
    rows::tally(format, raw, &cipher.rows()).map_err(|e| {
        Error::new(Kind::Postgres, "rows from the server make no whole part").caused_by(e)
    })
}

/// The part that a base is when it stands for itself.
pub fn as_base(base: &BasePart, tally: Tally, slot: Slot) -> Part {
    Part {
        digest: base.digest,
        base: None,
        stored_digest: base.stored_digest,
        stored: base.stored,
        raw: base.raw,
        rows: tally.rows,
        row_digest: tally.digest,
        from: slot.from,
        to: slot.to,
    }
}

/// A delta must stay below this share of what the plain part would take.
const DELTA_SHARE: u64 = 2;

/// Compresses and encrypts a part: as a delta where a base is given and that pays, else plain. Each
/// is undone and compared before anything leaves this process, so that a fault of the compressor or of memory
/// cannot reach a store.
pub fn compress(
    raw: &[u8],
    digest: Digest,
    tally: Tally,
    slot: Slot,
    base: Option<(&BasePart, &[u8])>,
    level: i32,
    cipher: &Cipher,
) -> Result<Sealed> {
    let sealed = |compressed: Vec<u8>, base: Option<Digest>| {
        let stored = Bytes::from(cipher.seal(compressed)?);
        let part = part_of(raw, digest, tally, slot, base, &stored);
        Ok(Sealed { part, stored })
    };
    if let Some((base, base_raw)) = base
        && let Some(delta) = codec::compress_delta(raw, base_raw, level)?
    {
        // What the plain part would take is told by the ratio of its base.
        let plain = (raw.len() as u64).saturating_mul(base.stored) / base.raw.max(1);
        if (delta.len() as u64).saturating_mul(DELTA_SHARE) <= plain {
            check(&delta, Some(base_raw), raw)?;
            return sealed(delta, Some(base.digest));
        }
    }
    let plain = codec::compress(raw, level)?;
    check(&plain, None, raw)?;
    sealed(plain, None)
}

/// What a list says of a part with these uncompressed and stored bytes.
pub fn part_of(
    raw: &[u8],
    digest: Digest,
    tally: Tally,
    slot: Slot,
    base: Option<Digest>,
    stored: &[u8],
) -> Part {
    Part {
        digest,
        base,
        stored_digest: Digest::of(stored),
        stored: stored.len() as u64,
        raw: raw.len() as u64,
        rows: tally.rows,
        row_digest: tally.digest,
        from: slot.from,
        to: slot.to,
    }
}

fn check(stored: &[u8], base: Option<&[u8]>, raw: &[u8]) -> Result<()> {
    match codec::undoes_to(stored, base, raw) {
        true => Ok(()),
        false => Err(Error::new(Kind::Bug, "a compressed part does not give its bytes back")
            .hint("nothing was stored; this machine's memory may be faulty, or zstd is")),
    }
}
