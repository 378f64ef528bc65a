//! `rds.await_available`: until RDS says `available` and the server itself takes writes.

use schemars::JsonSchema;
use serde::Deserialize;

use super::instance::{Instance, Stage};
use super::server::replay;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::identity::failed;
use crate::providers::aws::waiting::{Look, until};
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, Observed, Plane, Standing,
};

/// The arguments of `rds.await_available`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database, by its name in the configuration.
    database: String,
    /// The region whose instance is waited for.
    r#in: String,
}

pub(super) struct AwaitAvailable {
    instance: Instance,
}

pub(super) fn make(with: With, config: &Config) -> Result<AwaitAvailable> {
    Ok(AwaitAvailable { instance: Instance::of(config, &with.database, &with.r#in)? })
}

impl AwaitAvailable {
    /// The facts of an instance that is there, or what it lacks.
    async fn look(&self, cx: &Context<'_>) -> Result<Look<Facts>, Failure> {
        let found = self.instance.look(cx).await?;
        let status = found.db_instance_status().unwrap_or("unknown");
        if let Stage::Refused(why) = self.instance.stage(&found) {
            let what = format!("wait until {} is available", self.instance);
            return Err(Failure::permanent(Error::new(Kind::Failed, what).caused_by(why)));
        }
        if status != "available" {
            return Ok(Look::NotYet(format!("RDS: the instance's status is `{status}`")));
        }
        match replay(cx, &self.instance).await {
            Ok(replay) if replay.in_recovery => {
                Ok(Look::NotYet("the server to leave recovery; RDS says `available`".into()))
            }
            Ok(_) => {
                let mut facts = Facts::new();
                if let Some(endpoint) = found.endpoint().and_then(|endpoint| endpoint.address()) {
                    facts.insert("endpoint".into(), endpoint.into());
                }
                Ok(Look::There(facts))
            }
            // It restarts: not reaching it now says nothing about later.
            Err(e) => Ok(Look::NotYet(format!("the server to answer ({})", e.one_line()))),
        }
    }
}

impl Action for AwaitAvailable {
    fn describe(&self) -> Description {
        let Instance { database, region, .. } = &self.instance;
        self.instance
            .leaning(Description::looks(format!("wait until {} takes writes", self.instance)))
            .detail("RDS must say `available` and the server itself must have left recovery")
            .leans_on(&**region, Plane::Data, format!("the server of `{database}`"))
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = self.instance.to_string();
        let rds = match self.instance.look(cx).await {
            Ok(found) => match found.db_instance_status().unwrap_or("unknown") {
                "available" => Check::new(Standing::Ready, what, "available"),
                other => Check::new(Standing::Warning, what, format!("its status is `{other}`")),
            },
            Err(f) => failed(what, f),
        };
        let Instance { database, region, .. } = &self.instance;
        let what = format!("server of `{database}` in {region}");
        let server = match replay(cx, &self.instance).await {
            Ok(replay) => {
                let role = if replay.in_recovery { "a standby" } else { "a primary" };
                Check::new(Standing::Ready, what, format!("answers, as {role}"))
            }
            Err(e) => Check::new(Standing::NotReady, what, e.one_line()),
        };
        vec![rds, server]
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        Ok(match self.look(cx).await? {
            Look::There(facts) => Observed::Done(facts),
            Look::NotYet(why) => Observed::NotDone(format!("it waits for {why}")),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let what = format!("wait until {} takes writes", self.instance);
        let facts = until(cx, &what, || self.look(cx)).await?;
        let summary = format!("{} is available and takes writes", self.instance);
        Ok(Applied { facts, ..Applied::new(summary) })
    }
}
