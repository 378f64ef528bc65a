//! Rows within COPY bytes: where they end, how many there are, and their digest.

use memchr::memchr_iter;

use crate::error::{Error, Kind, Result};
use crate::model::{RowDigest, RowFormat, RowHash};

/// The 11-byte signature, flags and header extension length that open a COPY binary stream
/// (PostgreSQL documentation, COPY, "Binary Format").
pub const BINARY_HEADER: &[u8; 19] = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0";

/// The field count of -1 that closes a COPY binary stream.
pub const BINARY_TRAILER: &[u8; 2] = b"\xff\xff";

/// Rows counted and digested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    pub rows: u64,
    pub digest: RowDigest,
}

impl Tally {
    pub fn add(&mut self, other: Tally) {
        self.rows += other.rows;
        self.digest.add(other.digest);
    }
}

fn damaged(what: &str) -> Error {
    Error::new(Kind::Damaged, what)
}

/// Counts and digests the rows of one part. `Kind::Damaged` if the bytes do not end with a row.
pub fn tally(format: RowFormat, part: &[u8], hash: &RowHash) -> Result<Tally> {
    let mut sum = Tally::default();
    match format {
        RowFormat::Text => {
            // In text format a line end inside a value is written `\n`, so a raw one ends a row.
            let mut start = 0;
            for end in memchr_iter(b'\n', part) {
                sum.digest.add_row(hash, &part[start..end]);
                sum.rows += 1;
                start = end + 1;
            }
            if start != part.len() {
                return Err(damaged("its last row has no end"));
            }
        }
        RowFormat::Binary => {
            let mut at = match part.starts_with(BINARY_HEADER) {
                true => BINARY_HEADER.len(),
                false => return Err(damaged("it does not begin with the COPY signature")),
            };
            loop {
                match binary_row_end(part, at) {
                    RowEnd::At(end) => {
                        sum.digest.add_row(hash, &part[at..end]);
                        sum.rows += 1;
                        at = end;
                    }
                    RowEnd::Trailer if at + BINARY_TRAILER.len() == part.len() => break,
                    RowEnd::Trailer | RowEnd::More => {
                        return Err(damaged("its last row has no end"));
                    }
                }
            }
        }
    }
    Ok(sum)
}

/// Where the binary row that begins at `at` ends.
pub enum RowEnd {
    At(usize),
    /// The stream's trailer stands here.
    Trailer,
    /// The bytes end first.
    More,
}

/// Finds the end of a COPY binary tuple: a 16-bit field count, then for each field a 32-bit length
/// (-1 for NULL) and so many bytes.
pub fn binary_row_end(bytes: &[u8], at: usize) -> RowEnd {
    let Some(count) = bytes.get(at..at + 2) else { return RowEnd::More };
    let count = i16::from_be_bytes([count[0], count[1]]);
    if count < 0 {
        return RowEnd::Trailer;
    }
    let mut at = at + 2;
    for _ in 0..count {
        let Some(length) = bytes.get(at..at + 4) else { return RowEnd::More };
        let length = i32::from_be_bytes([length[0], length[1], length[2], length[3]]);
        at += 4 + usize::try_from(length).unwrap_or(0);
    }
    if at > bytes.len() { RowEnd::More } else { RowEnd::At(at) }
}

/// Counts and digests a COPY stream as it arrives, cut at no particular place.
pub struct Counter {
    format: RowFormat,
    hash: RowHash,
    sum: Tally,
    /// The beginning of a row whose end has not come yet.
    rest: Vec<u8>,
    /// Binary: how far the stream is.
    header: bool,
    trailer: bool,
}

impl Counter {
    pub fn new(format: RowFormat, hash: RowHash) -> Self {
        let header = format == RowFormat::Binary;
        Self { format, hash, sum: Tally::default(), rest: Vec::new(), header, trailer: false }
    }

    pub fn push(&mut self, chunk: &[u8]) -> Result<()> {
        if self.rest.is_empty() {
            // The server sends row by row, so this is nearly always all of it.
            let used = self.count(chunk)?;
            self.rest.extend_from_slice(&chunk[used..]);
        } else {
            self.rest.extend_from_slice(chunk);
            let rest = std::mem::take(&mut self.rest);
            let used = self.count(&rest)?;
            self.rest = rest;
            self.rest.drain(..used);
        }
        Ok(())
    }

