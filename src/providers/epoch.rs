//! Which region is active: `epoch.activate`.

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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;
    use std::sync::Arc;

    use super::*;
    use crate::integrity::seal::Keys;
    use crate::providers::action::Unheard;
    use crate::providers::{FailureClass, Mode, RunFacts, World};
    use crate::store::fault::{Fault, FaultyStore, Op};
    use crate::store::{Class, MemoryStore, ObjectStore};

    fn world(control: Arc<dyn ObjectStore>) -> World {
        let text = "[project]\nname = \"p\"\n\
            [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
            [store.west]\nurl = \"file:///nowhere/x\"\nregion = \"us-west-2\"\n\
            [database.p]\nurl = \"host=127.0.0.1\"\nstores = [\"west\"]\n";
        let config = Config::parse(text, Path::new("drctl.toml"), &|_| None).unwrap();
        let keys = Keys::read(None, &[]).unwrap();
        World::trusting(Vec::new(), Arc::new(config), BTreeMap::new(), control, keys).unwrap()
    }

    fn run() -> RunFacts {
        RunFacts {
            id: "r1".to_owned(),
            runbook: "region-failover".to_owned(),
            mode: Mode::Forced,
            from: "us-east-1".to_owned(),
            to: "us-west-2".to_owned(),
            confirmed: Utc::now(),
            operator: "ann on ops-1".to_owned(),
            operators: Vec::new(),
            reason: None,
            accepted_loss: None,
            rpo: None,
            expected_loss: Vec::new(),
            accept_unfenced: false,
            primary_is_broken: None,
            drill: false,
            fence: 3,
        }
    }

    #[tokio::test]
    async fn an_epoch_is_written_once_whatever_becomes_of_answers() {
        let memory = Arc::new(MemoryStore::new("west"));
        let faulty = FaultyStore::new(Arc::<MemoryStore>::clone(&memory));
        faulty.on(Op::Put, 1, Fault::Fail(Class::Transient));
        faulty.on(Op::Put, 2, Fault::FailAfter);
        let (world, run, facts) = (world(Arc::new(faulty)), run(), BTreeMap::new());
        let cx = Context {
            world: &world,
            run: &run,
            step: "epoch",
            facts: &facts,
            deadline: tokio::time::Instant::now() + std::time::Duration::from_secs(10),
            progress: &Unheard,
        };
        let west = Activate::new(With { region: "us-west-2".to_owned() }, &world.config).unwrap();
        assert!(matches!(west.observe(&cx).await.unwrap(), Observed::NotDone(_)));
        // Refused by the store, and then with its answer lost: what is there tells them apart, at the
        // latest when the engine looks.
        for _ in 0..2 {
            if let Err(failed) = west.apply(&cx).await {
                assert_ne!(failed.class, FailureClass::Permanent, "{:?}", failed.error);
            }
        }
        let Observed::Done(there) = west.observe(&cx).await.unwrap() else { panic!("not there") };
        assert_eq!((&there["epoch"], &there["region"]), (&1.into(), &"us-west-2".into()));
        assert_eq!(west.apply(&cx).await.unwrap().facts, there);
        // The way home is the next one.
        let east = Activate::new(With { region: "us-east-1".to_owned() }, &world.config).unwrap();
        assert_eq!(east.apply(&cx).await.unwrap().facts["epoch"], 2);
        assert!(Activate::new(With { region: "mars".to_owned() }, &world.config).is_err());
    }
}
