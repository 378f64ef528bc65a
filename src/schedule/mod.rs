//! Scheduled jobs: when they are due (pure), who runs them, how they ended, and how old the newest
//! snapshots are.

pub mod standing;

pub use standing::Standing;
