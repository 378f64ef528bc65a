//! What a runner is made of: the ports of `schedule`, on real stores, servers and processes.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::App;
use super::child::Children;
use crate::config::{Config, Redaction, Secret};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::history::{self, Which};
use crate::integrity::seal::Keys;
use crate::integrity::verify::{Depth, Sample, Verdict, VerifyRequest, verify};
use crate::model::{AlertSink, Manifest, Silent, SnapshotId};
use crate::postgres::replication::Limits;
use crate::providers::http::Heartbeats;
use crate::providers::postgres::{sampler, samples};
use crate::schedule::standing::{Newest, Outcome, ReplicaSeen};
use crate::schedule::{
    Beats, Diary, Ended, Ledger as _, Opener, Plan, Ports, Record, Replicas, Snapshots, Standing,
    StoreLedger, SystemClock, Unit,
};
use crate::store::ObjectStore;

/// How long a server may take to a session, and again to answer.
const LOOK: Duration = Duration::from_secs(4);

impl App {
    /// Where records, leases and signs of life of the schedule lie: the control store first, then the
    /// others. Nothing is opened yet.
    pub fn ledger(&self) -> StoreLedger {
        let control = self.control_store().ok();
        // What S3 writes by itself is no place to write to.
        let own = |name: &&str| self.config.store(name).is_ok_and(|store| !store.is_replica);
        let others = self.config.store_names().filter(own).filter(|name| Some(*name) != control);
        let names = control.into_iter().chain(others).map(str::to_owned).collect();
        StoreLedger::new(names, self.opener())
    }

    fn opener(&self) -> Opener {
        let config = Arc::clone(&self.config);
        Arc::new(move |name| {
            let app = App { config: Arc::clone(&config) };
            Box::pin(async move { app.store_in_haste(&name).await })
        })
    }

    /// Everything that a runner needs. `path`: the configuration as it was named, for the jobs.
    pub fn runner_ports(
        &self,
        path: Option<PathBuf>,
        alerts: Arc<dyn AlertSink>,
        diary: Arc<dyn Diary>,
    ) -> Result<Ports> {
        let program = std::env::current_exe()
            .map_err(|e| Error::new(Kind::Failed, "find this program itself").caused_by(e))?;
        let (snapshots, replicas) = self.observers()?;
        Ok(Ports {
            clock: Arc::new(SystemClock::default()),
            ledger: Arc::new(self.ledger()),
            work: Arc::new(Children {
                program,
                config: path,
                redaction: Redaction::of(&self.config),
            }),
            snapshots: Arc::new(snapshots),
            replicas: Arc::new(replicas),
            alerts,
            beats: Arc::new(Calls(Heartbeats::new()?)),
            diary,
        })
    }

    /// Records a turn that was run beside the runners, if `words` is the command of a job.
    pub async fn record_turn(
        &self,
        words: &[String],
        ended: Ended,
        began: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<()> {
        let units = Unit::all(&self.config.jobs);
        let Some(unit) = units.into_iter().find(|unit| unit.command() == words) else {
            return Ok(());
        };
        let Some(turn) = unit.last(began) else { return Ok(()) };
        let mut record = Record::default();
        record.add(Outcome {
            turn,
            began,
            ended: now,
            runner: super::operator(),
            verdict: ended.verdict,
            exit_code: ended.exit_code,
            summary: ended.summary,
            missed: 0,
        });
        self.ledger().write(&unit.id(), &record).await.map(|_| ())
    }

    /// What looks at snapshots and at replication, through the same opened stores.
    fn observers(&self) -> Result<(InStores, Servers)> {
        let stores = Arc::new(Stores::new(self));
        let snapshots = InStores {
            stores: Arc::clone(&stores),
            keys: self.keys()?,
            config: Arc::clone(&self.config),
            proven: Proven::default(),
        };
        let replicas = Servers {
            stores,
            config: Arc::clone(&self.config),
            control: self.control_store().map(str::to_owned).ok(),
        };
        Ok((snapshots, replicas))
    }

    /// How the schedule stands, from the stores alone, whoever runs it.
    pub async fn standing(&self, now: DateTime<Utc>) -> Result<Standing> {
        let (snapshots, replicas) = self.observers()?;
        Ok(crate::schedule::gather(
            Plan::of(&self.config),
            &self.ledger(),
            &snapshots,
            &replicas,
            now,
        )
        .await)
    }
}

/// Stores, opened when they are first asked for.
struct Stores {
    open: Opener,
    opened: BTreeMap<String, OnceLock<Arc<dyn ObjectStore>>>,
}

impl Stores {
    fn new(app: &App) -> Self {
        let names = app.config.store_names().map(|name| (name.to_owned(), OnceLock::new()));
        Self { open: app.opener(), opened: names.collect() }
    }

