//! PostgreSQL servers: fence, drain, promote, check, quarantine, verify.

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
