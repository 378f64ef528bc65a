//! The composition root: makes stores, keys and requests from a configuration. The only place that
//! names concrete adapters.

pub mod child;
mod drill;
mod ending;
mod failover_drill;
mod findings;
mod grounds;
mod presence;
mod rehearsing;
mod scheduling;
mod serving;
mod staging;
mod telling;
mod watching;

pub use drill::{Drilled, RestoreDrill};
pub use failover_drill::FailoverDrill;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use crate::config::{Config, DatabaseConfig, EncryptionConfig};
use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::audit::{AuditRequest, Subject};
use crate::integrity::encryption::{Access, Recovery};
use crate::integrity::seal::Keys;
use crate::integrity::verify::{Depth, Sample};
use crate::model::{AuditId, Level, Sink};
use crate::postgres::Conninfo;
use crate::providers::World;
use crate::report::audit::Auditor;
use crate::runbook::decision::Wish;
use crate::runbook::engine::opening::Opened;
use crate::runbook::engine::{self, Engine, Left, Pace};
use crate::runbook::journal::Copies;
use crate::snapshot::{self, readiness};
use crate::store::{self, FileStore, Holder, Lease, ObjectStore, Patience};

/// A loaded configuration and what is made from it.
#[derive(Clone)]
pub struct App {
    pub config: Arc<Config>,
}

impl App {
    /// Loads the configuration as `Config::load` says.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        let config = Config::load(path, &|name| std::env::var(name).ok())?;
        Ok(Self { config: Arc::new(config) })
    }

    /// The keys that seal and prove manifests, and that encrypt and open generations.
    pub fn keys(&self) -> Result<Keys> {
        let signing = self.config.signing_key.as_ref().map(|k| k.expose()).transpose()?;
        let EncryptionConfig { recipients, identity } = &self.config.encryption;
        let access = Access::new(recipients.clone(), Recovery::of(identity.as_ref()));
        Ok(Keys::read(signing, self.config.trusted_keys()?)?.with_access(access))
    }

    /// The store of that name.
    pub async fn store(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        Ok(store::open(self.config.store(name)?).await?)
    }

    /// The stores of a database, nearest first.
    pub async fn stores_of(&self, database: &DatabaseConfig) -> Result<Vec<Arc<dyn ObjectStore>>> {
        let mut stores = Vec::with_capacity(database.stores.len());
        for name in &database.stores {
            stores.push(self.store(name).await?);
        }
        Ok(stores)
    }

    /// As `stores_of`, without those that S3 itself writes.
    async fn written_stores_of(
        &self,
        database: &DatabaseConfig,
    ) -> Result<Vec<Arc<dyn ObjectStore>>> {
        let mut stores = Vec::new();
        for name in &database.stores {
            if !self.config.store(name)?.is_replica {
                stores.push(self.store(name).await?);
            }
        }
        Ok(stores)
    }

    /// As `store`, given up soon: for looks at stores that may be gone.
    pub async fn store_in_haste(&self, name: &str) -> Result<Arc<dyn ObjectStore>> {
        let config = self.config.store(name)?;
        let brief = Patience::brief();
        let patience = Patience { window: brief.window.min(config.patience), ..brief };
        Ok(store::open_with(config, patience).await?)
    }

    /// As `stores_named`, given up soon.
    pub async fn stores_in_haste(
        &self,
        database: &DatabaseConfig,
        store: Option<&str>,
    ) -> Result<Vec<Arc<dyn ObjectStore>>> {
        let mut stores = Vec::new();
        for name in
            database.stores.iter().map(String::as_str).filter(|_| store.is_none()).chain(store)
        {
            stores.push(self.store_in_haste(name).await?);
        }
        Ok(stores)
    }

    /// The store of runs, their lease and the epoch.
    pub fn control_store(&self) -> Result<&str> {
        let config = &self.config;
        if let Some(name) = &config.failover.store {
            return Ok(name);
        }
        let standby = config.regions.standby.as_deref();
        // One whose table cannot be read here is not passed over: others would look for runs there.
        for name in config.store_names() {
            if Some(config.store(name)?.region.as_str()) == standby {
                return Ok(name);
            }
        }
        Err(Error::new(Kind::Usage, "no store is in the standby region: runs have no place").hint(
            "set `standby` in [regions] and give a store there that region, or name one as \
                   `store` in [failover]",
        ))
    }

    /// What actions may use. Stores are given up soon; those that cannot be opened are left out, but
    /// for the one that keeps runs.
    pub async fn world(&self) -> Result<World> {
        let control = self.store_in_haste(self.control_store()?).await?;
        let mut stores = BTreeMap::new();
        for name in self.config.store_names() {
            let store = match name == control.name() {
                true => Arc::clone(&control),
                false => match self.store_in_haste(name).await {
                    Ok(store) => store,
                    Err(_) => continue,
                },
            };
            stores.insert(name.to_owned(), store);
        }
        World::new(Arc::clone(&self.config), stores, control, self.keys()?)
    }

    /// A request for a look at everything that a snapshot of `databases` needs; each step may take
    /// `limit`.
    pub async fn readiness_request(
        &self,
        databases: Vec<String>,
        limit: Duration,
    ) -> Result<readiness::Request<'_>> {
        let mut stores: Vec<readiness::Candidate> = Vec::new();
        for name in
            databases.iter().filter_map(|d| self.config.database(d).ok()).flat_map(|d| &d.stores)
        {
            if !stores.iter().any(|s| s.name == *name) {
                let store = self.store_in_haste(name).await;
                stores.push(readiness::Candidate { name: name.clone(), store });
            }
        }
        Ok(readiness::Request {
            config: &self.config,
            databases,
            stores,
            keys: self.keys(),
            limit,
            now: Utc::now(),
            random: random()?,
        })
    }

    /// A request for a snapshot of `database`, as of now.
    pub async fn snapshot_request(
        &self,
        database: &str,
        full: bool,
        sink: Arc<dyn Sink>,
    ) -> Result<snapshot::Request> {
        let config = self.config.database(database)?.clone();
        Ok(snapshot::Request {
            project: self.config.project.clone(),
            conninfo: Conninfo::parse(&config.url)
                .map_err(|e| e.during(format!("use the url of database `{database}`")))?,
            stores: self.written_stores_of(&config).await?,
            keys: self.keys()?,
            config,
            full,
            now: Utc::now(),
            random: random()?,
            sink,
        })
    }
}