    async fn get(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let Some(cell) = self.opened.get(name) else {
            return Err(Error::new(Kind::Usage, format!("there is no [store.{name}]")));
        };
        if let Some(store) = cell.get() {
            return Ok(Arc::clone(store));
        }
        let opened = (self.open)(name.to_owned()).await?;
        Ok(Arc::clone(cell.get_or_init(|| opened)))
    }
}

type Proven = Arc<Mutex<BTreeMap<(String, String), SnapshotId>>>;

/// The newest snapshots, as the stores have them.
struct InStores {
    stores: Arc<Stores>,
    keys: Keys,
    config: Arc<Config>,
    /// Of each database in each replica: the newest snapshot whose every object was there with the
    /// right checksum.
    proven: Proven,
}

fn described(manifest: &Manifest) -> Newest {
    Newest {
        id: manifest.id.clone(),
        taken: manifest.taken,
        stored_bytes: manifest.totals.stored_bytes,
        new_bytes: manifest.totals.new_bytes,
    }
}

/// A search in one store for one database.
struct Search {
    store: Arc<dyn ObjectStore>,
    keys: Keys,
    database: String,
    is_replica: bool,
    proven: Proven,
}

impl Search {
    async fn newest(self) -> Result<Option<Newest>> {
        if self.is_replica {
            return self.replicated().await;
        }
        let (newest, broken) = history::newest(&*self.store, &self.keys, &self.database).await?;
        match (newest, broken.into_iter().next()) {
            (Some(manifest), _) => Ok(Some(described(&manifest))),
            (None, None) => Ok(None),
            (None, Some((_, e))) => Err(e),
        }
    }

    /// The newest snapshot of which S3 has brought everything: the manifest may come before the parts.
    async fn replicated(self) -> Result<Option<Newest>> {
        let Self { store, keys, database, proven, .. } = self;
        let key = (database.clone(), store.name().to_owned());
        let known = proven.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned();
        let places = history::places(&*store, &database).await?;
        for place in places.iter().rev() {
            let read = history::read_manifest(&*store, &keys, &database, place).await;
            let Ok(manifest) = read else { continue };
            if known.as_ref() == Some(&manifest.id) {
                return Ok(Some(described(&manifest)));
            }
            let request = VerifyRequest {
                database: database.clone(),
                stores: vec![Arc::clone(&store)],
                which: Which::One(manifest.id.clone()),
                depth: Depth::Checksums,
                sample: Sample::ALL,
                jobs: 1,
                keys: keys.clone(),
                sink: Arc::new(Silent),
                now: Utc::now(),
            };
            if verify(&request).await?.verdict() == Verdict::Intact {
                let mut proven = proven.lock().unwrap_or_else(PoisonError::into_inner);
                proven.insert(key, manifest.id.clone());
                return Ok(Some(described(&manifest)));
            }
        }
        Ok(None)
    }
}

#[async_trait]
impl Snapshots for InStores {
    async fn newest(&self, database: &str, store: &str) -> Result<(Option<Newest>, DateTime<Utc>)> {
        let is_replica = self.config.store(store)?.is_replica;
        let store = self.stores.get(store).await?;
        let now = store.now().await?;
        let search = Search {
            store,
            keys: self.keys.clone(),
            database: database.to_owned(),
            is_replica,
            proven: Arc::clone(&self.proven),
        };
        // Hashing and undoing of manifests is for another thread than the runner's loop.
        let runtime = tokio::runtime::Handle::current();
        let found = tokio::task::spawn_blocking(move || runtime.block_on(search.newest()));
        let found = found.await.attempt(Kind::Bug, || "look for snapshots".to_owned())?;
        Ok((found?, now))
    }
}

/// The servers of the databases, and what was seen of them.
struct Servers {
    stores: Arc<Stores>,
    config: Arc<Config>,
    control: Option<String>,
}

impl Servers {
    async fn control(&self) -> Result<Arc<dyn ObjectStore>> {
        match &self.control {
            Some(name) => self.stores.get(name).await,
            None => Err(Error::new(
                Kind::Usage,
                "no store is in the standby region: samples have no place",
            )),
        }
    }
}

fn seen(sample: samples::Sample) -> ReplicaSeen {
    ReplicaSeen {
        at: sample.at,
        timeline: sample.timeline,
        primary: sample.primary,
        received: sample.received,
        replayed: sample.replayed,
    }
}

#[async_trait]
impl Replicas for Servers {
    async fn sample(&self, database: &str) -> Result<ReplicaSeen> {
        let control = self.control().await?;
        sampler::sample(&self.config, &*control, database, Limits::each(LOOK)).await.map(seen)
    }

    async fn last(&self, database: &str) -> Result<Option<ReplicaSeen>> {
        let control = self.control().await?;
        Ok(samples::read(&*control, database).await?.pop().map(seen))
    }
}

struct Calls(Heartbeats);

#[async_trait]
impl Beats for Calls {
    async fn call(&self, url: &Secret) -> Result<()> {
        self.0.call(url.expose()?).await
    }
}
