//! Runbooks: reading and checking them, planning, and carrying them out.

mod budget;
mod check;
mod folder;
mod graph;
pub mod manual;
mod modes;
mod parse;
pub mod plan;
pub mod preflight;
pub mod record;
mod references;
mod schema;
pub mod sheet;
mod suitable;

pub use folder::{load, names, read};
pub use references::Circumstances;
pub use schema::schema;