    /// Counts the whole rows at the front; gives how many bytes they take.
    fn count(&mut self, bytes: &[u8]) -> Result<usize> {
        match self.format {
            RowFormat::Text => {
                let whole = match bytes.last() {
                    Some(b'\n') => bytes.len(),
                    _ => memchr::memrchr(b'\n', bytes).map_or(0, |i| i + 1),
                };
                self.sum.add(tally(RowFormat::Text, &bytes[..whole], &self.hash)?);
                Ok(whole)
            }
            RowFormat::Binary => {
                let mut at = 0;
                if self.header {
                    if bytes.len() < BINARY_HEADER.len() {
                        return Ok(0);
                    }
                    if !bytes.starts_with(BINARY_HEADER) {
                        return Err(damaged("it does not begin with the COPY signature"));
                    }
                    (self.header, at) = (false, BINARY_HEADER.len());
                }
                while !self.trailer {
                    match binary_row_end(bytes, at) {
                        RowEnd::At(end) => {
                            self.sum.digest.add_row(&self.hash, &bytes[at..end]);
                            self.sum.rows += 1;
                            at = end;
                        }
                        RowEnd::Trailer => {
                            (self.trailer, at) = (true, at + BINARY_TRAILER.len());
                        }
                        RowEnd::More => break,
                    }
                }
                Ok(at)
            }
        }
    }

    /// What the whole stream came to.
    pub fn finish(self) -> Result<Tally> {
        let ended = self.format == RowFormat::Text || self.trailer;
        match self.rest.is_empty() && ended {
            true => Ok(self.sum),
            false => Err(damaged("its last row has no end")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_stream_counts_like_its_whole(
            rows in proptest::collection::vec(proptest::collection::vec(32u8..127, 0..60), 0..60),
            step in 1usize..200,
        ) {
            let text: Vec<u8> = rows.iter().flat_map(|r| [r.as_slice(), b"\n"].concat()).collect();
            let mut binary = BINARY_HEADER.to_vec();
            for r in &rows {
                binary.extend_from_slice(&[0, 1]);
                binary.extend_from_slice(&(r.len() as u32).to_be_bytes());
                binary.extend_from_slice(r);
            }
            binary.extend_from_slice(BINARY_TRAILER);
            for (format, bytes) in [(RowFormat::Text, &text), (RowFormat::Binary, &binary)] {
                let count = |bytes: &[u8]| {
                    let mut counter = Counter::new(format, RowHash::Open);
                    bytes.chunks(step).try_for_each(|c| counter.push(c))?;
                    counter.finish()
                };
                prop_assert_eq!(count(bytes).unwrap(), tally(format, bytes, &RowHash::Open).unwrap());
                let Some((_, short)) = bytes.split_last() else { continue };
                // An empty text row is nothing but its end, so without it a whole row is gone.
                let row_gone = format == RowFormat::Text && rows.last().is_some_and(Vec::is_empty);
                match count(short) {
                    Ok(counted) => prop_assert!(row_gone && counted.rows + 1 == rows.len() as u64),
                    Err(_) => prop_assert!(!row_gone),
                }
            }
        }
    }

    #[test]
    fn text_rows_are_lines() {
        let t = tally(RowFormat::Text, b"a\tb\n\n\\N\n", &RowHash::Open).unwrap();
        let mut digest = RowDigest::default();
        for row in [&b"a\tb"[..], b"", b"\\N"] {
            digest.add_row(&RowHash::Open, row);
        }
        assert_eq!(t, Tally { rows: 3, digest });
        assert_eq!(tally(RowFormat::Text, b"", &RowHash::Open).unwrap(), Tally::default());
        assert!(tally(RowFormat::Text, b"a\nb", &RowHash::Open).is_err());
    }

    #[test]
    fn binary_rows_are_tuples() {
        let row = b"\0\x02\0\0\0\x03abc\xff\xff\xff\xff";
        let part = [&BINARY_HEADER[..], row, b"\0\0", BINARY_TRAILER].concat();
        let t = tally(RowFormat::Binary, &part, &RowHash::Open).unwrap();
        let mut digest = RowDigest::default();
        digest.add_row(&RowHash::Open, row);
        digest.add_row(&RowHash::Open, b"\0\0");
        assert_eq!(t, Tally { rows: 2, digest });
        for cut in 0..part.len() {
            assert!(tally(RowFormat::Binary, &part[..cut], &RowHash::Open).is_err(), "{cut}");
        }
    }
}
