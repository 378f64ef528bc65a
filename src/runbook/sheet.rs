//! A runbook as its author wrote it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::{Digest, Span};
use crate::providers::{Arguments, Mode};

/// A runbook that was read and checked; its references are not yet replaced.
#[derive(Debug, Clone, PartialEq)]
pub struct Runbook {
    /// The file's name without `.toml`.
    pub name: String,
    /// Of its text.
    pub digest: Digest,
    pub title: String,
    /// What it is for and what to know before, for people.
    pub about: Option<String>,
    /// The region that must be active before; references and all. Default `${regions.primary}`.
    pub from: String,
    /// The region that is active afterwards. Default `${regions.standby}`.
    pub to: String,
    /// The only mode that it is for; none: either.
    pub mode: Option<Mode>,
    pub rto: Span,
    pub rpo: Span,
    pub steps: Vec<Step>,
}

impl Runbook {
    /// The modes that it may be run in.
    pub fn modes(&self) -> Vec<Mode> {
        self.mode.map_or_else(|| vec![Mode::Graceful, Mode::Forced], |only| vec![only])
    }

    /// The mode that is meant where none is given.
    pub fn usual_mode(&self) -> Mode {
        self.mode.unwrap_or(Mode::Forced)
    }
}

/// One entry of a runbook.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    pub id: String,
    /// The action's name.
    pub uses: String,
    pub with: Arguments,
    /// Ids of steps that must have ended well before.
    pub needs: Vec<String>,
    /// For all tries together; an approval's own timeout comes on top.
    pub timeout: Span,
    /// Tries after the first.
    pub retries: u32,
    pub on_failure: OnFailure,
    /// Whether `abort` undoes it; none: if its action can.
    pub compensate: Option<bool>,
    pub approve: Option<Approve>,
    /// Only in this mode; `None`: in both.
    pub when: Option<Mode>,
    /// After it there is no way back, only forward.
    pub point_of_no_return: bool,
    /// The line of its `[[step]]`.
    pub line: usize,
}

/// What a failed step means for the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OnFailure {
    /// Nothing new is started; the run waits for `resume` or `abort`.
    #[default]
    Stop,
    /// Steps that need it go on; the failure stands in the report.
    Continue,
    /// What was done is compensated; past the point of no return it means `stop`.
    Abort,
}

/// Who must agree before a step starts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    pub who: Who,
    /// How long to wait; the step fails then. It counts against the RTO.
    pub timeout: Span,
}

/// Who may approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Who {
    /// Anybody who may run drctl, the operator too.
    Operator,
    /// Somebody other than the operator.
    SecondPerson,
}

impl Who {
    /// "a second person".
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Operator => "an operator",
            Self::SecondPerson => "a second person",
        }
    }
}
