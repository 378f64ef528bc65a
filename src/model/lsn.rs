//! Positions in the write-ahead log.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A write-ahead log position in bytes, shown as PostgreSQL shows `pg_lsn` (`16/B374D848`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// The text is not two hexadecimal numbers of up to 32 bits joined by a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LsnError(String);

impl fmt::Display for LsnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not a log sequence number", self.0)
    }
}

impl std::error::Error for LsnError {}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = LsnError;
    fn from_str(text: &str) -> Result<Self, LsnError> {
        let parse = |t: &str| u32::from_str_radix(t, 16).ok().map(u64::from);
        text.split_once('/')
            .and_then(|(high, low)| Some(Lsn(parse(high)? << 32 | parse(low)?)))
            .ok_or_else(|| LsnError(text.to_owned()))
    }
}

impl Serialize for Lsn {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Lsn {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_as_postgresql_does() {
        assert_eq!("16/B374D848".parse(), Ok(Lsn(0x16_B374_D848)));
        assert_eq!(Lsn(0x16_B374_D848).to_string(), "16/B374D848");
        assert!("16".parse::<Lsn>().is_err());
        assert!("16/123456789".parse::<Lsn>().is_err());
    }
}
