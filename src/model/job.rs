//! What a scheduled job does, and how one turn of it ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a job does: the command of drctl that carries it out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobKind {
    Snapshot,
    Verify,
    Prune,
    Copy,
    Drill,
    FailoverDrill,
    Preflight,
    Audit,
}

impl JobKind {
    /// Every kind, as configurations name it.
    pub const ALL: [(&'static str, Self); 8] = [
        ("snapshot", Self::Snapshot),
        ("verify", Self::Verify),
        ("prune", Self::Prune),
        ("copy", Self::Copy),
        ("drill", Self::Drill),
        ("failover-drill", Self::FailoverDrill),
        ("preflight", Self::Preflight),
        ("audit", Self::Audit),
    ];

    pub fn as_str(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// Whether it is done for each database by itself.
    pub fn is_per_database(self) -> bool {
        !matches!(self, Self::Preflight | Self::FailoverDrill)
    }
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// How one turn of a job ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Done,
    /// Done, but not in every store: a trouble, and not a failure.
    Partial,
    Failed,
    /// It took longer than its `timeout` and was ended.
    TimedOut,
    /// The runner was told to stop, or died: nothing is known against the job itself.
    Interrupted,
}

impl Verdict {
    /// Whether what the job is for was reached.
    pub fn is_good(self) -> bool {
        matches!(self, Self::Done | Self::Partial)
    }

    /// For people and as a label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Partial => "partial",
            Self::Failed => "failed",
            Self::TimedOut => "timed out",
            Self::Interrupted => "interrupted",
        }
    }
}
