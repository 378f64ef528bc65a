//! A stage for tests: actions whose effects are counted, on a script of failures.

mod fake;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{Actions, Engine, Hold, Left, Pace, opening};
use crate::config::Config;
use crate::error::Result;
use crate::integrity::seal::Keys;
use crate::model::{Digest, Event, Sink, Span};
use crate::providers::{Arguments, Description, DynAction, Mode, RunFacts, World};
use crate::runbook::decision::Wish;
use crate::runbook::journal::Copies;
use crate::runbook::plan::{Plan, PlannedStep};
use crate::runbook::sheet::{Approve, OnFailure, Who};
use crate::store::{Holder, MemoryStore, ObjectStore};

/// What goes wrong with an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slip {
    /// Throttled: nothing happened.
    Before,
    /// It happened; the answer is lost.
    AnswerLost,
    /// Refused for good.
    Refused,
    /// It never ends, and nothing happened.
    Hangs,
    /// It happened, and the answer never comes.
    HangsAfter,
}

#[derive(Default)]
pub struct Scene {
    /// How often each effect was made.
    pub made: BTreeMap<String, u32>,
    pub undone: Vec<String>,
    pub in_place: BTreeSet<String>,
    /// Steps in the order in which they began to be applied, with how many were under way then.
    pub begun: Vec<(String, usize)>,
    under_way: usize,
    pub slips: BTreeMap<String, VecDeque<Slip>>,
    pub blind: BTreeMap<String, u32>,
    pub observed: u32,
    /// Facts that each step saw of others.
    pub saw: BTreeMap<String, Vec<String>>,
    pub events: Vec<Event>,
}

impl Scene {
    pub fn under_way(&self) -> usize {
        self.under_way
    }
}

/// The shared world of the actions.
#[derive(Clone, Default)]
pub struct Stage(Arc<Mutex<Scene>>);

impl Stage {
    pub fn scene(&self) -> MutexGuard<'_, Scene> {
        self.0.lock().unwrap()
    }

    pub fn slips(&self, step: &str, slips: &[Slip]) {
        self.scene().slips.insert(step.to_owned(), slips.iter().copied().collect());
    }

    pub fn made(&self, step: &str) -> u32 {
        self.scene().made.get(step).copied().unwrap_or(0)
    }

    pub fn actions(&self, plan: &Plan, takes: Duration) -> Actions {
        let action = |step: &PlannedStep| {
            let fake = fake::Fake { stage: self.clone(), step: step.id.clone(), takes };
            (step.id.clone(), Box::new(fake) as Box<dyn DynAction>)
        };
        plan.steps.iter().map(action).collect()
    }
}

impl Sink for Stage {
    fn emit(&self, event: Event) {
        self.scene().events.push(event);
    }
}

/// A step that needs others: `step("b", &["a"])`.
pub fn step(id: &str, needs: &[&str]) -> PlannedStep {
    PlannedStep {
        id: id.to_owned(),
        uses: "fake.make".to_owned(),
        with: Arguments::default(),
        needs: needs.iter().map(|&need| need.to_owned()).collect(),
        timeout: Span::from_secs(60),
        retries: 2,
        on_failure: OnFailure::Stop,
        approve: None,
        point_of_no_return: false,
        description: Description::changes(format!("make {id}")).compensated_by("take it away"),
    }
}

pub fn plan(steps: Vec<PlannedStep>) -> Plan {
    Plan {
        runbook: "region-failover".to_owned(),
        title: "Region failure".to_owned(),
        runbook_digest: Digest::of(b"runbook"),
        mode: Mode::Forced,
        from: "us-east-1".to_owned(),
        to: "us-west-2".to_owned(),
        rto: Span::from_secs(900),
        rpo: Span::from_secs(3600),
        steps,
    }
}

/// The shape of a region failover.
pub fn failover() -> Plan {
    let mut steps = vec![
        step("freeze", &[]),
        step("fence", &["freeze"]),
        step("scale", &["freeze"]),
        step("promote", &["fence", "scale"]),
        step("swap", &["promote"]),
        step("tell", &["swap"]),
    ];
    steps[3].point_of_no_return = true;
    steps[5].on_failure = OnFailure::Continue;
    plan(steps)
}

pub fn approve(who: Who, seconds: u64) -> Approve {
    Approve { who, timeout: Span::from_secs(seconds) }
}

