//! stub
use super::*;
use crate::config::{StoreConfig, StoreUrl};
use std::sync::Arc;
pub async fn open(c: &StoreConfig) -> Result<Arc<dyn ObjectStore>> {
    let inner: Arc<dyn ObjectStore> = match &c.url {
        StoreUrl::File { dir } => Arc::new(FileStore::new(&c.name, &c.region, dir)),
        StoreUrl::S3 { .. } => Arc::new(S3Store::connect(c).await?),
    };
    Ok(Arc::new(Retrying::new(inner, Patience::default())))
}
