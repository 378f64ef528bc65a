//! Amazon Route 53: records that are swapped, and the switch that needs no control plane.

mod await_insync;
mod health_switch;
mod records;
mod state;
mod swap;
mod swap_arguments;
mod swap_readiness;
mod switch_readiness;
mod writing;

use crate::providers::{ActionKind, Description, Plane};

pub(super) fn actions() -> Vec<ActionKind> {
    vec![
        ActionKind::new(
            "route53.swap",
            "set records of a hosted zone, if they are as expected",
            swap::make,
        ),
        ActionKind::new(
            "route53.await_insync",
            "wait until a change has reached all of Route 53's servers",
            await_insync::make,
        ),
        ActionKind::new(
            "route53.health_switch",
            "put or delete the object that an inverted health check watches",
            health_switch::make,
        ),
    ]
}

/// Route 53 is changed, and asked about changes, in us-east-1 alone; it answers queries and runs
/// health checks everywhere (AWS whitepaper "AWS Fault Isolation Boundaries", "Global services").
fn leaning(description: Description) -> Description {
    description.leans_on("us-east-1", Plane::Control, "the control plane of Route 53")
}
