//! A world for one action: a configuration, a run, and what was told while it waited.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::Utc;
use drctl::config::Config;
use drctl::integrity::seal::Keys;
use drctl::providers::{
    self, Arguments, Context, DynAction, Facts, Mode, Progress, RunFacts, World,
};
use drctl::store::{MemoryStore, ObjectStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::Value;

use crate::lab::Tls;

const BASE: &str = r#"
    project = { name = "petforce" }
    regions = { primary = "us-east-1", standby = "us-west-2" }
    [store.west]
    url = "file:///nowhere"
    region = "us-west-2"
    [database.petforce]
    url = "postgresql://drctl:sesame-of-db@db.petforce.test/petforce"
    stores = ["west"]
"#;

pub struct Scene {
    pub world: World,
    pub run: RunFacts,
    pub facts: BTreeMap<String, Facts>,
    waited: Arc<Mutex<Vec<String>>>,
    /// How many of these `hear` has looked at.
    heard: AtomicUsize,
}

impl Progress for Scene {
    fn waits_for(&self, what: String) {
        self.waited.lock().unwrap().push(what);
    }
}

impl Scene {
    /// `config` comes after the tables that every configuration has.
    pub fn new(config: &str) -> Self {
        Self::trusting(Vec::new(), config)
    }

    /// As `new`, trusting the lab's authority.
    pub fn with_tls(tls: &Tls, config: &str) -> Self {
        Self::trusting(vec![CertificateDer::from_pem_file(tls.ca()).unwrap()], config)
    }

    fn trusting(authorities: Vec<CertificateDer<'static>>, config: &str) -> Self {
        let text = format!("{BASE}{config}");
        let config = Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap();
        let store: Arc<dyn ObjectStore> = Arc::new(MemoryStore::new("west"));
        let keys = Keys::read(None, &[]).unwrap();
        let stores = BTreeMap::from([("west".to_owned(), Arc::clone(&store))]);
        let world = World::trusting(authorities, Arc::new(config), stores, store, keys).unwrap();
        let run = RunFacts {
            id: "20261124-0300-ab12".to_owned(),
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
            fence: 7,
        };
        Self {
            world,
            run,
            facts: BTreeMap::new(),
            waited: Arc::default(),
            heard: AtomicUsize::new(0),
        }
    }

    pub fn action(&self, uses: &str, with: Value) -> Box<dyn DynAction> {
        self.try_action(uses, with).unwrap_or_else(|e| panic!("{e:?}"))
    }

    pub fn try_action(&self, uses: &str, with: Value) -> drctl::error::Result<Box<dyn DynAction>> {
        let arguments: Arguments = serde_json::from_value(with).unwrap();
        providers::find(uses).unwrap().build(&arguments, &self.world.config)
    }

    /// For the step `step`, which may take that long.
    pub fn cx(&self, limit: Duration) -> Context<'_> {
        Context {
            world: &self.world,
            run: &self.run,
            step: "step",
            facts: &self.facts,
            deadline: tokio::time::Instant::now() + limit,
            progress: self,
        }
    }

    /// What the action waited for, oldest first.
    pub fn waited(&self) -> Vec<String> {
        self.waited.lock().unwrap().clone()
    }

    /// Until something that it waits for fits, after what was heard before.
    pub async fn hear(&self, fits: impl Fn(&str) -> bool) -> String {
        let listening = async {
            loop {
                for (at, what) in
                    self.waited().into_iter().enumerate().skip(self.heard.load(SeqCst))
                {
                    self.heard.store(at + 1, SeqCst);
                    if fits(&what) {
                        return what;
                    }
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        match tokio::time::timeout(LONG, listening).await {
            Ok(what) => what,
            Err(_) => panic!("never heard of that, but of {:#?}", self.waited()),
        }
    }
}

/// Long enough for everything that should end.
pub const LONG: Duration = Duration::from_secs(60);
