//! Listings and downloads that go on where they broke off.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};

use super::Retrying;
use super::patience::{Patience, Tries};
use crate::store::port::{ByteStream, Class, Listed, ObjectStore, Result, StoreError};

/// A listing that goes on after its last key when it breaks off.
pub(super) struct Listing<'a> {
    store: &'a Retrying,
    prefix: String,
    after: Option<String>,
    open: Option<BoxStream<'a, Result<Listed>>>,
    tries: Tries,
}

impl<'a> Listing<'a> {
    pub(super) fn new(store: &'a Retrying, prefix: &str, after: Option<String>) -> Self {
        let (prefix, tries) = (prefix.to_owned(), store.patience.begin());
        Self { store, prefix, after, open: None, tries }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Listed>> {
        loop {
            let open = self.open.get_or_insert_with(|| match &self.after {
                None => self.store.inner.list(&self.prefix),
                Some(key) => self.store.inner.list_after(&self.prefix, key),
            });
            match open.next().await {
                None => return Ok(None),
                Some(Ok(listed)) => {
                    self.after = Some(listed.key.clone());
                    if self.tries.failed > 0 {
                        self.tries = self.store.patience.begin();
                    }
                    return Ok(Some(listed));
                }
                Some(Err(e)) => {
                    self.open = None;
                    self.tries.wait_after(e).await?;
                }
            }
        }
    }
}

/// A download that goes on where it broke off. Objects do not change, so the bytes before are the
/// same; whoever reads compares digests anyway.
pub(super) struct Download {
    inner: Arc<dyn ObjectStore>,
    patience: Patience,
    key: String,
    open: Option<ByteStream>,
    given: u64,
    /// Bytes of the open stream that were given before it was opened.
    skip: u64,
    tries: Tries,
}

impl Download {
    pub(super) fn new(
        inner: Arc<dyn ObjectStore>,
        patience: Patience,
        key: &str,
        open: ByteStream,
    ) -> Self {
        let (key, tries) = (key.to_owned(), patience.begin());
        Self { inner, patience, key, open: Some(open), given: 0, skip: 0, tries }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self.step().await {
                Ok(Some(chunk)) if chunk.is_empty() => {}
                Ok(Some(chunk)) => {
                    self.given += chunk.len() as u64;
                    if self.tries.failed > 0 {
                        self.tries = self.patience.begin();
                    }
                    return Ok(Some(chunk));
                }
                Ok(None) => return Ok(None),
                Err(e) => {
                    self.open = None;
                    self.tries.wait_after(e).await?;
                }
            }
        }
    }

    async fn step(&mut self) -> Result<Option<Bytes>> {
        let open = match &mut self.open {
            Some(open) => open,
            None => {
                self.skip = self.given;
                self.open.insert(self.inner.get_stream(&self.key).await?)
            }
        };
        let Some(mut chunk) = open.try_next().await? else {
            if self.skip == 0 {
                return Ok(None);
            }
            let what = format!("read {}: it became shorter while it was read", self.key);
            return Err(StoreError::new(Class::Corrupt, what));
        };
        let known = usize::try_from(self.skip).unwrap_or(usize::MAX).min(chunk.len());
        self.skip -= known as u64;
        Ok(Some(chunk.split_off(known)))
    }
}
