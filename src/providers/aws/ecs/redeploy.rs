//! `ecs.redeploy`: new tasks in the place of those that run, once for each run.

use aws_sdk_ecs::types::{DeploymentControllerType, Service};
use schemars::JsonSchema;
use serde::Deserialize;

use super::readiness;
use super::service::{Place, primary};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::failure::Call;
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, FailureClass, Observed,
};

/// The tag that keeps which deployment was there before.
const BEFORE: &str = "drctl:redeploys";

/// The arguments of `ecs.redeploy`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The region of the service.
    r#in: String,
    /// The name of the cluster.
    cluster: String,
    /// The name of the service.
    service: String,
}

pub(super) struct Redeploy {
    place: Place,
}

pub(super) fn make(with: With, _: &Config) -> Result<Redeploy> {
    let place = Place { region: with.r#in, cluster: with.cluster, service: with.service };
    Ok(Redeploy { place })
}

impl Redeploy {
    /// The deployment that is there now.
    fn current<'s>(&self, service: &'s Service) -> Result<&'s str, Failure> {
        primary(service).and_then(|deployment| deployment.id()).ok_or_else(|| {
            let controller = service.deployment_controller().map(|c| c.r#type());
            let controller = controller.map_or("unknown", DeploymentControllerType::as_str);
            Failure::permanent(
                Error::new(Kind::Failed, format!("redeploy {}", self.place))
                    .caused_by(format!(
                        "ECS does not deploy it itself (its deployment controller: {controller})"
                    ))
                    .hint("let its own controller redeploy it, by a `command.run` step"),
            )
        })
    }
}

impl Action for Redeploy {
    fn describe(&self) -> Description {
        self.place.leaning(
            Description::changes(format!("replace the tasks of {}", self.place))
                .detail("a rolling deployment of the same task definition: connection pools start anew")
                .detail("done once for each run: a deployment newer than the one that the tag `drctl:redeploys` names is it"),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        readiness::of_redeploying(cx, &self.place).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let service = self.place.look(cx).await?;
        let current = self.current(&service)?;
        // UpdateService takes no token that would make a request that is sent twice one request
        // (Amazon ECS API Reference). So the deployment that was there before is written down
        // first; any other one began after that, and its tasks are new, whoever began it.
        Ok(match self.place.marked(&service, cx, BEFORE) {
            Some(before) if before != current => {
                let mut facts = Facts::new();
                facts.insert("deployment".into(), current.into());
                Observed::Done(facts)
            }
            _ => Observed::NotDone(format!("deployment {current} is the one from before")),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let service = self.place.look(cx).await?;
        let current = self.current(&service)?.to_owned();
        let told = |id: &str| {
            Applied::new(format!("{} is redeployed as {id}", self.place)).fact("deployment", id)
        };
        let mut warning = None;
        match self.place.marked(&service, cx, BEFORE) {
            Some(before) if before != current => return Ok(told(&current)),
            Some(_) => {}
            None => {
                if let Err(f) = self.place.mark(cx, &service, BEFORE, &current).await {
                    if f.class != FailureClass::Permanent {
                        return Err(f);
                    }
                    // Worth a second deployment at worst, and not a failover.
                    let e = f.error.one_line();
                    warning = Some(format!("after a crash it would be redeployed again: {e}"));
                }
            }
        }
        let call = Call::writes("ecs:UpdateService", format!("redeploy {}", self.place));
        let answer = cx
            .world
            .aws
            .at(&self.place.region)
            .await?
            .writing()
            .ecs()
            .update_service()
            .cluster(&self.place.cluster)
            .service(&self.place.service)
            .force_new_deployment(true)
            .send()
            .await
            .map_err(|e| call.failed(e))?;
        let id = answer.service().and_then(primary).and_then(|deployment| deployment.id());
        Ok(warning.into_iter().fold(told(id.unwrap_or("a new deployment")), Applied::warning))
    }
}
