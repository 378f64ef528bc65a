//! HTTP endpoints: `http.await_ready`.

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
