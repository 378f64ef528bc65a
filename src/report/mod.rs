//! What came of runs, drills and audits, and how the service stands, for people and programs.

pub mod status;
