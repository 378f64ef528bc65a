//! `ecs.scale`: the desired count of a service.

use schemars::JsonSchema;
use serde::Deserialize;

use super::readiness;
use super::service::Place;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::failure::Call;
use crate::providers::counting::counted;
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, FailureClass, Observed,
};

/// The tag that keeps what the desired count was.
const WAS: &str = "drctl:scaled-from";

/// The arguments of `ecs.scale`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The region of the service.
    r#in: String,
    /// The name of the cluster.
    cluster: String,
    /// The name of the service.
    service: String,
    /// How many tasks it should have.
    count: u32,
    /// Take tasks away where there are more; otherwise more is as good.
    #[serde(default)]
    exact: bool,
}

pub(super) struct Scale {
    place: Place,
    count: i32,
    exact: bool,
}

pub(super) fn make(with: With, _: &Config) -> Result<Scale> {
    let count = i32::try_from(with.count)
        .map_err(|_| Error::new(Kind::Usage, format!("`count` {} is too large", with.count)))?;
    let place = Place { region: with.r#in, cluster: with.cluster, service: with.service };
    Ok(Scale { place, count, exact: with.exact })
}

impl Scale {
    fn is_so(&self, desired: i32) -> bool {
        desired == self.count || (desired > self.count && !self.exact)
    }

    async fn set(&self, cx: &Context<'_>, count: i32) -> Result<(), Failure> {
        let what = format!("scale {} to {}", self.place, counted(count, "task"));
        let call = Call::writes("ecs:UpdateService", what);
        cx.world
            .aws
            .at(&self.place.region)
            .await?
            .writing()
            .ecs()
            .update_service()
            .cluster(&self.place.cluster)
            .service(&self.place.service)
            .desired_count(count)
            .send()
            .await
            .map_err(|e| call.failed(e))?;
        Ok(())
    }
}

impl Action for Scale {
    fn describe(&self) -> Description {
        let least = if self.exact { "" } else { "at least " };
        let effect = format!("scale {} to {least}{}", self.place, counted(self.count, "task"));
        self.place.leaning(
            Description::changes(effect)
                .detail("the old count is kept in the service's tag `drctl:scaled-from`")
                .detail("where Application Auto Scaling watches the service, its bounds must allow the count, or it undoes this")
                .compensated_by("the old count is set again"),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        readiness::of_scaling(cx, &self.place, self.count).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let service = self.place.look(cx).await?;
        let desired = service.desired_count();
        if !self.is_so(desired) {
            return Ok(Observed::NotDone(format!("the desired count is {desired}")));
        }
        let was = self.place.marked(&service, cx, WAS).and_then(|was| was.parse().ok());
        let mut facts = Facts::new();
        facts.insert("from".into(), was.unwrap_or(desired).into());
        facts.insert("to".into(), desired.into());
        Ok(Observed::Done(facts))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let service = self.place.look(cx).await?;
        let desired = service.desired_count();
        let marked = self.place.marked(&service, cx, WAS).and_then(|was| was.parse::<i32>().ok());
        if self.is_so(desired) {
            let applied =
                Applied::new(format!("{} has {} desired", self.place, counted(desired, "task")));
            return Ok(applied.fact("from", marked.unwrap_or(desired)).fact("to", desired));
        }
        // Before the change, since afterwards nobody knows it any more. A mark of an earlier try
        // is the true one.
        let mut warning = None;
        if marked.is_none()
            && let Err(f) = self.place.mark(cx, &service, WAS, &desired.to_string()).await
        {
            if f.class != FailureClass::Permanent {
                return Err(f);
            }
            let e = f.error.one_line();
            warning = Some(format!("the old count {desired} is not kept in case of a crash: {e}"));
        }
        self.set(cx, self.count).await?;
        let from = marked.unwrap_or(desired);
        let applied = Applied::new(format!(
            "{} goes from {from} to {}",
            self.place,
            counted(self.count, "task")
        ))
        .fact("from", from)
        .fact("to", self.count);
        Ok(warning.into_iter().fold(applied, Applied::warning))
    }

    async fn compensate(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let service = self.place.look(cx).await?;
        let desired = service.desired_count();
        let marked = self.place.marked(&service, cx, WAS).and_then(|was| was.parse().ok());
        let told = || cx.fact(cx.step, "from").and_then(|from| i32::try_from(from.as_i64()?).ok());
        let Some(from) = marked.or_else(told) else {
            return Ok(Applied::new(format!("{} was not scaled by this run", self.place)));
        };
        if desired == from {
            return Ok(Applied::new(format!(
                "{} has {} desired, as before",
                self.place,
                counted(from, "task")
            )));
        }
        if desired != self.count {
            let found = format!(
                "{} has {desired} desired, which this run did not set",
                self.place,
                desired = counted(desired, "task")
            );
            return Ok(
                Applied::new(&*found).warning(format!("{found}: left as it is, not set to {from}"))
            );
        }
        self.set(cx, from).await?;
        Ok(Applied::new(format!("{} goes back to {}", self.place, counted(from, "task")))
            .fact("to", from))
    }
}
