//! What a check of stored objects found, and where.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What is wrong with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FindingKind {
    /// It should be there and is not.
    Missing,
    /// It is there, and its bytes are not what the manifest promises.
    Damaged,
    /// It could not be looked at: neither intact nor damaged.
    Unreadable,
    /// It is there and nothing names it.
    Surplus,
}

impl fmt::Display for FindingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::Unreadable => "unreadable",
            Self::Surplus => "surplus",
        })
    }
}

/// One finding, placed as exactly as it can be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub kind: FindingKind,
    pub store: String,
    pub database: String,
    /// The snapshot in whose light it was found; none for a surplus object.
    pub snapshot: Option<String>,
    /// `schema.name`, where it belongs to a table.
    pub table: Option<String>,
    /// The object's key below the store's prefix.
    pub part: Option<String>,
    /// What was expected and what was seen, for people.
    pub detail: String,
}
