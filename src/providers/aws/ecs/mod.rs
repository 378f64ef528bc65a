//! Amazon ECS: services that are scaled, redeployed and waited for.

mod capacity;
mod images;
mod readiness;
mod redeploy;
mod scale;
mod service;
mod steady;
mod tasks;

use crate::providers::ActionKind;

pub(super) fn actions() -> Vec<ActionKind> {
    vec![
        ActionKind::new("ecs.scale", "set the desired count of an ECS service", scale::make),
        ActionKind::new("ecs.redeploy", "replace the tasks of an ECS service", redeploy::make),
        ActionKind::new(
            "ecs.await_steady",
            "wait until the tasks of an ECS service run and are healthy",
            steady::make,
        ),
    ]
}
