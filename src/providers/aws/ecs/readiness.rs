//! Whether a service could be scaled up and run in its region.

use aws_sdk_ecs::types::Service;

use super::service::{Place, primary};
use super::{capacity, images};
use crate::providers::aws::elb;
use crate::providers::aws::identity::{failed, untried};
use crate::providers::{Check, Context, Standing};

/// Before `count` tasks are asked for.
pub(super) async fn of_scaling(cx: &Context<'_>, place: &Place, count: i32) -> Vec<Check> {
    let mut checks = vec![untried(
        format!("permission to scale {place}"),
        &["ecs:UpdateService", "ecs:TagResource"],
    )];
    match place.look(cx).await {
        Ok(service) => {
            checks.push(exists(place, &service));
            checks.extend(of_tasks(cx, place, &service, Some(count)).await);
        }
        Err(f) => checks.push(failed(place.to_string(), f)),
    }
    checks
}

/// Before its tasks are replaced.
pub(super) async fn of_redeploying(cx: &Context<'_>, place: &Place) -> Vec<Check> {
    let mut checks = vec![untried(
        format!("permission to redeploy {place}"),
        &["ecs:UpdateService", "ecs:TagResource"],
    )];
    match place.look(cx).await {
        Ok(service) if primary(&service).is_none() => checks.push(Check::new(
            Standing::NotReady,
            place.to_string(),
            "its deployments are not ECS's own, so ECS cannot be asked for one",
        )),
        Ok(service) => {
            checks.push(exists(place, &service));
            checks.extend(of_tasks(cx, place, &service, None).await);
        }
        Err(f) => checks.push(failed(place.to_string(), f)),
    }
    checks
}

/// Before its tasks are waited for.
pub(super) async fn of_waiting(cx: &Context<'_>, place: &Place) -> Vec<Check> {
    match place.look(cx).await {
        Ok(service) => {
            let breaker = service
                .deployment_configuration()
                .and_then(|d| d.deployment_circuit_breaker())
                .is_some_and(|breaker| breaker.enable());
            let mut checks = vec![exists(place, &service)];
            if !breaker {
                let what = format!("deployment circuit breaker of {place}");
                checks.push(
                    Check::new(Standing::Warning, what, "off: a deployment never counts as failed")
                        .hint("turn it on, so that a bad deployment is told at once"),
                );
            }
            checks
        }
        Err(f) => vec![failed(place.to_string(), f)],
    }
}

fn exists(place: &Place, service: &Service) -> Check {
    let (running, desired) = (service.running_count(), service.desired_count());
    let found = format!("there, {running} of {desired} tasks running");
    Check::new(Standing::Ready, place.to_string(), found)
}

async fn of_tasks(
    cx: &Context<'_>,
    place: &Place,
    service: &Service,
    count: Option<i32>,
) -> Vec<Check> {
    let mut checks = Vec::new();
    let name = service.task_definition().unwrap_or_default();
    match place.task_definition(cx, name).await {
        Ok(definition) => {
            checks.extend(images::checks(cx, place, &definition).await);
            if let Some(count) = count {
                checks.push(capacity::check(cx, place, service, &definition, count).await);
            }
        }
        Err(f) => checks.push(failed(format!("task definition of {place}"), f)),
    }
    for balancer in service.load_balancers() {
        if let Some(arn) = balancer.target_group_arn() {
            checks.push(elb::exists(cx, &place.region, arn).await);
        }
    }
    checks
}
