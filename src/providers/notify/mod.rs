//! Notifications, which never block or fail a run: `notify.slack` and the others.

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
