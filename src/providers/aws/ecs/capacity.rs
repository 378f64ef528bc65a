//! Whether a region has room for the tasks that a scale-up asks for.

use aws_sdk_ecs::types::{LaunchType, Service, TaskDefinition};

use super::service::Place;
use crate::providers::aws::failure::Call;
use crate::providers::aws::identity::unproven;
use crate::providers::{Check, Context, Failure, Standing};

/// "Fargate On-Demand vCPU resource count" (AWS General Reference, "Amazon ECS endpoints and
/// quotas"). It holds for a whole account in a region.
const QUOTA: &str = "L-3032A538";

/// Units of `cpu` in a task definition that make one vCPU.
const UNITS: f64 = 1024.0;

pub(super) async fn check(
    cx: &Context<'_>,
    place: &Place,
    service: &Service,
    definition: &TaskDefinition,
    count: i32,
) -> Check {
    let what = format!("capacity for {count} tasks of {place}");
    if !on_fargate(service) {
        return Check::new(
            Standing::Unproven,
            what,
            "it does not run on Fargate alone; drctl does not look at container instances",
        )
        .hint("see that the capacity provider may grow, or keep the instances running");
    }
    let Some(each) = vcpus(definition) else {
        return Check::new(Standing::Unproven, what, "the task definition names no `cpu`");
    };
    match quota(cx, place).await {
        Ok(quota) => judged(what, each, count, service.running_count(), quota),
        Err(f) => unproven(what, &f.error),
    }
}

fn judged(what: String, each: f64, count: i32, running: i32, quota: f64) -> Check {
    let needed = each * f64::from(count);
    let more = each * f64::from((count - running).max(0));
    let found = format!(
        "{needed} vCPU needed, {more} more than now; the account's Fargate quota is {quota}, shared \
         with all that runs in the region"
    );
    if needed > quota {
        Check::new(Standing::NotReady, what, found).hint(format!(
            "ask for a higher quota {QUOTA} (Service Quotas, AWS Fargate): it may take days"
        ))
    } else if needed > quota * 0.8 {
        Check::new(Standing::Warning, what, found)
            .hint("that leaves little for anything else: ask for a higher quota")
    } else {
        Check::new(Standing::Ready, what, found)
    }
}

fn on_fargate(service: &Service) -> bool {
    let providers = service.capacity_provider_strategy();
    match service.launch_type() {
        Some(launch) => *launch == LaunchType::Fargate,
        None => {
            !providers.is_empty() && providers.iter().all(|p| p.capacity_provider() == "FARGATE")
        }
    }
}

/// Of one task: `1024` or `1 vCPU` (Amazon ECS API Reference, RegisterTaskDefinition).
fn vcpus(definition: &TaskDefinition) -> Option<f64> {
    let cpu = definition.cpu()?.trim().to_lowercase();
    match cpu.strip_suffix("vcpu") {
        Some(number) => number.trim().parse().ok(),
        None => cpu.parse::<f64>().ok().map(|units| units / UNITS),
    }
}

async fn quota(cx: &Context<'_>, place: &Place) -> Result<f64, Failure> {
    let what = format!("ask for quota {QUOTA} in {}", place.region);
    let call = Call::reads("servicequotas:GetServiceQuota", what);
    let reach = cx.world.aws.at(&place.region).await?;
    let request = reach.quotas().get_service_quota().service_code("fargate").quota_code(QUOTA);
    let answer = request.send().await.map_err(|e| call.failed(e))?;
    answer.quota().and_then(|quota| quota.value()).ok_or_else(|| {
        Failure::transient(
            crate::error::Error::new(crate::error::Kind::Failed, &*call.what)
                .caused_by("the answer has no value"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_fit_the_quota_is_not_ready() {
        let standing = |count, quota| judged(String::new(), 2.0, count, 1, quota).standing;
        assert_eq!(standing(6, 100.0), Standing::Ready);
        assert_eq!(standing(6, 14.0), Standing::Warning);
        assert_eq!(standing(6, 6.0), Standing::NotReady);
    }

    #[test]
    fn vcpus_are_read_in_both_forms() {
        let of = |cpu: &str| vcpus(&TaskDefinition::builder().cpu(cpu).build());
        assert_eq!(of("512"), Some(0.5));
        assert_eq!(of("2 vCPU"), Some(2.0));
        assert_eq!(of(".5 vCPU"), Some(0.5));
        assert_eq!(of("many"), None);
    }
}
