//! Runbooks: reading and checking them, planning, and carrying them out.

mod budget;
mod check;
pub mod decision;
pub mod engine;
mod folder;
mod graph;
pub mod journal;
pub mod manual;
#[cfg(test)]
mod manual_tests;
mod modes;
mod parse;
pub mod plan;
pub mod preflight;
pub mod record;
mod references;
mod schema;
pub mod sheet;
pub mod state;
mod suitable;

pub use folder::{load, names, read};
pub use references::Circumstances;
pub use schema::schema;

#[cfg(test)]
mod tests;
