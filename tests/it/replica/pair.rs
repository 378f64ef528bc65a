//! A primary in the east, its standby in the west, and a run that looks at both.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use drctl::config::Config;
use drctl::integrity::seal::Keys;
use drctl::providers::{
    self, Applied, Arguments, Context, DynAction, Facts, Failure, Mode, Observed, Progress,
    RunFacts, World,
};
use drctl::store::{FileStore, MemoryStore, ObjectStore};
use serde_json::{Value, json};

use crate::lab::{Folder, Options, Postgres, Version, folder};

pub struct Pair {
    pub primary: Postgres,
    pub standby: Postgres,
    pub world: Arc<World>,
    pub home: Folder,
    pub facts: BTreeMap<String, Facts>,
    pub run: RunFacts,
    pub heard: Heard,
}

/// What a step told of what it waits for.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<String>>);

impl Progress for Heard {
    fn waits_for(&self, what: String) {
        self.0.lock().unwrap().push(what);
    }
}

/// The configuration of a database `pets` with these servers.
pub fn config(home: &Folder, east: &str, west: &str) -> Arc<Config> {
    let dir = |name: &str| home.join(name).display().to_string();
    let text = format!(
        "[project]\nname = \"petforce\"\n\
         [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
         [store.east]\nurl = \"file://{}\"\nregion = \"us-east-1\"\n\
         [store.west]\nurl = \"file://{}\"\nregion = \"us-west-2\"\n\
         [database.pets]\nurl = \"{east}\"\nstores = [\"east\", \"west\"]\njobs = 2\n\
         [database.pets.server.us-east-1]\nurl = \"{east}\"\n\
         [database.pets.server.us-west-2]\nurl = \"{west}\"\n",
        dir("east"),
        dir("west")
    );
    let path = home.join("drctl.toml");
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    Arc::new(Config::load(Some(&path), &|_| None).unwrap())
}

pub fn world(home: &Folder, config: Arc<Config>) -> Arc<World> {
    let mut stores: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
    for (name, region) in [("east", "us-east-1"), ("west", "us-west-2")] {
        stores.insert(name.to_owned(), Arc::new(FileStore::new(name, region, &home.join(name))));
    }
    let control = Arc::new(MemoryStore::new("west"));
    Arc::new(World::new(config, stores, control, Keys::default()).unwrap())
}

pub fn run_facts(mode: Mode) -> RunFacts {
    RunFacts {
        id: "20261124T100000Z-abcdef".to_owned(),
        runbook: "region-failover".to_owned(),
        mode,
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
        fence: 1,
    }
}

impl Pair {
    pub fn start(mode: Mode) -> Self {
        Self::of(Postgres::options(Version::V15), mode)
    }

    pub fn of(options: Options, mode: Mode) -> Self {
        let primary = options.start();
        primary.create_db("pets");
        primary.psql("pets", "CREATE TABLE pet (id bigserial PRIMARY KEY, name text)");
        primary.psql("pets", "INSERT INTO pet (name) VALUES ('rex'), ('tom')");
        let standby = Postgres::standby_of(&primary);
        standby.catch_up(&primary);
        let home = folder("replica");
        let config = config(&home, &primary.url("pets"), &standby.url("pets"));
        let world = world(&home, config);
        let (facts, heard) = (BTreeMap::new(), Heard::default());
        Self { primary, standby, world, home, facts, run: run_facts(mode), heard }
    }

    /// The same servers under other addresses.
    pub fn reached_by(&mut self, east: &str, west: &str) {
        let config = config(&self.home, east, west);
        self.world = Arc::new(
            World::new(
                config,
                self.world.stores.clone(),
                Arc::clone(&self.world.control),
                Keys::default(),
            )
            .unwrap(),
        );
    }

    /// The same servers, with samples and the rest in another control store.
    pub fn kept_in(&mut self, control: Arc<dyn ObjectStore>) {
        let (config, stores) = (Arc::clone(&self.world.config), self.world.stores.clone());
        self.world = Arc::new(World::new(config, stores, control, Keys::default()).unwrap());
    }

