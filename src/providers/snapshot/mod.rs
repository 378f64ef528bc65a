//! Snapshots as steps of a runbook: take, restore, find the last good one.

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
