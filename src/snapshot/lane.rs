//! A lane is the way of one snapshot into one store. A store that fails ends its lane, not the
//! snapshot.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use tokio::sync::OnceCell;

use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Event, GenerationId, Manifest, Sink};
use crate::store::keys;
use crate::store::{Condition, ObjectStore, Put};

/// The objects of a generation that lie in a store, by key, with their sizes.
pub type Arrived = HashMap<String, u64>;

/// One store's share of a snapshot under way.
pub struct Lane {
    pub store: Arc<dyn ObjectStore>,
    /// The newest snapshot that is complete here, in whatever generation.
    pub newest: Option<Manifest>,
    database: String,
    generation: GenerationId,
    /// The generation began with this run, so nothing of it can be here.
    fresh: bool,
    arrived: OnceCell<Arrived>,
    lost: Mutex<Option<Error>>,
    new_bytes: AtomicU64,
    sink: Arc<dyn Sink>,
}

/// Why an object could not be put.
#[derive(Debug)]
pub enum PutError {
    /// Another object has the key: a finished part of an unfinished run, compressed otherwise.
    Conflict(String),
    Failed(Error),
}

impl Lane {
    pub fn new(
        store: Arc<dyn ObjectStore>,
        newest: Option<Manifest>,
        database: &str,
        generation: &GenerationId,
        fresh: bool,
        sink: Arc<dyn Sink>,
    ) -> Self {
        Self {
            store,
            newest,
            database: database.to_owned(),
            generation: generation.clone(),
            fresh,
            arrived: OnceCell::new(),
            lost: Mutex::new(None),
            new_bytes: AtomicU64::new(0),
            sink,
        }
    }

    pub fn sink(&self) -> &dyn Sink {
        &*self.sink
    }

    pub fn name(&self) -> &str {
        self.store.name()
    }

    pub fn is_lost(&self) -> bool {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Why the store was given up.
    pub fn loss(&self) -> Option<String> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(Error::one_line)
    }

    pub fn take_loss(&self) -> Option<Error> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Gives the store up for this run. The first reason stays.
    pub fn lose(&self, error: Error) {
        let mut lost = self.lost.lock().unwrap_or_else(PoisonError::into_inner);
        if lost.is_none() {
            self.sink
                .emit(Event::StoreLost { store: self.name().to_owned(), error: error.one_line() });
            *lost = Some(error);
        }
    }

    pub fn new_bytes(&self) -> u64 {
        self.new_bytes.load(Ordering::Relaxed)
    }

    pub fn count_new(&self, bytes: u64) {
        self.new_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// What an earlier run left of this generation, listed once.
    pub async fn arrived(&self) -> Result<&Arrived> {
        self.arrived
            .get_or_try_init(|| async {
                match self.fresh {
                    true => Ok(Arrived::new()),
                    false => list_generation(&*self.store, &self.database, &self.generation).await,
                }
            })
            .await
    }

    /// Sees to it that the object is here: looks whether it has arrived before, else puts it.
    pub async fn ensure(
        &self,
        key: &str,
        stored: &Bytes,
        stored_digest: Digest,
    ) -> std::result::Result<(), PutError> {
        let here = self.arrived().await.map_err(PutError::Failed)?.contains_key(key);
        if !here {
            let put = self
                .store
                .put_if(key, stored.clone(), stored_digest, Condition::Absent)
                .await
                .map_err(|e| PutError::Failed(e.into()))?;
            if matches!(put, Put::Written(_)) {
                self.count_new(stored.len() as u64);
                return Ok(());
            }
        }
        // Create-only keys never change, so what is there must be these bytes.
        let meta = self
            .store
            .head(key, true)
            .await
            .map_err(|e| PutError::Failed(e.into()))?
            .ok_or_else(|| PutError::Failed(vanished(&*self.store, key)))?;
        let same = meta.size == stored.len() as u64
            && meta.sha256.is_none_or(|sha256| sha256 == stored_digest);
        match same {
            true => Ok(()),
            false => Err(PutError::Conflict(format!(
                "{key} in store `{}` was stored by an earlier run with other compressed bytes",
                self.name()
            ))),
        }
    }
}

fn vanished(store: &dyn ObjectStore, key: &str) -> Error {
    Error::new(
        Kind::Storage,
        format!("{key} in store `{}` vanished while it was looked at", store.name()),
    )
}

/// Lists the parts and lists of a generation.
pub async fn list_generation(
    store: &dyn ObjectStore,
    database: &str,
    generation: &GenerationId,
) -> Result<Arrived> {
    let mut all = Arrived::new();
    for prefix in
        [keys::parts_prefix(database, generation), keys::lists_prefix(database, generation)]
    {
        let mut listing = store.list(&prefix);
        while let Some(listed) = listing.try_next().await? {
            all.insert(listed.key, listed.size);
        }
    }
    Ok(all)
}
