//! Keeping a lease: renewing it in the background and noticing when it is lost.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::record::{self, Record};
use crate::error::{Error, Kind, Result};
use crate::store::port::{Condition, Etag, ObjectStore, Put};

/// What the keeper's task knows, for everyone who asks.
#[derive(Debug, Clone)]
struct State {
    /// When the last renewal that is known to have happened was sent.
    confirmed: Instant,
    lost: Option<String>,
}

/// Renews a lease every third of its time to live until it is released, lost or dropped.
#[derive(Debug)]
pub(super) struct Keeper {
    fence: u64,
    ttl: Duration,
    state: watch::Receiver<State>,
    stop: Option<oneshot::Sender<()>>,
    task: Option<JoinHandle<Work>>,
}

/// The task's own part.
#[derive(Debug)]
struct Work {
    store: Arc<dyn ObjectStore>,
    record: Record,
    etag: Etag,
    ttl: Duration,
    state: watch::Sender<State>,
}

impl Keeper {
    pub(super) fn start(
        store: Arc<dyn ObjectStore>,
        record: Record,
        etag: Etag,
        sent: Instant,
        ttl: Duration,
    ) -> Self {
        let fence = record.fence;
        let (sender, state) = watch::channel(State { confirmed: sent, lost: None });
        let (stop, stopped) = oneshot::channel();
        let work = Work { store, record, etag, ttl, state: sender };
        let task = tokio::spawn(work.renew_until(stopped));
        Self { fence, ttl, state, stop: Some(stop), task: Some(task) }
    }

    pub(super) fn fence(&self) -> u64 {
        self.fence
    }

    pub(super) fn why_lost(&self) -> Option<String> {
        let state = self.state.borrow();
        match &state.lost {
            Some(why) => Some(why.clone()),
            // The machine slept, or the store does not answer: others may take it from now on.
            None if state.confirmed.elapsed() >= self.ttl => Some(silent(self.ttl)),
            None => None,
        }
    }

    /// Whether it is lost only because the store gave no answer for too long: nobody is known to
    /// have taken it.
    pub(super) fn is_silent(&self) -> bool {
        self.why_lost().is_some_and(|why| why == silent(self.ttl))
    }

    pub(super) async fn lost(&self) -> String {
        let mut state = self.state.clone();
        loop {
            if let Some(why) = self.why_lost() {
                return why;
            }
            let end = state.borrow_and_update().confirmed + self.ttl;
            tokio::select! {
                changed = state.changed() => {
                    if changed.is_err() {
                        // The task ended: nothing renews it any more.
                        tokio::time::sleep_until(end).await;
                    }
                }
                () = tokio::time::sleep_until(end) => {}
            }
        }
    }

    pub(super) async fn release(mut self) -> Result<()> {
        if let Some(why) = self.why_lost() {
            let what = format!("release a lease: {why}");
            return Err(Error::new(Kind::LeaseHeld, what));
        }
        drop(self.stop.take());
        let Some(task) = self.task.take() else { return Ok(()) };
        let work =
            task.await.map_err(|e| Error::new(Kind::Bug, "stop renewing a lease").caused_by(e))?;
        work.release().await
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn silent(ttl: Duration) -> String {
    format!("it could not be renewed for {} s, so others may have taken it", ttl.as_secs())
}

impl Work {
    async fn renew_until(mut self, mut stopped: oneshot::Receiver<()>) -> Self {
        let third = self.ttl / 3;
        let mut wait = third;
        loop {
            tokio::select! {
                _ = &mut stopped => return self,
                () = tokio::time::sleep(wait) => {}
            }
            // Not raced with `stopped`: a renewal that was sent is waited for, so that the version
            // is known. It takes no longer than this.
            match tokio::time::timeout(third, self.renew()).await {
                Ok(Ok(true)) => wait = third,
                Ok(Ok(false)) => return self,
                // Not known, or not possible now: again soon, until others may take it.
                Ok(Err(_)) | Err(_) => wait = third / 4,
            }
            if self.state.borrow().confirmed.elapsed() >= self.ttl {
                self.lose(silent(self.ttl));
                return self;
            }
        }
    }

    /// Writes a sign of life. `false`: the lease is lost.
    async fn renew(&mut self) -> Result<bool> {
        let sent = Instant::now();
        let next = Record { renewed: Utc::now(), ..self.record.clone() };
        match self.write(next).await? {
            None => {
                self.state.send_modify(|state| state.confirmed = sent);
                Ok(true)
            }
            Some(why) => {
                self.lose(why);
                Ok(false)
            }
        }
    }

    /// Writes over our own record; gives why the lease is lost if it is not ours any more.
    async fn write(&mut self, next: Record) -> Result<Option<String>> {
        // Twice: the version may be that of a write of ours whose answer never came.
        for _ in 0..2 {
            let condition = Condition::Matches(self.etag.clone());
            if let Put::Written(etag) = next.write(&*self.store, condition).await? {
                self.etag = etag;
                self.record = next;
                return Ok(None);
            }
            match record::read(&*self.store, &self.record.name).await? {
                None => return Ok(Some("somebody removed it".to_owned())),
                Some(found) if found.record.token != self.record.token => {
                    let (holder, fence) = (found.record.holder, found.record.fence);
                    return Ok(Some(format!("it was taken by {holder} (number {fence})")));
                }
                Some(found) if found.record.released.is_some() => {
                    let by = found.record.broken_by.unwrap_or_else(|| "its own holder".to_owned());
                    return Ok(Some(format!("it was broken by {by}")));
                }
                Some(found) => self.etag = found.etag,
            }
        }
        Err(Error::new(Kind::Storage, "renew a lease: its version keeps changing"))
    }

    async fn release(mut self) -> Result<()> {
        let next = Record { released: Some(Utc::now()), ..self.record.clone() };
        match self.write(next).await? {
            None => Ok(()),
            Some(why) => {
                let what = format!("release lease `{}`: {why}", self.record.name);
                Err(Error::new(Kind::LeaseHeld, what))
            }
        }
    }

    fn lose(&self, why: String) {
        self.state.send_modify(|state| state.lost = Some(why));
    }
}
