//! PostgreSQL servers: fence, drain, promote, check, quarantine, verify.

mod assertion;
mod check_primary;
pub(super) mod door;
mod drain;
mod fence;
mod known;
pub mod loss;
mod promote;
mod quarantine;
pub mod sampler;
pub mod samples;
mod sequences;
mod server;
mod verify_sql;

use super::catalogue::ActionKind;

pub use assertion::Assertion;
pub use server::Server;

pub(super) use assertion::ask;
pub(super) use server::{MARGIN, effectful, harmless, limits};

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![
        ActionKind::new(
            "loss.assess",
            "tells how much a promotion would lose, and insists on agreement",
            loss::Assess::new,
        ),
        ActionKind::new(
            "postgres.fence",
            "keeps the old primary from taking writes, and waits until the standby has all it took",
            fence::Fence::new,
        ),
        ActionKind::new(
            "postgres.drain",
            "waits until the standby has replayed all that it has received",
            drain::Drain::new,
        ),
        ActionKind::new(
            "postgres.promote",
            "makes the standby the primary, by pg_promote()",
            promote::Promote::new,
        ),
        ActionKind::new(
            "postgres.check_primary",
            "proves that the new primary takes writes: role, timeline, a commit, sequences, slots",
            check_primary::CheckPrimary::new,
        ),
        ActionKind::new(
            "postgres.quarantine",
            "keeps an old primary that comes back from taking writes",
            quarantine::Quarantine::new,
        ),
        ActionKind::new(
            "verify.sql",
            "asks the database the operator's own questions, and compares the answers",
            verify_sql::VerifySql::new,
        ),
    ]
}
