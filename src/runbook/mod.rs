//! Runbooks: reading and checking them, planning, and carrying them out.

pub mod plan;
pub mod record;
pub mod sheet;
