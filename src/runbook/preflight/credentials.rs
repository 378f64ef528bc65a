//! Whether AWS takes the credentials, in every region that the steps ask and for its global services,
//! and whether they outlive a run.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;

use super::in_time;
use crate::providers::aws::{self, GLOBAL};
use crate::providers::{Check, World};
use crate::runbook::plan::Plan;

pub(super) async fn checks(world: &World, plans: &[Plan], limit: Duration) -> Vec<Check> {
    // The whole of a run: what it may take, and what it is allowed.
    let needed = plans.iter().map(|plan| plan.budget().total.max(plan.rto.0)).max();
    let needed = needed.unwrap_or_default();
    let regions = regions(plans);
    let asked = regions.iter().map(async |region| {
        let what = format!("credentials for AWS {region}");
        in_time(limit, what, aws::identity(&world.aws, region, needed)).await
    });
    join_all(asked).await.into_iter().flatten().collect()
}

/// Where steps ask AWS for something.
fn regions(plans: &[Plan]) -> BTreeSet<&str> {
    let mut regions = BTreeSet::new();
    for step in plans.iter().flat_map(|plan| &plan.steps) {
        match step.uses.split('.').next() {
            // Its control plane is one for all regions.
            Some("route53") => {
                regions.insert(GLOBAL);
            }
            Some("ecs" | "elb" | "rds") => {
                regions.extend(step.description.leans_on.iter().map(|l| l.region.as_str()));
            }
            _ => {}
        }
    }
    regions
}
