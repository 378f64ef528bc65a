//! A PostgreSQL server of the drill's own: made from installed programs in a folder of its own,
//! tuned for one bulk load, and removed again.

mod cluster;
mod settings;
mod user;

pub use cluster::{Embedded, Programs, Wishes};
pub use user::User;
