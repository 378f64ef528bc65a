//! Scheduled jobs: when they are due (pure), who runs them, how they ended, and how old the newest
//! snapshots are.

mod attempt;
mod due;
mod gather;
mod happening;
mod ledger;
mod life;
mod plan;
mod ports;
mod record;
mod rpo;
mod runner;
mod sampling;
mod seat;
mod silence;
#[cfg(test)]
mod simulation;
pub mod standing;
mod timekeeping;
mod turns;

pub use due::Unit;
pub use gather::gather;
pub use happening::Happening;
pub use ledger::{Opener, StoreLedger};
pub use plan::Plan;
pub use ports::{
    Beats, Claim, Claimed, Clock, Diary, Ended, Ledger, Ports, Replicas, Snapshots, SystemClock,
    Work,
};
pub use record::Record;
pub use runner::{Order, Terms, Worked, run};
pub use standing::Standing;
