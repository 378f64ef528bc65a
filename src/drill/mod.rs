//! Drills: a snapshot is really restored away from production, proven, measured, and everything that
//! was needed for it is removed again.
//!
//! The order of things: what killed drills left is cleared away; a snapshot is chosen; the place is
//! judged; a record of what will be used is written; only then is anything made. However the drill
//! ends, the place is torn down, and what came of it is told.

pub mod account;
mod allowances;
mod application;
mod checks;
mod choice;
mod clock;
mod embedded;
mod guard;
pub mod history;
mod judgement;
mod leftovers;
mod processes;
mod record;
mod rehearsal;
mod scratch;
mod staging;
mod work;

pub use choice::Choice;
pub use guard::{Production, production};
pub use leftovers::{Leftover, clear, find, lease_name, record_of};
pub use processes::MARK;
pub use record::{Began, CLEARED, Cleared, REPORT, Records, Scratch};
pub use rehearsal::{Request, restore};
pub use scratch::{Applications, Ground, Grounds};
