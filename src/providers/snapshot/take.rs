//! `snapshot.take`: what `drctl snapshot` does.

use std::sync::Arc;
use std::time::Duration;

use chrono::{TimeDelta, Utc};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::watching::{Relay, aside, watching};
use super::{repeatable, shelf_of, stores};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::integrity::shelf::Shelved;
use crate::model::{Digest, Sink};
use crate::postgres::Conninfo;
use crate::providers::postgres::{Server, limits};
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, Observed, Plane, Standing,
};
use crate::snapshot::{self, Request};
use crate::store::{Holder, Lease};

/// As `drctl snapshot` has it.
const LEASE: Duration = Duration::from_secs(60);

/// Arguments of `snapshot.take`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of the server to take it from; default: the database's `url`.
    #[serde(rename = "in")]
    pub region: Option<String>,
    /// Begin a new generation.
    #[serde(default)]
    pub full: bool,
}

pub struct Take {
    database: String,
    server: Option<Server>,
    full: bool,
}

impl Take {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        config.database(&with.database)?;
        let server = with
            .region
            .as_ref()
            .map(|region| Server::find(config, &with.database, region))
            .transpose()?;
        Ok(Self { database: with.database, server, full: with.full })
    }

    fn conninfo(&self, config: &Config) -> Result<Conninfo> {
        match &self.server {
            Some(server) => server.conninfo(),
            None => Conninfo::parse(&config.database(&self.database)?.url),
        }
    }

    /// The number in the id of this step's snapshot: it is known again after a crash.
    fn mark(&self, cx: &Context<'_>) -> u32 {
        let digest = Digest::of(format!("{} {} {}", cx.run.id, cx.step, self.database).as_bytes());
        let bytes = digest.as_bytes();
        u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]])
    }

    /// This step's snapshot, if it was taken.
    async fn find(&self, cx: &Context<'_>) -> Result<Option<Shelved>, Failure> {
        let ending = format!("-{:06x}", self.mark(cx));
        let (_, shelf) = shelf_of(cx.world, &self.database).await.map_err(repeatable)?;
        let began = cx.run.confirmed - TimeDelta::minutes(5);
        let ours = |s: &&Shelved| {
            s.id.as_str().ends_with(&ending)
                && s.id.began() >= began
                && s.complete_in().next().is_some()
        };
        Ok(shelf.snapshots.iter().rfind(ours).cloned())
    }

    fn facts(&self, found: &Shelved) -> Facts {
        let stores: Vec<&str> = found.complete_in().collect();
        let facts = json!({
            "database": self.database, "snapshot": found.id, "taken": found.taken(),
            "stores": stores,
        });
        match facts {
            Value::Object(facts) => facts,
            _ => Facts::default(),
        }
    }

    async fn take(&self, cx: &Context<'_>, relay: &Arc<Relay>) -> Result<snapshot::Outcome> {
        let world = cx.world;
        let config = world.config.database(&self.database)?.clone();
        let stores = stores(world, &self.database)?;
        let sink: Arc<dyn Sink> = Arc::<Relay>::clone(relay);
        let purpose = format!("take a snapshot of {} in run {}", self.database, cx.run.id);
        let lease = self.lease(&stores, &purpose).await?;
        let request = Request {
            project: world.config.project.clone(),
            conninfo: self.conninfo(&world.config)?,
            stores,
            keys: world.keys.clone(),
            config,
            full: self.full,
            now: Utc::now(),
            random: self.mark(cx),
            sink,
        };
        let outcome = aside(move || async move { snapshot::take(&request).await }).await;
        // Two at once would be wasteful, not harmful; one that is not given back runs out.
        let _ = lease.release().await;
        outcome
    }

    /// In the first store that can be reached.
    async fn lease(
        &self,
        stores: &[Arc<dyn crate::store::ObjectStore>],
        purpose: &str,
    ) -> Result<Lease> {
        let name = format!("snapshot-{}", self.database);
        let mut failure = None;
        for store in stores {
            let holder = Holder::this_process(purpose);
            match Lease::acquire(Arc::clone(store), &name, holder, LEASE).await {
                Err(e) if e.kind() == Kind::Storage => failure = Some(e),
                outcome => return outcome,
            }
        }
        Err(failure.unwrap_or_else(|| Error::new(Kind::Storage, format!("take lease `{name}`"))))
    }
}

impl Action for Take {
    fn describe(&self) -> Description {
        let from = match &self.server {
            Some(server) => server.label(),
            None => format!("`{}`", self.database),
        };
        let description =
            Description::changes(format!("take a snapshot of {from} into its stores"));
        match &self.server {
            Some(server) => {
                description.leans_on(&server.region, Plane::Data, format!("the server of {from}"))
            }
            None => description,
        }
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("snapshot of `{}`", self.database);
        let mut checks = vec![match stores(cx.world, &self.database) {
            Ok(stores) => {
                let names: Vec<&str> = stores.iter().map(|s| s.name()).collect();
                Check::new(Standing::Ready, &what, format!("into {}", names.join(", ")))
            }
            Err(e) => Check::new(Standing::NotReady, &what, e.one_line()),
        }];
        if let Some(server) = &self.server {
            checks.push(match server.look(limits(cx)).await {
                Ok(_) => Check::new(Standing::Ready, &what, "its server answers"),
                Err(e) => Check::new(Standing::NotReady, &what, e.one_line()),
            });
        }
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        Ok(match self.find(cx).await? {
            Some(found) => Observed::Done(self.facts(&found)),
            None => Observed::NotDone("this step's snapshot is not in any store".to_owned()),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        if let Some(found) = self.find(cx).await? {
            let summary = format!("snapshot {} was taken by this step before", found.id);
            return Ok(Applied { facts: self.facts(&found), ..Applied::new(summary) });
        }
        let relay = Arc::new(Relay::default());
        let what = format!("a snapshot of `{}`", self.database);
        let taken = watching(cx, &relay, &what, self.take(cx, &relay)).await.ok_or_else(|| {
            let what = format!("take {what}: the step's time is up");
            Failure::transient(
                Error::new(Kind::Failed, what)
                    .hint("parts that arrived are reused by the next one; give the step more time"),
            )
        })?;
        let outcome = taken.map_err(|e| match e.kind() {
            Kind::LeaseHeld => Failure::transient(e),
            _ => repeatable(e),
        })?;
        let manifest = &outcome.manifest;
        let complete: Vec<&str> =
            outcome.stores.iter().filter(|s| s.complete).map(|s| s.name.as_str()).collect();
        let mut applied = Applied::new(format!(
            "snapshot {} of `{}`, complete in {}",
            manifest.id,
            self.database,
            complete.join(", ")
        ))
        .fact("database", self.database.clone())
        .fact("snapshot", manifest.id.as_str())
        .fact("taken", manifest.taken.to_rfc3339())
        .fact("rows", manifest.totals.rows)
        .fact("stores", complete);
        for store in outcome.stores.iter().filter(|s| !s.complete) {
            let why = store.error.as_deref().unwrap_or("unknown");
            applied = applied.warning(format!("store `{}` does not have it: {why}", store.name));
        }
        for warning in relay.warnings() {
            applied = applied.warning(warning);
        }
        Ok(applied)
    }
}
