//! DNS as clients see it: `dns.await_answer`.

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