pub fn facts(id: &str) -> RunFacts {
    RunFacts {
        id: id.to_owned(),
        runbook: "region-failover".to_owned(),
        mode: Mode::Forced,
        from: "us-east-1".to_owned(),
        to: "us-west-2".to_owned(),
        confirmed: Utc::now(),
        operator: "ann on ops-1".to_owned(),
        operators: vec!["ann on ops-1".to_owned()],
        reason: None,
        accepted_loss: None,
        rpo: None,
        expected_loss: Vec::new(),
        accept_unfenced: false,
        primary_is_broken: None,
        drill: false,
        fence: 0,
    }
}

pub fn holder(pid: u32, run: &str) -> Holder {
    Holder {
        host: "ops-1".to_owned(),
        pid,
        user: "ann".to_owned(),
        purpose: opening::purpose(run),
        process: None,
    }
}

pub fn world(control: Arc<dyn ObjectStore>) -> World {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("drctl.toml");
    let text = "[project]\nname = \"petforce\"\n\
                [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
                [store.west]\nurl = \"file:///nowhere\"\nregion = \"us-west-2\"\n\
                [database.petforce]\nurl = \"host=nowhere\"\nstores = [\"west\"]\n";
    std::fs::write(&path, text).unwrap();
    let config = Config::load(Some(&path), &|_| None).unwrap();
    let stores = BTreeMap::from([("west".to_owned(), Arc::clone(&control))]);
    let keys = Keys::read(None, &[]).unwrap();
    World::trusting(Vec::new(), Arc::new(config), stores, control, keys).unwrap()
}

pub fn pace() -> Pace {
    Pace {
        first_wait: Duration::from_millis(2),
        longest_wait: Duration::from_millis(10),
        observe: Duration::from_millis(500),
        poll: Duration::from_millis(5),
    }
}

/// One operator with a control store and a machine of their own.
pub struct Operator {
    pub stage: Stage,
    pub world: World,
    pub copies: Copies,
    pub local_alone: bool,
    pub takes: Duration,
    pub wish: watch::Sender<Wish>,
}

impl Operator {
    pub fn new(stage: &Stage, control: Arc<dyn ObjectStore>) -> Self {
        let copies =
            Copies { control: Arc::clone(&control), local: Arc::new(MemoryStore::new("local")) };
        Self {
            stage: stage.clone(),
            world: world(control),
            copies,
            local_alone: false,
            takes: Duration::from_millis(2),
            wish: watch::Sender::new(Wish::GoOn),
        }
    }

    pub async fn hold(&self, pid: u32, run: &str, ttl: Duration) -> Result<Hold> {
        opening::hold(&self.copies.control, holder(pid, run), ttl, self.local_alone).await
    }

    pub async fn begin(&self, plan: &Plan, run: &str) -> Result<Left> {
        let hold = self.hold(1, run, Duration::from_secs(30)).await?;
        let opened =
            opening::begin(self.copies.clone(), plan.clone(), facts(run), hold, now()).await?;
        self.carry_on(opened).await
    }

    pub async fn resume(&self, run: &str) -> Result<Left> {
        let hold = self.hold(1, run, Duration::from_secs(30)).await?;
        self.go_on(run, hold).await
    }

    pub async fn go_on(&self, run: &str, hold: Hold) -> Result<Left> {
        let by = "bob on ops-2".to_owned();
        let opened = opening::resume(self.copies.clone(), run, by, hold, now()).await?;
        self.carry_on(opened).await
    }

    pub async fn carry_on(&self, opened: opening::Opened) -> Result<Left> {
        let opening::Opened { plan, journal, state, hold } = opened;
        let mut actions = self.stage.actions(&plan, self.takes);
        for step in plan.steps.iter().filter(|step| step.uses != "fake.make") {
            actions.insert(step.id.clone(), super::action_of(step, &self.world.config).unwrap());
        }
        let engine = Engine {
            plan: &plan,
            actions: &actions,
            world: &self.world,
            sink: Arc::new(self.stage.clone()),
            wishes: self.wish.subscribe(),
            pace: pace(),
            now,
        };
        let lease = hold.lease.clone();
        let left = engine.carry_on(journal, state, hold).await;
        if let Some(lease) = lease.and_then(Arc::into_inner) {
            let _ = lease.release().await;
        }
        left
    }
}

pub fn now() -> DateTime<Utc> {
    Utc::now()
}
