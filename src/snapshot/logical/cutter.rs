//! Cuts a stream of COPY bytes into parts at row boundaries, always at the same places for the same
//! rows.

use bytes::Bytes;
use memchr::memchr;

use crate::error::{Error, Kind, Result};
use crate::integrity::rows::{BINARY_HEADER, BINARY_TRAILER, RowEnd, binary_row_end};
use crate::model::RowFormat;

/// Collects bytes until a row ends at or behind `limit`.
pub struct Cutter {
    format: RowFormat,
    limit: usize,
    buffer: Vec<u8>,
    /// Binary: where the first row begins that is not known to be whole.
    row_start: usize,
    /// Bytes to make room for at once when a part begins.
    expected: usize,
}

impl Cutter {
    pub fn new(format: RowFormat, limit: u64, expected: u64) -> Self {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let expected = usize::try_from(expected).unwrap_or(limit).min(limit) + (64 << 10);
        Self { format, limit, buffer: Vec::new(), row_start: 0, expected }
    }

    /// Takes bytes; gives each part that they complete, seldom more than one.
    pub fn push(&mut self, chunk: &Bytes) -> Result<Vec<Vec<u8>>> {
        self.make_room(chunk.len());
        self.buffer.extend_from_slice(chunk);
        if self.buffer.len() < self.limit {
            return Ok(Vec::new());
        }
        let mut parts = Vec::new();
        while let Some(end) = self.cut_at()? {
            let rest = self.buffer.split_off(end);
            let mut part = std::mem::take(&mut self.buffer);
            self.row_start = 0;
            if self.format == RowFormat::Binary {
                part.extend_from_slice(BINARY_TRAILER);
                self.buffer.extend_from_slice(BINARY_HEADER);
                self.row_start = BINARY_HEADER.len();
            }
            self.buffer.reserve_exact(self.expected.max(rest.len()));
            self.buffer.extend_from_slice(&rest);
            parts.push(part);
        }
        Ok(parts)
    }

    /// Never twice what is needed, as a vector does by itself: rows may be large, and parts many.
    fn make_room(&mut self, more: usize) {
        let needed = self.buffer.len() + more;
        if needed > self.buffer.capacity() {
            let room = match self.buffer.is_empty() {
                true => self.expected,
                false => (self.buffer.capacity() * 2).min(self.limit),
            };
            self.buffer.reserve_exact(room.max(needed) - self.buffer.len());
        }
    }

    /// The end of the first row that ends at or behind the limit, if it is here.
    fn cut_at(&mut self) -> Result<Option<usize>> {
        if self.buffer.len() < self.limit {
            return Ok(None);
        }
        match self.format {
            RowFormat::Text => {
                let from = self.limit - 1;
                Ok(memchr(b'\n', &self.buffer[from..]).map(|i| from + i + 1))
            }
            RowFormat::Binary => {
                if self.row_start == 0 {
                    self.row_start = BINARY_HEADER.len();
                }
                loop {
                    match binary_row_end(&self.buffer, self.row_start) {
                        RowEnd::At(end) if end >= self.limit => return Ok(Some(end)),
                        RowEnd::At(end) => self.row_start = end,
                        RowEnd::More | RowEnd::Trailer => return Ok(None),
                    }
                }
            }
        }
    }

    /// The last part, unless no row is left for it.
    pub fn finish(mut self) -> Result<Option<Vec<u8>>> {
        match self.format {
            RowFormat::Text if self.buffer.is_empty() => Ok(None),
            RowFormat::Text if self.buffer.last() != Some(&b'\n') => {
                Err(Error::new(Kind::Postgres, "the server ended a COPY in the middle of a row"))
            }
            RowFormat::Binary if !self.buffer.ends_with(BINARY_TRAILER) => {
                Err(Error::new(Kind::Postgres, "the server ended a COPY without its trailer"))
            }
            RowFormat::Binary
                if self.buffer.len() <= BINARY_HEADER.len() + BINARY_TRAILER.len() =>
            {
                Ok(None)
            }
            _ => {
                // The room that was not needed goes back before the part waits its turn.
                self.buffer.shrink_to_fit();
                Ok(Some(self.buffer))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rows::tally;
    use crate::model::RowHash;
    use proptest::prelude::*;

    fn cut(format: RowFormat, bytes: &[u8], limit: u64, step: usize) -> Vec<Vec<u8>> {
        let mut cutter = Cutter::new(format, limit, limit);
        let mut parts = Vec::new();
        for chunk in bytes.chunks(step.max(1)) {
            parts.extend(cutter.push(&Bytes::copy_from_slice(chunk)).unwrap());
        }
        parts.extend(cutter.finish().unwrap());
        parts
    }

    proptest! {
        #[test]
        fn the_same_rows_give_the_same_parts_however_they_arrive(
            rows in proptest::collection::vec(proptest::collection::vec(32u8..127, 0..60), 0..80),
            limit in 1u64..400, a in 1usize..500, b in 1usize..500,
        ) {
            let text: Vec<u8> = rows.iter().flat_map(|r| [r.as_slice(), b"\n"].concat()).collect();
            let parts = cut(RowFormat::Text, &text, limit, a);
            prop_assert_eq!(&parts, &cut(RowFormat::Text, &text, limit, b));
            prop_assert_eq!(parts.concat(), text);
            for part in &parts {
                // Whole rows, and no row begins behind the limit.
                let body = &part[..part.len() - 1];
                let last = body.iter().rposition(|b| *b == b'\n').map_or(0, |i| i + 1);
                prop_assert!(part.ends_with(b"\n") && (last as u64) < limit);
            }

            let mut binary = BINARY_HEADER.to_vec();
            for r in &rows {
                binary.extend_from_slice(&[0, 1]);
                binary.extend_from_slice(&(r.len() as u32).to_be_bytes());
                binary.extend_from_slice(r);
            }
            binary.extend_from_slice(BINARY_TRAILER);
            let parts = cut(RowFormat::Binary, &binary, limit, a);
            prop_assert_eq!(&parts, &cut(RowFormat::Binary, &binary, limit, b));
            let mut sum = crate::integrity::rows::Tally::default();
            for part in &parts {
                sum.add(tally(RowFormat::Binary, part, &RowHash::Open).unwrap());
            }
            prop_assert_eq!(sum, tally(RowFormat::Binary, &binary, &RowHash::Open).unwrap());
        }
    }

    #[test]
    fn a_stream_that_ends_within_a_row_is_refused() {
        for (format, bytes) in [(RowFormat::Text, &b"abc"[..]), (RowFormat::Binary, b"PGCOPY")] {
            let mut cutter = Cutter::new(format, 100, 100);
            cutter.push(&Bytes::from_static(bytes)).unwrap();
            assert!(cutter.finish().is_err());
        }
    }
}
