//! Snapshots: from a database into stores. The logical engine reads rows through COPY.

mod cache;
mod lane;
mod logical;
mod opening;
pub mod profile;

pub use cache::Cache;
pub use logical::{Outcome, Request, dry_run, matches, take};
