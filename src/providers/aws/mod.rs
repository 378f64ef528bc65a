//! AWS: clients that lean on no other region, and the actions of each service.

mod clients;
mod failure;

pub use clients::{Clients, GLOBAL};

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    Vec::new()
}
