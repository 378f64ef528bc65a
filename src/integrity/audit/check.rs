//! What an audit checks, and how each check came out.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::store::posture::Setting;

/// One question that an audit asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// What lies in the stores is what the manifests promise.
    Integrity,
    /// The stores hold the same snapshots.
    Sameness,
    /// No snapshot is missing in the row of them.
    Chain,
    /// What has expired is gone.
    Retention,
    /// No generation goes on for longer than it may.
    Generations,
    /// Everything was looked at within the time that it may take.
    Coverage,
    /// Manifests are signed by a trusted key.
    Signatures,
    /// The journals of runs are whole.
    Journals,
    /// Nobody but drctl wrote below the prefix.
    Strangers,
    Encryption,
    PublicAccess,
    Versioning,
    ObjectLock,
    Replication,
}

impl Aspect {
    pub fn of(setting: Setting) -> Self {
        match setting {
            Setting::Encryption => Self::Encryption,
            Setting::PublicAccess => Self::PublicAccess,
            Setting::Versioning => Self::Versioning,
            Setting::ObjectLock => Self::ObjectLock,
            Setting::Replication => Self::Replication,
        }
    }
}

impl fmt::Display for Aspect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Integrity => "integrity",
            Self::Sameness => "the same in every store",
            Self::Chain => "no hour missing",
            Self::Retention => "retention",
            Self::Generations => "generations bounded",
            Self::Coverage => "everything read in time",
            Self::Signatures => "signatures",
            Self::Journals => "journals of runs",
            Self::Strangers => "no strangers",
            Self::Encryption => "encryption",
            Self::PublicAccess => "public access blocked",
            Self::Versioning => "versioning",
            Self::ObjectLock => "object lock",
            Self::Replication => "replication",
        })
    }
}

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    NotApplicable,
    Passed,
    /// It could not be looked at: nothing is known.
    Unverified,
    Failed,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::NotApplicable => "not applicable",
            Self::Passed => "passed",
            Self::Unverified => "UNVERIFIED",
            Self::Failed => "FAILED",
        })
    }
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub aspect: Aspect,
    pub standing: Standing,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store: Option<String>,
    /// What was seen, for people.
    pub said: String,
    /// The next move, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    pub fn new(aspect: Aspect, standing: Standing, said: impl Into<String>) -> Self {
        Self { aspect, standing, database: None, store: None, said: said.into(), hint: None }
    }

    pub fn of_database(mut self, database: &str) -> Self {
        self.database = Some(database.to_owned());
        self
    }

    pub fn in_store(mut self, store: &str) -> Self {
        self.store = Some(store.to_owned());
        self
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
