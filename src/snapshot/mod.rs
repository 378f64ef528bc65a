//! Snapshots: from a database into stores. The logical engine reads rows through COPY.

mod cache;
pub mod copying;
mod keyring;
mod lane;
mod logical;
mod opening;
pub mod profile;
pub mod prune;
pub mod readiness;
pub mod repair;
pub mod retention;

pub use cache::Cache;
pub use logical::{Outcome, Preview, Ranges, Request, dry_run, matches, take};
