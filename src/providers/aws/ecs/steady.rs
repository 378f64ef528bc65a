//! `ecs.await_steady`: until a service's tasks run and are healthy, or cannot.

use aws_sdk_ecs::types::{DeploymentRolloutState, Service};
use chrono::{DateTime, Utc};
use schemars::JsonSchema;
use serde::Deserialize;

use super::readiness;
use super::service::Place;
use super::tasks::Stop;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::waiting::{Look, until};
use crate::providers::counting::counted;
use crate::providers::{Action, Applied, Check, Context, Description, Failure, Observed};

/// Seconds. What went wrong longer ago may have been put right since: ECS tries again by itself.
const RECENT: i64 = 2 * 60;

/// So many tasks that exit soon after they started are no accident.
const EXITS: usize = 3;

/// The arguments of `ecs.await_steady`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The region of the service.
    r#in: String,
    /// The name of the cluster.
    cluster: String,
    /// The name of the service.
    service: String,
    /// Fewer tasks than this are not steady, even where no more are desired. Default 1.
    #[serde(default = "one")]
    at_least: u32,
}

fn one() -> u32 {
    1
}

pub(super) struct AwaitSteady {
    place: Place,
    at_least: i32,
}

pub(super) fn make(with: With, _: &Config) -> Result<AwaitSteady> {
    let at_least = i32::try_from(with.at_least).unwrap_or(i32::MAX);
    let place = Place { region: with.r#in, cluster: with.cluster, service: with.service };
    Ok(AwaitSteady { place, at_least })
}

/// How a service does.
#[derive(Debug, Clone, PartialEq)]
enum Verdict {
    /// So many tasks run.
    Steady(i32),
    Waits(String),
    /// Waiting longer would not help.
    Fails(String),
}

/// What the service itself says. `stops` are its tasks that stopped of themselves, `healthy` the
/// count of healthy tasks, `None` where no container has a health check.
fn verdict(
    service: &Service,
    stops: &[Stop],
    healthy: Option<usize>,
    at_least: i32,
    now: DateTime<Utc>,
) -> Verdict {
    let recent = |at: DateTime<Utc>| (now - at).num_seconds() < RECENT;
    // With the circuit breaker on, a deployment that reaches no steady state fails (Amazon ECS API
    // Reference, DeploymentCircuitBreaker); without it ECS tries for ever. After a rollback the failed
    // one is no longer the primary one.
    let failed = |state| state == Some(&DeploymentRolloutState::Failed);
    if let Some(deployment) = service.deployments().iter().find(|d| failed(d.rollout_state())) {
        let reason = deployment.rollout_state_reason().unwrap_or("no reason given");
        let event = service.events().first().and_then(|event| event.message());
        let event = event.map(|e| format!("; ECS last said: {e}")).unwrap_or_default();
        return Verdict::Fails(format!("the deployment failed: {reason}{event}"));
    }
    // The newest event stands first; a steady state makes good what was before it.
    for event in service.events() {
        let message = event.message().unwrap_or_default();
        let at = event.created_at().and_then(|at| DateTime::from_timestamp(at.secs(), 0));
        if message.contains("has reached a steady state") || !at.is_some_and(recent) {
            break;
        }
        // Amazon ECS Developer Guide, "Amazon ECS service event messages" and "Service throttle
        // logic": the second stands for tasks that start and stop again and again.
        if message.contains("was unable to place a task")
            || message.contains("is unable to consistently start tasks")
        {
            return Verdict::Fails(format!("tasks cannot be placed: {message}"));
        }
    }
    let fresh = || stops.iter().filter(|stop| recent(stop.at));
    if let Some(stop) = fresh().find(|stop| stop.failed_to_start) {
        return Verdict::Fails(format!("a task failed to start: {}", stop.reason));
    }
    if let Some(stop) = fresh().nth(EXITS - 1) {
        return Verdict::Fails(format!("{EXITS} tasks stopped one after another: {}", stop.reason));
    }
    let (desired, running, pending) =
        (service.desired_count(), service.running_count(), service.pending_count());
    if desired < at_least {
        return Verdict::Waits(format!(
            "{} desired, at least {at_least} needed",
            counted(desired, "task")
        ));
    }
    let old: i32 = service
        .deployments()
        .iter()
        .filter(|d| d.status() != Some("PRIMARY"))
        .map(|d| d.running_count())
        .sum();
    if running != desired || pending > 0 || old > 0 {
        let mut text =
            format!("{running} of {} running, {pending} pending", counted(desired, "task"));
        if old > 0 {
            text.push_str(&format!(", {old} of them still of an older deployment"));
        }
        return Verdict::Waits(text);
    }
    match healthy {
        Some(healthy) if i32::try_from(healthy).is_ok_and(|healthy| healthy < desired) => {
            Verdict::Waits(format!(
                "{} running, {healthy} of them healthy",
                counted(desired, "task")
            ))
        }
        _ => Verdict::Steady(running),
    }
}

impl AwaitSteady {
    async fn look(&self, cx: &Context<'_>) -> Result<(Verdict, bool), Failure> {
        let service = self.place.look(cx).await?;
        let stops = self.place.stops(cx).await?;
        let definition = match service.task_definition() {
            Some(name) => Some(self.place.task_definition(cx, name).await?),
            None => None,
        };
        let checked = definition.is_some_and(|definition| {
            definition.container_definitions().iter().any(|c| c.health_check().is_some())
        });
        let healthy = if checked { Some(self.place.healthy(cx).await?) } else { None };
        Ok((verdict(&service, &stops, healthy, self.at_least, Utc::now()), checked))
    }

    fn told(&self, running: i32, checked: bool) -> Applied {
        let health = if checked { "healthy" } else { "without container health checks" };
        Applied::new(format!(
            "{} is steady: {} running, {health}",
            self.place,
            counted(running, "task")
        ))
        .fact("running", running)
        .fact("health_checked", checked)
    }

    fn failed(&self, why: String) -> Failure {
        let (cluster, service) = (&self.place.cluster, &self.place.service);
        Failure::permanent(
            Error::new(Kind::Failed, format!("wait until {} is steady", self.place))
                .caused_by(why)
                .hint(format!(
                    "put it right and resume; `aws ecs describe-services --cluster {cluster} \
                     --services {service}` has the events"
                )),
        )
    }
}

impl Action for AwaitSteady {
    fn describe(&self) -> Description {
        self.place.leaning(
            Description::looks(format!("wait until {} is steady", self.place))
                .detail(format!("at least {} tasks, as many as desired, healthy, none of an older deployment", self.at_least))
                .detail("a failed deployment, tasks that cannot be placed or do not start end it at once"),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        readiness::of_waiting(cx, &self.place).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        Ok(match self.look(cx).await? {
            (Verdict::Steady(running), checked) => {
                Observed::Done(self.told(running, checked).facts)
            }
            (Verdict::Waits(why) | Verdict::Fails(why), _) => Observed::NotDone(why),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let what = format!("wait until {} is steady", self.place);
        let (running, checked) = until(cx, &what, || async {
            match self.look(cx).await? {
                (Verdict::Steady(running), checked) => Ok(Look::There((running, checked))),
                (Verdict::Waits(why), _) => Ok(Look::NotYet(why)),
                (Verdict::Fails(why), _) => Err(self.failed(why)),
            }
        })
        .await?;
        Ok(self.told(running, checked))
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_ecs::primitives::DateTime as Moment;
    use aws_sdk_ecs::types::{Deployment, ServiceEvent};

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(NOW, 0).unwrap()
    }

    fn service(desired: i32, running: i32) -> aws_sdk_ecs::types::builders::ServiceBuilder {
        let primary = Deployment::builder()
            .status("PRIMARY")
            .running_count(running)
            .rollout_state(DeploymentRolloutState::InProgress)
            .build();
        Service::builder()
            .status("ACTIVE")
            .desired_count(desired)
            .running_count(running)
            .deployments(primary)
    }

    fn event(age: i64, message: &str) -> ServiceEvent {
        ServiceEvent::builder().created_at(Moment::from_secs(NOW - age)).message(message).build()
    }

    fn stop(age: i64, failed_to_start: bool) -> Stop {
        let at = now() - chrono::TimeDelta::seconds(age);
        Stop { at, failed_to_start, reason: "CannotPullContainerError".into() }
    }

    fn of(service: aws_sdk_ecs::types::builders::ServiceBuilder) -> Verdict {
        verdict(&service.build(), &[], None, 1, now())
    }

    #[test]
    fn counts_decide_whatever_the_rollout_is_called() {
        assert_eq!(of(service(3, 3)), Verdict::Steady(3));
        assert!(matches!(of(service(3, 2)), Verdict::Waits(why) if why.contains("2 of 3")));
        assert!(matches!(of(service(0, 0)), Verdict::Waits(_)), "nothing at all is not steady");
        assert_eq!(verdict(&service(0, 0).build(), &[], None, 0, now()), Verdict::Steady(0));
        let old = Deployment::builder().status("ACTIVE").running_count(1).build();
        assert!(matches!(of(service(3, 3).deployments(old)), Verdict::Waits(_)));
    }

    #[test]
    fn unhealthy_tasks_are_not_steady() {
        let healthy = |count| verdict(&service(2, 2).build(), &[], Some(count), 1, now());
        assert!(matches!(healthy(1), Verdict::Waits(why) if why.contains("1 of them healthy")));
        assert_eq!(healthy(2), Verdict::Steady(2));
    }

    #[test]
    fn what_cannot_succeed_is_told_with_its_reason() {
        let broken = Deployment::builder()
            .status("ACTIVE")
            .rollout_state(DeploymentRolloutState::Failed)
            .rollout_state_reason("tasks failed to start")
            .build();
        let said = of(service(3, 3).deployments(broken));
        assert!(matches!(said, Verdict::Fails(why) if why.contains("tasks failed to start")));

        let unplaced = "(service web) was unable to place a task because no container instance met \
                        all of its requirements.";
        let said = of(service(3, 1).events(event(10, unplaced)));
        assert!(matches!(said, Verdict::Fails(why) if why.contains("no container instance")));
        // Long ago, or made good since.
        assert!(matches!(of(service(3, 1).events(event(600, unplaced))), Verdict::Waits(_)));
        let steady = event(5, "(service web) has reached a steady state.");
        let made_good = service(3, 1).events(steady).events(event(10, unplaced));
        assert!(matches!(of(made_good), Verdict::Waits(_)));
    }

    #[test]
    fn tasks_that_stop_are_told_with_their_reason() {
        let after = |stops: &[Stop]| verdict(&service(3, 1).build(), stops, None, 1, now());
        let said = after(&[stop(10, true)]);
        assert!(matches!(said, Verdict::Fails(why) if why.contains("CannotPull")));
        assert!(matches!(after(&[stop(600, true)]), Verdict::Waits(_)));
        assert!(matches!(after(&[stop(10, false), stop(20, false)]), Verdict::Waits(_)));
        let thrice = [stop(10, false), stop(20, false), stop(30, false)];
        assert!(matches!(after(&thrice), Verdict::Fails(_)));
    }
}