impl App {
    /// The databases meant by an optional argument: that one, or all of the configuration.
    pub fn databases(&self, named: Option<&str>) -> Result<Vec<String>> {
        match named {
            Some(name) => Ok(vec![self.config.database(name)?.name.clone()]),
            None => Ok(self.config.database_names().map(str::to_owned).collect()),
        }
    }

    /// Takes a lease in the first of `stores` that can be reached. `Kind::LeaseHeld` names a holder.
    pub async fn lease(
        &self,
        stores: &[Arc<dyn ObjectStore>],
        name: &str,
        purpose: &str,
    ) -> Result<Lease> {
        let mut what = format!("take the lease `{name}`: no store can be used");
        for store in stores {
            // One that is tried for longer than a lease lives is of no use to it.
            let hasty = self.store_in_haste(store.name()).await?;
            match Lease::acquire(hasty, name, holder(purpose), LEASE).await {
                Err(e) if e.kind() == Kind::Storage => {
                    what.push_str(&format!("\n  {}: {}", store.name(), e.one_line()));
                }
                outcome => return outcome,
            }
        }
        Err(Error::new(Kind::Storage, what).hint("`drctl doctor` tests every store"))
    }

    /// The stores in the standby region, which must be there when it matters; if there is none, the
    /// last one.
    pub fn in_standby(&self, stores: &[Arc<dyn ObjectStore>]) -> Vec<Arc<dyn ObjectStore>> {
        let standby = self.config.regions.standby.as_deref();
        let there: Vec<_> =
            stores.iter().filter(|s| Some(s.region()) == standby).map(Arc::clone).collect();
        match there.is_empty() {
            true => stores.last().map(Arc::clone).into_iter().collect(),
            false => there,
        }
    }

    /// The stores of a database, or the one of them that was named.
    pub async fn stores_named(
        &self,
        database: &DatabaseConfig,
        store: Option<&str>,
    ) -> Result<Vec<Arc<dyn ObjectStore>>> {
        match store {
            None => self.stores_of(database).await,
            Some(name) => Ok(vec![self.store(name).await?]),
        }
    }
}

