//! The composition root: makes stores, keys and requests from a configuration. The only place that
//! names concrete adapters.

use std::path::Path;
use std::sync::Arc;

use chrono::Utc;

use crate::config::{Config, DatabaseConfig};
use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::seal::Keys;
use crate::model::Sink;
use crate::postgres::Conninfo;
use crate::snapshot;
use crate::store::{self, ObjectStore};

/// A loaded configuration and what is made from it.
pub struct App {
    pub config: Config,
}

impl App {
    /// Loads the configuration as `Config::load` says.
    pub fn load(path: Option<&Path>) -> Result<Self> {
        Ok(Self { config: Config::load(path, &|name| std::env::var(name).ok())? })
    }

    /// The keys that seal and prove manifests.
    pub fn keys(&self) -> Result<Keys> {
        let signing = self.config.signing_key.as_ref().map(|k| k.expose()).transpose()?;
        Keys::read(signing, self.config.trusted_keys()?)
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
            conninfo: Conninfo::parse(&config.url)?,
            stores: self.stores_of(&config).await?,
            keys: self.keys()?,
            config,
            full,
            now: Utc::now(),
            random: random()?,
            sink,
        })
    }
}

/// A random number for ids.
pub fn random() -> Result<u32> {
    getrandom::u32()
        .map_err(|e| Error::new(Kind::Failed, e.to_string()))
        .attempt(Kind::Failed, || "ask the system for a random number".to_owned())
}
