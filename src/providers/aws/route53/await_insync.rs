//! `route53.await_insync`: until a change has reached all of Route 53's servers.

use async_trait::async_trait;
use aws_sdk_route53::types::ChangeStatus;
use schemars::JsonSchema;
use serde::Deserialize;

use super::leaning;
use crate::config::Config;
use crate::error::Result;
use crate::providers::aws::clients::GLOBAL;
use crate::providers::aws::failure::Call;
use crate::providers::aws::waiting::{Look, until};
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, Observed, Standing,
};

/// The arguments of `route53.await_insync`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The id of the `route53.swap` step whose change is waited for.
    step: String,
}

pub(super) struct AwaitInsync {
    step: String,
}

pub(super) fn make(with: With, _: &Config) -> Result<AwaitInsync> {
    Ok(AwaitInsync { step: with.step })
}

impl AwaitInsync {
    fn change<'c>(&self, cx: &'c Context<'_>) -> Option<&'c str> {
        cx.fact(&self.step, "change")?.as_str()
    }

    async fn is_insync(&self, cx: &Context<'_>, id: &str) -> Result<bool, Failure> {
        let call = Call::reads("route53:GetChange", format!("ask how far change {id} is"));
        let reach = cx.world.aws.at(GLOBAL).await?;
        let request = reach.route53().get_change().id(id);
        let answer = request.send().await.map_err(|e| call.failed(e))?;
        Ok(answer.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync))
    }
}

#[async_trait]
impl Action for AwaitInsync {
    fn describe(&self) -> Description {
        // Route 53 Developer Guide: usually within 60 seconds.
        leaning(
            Description::looks(format!(
                "wait until the change of step `{}` is at all of Route 53's servers",
                self.step
            ))
            .detail("resolvers may keep the old answer for its TTL after that"),
        )
    }

    async fn preflight(&self, _: &Context<'_>) -> Vec<Check> {
        let what = "permission to follow changes of Route 53";
        vec![
            Check::new(
                Standing::Unproven,
                what,
                "route53:GetChange: there is no change to ask for",
            )
            .hint("docs/iam/failover.json is a policy with all that runbooks need"),
        ]
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let Some(id) = self.change(cx) else {
            return Ok(Observed::NotDone("the id of the change is not known".into()));
        };
        Ok(match self.is_insync(cx, id).await? {
            true => Observed::Done(Facts::new()),
            false => Observed::NotDone(format!("change {id} is still pending")),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let Some(id) = self.change(cx) else {
            // The records were so already, or the answer with the id was lost.
            let summary = format!("step `{}` left no change to wait for", self.step);
            return Ok(Applied::new(summary).warning(
                "whether all of Route 53's servers have the new records was not asked: \
                 dns.await_answer shows it",
            ));
        };
        let what = format!("wait until change {id} is at all of Route 53's servers");
        until(cx, &what, || async {
            Ok(match self.is_insync(cx, id).await? {
                true => Look::There(()),
                false => Look::NotYet(format!("change {id}, which Route 53 has as PENDING")),
            })
        })
        .await?;
        Ok(Applied::new(format!("change {id} is at all of Route 53's servers")))
    }
}