    pub fn action(&self, name: &str, with: &Value) -> Box<dyn DynAction> {
        let arguments: Arguments = serde_json::from_value(with.clone()).unwrap();
        let kind = providers::find(name).unwrap_or_else(|| panic!("no action {name}"));
        kind.build(&arguments, &self.world.config).unwrap_or_else(|e| panic!("{}", e.one_line()))
    }

    pub fn context(&self, seconds: f64) -> Context<'_> {
        Context {
            world: &self.world,
            run: &self.run,
            step: "step",
            facts: &self.facts,
            deadline: tokio::time::Instant::now() + Duration::from_secs_f64(seconds),
            progress: &self.heard,
        }
    }

    pub async fn apply(&self, name: &str, with: Value) -> Result<Applied, Failure> {
        self.apply_within(60.0, name, with).await
    }

    pub async fn apply_within(
        &self,
        seconds: f64,
        name: &str,
        with: Value,
    ) -> Result<Applied, Failure> {
        self.action(name, &with).apply(&self.context(seconds)).await
    }

    /// Waits until the standby has noticed that nothing streams to it any more.
    pub fn until_cut_off(&self) {
        let there = "SELECT count(*) FROM pg_stat_wal_receiver";
        while self.standby.psql("postgres", there) != "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Applies and keeps the facts as a step's of that name.
    #[track_caller]
    pub fn step(&mut self, id: &str, name: &str, with: Value) -> Applied {
        let applied = crate::replica::pair::block(self.apply(name, with));
        let applied = applied.unwrap_or_else(|f| panic!("{name}: {}", f.error.one_line()));
        self.facts.insert(id.to_owned(), applied.facts.clone());
        applied
    }

    pub async fn observe(&self, name: &str, with: Value) -> Result<Observed, Failure> {
        self.action(name, &with).observe(&self.context(60.0)).await
    }

    /// As `observe`, which must find the effect: its facts.
    #[track_caller]
    pub fn done(&self, name: &str, with: Value) -> Facts {
        match block(self.observe(name, with)) {
            Ok(Observed::Done(facts)) => facts,
            Ok(Observed::NotDone(why)) => panic!("{name} is not done: {why}"),
            Err(f) => panic!("{name}: {}", f.error.one_line()),
        }
    }

    /// As `observe`, which must not find the effect: why.
    #[track_caller]
    pub fn undone(&self, name: &str, with: Value) -> String {
        match block(self.observe(name, with)) {
            Ok(Observed::NotDone(why)) => why,
            Ok(Observed::Done(facts)) => panic!("{name} is done: {facts:?}"),
            Err(f) => panic!("{name}: {}", f.error.one_line()),
        }
    }

    /// Applies, which must fail; soon, where it waits for somebody's word.
    #[track_caller]
    pub fn fails(&self, name: &str, with: Value) -> Failure {
        let soon =
            matches!(name, "loss.assess" | "postgres.fence") && self.run.mode == Mode::Forced;
        let seconds = if soon { 8.0 } else { 60.0 };
        match block(self.apply_within(seconds, name, with)) {
            Ok(applied) => panic!("{name} went well: {}", applied.summary),
            Err(failure) => failure,
        }
    }

    pub fn preflight(&self, name: &str, with: Value) -> Vec<providers::Check> {
        let action = self.action(name, &with);
        block(async { action.preflight(&self.context(60.0)).await })
    }
}

pub fn block<T>(future: impl Future<Output = T>) -> T {
    static RUNTIME: std::sync::OnceLock<tokio::runtime::Runtime> = std::sync::OnceLock::new();
    let runtime = RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap()
    });
    runtime.block_on(future)
}

pub fn east() -> Value {
    json!({"database": "pets", "in": "us-east-1"})
}

pub fn west() -> Value {
    json!({"database": "pets", "in": "us-west-2"})
}
