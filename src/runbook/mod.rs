//! Runbooks: reading and checking them, planning, and carrying them out.

mod budget;
mod check;
mod folder;
mod graph;
mod modes;
mod parse;
pub mod plan;
pub mod record;
mod references;
pub mod sheet;
mod suitable;

pub use folder::{load, names};
pub use references::Circumstances;
