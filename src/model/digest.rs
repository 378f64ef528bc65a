//! SHA-256 digests of bytes, and the order-independent digest of rows.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest; shown and stored as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

/// The text is not a digest of the expected length in lower-case hexadecimal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestError(String);

impl fmt::Display for DigestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a digest", self.0)
    }
}

impl std::error::Error for DigestError {}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// A digest from its 32 raw bytes, as S3 gives them in base64.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 raw bytes.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first `n` hexadecimal digits, for people.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0u8; 64];
    for (i, b) in bytes.iter().enumerate() {
        text[2 * i] = DIGITS[(b >> 4) as usize];
        text[2 * i + 1] = DIGITS[(b & 15) as usize];
    }
    // Every byte comes from DIGITS, so this is ASCII.
    f.write_str(std::str::from_utf8(&text[..2 * bytes.len()]).unwrap_or_default())
}

fn read_hex<const N: usize>(text: &str) -> Result<[u8; N], DigestError> {
    let fail = || DigestError(text.chars().take(80).collect());
    let value = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let text_bytes = text.as_bytes();
    if text_bytes.len() != 2 * N {
        return Err(fail());
    }
    let mut out = [0u8; N];
    for (slot, pair) in out.iter_mut().zip(text_bytes.chunks_exact(2)) {
        *slot = value(pair[0]).ok_or_else(fail)? << 4 | value(pair[1]).ok_or_else(fail)?;
    }
    Ok(out)
}

/// Reads a value from its text where it stands: a part list holds millions of digests.
struct Text<T>(PhantomData<T>);

impl<T: FromStr<Err = DigestError>> serde::de::Visitor<'_> for Text<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a digest in hexadecimal")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        read_hex(text).map(Self)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text(PhantomData))
    }
}

/// How a row's COPY bytes become a number.
#[derive(Clone, Default)]
pub enum RowHash {
    /// XXH3-128, which anybody can compute.
    #[default]
    Open,
    /// The first half of SHA-256 over a block with a key and then the row. The block's work is done
    /// once, so the key costs nothing per row. Without the key no guess of a row can be confirmed.
    Keyed(Box<Sha256>),
}

impl RowHash {
    /// Rows hashed under a key.
    pub fn keyed(key: &[u8; 32]) -> Self {
        let mut block = [0u8; 64];
        block[..32].copy_from_slice(key);
        Self::Keyed(Box::new(Sha256::new_with_prefix(block)))
    }

    #[inline]
    fn of(&self, row: &[u8]) -> u128 {
        match self {
            Self::Open => xxhash_rust::xxh3::xxh3_128(row),
            Self::Keyed(begun) => {
                let mut hash = Sha256::clone(begun);
                hash.update(row);
                let whole: [u8; 32] = hash.finalize().into();
                let mut half = [0u8; 16];
                half.copy_from_slice(&whole[..16]);
                u128::from_be_bytes(half)
            }
        }
    }
}

/// The order-independent digest of a set of rows: the wrapping sum of a 128-bit hash of each row's
/// COPY bytes, without its line end. Equal multisets of rows give equal digests under one `RowHash`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct RowDigest(u128);

impl RowDigest {
    /// Adds one row's COPY bytes.
    #[inline]
    pub fn add_row(&mut self, hash: &RowHash, row: &[u8]) {
        self.0 = self.0.wrapping_add(hash.of(row));
    }

    /// Adds the rows of another set.
    pub fn add(&mut self, other: RowDigest) {
        self.0 = self.0.wrapping_add(other.0);
    }
}

impl fmt::Display for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0.to_be_bytes(), f)
    }
}

impl fmt::Debug for RowDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for RowDigest {
    type Err = DigestError;
    fn from_str(text: &str) -> Result<Self, DigestError> {
        read_hex(text).map(|b| Self(u128::from_be_bytes(b)))
    }
}

impl Serialize for RowDigest {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RowDigest {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        d.deserialize_str(Text(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn digest_is_sha256_and_reads_back() {
        let d = Digest::of(b"abc");
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(d.to_string(), text);
        assert_eq!(text.parse(), Ok(d));
        assert!(text.to_uppercase().parse::<Digest>().is_err());
        assert!(text[1..].parse::<Digest>().is_err());
        assert!("é".repeat(32).parse::<Digest>().is_err());
    }

    proptest! {
        #[test]
        fn row_digest_ignores_order_but_not_content(
            mut rows in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..30),
            cut in any::<prop::sample::Index>(),
            key in proptest::option::of(any::<[u8; 32]>()),
        ) {
            let hash = key.map_or(RowHash::Open, |key| RowHash::keyed(&key));
            let sum = |rows: &[Vec<u8>]| {
                let mut d = RowDigest::default();
                rows.iter().for_each(|r| d.add_row(&hash, r));
                d
            };
            let whole = sum(&rows);
            let at = cut.index(rows.len());
            let mut halves = sum(&rows[..at]);
            halves.add(sum(&rows[at..]));
            prop_assert_eq!(whole, halves);
            rows.rotate_left(at);
            prop_assert_eq!(whole, sum(&rows));
            prop_assert_eq!(whole.to_string().parse(), Ok(whole));
            rows[0].push(0);
            prop_assert_ne!(whole, sum(&rows));
        }
    }
}
