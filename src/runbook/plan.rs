//! What a run would do: a runbook with its references replaced, for one mode. Pure, and stored with
//! the run, which follows it to the end whatever becomes of the runbook.

use serde::{Deserialize, Serialize};

use super::sheet::{Approve, OnFailure};
use crate::model::{Digest, Span};
use crate::providers::{Arguments, Description, Mode};

/// A whole plan. Steps stand in an order in which each comes after those that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub runbook: String,
    pub title: String,
    /// Of the runbook's text.
    pub runbook_digest: Digest,
    pub mode: Mode,
    /// The region that must be active before; after a run that moves nothing it still is.
    pub from: String,
    /// The region that is active afterwards, whose name the operator types.
    pub to: String,
    pub rto: Span,
    pub rpo: Span,
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub id: String,
    pub uses: String,
    pub with: Arguments,
    /// Ids of steps of this plan; those that the mode leaves out are left out here too, and what
    /// they needed is needed in their place.
    pub needs: Vec<String>,
    /// For all tries together; an approval's own timeout comes on top.
    pub timeout: Span,
    pub retries: u32,
    pub on_failure: OnFailure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
    pub point_of_no_return: bool,
    /// Its compensation is none where the runbook says `compensate = false`.
    pub description: Description,
}
