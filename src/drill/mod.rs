//! Drills: a snapshot is really restored, or a region really lost, away from production; what comes of
//! it is proven and measured, and everything that was needed for it is removed again.
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
mod failover;
mod guard;
pub mod history;
mod isolation;
mod judgement;
mod leftovers;
mod lent;
mod password;
mod processes;
mod readiness;
mod record;
mod rehearsal;
mod scratch;
mod served;
mod staging;
mod strays;
mod teardown;
mod work;

pub use choice::Choice;
pub use clock::Clock;
pub use failover::{Found, Rehearsed, account_of, check_of};
pub use guard::{Production, production};
pub use isolation::{Regions, apart, meant_for_drills, on_this_machine};
pub use leftovers::{Leftover, clear, find, lease_name, record_of};
pub use lent::{Lender, Loan, Wish};
pub use processes::MARK;
pub use readiness::{Inquiry, check as ready};
pub use record::{Began, CLEARED, Cleared, REPORT, Records, Scratch};
pub use rehearsal::{Request, restore};
pub use scratch::{Applications, Ground, Grounds, Mending, RunEnd};
pub use served::Served;
pub use strays::{Sweep, reclaim};
