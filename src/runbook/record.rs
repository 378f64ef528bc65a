//! What the journal of a run holds, entry by entry.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::error::{Attempt, Kind, Result};
use crate::model::Digest;
use crate::providers::{Facts, FailureClass, RunFacts};

/// One entry. Its digest is the SHA-256 of its bytes as they lie in the journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// From 0, without gaps.
    pub number: u64,
    pub at: DateTime<Utc>,
    /// The fencing number of the lease under which it was written; 0 for a local journal.
    pub fence: u64,
    /// The digest of the entry before; that of no bytes for the first.
    pub previous: Digest,
    pub record: Record,
}

impl Entry {
    /// The entry as it lies in the journal.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        serde_json::to_vec(self)
            .attempt(Kind::Bug, || format!("write entry {} of a journal as JSON", self.number))
    }
}

/// What happened.
#[allow(clippy::large_enum_variant, reason = "entries are few, and each is held once")]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Record {
    /// The first entry: the run and the digest of its plan.
    RunBegan {
        run: RunFacts,
        plan: Digest,
    },
    /// Another process goes on with the run: by `resume` or `takeover`.
    RunResumed {
        operator: String,
    },
    /// About to be applied. Written before the effect.
    StepStarted {
        step: String,
        attempt: u32,
    },
    /// After a crash or a lost answer: whether the effect was found.
    StepObserved {
        step: String,
        done: bool,
        found: String,
    },
    /// Over, well or not.
    StepEnded {
        step: String,
        outcome: Outcome,
    },
    /// A step waits for somebody's agreement.
    ApprovalAsked {
        step: String,
    },
    /// Somebody agreed to a step. `object` is the digest of the approval that they wrote.
    StepApproved {
        step: String,
        by: String,
        approved: DateTime<Utc>,
        object: Digest,
    },
    /// About to be undone. Written before the effect.
    CompensationStarted {
        step: String,
    },
    CompensationEnded {
        step: String,
        outcome: Outcome,
    },
    /// The operator, or a step's `on_failure`, asked for the way back.
    AbortBegan {
        by: String,
        why: String,
    },
    /// The operator asked for a pause: nothing new is started.
    RunPaused {
        by: String,
    },
    /// Something that belongs into the report: a journal that could not be written, a lease lost.
    Noted {
        text: String,
    },
    /// Nothing more will happen. Entries after it come from `resume` alone.
    RunEnded {
        ending: Ending,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Outcome {
    Done {
        summary: String,
        #[serde(default, skip_serializing_if = "Facts::is_empty")]
        facts: Facts,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        warnings: Vec<String>,
    },
    Failed {
        class: FailureClass,
        /// `Error::one_line`.
        error: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
    /// Not carried out: what it needs failed, or the run was aborted.
    Skipped { why: String },
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ending {
    /// Every step ended well.
    Succeeded,
    /// The goal was reached, and steps that may fail failed.
    SucceededWithFailures,
    /// Stopped at a failed step; `resume` or `abort` goes on.
    Stopped,
    /// Everything that was done was undone.
    Aborted,
    /// Aborted, and something could not be undone.
    AbortIncomplete,
}

impl Outcome {
    /// One line for people.
    pub fn in_words(&self) -> String {
        match self {
            Self::Done { summary, .. } => summary.clone(),
            Self::Failed { error, .. } => error.clone(),
            Self::Skipped { why } => why.clone(),
        }
    }
}

impl Ending {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::SucceededWithFailures => "succeeded_with_failures",
            Self::Stopped => "stopped",
            Self::Aborted => "aborted",
            Self::AbortIncomplete => "abort_incomplete",
        }
    }
}
