//! Metrics: made from how the schedule stands and from outcomes of commands, shown to Prometheus,
//! kept in a textfile. What is unknown is absent, never 0.

mod exposition;
mod outcome;
mod schedule;
mod textfile;

pub use exposition::{openmetrics, prometheus};
pub use outcome::{Ended, SnapshotOutcome, StoreBytes, VerifyOutcome, of_command};
pub use schedule::{Held, OpenAlert, Seen, of_schedule};
pub use textfile::write as write_textfile;

use crate::model::Family;

/// Every metric there is, without values: for documentation and tests.
pub fn catalogue() -> Vec<Family> {
    let mut all = schedule::families();
    all.extend(outcome::families());
    all
}

#[cfg(test)]
mod tests;
