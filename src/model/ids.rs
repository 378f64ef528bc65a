//! Names that appear in keys: snapshots and generations carry the moment they began.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, NaiveDateTime, TimeDelta, Utc};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const TIME: &str = "%Y%m%dT%H%M%SZ";

/// The text is not an id of the wanted form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdError(String);

impl fmt::Display for IdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for IdError {}

/// Whether `text` may name a project, database or store: it becomes part of keys and file names.
pub fn is_name(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.'))
        && text.len() <= 63
}

fn split(text: &str, prefix: &str) -> Option<DateTime<Utc>> {
    let (time, random) = text.strip_prefix(prefix)?.split_once('-')?;
    let hex = random.len() == 6 && random.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let time = NaiveDateTime::parse_from_str(time, TIME).ok()?;
    hex.then(|| time.and_utc())
}

macro_rules! id {
    ($name:ident, $prefix:literal, $what:literal, $example:literal) => {
        impl $name {
            /// An id for something that begins `now`; `random` keeps two of the same second apart.
            pub fn new(now: DateTime<Utc>, random: u32) -> Self {
                let time = now.format(TIME);
                Self(format!("{}{time}-{:06x}", $prefix, random & 0xFF_FFFF))
            }

            /// An id that sorts behind `newest`, whatever the clock says: ids have seconds, and
            /// two things of one second would sort by chance.
            pub fn after(newest: Option<&Self>, now: DateTime<Utc>, random: u32) -> Self {
                let next = newest.map(|n| n.began() + TimeDelta::seconds(1));
                Self::new(next.map_or(now, |next| next.max(now)), random)
            }

            /// When it began, to the second.
            pub fn began(&self) -> DateTime<Utc> {
                // Only `new` and `from_str` make ids, and both hold to the form.
                split(&self.0, $prefix).unwrap_or(DateTime::UNIX_EPOCH)
            }

            /// The id as it stands in keys.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                match split(text, $prefix) {
                    Some(_) => Ok(Self(text.to_owned())),
                    None => Err(IdError(format!(
                        "`{text}` is not a {} id such as `{}`",
                        $what, $example
                    ))),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(D::Error::custom)
            }
        }
    };
}

/// One snapshot: `20261122T134512Z-3f9a1c`. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(String);

/// One generation: `g20261122T134512Z-3f9a1c`. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GenerationId(String);

/// One run of a runbook: `r20261122T134512Z-3f9a1c`. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RunId(String);

/// First components of keys that belong to no database; a database may not be named so.
pub const RESERVED: [&str; 6] = ["audits", "drills", "leases", "quarantine", "runs", "state"];

/// One drill: `d20261122T134512Z-3f9a1c`. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DrillId(String);

/// One audit: `a20261122T134512Z-3f9a1c`. Ids sort by time.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AuditId(String);

id!(SnapshotId, "", "snapshot", "20261122T134512Z-3f9a1c");
id!(GenerationId, "g", "generation", "g20261122T134512Z-3f9a1c");
id!(AuditId, "a", "audit", "a20261122T134512Z-3f9a1c");
id!(RunId, "r", "run", "r20261122T134512Z-3f9a1c");
id!(DrillId, "d", "drill", "d20261122T134512Z-3f9a1c");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_carry_their_time_and_sort_by_it() {
        let at = DateTime::parse_from_rfc3339("2026-11-22T13:45:12.7Z").unwrap().to_utc();
        let id = SnapshotId::new(at, 0x003f_9a1c);
        assert_eq!(id.as_str(), "20261122T134512Z-3f9a1c");
        assert_eq!(id.began().to_rfc3339(), "2026-11-22T13:45:12+00:00");
        assert_eq!("20261122T134512Z-3f9a1c".parse(), Ok(id));
        assert!(GenerationId::new(at, 1) > "g20261122T134511Z-ffffff".parse().unwrap());
        for bad in
            ["", "x", "20261122T134512Z", "20261322T134512Z-3f9a1c", "20261122T134512Z-3f9a1c/.."]
        {
            assert!(bad.parse::<SnapshotId>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_id_sorts_behind_the_newest_one() {
        let at = |text: &str| DateTime::parse_from_rfc3339(text).unwrap().to_utc();
        let newest: SnapshotId = "20261122T134512Z-ffffff".parse().unwrap();
        let after = |now| SnapshotId::after(Some(&newest), at(now), 1).to_string();
        assert_eq!(after("2026-11-22T13:45:12.9Z"), "20261122T134513Z-000001");
        assert_eq!(after("2026-11-22T13:45:13.1Z"), "20261122T134513Z-000001");
        // The clock that named the newest one ran ahead.
        assert_eq!(after("2026-11-22T13:40:00Z"), "20261122T134513Z-000001");
        assert_eq!(after("2026-11-22T14:45:00Z"), "20261122T144500Z-000001");
        let first = SnapshotId::after(None, at("2026-11-22T13:45:12Z"), 1);
        assert_eq!(first.as_str(), "20261122T134512Z-000001");
    }

    #[test]
    fn names_are_safe_in_keys() {
        assert!(is_name("petforce") && is_name("pet-force_2.eu"));
        for bad in ["", ".", "..", "a/b", "-a", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_name(bad), "{bad}");
        }
    }
}
