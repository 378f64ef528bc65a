//! Parts and part lists: which objects hold the rows of a table.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Digest, DigestError, ENCRYPTED_FORMAT, Kept, RowDigest};

/// What identifies a part object within its generation: the digest of the uncompressed bytes, and
/// of the base part's uncompressed bytes where it is a delta. Shown as it stands in keys:
/// `<digest>.zst` or `<digest>.on.<base digest>.zst`, with `.age` behind it where it is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PartName {
    pub digest: Digest,
    pub base: Option<Digest>,
    pub kept: Kept,
}

impl fmt::Display for PartName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.digest)?;
        if let Some(base) = self.base {
            write!(f, ".on.{base}")?;
        }
        write!(f, ".zst{}", self.kept.ending())
    }
}

impl FromStr for PartName {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (text, kept) = Kept::split(text);
        // What lacks its ending is no digest either.
        let text = text.strip_suffix(".zst").unwrap_or_default();
        let (digest, base) = match text.split_once(".on.") {
            None => (text, None),
            Some((digest, base)) => (digest, Some(base.parse()?)),
        };
        Ok(Self { digest: digest.parse()?, base, kept })
    }
}

/// One immutable object: some rows of one heap range of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Part {
    /// SHA-256 of the uncompressed bytes; keyed where the generation is encrypted.
    pub digest: Digest,
    /// The base part's digest, if this part is stored as a delta.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<Digest>,
    /// SHA-256 of the stored (compressed, encrypted) bytes.
    pub stored_digest: Digest,
    /// Stored bytes.
    pub stored: u64,
    /// Uncompressed bytes.
    pub raw: u64,
    pub rows: u64,
    pub row_digest: RowDigest,
    /// First heap block of the range.
    pub from: u64,
    /// One past the last heap block of the range. A range gives one part, or several in row order.
    pub to: u64,
}

impl Part {
    pub fn name(&self, kept: Kept) -> PartName {
        PartName { digest: self.digest, base: self.base, kept }
    }
}

/// A plain part on which deltas of a list rest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BasePart {
    pub digest: Digest,
    pub stored_digest: Digest,
    pub stored: u64,
    pub raw: u64,
}

impl BasePart {
    pub fn name(&self, kept: Kept) -> PartName {
        PartName { digest: self.digest, base: None, kept }
    }
}

/// All parts of one table in heap order. Named by the SHA-256 of its JSON, so a table that did not
/// change keeps its list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartList {
    pub format: u32,
    /// Heap blocks in each range; fixed for a table within a generation. 0: the table has no heap
    /// to cut and was read as one range.
    pub range_blocks: u64,
    /// Heap blocks of the table when it was read; a range below this without a part has no rows.
    pub blocks: u64,
    /// The bases that `parts` name, each once, ordered by digest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<BasePart>,
    /// Ordered by range, then by place in the range.
    pub parts: Vec<Part>,
}

impl PartList {
    /// How its parts are kept.
    pub fn kept(&self) -> Kept {
        if self.format < ENCRYPTED_FORMAT { Kept::Open } else { Kept::Age }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn part_names_read_back() {
        let digest = Digest::of(b"a");
        for base in [None, Some(Digest::of(b"b"))] {
            for kept in [Kept::Open, Kept::Age] {
                let name = PartName { digest, base, kept };
                assert_eq!(name.to_string().parse(), Ok(name));
            }
        }
        assert!(digest.to_string().parse::<PartName>().is_err());
        assert!("x.on.y".parse::<PartName>().is_err());
    }
}
