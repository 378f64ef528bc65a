//! Which region is active: `epoch.activate`.

use async_trait::async_trait;
use chrono::Utc;
use schemars::JsonSchema;
use serde::Deserialize;

use super::action::{
    Action, Applied, Check, Context, Description, Facts, Failure, Observed, Plane, Standing,
};
use super::catalogue::ActionKind;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::store::epoch::{self, Epoch, Next};

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new(
        "epoch.activate",
        "write down, for all to see, that a region is the active one",
        Activate::new,
    )]
}

/// The arguments of `epoch.activate`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// The region that is active from now on
    region: String,
}

struct Activate {
    region: String,
    /// Where the control store is.
    standby: Option<String>,
}

impl Activate {
    fn new(with: With, config: &Config) -> Result<Self> {
        let regions = &config.regions;
        if with.region != regions.primary && Some(&with.region) != regions.standby.as_ref() {
            let what = format!("`epoch.activate`: `{}` is no region of this project", with.region);
            let known = [Some(&regions.primary), regions.standby.as_ref()];
            let known = known.into_iter().flatten().cloned().collect::<Vec<_>>().join(" and ");
            return Err(Error::new(Kind::Usage, what).hint(format!("it has {known}")));
        }
        Ok(Self { region: with.region, standby: regions.standby.clone() })
    }

    fn facts(&self, epoch: &Epoch) -> Facts {
        let mut facts = Facts::new();
        facts.insert("epoch".to_owned(), epoch.number.into());
        facts.insert("region".to_owned(), epoch.region.clone().into());
        facts
    }

    async fn current(&self, cx: &Context<'_>) -> Result<Option<Epoch>, Failure> {
        epoch::read(&*cx.world.control).await.map_err(|e| match e.kind() {
            Kind::Storage => Failure::transient(e),
            _ => Failure::permanent(e),
        })
    }
}

#[async_trait]
impl Action for Activate {
    fn describe(&self) -> Description {
        let region = &self.region;
        let mut description =
            Description::changes(format!("write the next epoch: {region} is active"))
                .detail("whatever still believes the epoch before refuses to act as primary")
                .detail("refused if somebody with a later lease has written one");
        if let Some(standby) = &self.standby {
            description = description.leans_on(standby.as_str(), Plane::Data, "the control store");
        }
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("the epoch in store `{}`", cx.world.control.name());
        vec![match epoch::read(&*cx.world.control).await {
            Ok(Some(there)) if there.region == self.region => {
                Check::new(Standing::Warning, what, format!("{there}: it is so already"))
            }
            Ok(Some(there)) => Check::new(Standing::Ready, what, there.to_string()),
            Ok(None) => Check::new(Standing::Ready, what, "none was written yet"),
            Err(e) => Check::new(Standing::NotReady, what, e.one_line())
                .hint("`drctl doctor` tests every store"),
        }]
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        Ok(match self.current(cx).await? {
            Some(there) if there.region == self.region => Observed::Done(self.facts(&there)),
            Some(there) => Observed::NotDone(there.to_string()),
            None => Observed::NotDone("no epoch was written yet".to_owned()),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let before = self.current(cx).await?;
        let told = |epoch: &Epoch, how: &str| {
            let summary = format!("epoch {}: {} is active{how}", epoch.number, epoch.region);
            Applied { summary, facts: self.facts(epoch), warnings: Vec::new() }
        };
        if let Some(there) = before.as_ref().filter(|there| there.region == self.region) {
            return Ok(told(there, ", as it was"));
        }
        let next = Next {
            region: self.region.clone(),
            run: Some(cx.run.id.clone()),
            by: cx.run.operator.clone(),
            fence: cx.run.fence,
            at: Utc::now(),
        };
        let expected = before.map_or(0, |there| there.number);
        match epoch::advance(&*cx.world.control, expected, next).await {
            Ok(epoch) => Ok(told(&epoch, "")),
            Err(e) if e.kind() == Kind::Storage => Err(Failure::unknown(e)),
            Err(e) => Err(Failure::permanent(e)),
        }
    }
}
