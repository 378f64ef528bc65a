//! Opening the store that a configuration names.

use std::sync::Arc;

use super::file::FileStore;
use super::port::{ObjectStore, Result};
use super::retry::{Patience, Retrying};
use super::s3::S3Store;
use crate::config::{StoreConfig, StoreUrl};

/// The store of `config`, tried again as unattended work has it. Sends nothing yet.
pub async fn open(config: &StoreConfig) -> Result<Arc<dyn ObjectStore>> {
    open_with(config, Patience::of(config.patience)).await
}

/// As `open`, tried again as `patience` has it.
pub async fn open_with(config: &StoreConfig, patience: Patience) -> Result<Arc<dyn ObjectStore>> {
    let store: Arc<dyn ObjectStore> = match &config.url {
        StoreUrl::S3 { .. } => Arc::new(S3Store::connect(config).await?),
        StoreUrl::File { dir } => Arc::new(FileStore::new(&config.name, &config.region, dir)),
    };
    Ok(Arc::new(Retrying::new(store, patience)))
}
