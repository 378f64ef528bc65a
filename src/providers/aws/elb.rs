//! `elb.await_healthy`: until enough targets of a load balancer's target group are healthy.

use aws_sdk_elasticloadbalancingv2::types::{
    TargetGroup, TargetHealthDescription, TargetHealthStateEnum,
};
use schemars::JsonSchema;
use serde::Deserialize;

use super::failure::Call;
use super::identity::failed;
use super::waiting::{Look, until};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::counting::counted;
use crate::providers::{
    Action, ActionKind, Applied, Check, Context, Description, Facts, Failure, Observed, Plane,
    Standing,
};

pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new(
        "elb.await_healthy",
        "wait until targets of a target group are healthy",
        make,
    )]
}

/// The arguments of `elb.await_healthy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The region of the target group.
    r#in: String,
    /// The ARN of the target group, or its name.
    target_group: String,
    /// So many targets must be healthy. Default 1.
    #[serde(default = "one")]
    healthy: u32,
}

fn one() -> u32 {
    1
}

struct AwaitHealthy {
    region: String,
    group: String,
    needed: usize,
}

fn make(with: With, _: &Config) -> Result<AwaitHealthy> {
    if with.healthy == 0 {
        return Err(Error::new(Kind::Usage, "`healthy` of `elb.await_healthy` is 0")
            .hint("no healthy target is nothing to wait for: leave the step out"));
    }
    let needed = with.healthy as usize;
    Ok(AwaitHealthy { region: with.r#in, group: with.target_group, needed })
}

/// The target group of that ARN or name.
async fn group(cx: &Context<'_>, region: &str, name: &str) -> Result<TargetGroup, Failure> {
    let what = format!("find target group `{name}` in {region}");
    let call = Call::reads("elasticloadbalancing:DescribeTargetGroups", &*what);
    let reach = cx.world.aws.at(region).await?;
    let request = reach.elb().describe_target_groups();
    let request = match name.starts_with("arn:") {
        true => request.target_group_arns(name),
        false => request.names(name),
    };
    let answer = request.send().await.map_err(|e| call.failed(e))?;
    answer.target_groups.unwrap_or_default().into_iter().next().ok_or_else(|| {
        Failure::permanent(Error::new(Kind::Failed, what).caused_by("there is none of that name"))
    })
}

/// Whether the target group is there; says how many of its targets are healthy, which may be none
/// before the scale-up.
pub(super) async fn exists(cx: &Context<'_>, region: &str, name: &str) -> Check {
    let what = format!("target group `{}` in {region}", short(name));
    let looked = async { targets(cx, region, &group(cx, region, name).await?).await };
    match looked.await {
        Ok(targets) => {
            let found =
                format!("there, {} of {} targets healthy", healthy(&targets), targets.len());
            Check::new(Standing::Ready, what, found)
        }
        Err(f) => failed(what, f),
    }
}

/// The name within an ARN, which ends `:targetgroup/NAME/ID`.
fn short(name: &str) -> &str {
    match name.split_once(":targetgroup/") {
        Some((_, rest)) => rest.split('/').next().unwrap_or(rest),
        None => name,
    }
}

async fn targets(
    cx: &Context<'_>,
    region: &str,
    group: &TargetGroup,
) -> Result<Vec<TargetHealthDescription>, Failure> {
    let arn = group.target_group_arn().unwrap_or_default();
    let what = format!("look at the targets of `{}` in {region}", short(arn));
    let call = Call::reads("elasticloadbalancing:DescribeTargetHealth", what);
    let reach = cx.world.aws.at(region).await?;
    let request = reach.elb().describe_target_health().target_group_arn(arn);
    let answer = request.send().await.map_err(|e| call.failed(e))?;
    Ok(answer.target_health_descriptions.unwrap_or_default())
}

fn is_healthy(target: &TargetHealthDescription) -> bool {
    target.target_health().and_then(|health| health.state())
        == Some(&TargetHealthStateEnum::Healthy)
}

fn healthy(targets: &[TargetHealthDescription]) -> usize {
    targets.iter().filter(|target| is_healthy(target)).count()
}

/// "1 of 3 targets healthy; i-1: unhealthy (Target.FailedHealthChecks: …)".
fn told(targets: &[TargetHealthDescription]) -> String {
    let mut text = format!("{} of {} targets healthy", healthy(targets), targets.len());
    for target in targets.iter().filter(|target| !is_healthy(target)) {
        let id = target.target().and_then(|target| target.id()).unwrap_or("a target");
        let health = target.target_health();
        let state = health.and_then(|health| health.state()).map_or("unknown", |s| s.as_str());
        text.push_str(&format!("; {id}: {state}"));
        let reason = health.and_then(|health| health.reason()).map(|reason| reason.as_str());
        let said = health.and_then(|health| health.description());
        match (reason, said) {
            (Some(reason), Some(said)) => text.push_str(&format!(" ({reason}: {said})")),
            (Some(only), None) | (None, Some(only)) => text.push_str(&format!(" ({only})")),
            (None, None) => {}
        }
    }
    text
}

impl AwaitHealthy {
    async fn look(&self, cx: &Context<'_>) -> Result<Vec<TargetHealthDescription>, Failure> {
        targets(cx, &self.region, &group(cx, &self.region, &self.group).await?).await
    }

    fn what(&self) -> String {
        let Self { region, group, needed } = self;
        let (targets, group) = (counted(*needed, "healthy target"), short(group));
        format!("wait until `{group}` in {region} has {targets}")
    }
}

impl Action for AwaitHealthy {
    fn describe(&self) -> Description {
        Description::looks(self.what())
            .detail("as the load balancer's own health checks see them")
            .leans_on(&*self.region, Plane::Control, "the control plane of Elastic Load Balancing")
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        vec![exists(cx, &self.region, &self.group).await]
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let targets = self.look(cx).await?;
        Ok(match healthy(&targets) {
            count if count >= self.needed => {
                let mut facts = Facts::new();
                facts.insert("healthy".into(), count.into());
                Observed::Done(facts)
            }
            _ => Observed::NotDone(told(&targets)),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let targets = until(cx, &self.what(), || async {
            let targets = self.look(cx).await?;
            Ok(match healthy(&targets) >= self.needed {
                true => Look::There(targets),
                false => Look::NotYet(told(&targets)),
            })
        })
        .await?;
        Ok(Applied::new(told(&targets)).fact("healthy", healthy(&targets)))
    }
}
