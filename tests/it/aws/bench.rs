//! Where an action is tried: a world, a run, and what steps left.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use drctl::config::Config;
use drctl::integrity::seal::Keys;
use drctl::providers::action::Unheard;
use drctl::providers::{
    Applied, Arguments, Context, DynAction, Facts, Mode, Observed, RunFacts, World, find,
};
use drctl::store::MemoryStore;
use serde_json::Value;

use crate::lab::{folder, unique};

pub struct Bench {
    pub world: World,
    pub run: RunFacts,
    pub facts: BTreeMap<String, Facts>,
}

impl Bench {
    /// With a configuration whose `[aws.NAME]` tables are given keys.
    pub fn new(config: &str) -> Self {
        let folder = folder("aws");
        let path = folder.join("drctl.toml");
        let keys = "access_key_id = \"test\"\nsecret_access_key = \"${KEY}\"\n";
        let mut text = String::new();
        for line in config.lines() {
            text.push_str(&format!("{line}\n"));
            if line.starts_with("[aws.") {
                text.push_str(keys);
            }
        }
        std::fs::write(&path, text).unwrap();
        let env = |name: &str| (name == "KEY").then(|| "test".to_owned());
        let config = Arc::new(Config::load(Some(&path), &env).unwrap());
        let control = Arc::new(MemoryStore::new("control"));
        let world =
            World::new(config, BTreeMap::new(), control, Keys::read(None, &[]).unwrap()).unwrap();
        let run = RunFacts {
            id: unique("run"),
            runbook: "test".into(),
            mode: Mode::Forced,
            from: "us-east-1".into(),
            to: "us-west-2".into(),
            confirmed: Utc::now(),
            operator: "ann on ops-1".into(),
            operators: vec!["ann on ops-1".into()],
            reason: None,
            accepted_loss: None,
            rpo: None,
            expected_loss: Vec::new(),
            accept_unfenced: false,
            primary_is_broken: None,
            drill: false,
            fence: 1,
        };
        Self { world, run, facts: BTreeMap::new() }
    }

    /// Only AWS, at these addresses.
    pub fn at(west: &str, global: &str) -> Self {
        Self::new(&format!(
            "[project]\nname = \"petforce\"\n\
             [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
             [store.s]\nurl = \"file:///nowhere/drctl\"\nregion = \"us-west-2\"\n\
             [database.petforce]\nurl = \"host=127.0.0.1 dbname=x\"\nstores = [\"s\"]\n\
             [aws.us-west-2]\nendpoint = \"{west}\"\n\
             [aws.global]\nendpoint = \"{global}\"\n"
        ))
    }

    pub fn action(&self, name: &str, with: Value) -> Box<dyn DynAction> {
        self.try_action(name, with).unwrap_or_else(|e| panic!("{e:?}"))
    }

    pub fn try_action(&self, name: &str, with: Value) -> drctl::error::Result<Box<dyn DynAction>> {
        let Value::Object(with) = with else { panic!("not an object") };
        let kind = find(name).unwrap_or_else(|| panic!("no action {name}"));
        kind.build(&Arguments(with), &self.world.config)
    }

    /// A step with so many seconds.
    pub fn step<'b>(&'b self, step: &'b str, seconds: u64) -> Context<'b> {
        Context {
            world: &self.world,
            run: &self.run,
            step,
            facts: &self.facts,
            deadline: tokio::time::Instant::now() + Duration::from_secs(seconds),
            progress: &Unheard,
        }
    }
}

/// What an action that must succeed did.
#[track_caller]
pub fn ok(outcome: Result<Applied, drctl::providers::Failure>) -> Applied {
    outcome.unwrap_or_else(|f| panic!("{:?}: {:?}", f.class, f.error))
}

/// The facts of an effect that must be there.
#[track_caller]
pub fn done(observed: Result<Observed, drctl::providers::Failure>) -> Facts {
    match observed {
        Ok(Observed::Done(facts)) => facts,
        Ok(Observed::NotDone(why)) => panic!("not done: {why}"),
        Err(f) => panic!("{:?}: {:?}", f.class, f.error),
    }
}

/// Why an effect is not there.
#[track_caller]
pub fn not_done(observed: Result<Observed, drctl::providers::Failure>) -> String {
    match observed {
        Ok(Observed::NotDone(why)) => why,
        Ok(Observed::Done(facts)) => panic!("done: {facts:?}"),
        Err(f) => panic!("{:?}: {:?}", f.class, f.error),
    }
}
