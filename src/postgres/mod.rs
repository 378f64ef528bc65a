//! PostgreSQL: connecting, what a server and its catalogue say, rows in and out, and its programs.

pub mod catalog;
pub mod copy;
pub mod quote;
pub mod session_settings;
