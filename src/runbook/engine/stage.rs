//! A stage for tests: actions whose effects are counted, on a script of failures.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::{Actions, Engine, Hold, Left, Pace, opening};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::integrity::seal::Keys;
use crate::model::{Digest, Event, Sink, Span};
use crate::providers::{
    Action, Applied, Arguments, Check, Context, Description, Facts, Failure, Mode, Observed,
    RunFacts, World,
};
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
            let fake = Fake { stage: self.clone(), step: step.id.clone(), takes };
            (step.id.clone(), Box::new(fake) as Box<dyn Action>)
        };
        plan.steps.iter().map(action).collect()
    }
}

impl Sink for Stage {
    fn emit(&self, event: Event) {
        self.scene().events.push(event);
    }
}

struct Fake {
    stage: Stage,
    step: String,
    takes: Duration,
}

/// Counts what is under way, however it ends.
struct UnderWay(Stage);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.scene().under_way -= 1;
    }
}

fn slipped(what: &str) -> Error {
    Error::new(Kind::Failed, what)
}

impl Fake {
    fn make(&self) {
        let mut scene = self.stage.scene();
        *scene.made.entry(self.step.clone()).or_default() += 1;
        scene.in_place.insert(self.step.clone());
    }

    fn facts(&self) -> Facts {
        Facts::from_iter([("made".to_owned(), self.step.clone().into())])
    }
}

#[async_trait]
impl Action for Fake {
    fn describe(&self) -> Description {
        Description::changes(format!("make {}", self.step)).compensated_by("take it away")
    }

    async fn preflight(&self, _: &Context<'_>) -> Vec<Check> {
        Vec::new()
    }

    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        tokio::time::sleep(self.takes / 2).await;
        let mut scene = self.stage.scene();
        scene.observed += 1;
        if let Some(blind) = scene.blind.get_mut(&self.step).filter(|left| **left > 0) {
            *blind -= 1;
            return Err(Failure::transient(slipped("no answer")));
        }
        Ok(match scene.in_place.contains(&self.step) {
            true => Observed::Done(self.facts()),
            false => Observed::NotDone("it is not there".to_owned()),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let slip = {
            let mut scene = self.stage.scene();
            scene.under_way += 1;
            let under_way = scene.under_way;
            scene.begun.push((self.step.clone(), under_way));
            scene.saw.insert(self.step.clone(), cx.facts.keys().cloned().collect());
            scene.slips.get_mut(&self.step).and_then(VecDeque::pop_front)
        };
        let _under_way = UnderWay(self.stage.clone());
        tokio::time::sleep(self.takes).await;
        match slip {
            None => {}
            Some(Slip::Before) => return Err(Failure::transient(slipped("throttled"))),
            Some(Slip::Refused) => return Err(Failure::permanent(slipped("refused"))),
            Some(Slip::Hangs) => std::future::pending().await,
            Some(Slip::HangsAfter) => {
                self.make();
                std::future::pending().await
            }
            Some(Slip::AnswerLost) => {
                self.make();
                return Err(Failure::unknown(slipped("the answer was lost")));
            }
        }
        self.make();
        Ok(Applied { facts: self.facts(), ..Applied::new(format!("made {}", self.step)) })
    }

    async fn compensate(&self, _: &Context<'_>) -> Result<Applied, Failure> {
        let mut scene = self.stage.scene();
        let slip = scene.slips.get_mut("undo").and_then(VecDeque::pop_front);
        if slip.is_some() {
            return Err(Failure::transient(slipped("throttled")));
        }
        scene.in_place.remove(&self.step);
        scene.undone.push(self.step.clone());
        Ok(Applied::new("taken away"))
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
