//! How the place of a store is set up, against how the configuration has it.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::port::Result;

/// One setting of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Setting {
    Encryption,
    PublicAccess,
    Versioning,
    ObjectLock,
    Replication,
}

impl Setting {
    /// All of them, in the order in which they are told.
    pub const ALL: [Self; 5] = [
        Self::Encryption,
        Self::PublicAccess,
        Self::Versioning,
        Self::ObjectLock,
        Self::Replication,
    ];
}

impl fmt::Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Encryption => "encryption",
            Self::PublicAccess => "public access",
            Self::Versioning => "versioning",
            Self::ObjectLock => "object lock",
            Self::Replication => "replication",
        })
    }
}

/// What a setting was found to be; each in words for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    AsConfigured(String),
    /// Not as it has to be, and the next move.
    Otherwise(String, String),
    /// Nothing asks for it.
    NotAsked(String),
}

/// Every setting, or why it could not be read: then nothing is known of it.
pub type Posture = Vec<(Setting, Result<Seen>)>;
