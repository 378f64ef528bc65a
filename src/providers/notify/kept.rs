//! The book of alerts in the control store, changed by `If-Match`; and this process's own copy, which
//! serves while the store does not answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};

use super::alerting::Step;
use super::book::{Book, Task};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::Digest;
use crate::store::{Class, Condition, Etag, ObjectStore, Put, keys};

/// How long what was read of the book is good enough to see that nothing is new.
const FRESH: TimeDelta = TimeDelta::seconds(20);
/// How often others may write in between.
const ROUNDS: u32 = 12;
const NAME: &str = "alerts";

/// The book as this process saw it last.
pub struct Kept {
    store: Option<Arc<dyn ObjectStore>>,
    book: Book,
    /// As it was in the store then.
    base: Book,
    read: Option<DateTime<Utc>>,
    /// It holds what the store does not.
    ahead: bool,
}

impl Kept {
    pub fn new(store: Option<Arc<dyn ObjectStore>>) -> Self {
        let (book, base) = (Book::default(), Book::default());
        Self { store, book, base, read: None, ahead: false }
    }

    /// The book as it stands, where it was read so lately that nobody need ask again.
    pub fn fresh(&self, now: DateTime<Utc>) -> Option<Book> {
        let fresh = self.read.is_some_and(|read| read <= now && now - read < FRESH);
        ((fresh && !self.ahead) || self.store.is_none()).then(|| self.book.clone())
    }

    /// The book as it stands in the store. An error: the store does not say.
    pub async fn read(&mut self, now: DateTime<Utc>) -> Result<Book> {
        if let Some(store) = &self.store {
            let (book, _) = read(&**store).await?;
            if !self.ahead {
                self.remember(book, now);
            }
        }
        Ok(self.book.clone())
    }

    /// Changes the book in the store, or, where there is none or it does not answer, this process's
    /// own. Gives what this process is to tell, and why the store does not know of it.
    pub async fn update(&mut self, step: &Step<'_>) -> (Vec<Task>, Option<String>) {
        let mut unkept = None;
        if let Some(store) = self.store.clone() {
            match self.update_store(&*store, step).await {
                Ok(tasks) => return (tasks, None),
                Err(e) => unkept = Some(e.one_line()),
            }
        }
        self.ahead = self.store.is_some();
        (step.apply(&mut self.book).1, unkept)
    }

    async fn update_store(
        &mut self,
        store: &dyn ObjectStore,
        step: &Step<'_>,
    ) -> Result<Vec<Task>> {
        let key = keys::state_key(NAME);
        let mut lost = None;
        for round in 0..ROUNDS {
            let (mut book, etag) = read(store).await?;
            if self.ahead {
                book.merge(&self.base, &self.book);
            }
            let (changed, tasks) = step.apply(&mut book);
            if !changed && !self.ahead {
                self.remember(book, step.now);
                return Ok(tasks);
            }
            let bytes: Bytes = serde_json::to_vec(&book)
                .attempt(Kind::Bug, || "write alerts as JSON".to_owned())?
                .into();
            let condition = etag.map_or(Condition::Absent, Condition::Matches);
            let sha256 = Digest::of(&bytes);
            match store.put_if(&key, bytes, sha256, condition).await {
                Ok(Put::Written(_)) => {
                    self.remember(book, step.now);
                    return Ok(tasks);
                }
                // Another wrote in between, or our own write whose answer was lost: what this
                // process claimed there runs out, and is sent again under the same ids.
                Ok(Put::Refused) => {}
                Err(e) if matches!(e.class, Class::Unknown | Class::Transient) => lost = Some(e),
                Err(e) => return Err(e.into()),
            }
            // Those who run into each other must not do so again.
            let spread = u64::from(getrandom::u32().unwrap_or_default() % 40);
            tokio::time::sleep(Duration::from_millis(u64::from(round) * 10 + spread)).await;
        }
        let what = format!("write {key} to store `{}`", store.name());
        Err(match lost {
            Some(e) => Error::from(e).during(what),
            None => Error::new(Kind::Storage, format!("{what}: it changes all the time")),
        })
    }

    fn remember(&mut self, book: Book, now: DateTime<Utc>) {
        self.base = book.clone();
        self.book = book;
        self.read = Some(now);
        self.ahead = false;
    }
}

/// A book that cannot be read is begun anew: it must not keep people from being told.
async fn read(store: &dyn ObjectStore) -> Result<(Book, Option<Etag>)> {
    match store.get(&keys::state_key(NAME)).await {
        Ok(object) => {
            let book = serde_json::from_slice(&object.bytes).unwrap_or_default();
            Ok((book, Some(object.etag)))
        }
        Err(e) if e.class == Class::NotFound => Ok((Book::default(), None)),
        Err(e) => Err(e.into()),
    }
}
