//! `route53.await_insync`: until a change has reached all of Route 53's servers.

use aws_sdk_route53::types::{ChangeStatus, RrType};
use schemars::JsonSchema;
use serde::Deserialize;

use super::leaning;
use super::records::find;
use super::state::State;
use super::swap_arguments::Wanted;
use super::writing::{Rewrite, write};
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

/// A record as a swap names it in its facts.
#[derive(Debug, Deserialize)]
struct Named {
    name: String,
    #[serde(rename = "type")]
    kind: String,
    set_identifier: Option<String>,
}

impl Named {
    fn wanted(self) -> Wanted {
        let kind = RrType::from(self.kind.as_str());
        let (name, set_identifier) = (self.name, self.set_identifier);
        Wanted { name, kind, set_identifier, from: None, to: State::default() }
    }
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

    /// The id of a change that says what the records say now, for one whose id is not known: each is
    /// deleted and made again, as it is, in one batch. Once that is at all servers, so are they.
    async fn anew(&self, cx: &Context<'_>) -> Result<String, String> {
        let told = |f: Failure| f.error.one_line();
        let left = |name: &str| cx.fact(&self.step, name);
        let (Some(zone), Some(records)) = (left("zone").and_then(|z| z.as_str()), left("records"))
        else {
            return Err(format!("step `{}` did not tell its records", self.step));
        };
        let records = Vec::<Named>::deserialize(records).map_err(|e| e.to_string())?;
        let records: Vec<Wanted> = records.into_iter().map(Named::wanted).collect();
        let mut all = Vec::with_capacity(records.len());
        for wanted in &records {
            let seen = find(cx, zone, wanted).await.map_err(told)?;
            let seen = seen.ok_or_else(|| format!("there is no {wanted} in zone {zone}"))?;
            all.push(Rewrite { wanted, to: Some(seen.clone()), seen: Some(seen) });
        }
        let what = format!("write the records of step `{}` again, as they are", self.step);
        write(cx, zone, &what, &all).await.map_err(told)
    }

    async fn is_insync(&self, cx: &Context<'_>, id: &str) -> Result<bool, Failure> {
        let call = Call::reads("route53:GetChange", format!("ask how far change {id} is"));
        let reach = cx.world.aws.at(GLOBAL).await?;
        let request = reach.route53().get_change().id(id);
        let answer = request.send().await.map_err(|e| call.failed(e))?;
        Ok(answer.change_info().is_some_and(|info| *info.status() == ChangeStatus::Insync))
    }
}

impl Action for AwaitInsync {
    fn describe(&self) -> Description {
        // Generally within 60 seconds (Route 53 API Reference, ChangeResourceRecordSets).
        leaning(
            Description::looks(format!(
                "wait until the change of step `{}` is at all of Route 53's servers",
                self.step
            ))
            .detail("resolvers may keep the old answer for its TTL after that")
            .detail("where the change's id was lost, the same records are written once more, as they are"),
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
        let anew;
        let id = match self.change(cx) {
            Some(id) => id,
            // The records were so already, or the answer with the id was lost.
            None => match self.anew(cx).await {
                Ok(id) => {
                    anew = id;
                    &anew
                }
                Err(why) => {
                    let summary = format!("step `{}` left no change to wait for", self.step);
                    return Ok(Applied::new(summary).warning(format!(
                        "whether all of Route 53's servers have the new records is not known \
                         ({why}): dns.await_answer shows it",
                    )));
                }
            },
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
