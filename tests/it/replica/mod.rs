//! What runbooks do to PostgreSQL, on a real primary with a real standby.

mod actions;
mod agreeing;
mod faults;
mod pair;
mod probing;
mod screen;
mod snapshots;