impl App {
    /// A request for an audit of everything, or of one database or store, as of now; its terms are
    /// for the caller to narrow.
    pub async fn audit_request(
        &self,
        database: Option<&str>,
        store: Option<&str>,
    ) -> Result<AuditRequest> {
        let mut stores: BTreeMap<String, Arc<dyn ObjectStore>> = BTreeMap::new();
        let mut subjects = Vec::new();
        if let Some(name) = store {
            self.config.store(name)?;
        }
        for name in self.databases(database)? {
            let config = self.config.database(&name)?;
            let mut of_database = Vec::new();
            for name in config.stores.iter().filter(|name| store.is_none_or(|s| s == *name)) {
                let opened = match stores.get(name) {
                    Some(opened) => Arc::clone(opened),
                    None => self.store(name).await?,
                };
                stores.insert(name.clone(), Arc::clone(&opened));
                of_database.push(opened);
            }
            // A database that does not use the store has nothing to be audited there.
            if of_database.is_empty() {
                continue;
            }
            subjects.push(Subject {
                name,
                stores: of_database,
                jobs: config.jobs,
                full_every: TimeDelta::from_std(config.full_every).unwrap_or(TimeDelta::MAX),
            });
        }
        if subjects.is_empty() {
            return Err(Error::new(Kind::Usage, "no database keeps snapshots there")
                .hint("`stores` of a [database.NAME] says which ones it uses"));
        }
        let rpo = self.config.objectives.rpo;
        Ok(AuditRequest {
            subjects,
            stores: stores.into_values().collect(),
            known: self.config.database_names().map(str::to_owned).collect(),
            one_store: store.is_some(),
            depth: Depth::default(),
            sample: Sample::ALL,
            since: None,
            budget: None,
            shard: None,
            within: TimeDelta::days(30),
            afresh: false,
            every: TimeDelta::from_std(rpo).unwrap_or(TimeDelta::hours(1)),
            keys: self.keys()?,
            sink: Arc::new(crate::model::Silent),
            now: Utc::now(),
        })
    }

    /// Who audits, and where the journals lie that are audited.
    pub async fn auditor(&self, now: DateTime<Utc>) -> Result<Auditor> {
        let journals = match self.control_store() {
            Err(_) if self.config.regions.standby.is_none() => None,
            Err(e) => Some(Err(e)),
            Ok(_) => Some(self.journals().await),
        };
        Ok(Auditor { audit: AuditId::new(now, random()?), operator: operator(), journals })
    }

    /// Where the journals of runs lie: the control store and a folder of this machine.
    pub async fn journals(&self) -> Result<Copies> {
        let control = self.store_in_haste(self.control_store()?).await?;
        let local = state_folder(&|name| std::env::var_os(name).map(PathBuf::from))?;
        let local = FileStore::new("local", "local", &local.join(&self.config.project));
        Ok(Copies { control, local: Arc::new(local) })
    }
}

pub use serving::{Recorded, Serving, WebParts};

/// Where drctl keeps what this machine must remember, as the XDG base directory specification has
/// it; `DRCTL_STATE_DIR` goes before.
fn state_folder(env: &dyn Fn(&str) -> Option<PathBuf>) -> Result<PathBuf> {
    let whole = |name: &str| env(name).filter(|path| path.is_absolute());
    let given = whole("DRCTL_STATE_DIR");
    let state =
        || whole("XDG_STATE_HOME").or_else(|| whole("HOME").map(|h| h.join(".local/state")));
    given.or_else(|| state().map(|state| state.join("drctl"))).ok_or_else(|| {
        Error::new(Kind::Usage, "find a folder for the local copies of journals")
            .hint("set DRCTL_STATE_DIR or HOME to an absolute path")
    })
}

/// How long a lease outlives the last sign of its holder.
const LEASE: Duration = Duration::from_secs(60);

/// The name of the lease that a snapshot of `database` takes.
pub fn snapshot_lease(database: &str) -> String {
    format!("snapshot-{database}")
}

/// This process, as others are told who holds a lease; `purpose` goes on "to …".
pub fn holder(purpose: impl Into<String>) -> Holder {
    Holder::this_process(purpose)
}

/// Who runs this process, as runs name it: "ann on ops-1".
pub fn operator() -> String {
    let Holder { user, host, .. } = holder("");
    format!("{user} on {host}")
}

impl App {
    /// Carries an opened run on, to its end or a pause.
    pub async fn carry_on(
        &self,
        world: &World,
        opened: Opened,
        wishes: watch::Receiver<Wish>,
        sink: Arc<dyn Sink>,
    ) -> Result<Left> {
        let actions = engine::actions(&opened.plan, &self.config)?;
        let engine = Engine {
            plan: &opened.plan,
            actions: &actions,
            world,
            sink,
            wishes,
            pace: Pace::default(),
            now: Utc::now,
        };
        engine.carry_on(opened.journal, opened.state, opened.hold).await
    }
}

/// Gives a lease back, so that others need not wait until it runs out.
async fn give_back(lease: Option<Arc<Lease>>, sink: &dyn Sink) {
    if let Some(lease) = lease.and_then(Arc::into_inner)
        && let Err(e) = lease.release().await
    {
        sink.notice(Level::Warning, e.one_line());
    }
}

/// A random number for ids.
pub fn random() -> Result<u32> {
    getrandom::u32()
        .map_err(|e| Error::new(Kind::Failed, e.to_string()))
        .attempt(Kind::Failed, || "ask the system for a random number".to_owned())
}
