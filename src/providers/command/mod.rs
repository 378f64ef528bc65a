//! Programs of the operator's own: `command.run`, and the applications of drills.

mod application;
mod child;
mod fault;
mod group;
mod leftovers;
mod run;

pub use application::Started;
pub use fault::Fault;
pub use group::Group;

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new("command.run", "run a program of your own, with a timeout", run::Run::new)]
}
