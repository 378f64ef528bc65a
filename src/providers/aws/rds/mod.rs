//! Amazon RDS: the database's instance in a region, its promotion and readiness.

mod await_available;
mod check_replica;
mod instance;
mod lending;
mod modify_class;
mod promote;
mod server;

pub use lending::RdsLender;

use crate::providers::ActionKind;

pub(super) fn actions() -> Vec<ActionKind> {
    vec![
        ActionKind::new(
            "rds.promote_replica",
            "make an RDS read replica a database of its own",
            promote::make,
        ),
        ActionKind::new(
            "rds.await_available",
            "wait until an RDS instance is available and takes writes",
            await_available::make,
        ),
        ActionKind::new(
            "rds.modify_class",
            "give an RDS instance another instance class",
            modify_class::make,
        ),
        ActionKind::new(
            "rds.check_replica",
            "see that an RDS read replica could be promoted",
            check_replica::make,
        ),
    ]
}
