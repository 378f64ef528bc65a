//! Whether the primary is down, seen from several places: `probe.quorum`.

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
