//! What came of runs, drills and audits, for people and programs.
