//! Runbooks: reading and checking them, planning, and carrying them out.

pub mod decision;
pub mod engine;
pub mod journal;
pub mod plan;
pub mod record;
pub mod sheet;
pub mod state;
