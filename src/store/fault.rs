//! A store that fails on command, for tests of whatever must survive a failing one.

use std::any::Any;
use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::sync::Semaphore;

use super::port::{
    ByteStream, Class, Condition, Listed, Meta, Object, ObjectStore, Put, Result, StoreError,
};
use super::posture::{Posture, Setting};
use crate::model::Digest;

/// A kind of act.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Op {
    Put,
    PutFile,
    Get,
    GetStream,
    Head,
    List,
    ListDirs,
    Posture,
    Delete,
    Copy,
    Now,
}

/// What goes wrong.
#[derive(Debug, Clone)]
pub enum Fault {
    /// The act fails and does nothing.
    Fail(Class),
    /// The act is done; the answer is lost.
    FailAfter,
    /// The act waits first.
    Slow(Duration),
    /// A read gives only so many bytes, as if that were all.
    Truncate(usize),
    /// A read gives the byte at this place (modulo the length) with its lowest bit turned over.
    Flip(usize),
    /// A listing or stream fails after so many items.
    BreakAfter(usize),
    /// The act waits until it is released.
    Hold(Held),
    /// A write ignores its condition, as a store does that has never heard of them.
    Unconditional,
    /// A write ignores the digest that was promised.
    Unchecked,
}

/// A place where an act waits: see `FaultyStore::hold`.
#[derive(Debug, Clone)]
pub struct Held(Arc<[Semaphore; 2]>);

impl Held {
    fn new() -> Self {
        Self(Arc::new([Semaphore::new(0), Semaphore::new(0)]))
    }

    /// Waits until the act has arrived.
    pub async fn reached(&self) {
        // Neither semaphore is ever closed.
        if let Ok(permit) = self.0[0].acquire().await {
            permit.forget();
        }
    }

    /// Lets the act go on.
    pub fn release(&self) {
        self.0[1].add_permits(1);
    }

    async fn wait(&self) {
        self.0[0].add_permits(1);
        if let Ok(permit) = self.0[1].acquire().await {
            permit.forget();
        }
    }
}

/// A wrapper that does what its store does, but for the faults it was told. Clones share them.
#[derive(Debug, Clone)]
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    script: Arc<Mutex<Script>>,
}

#[derive(Debug, Default)]
struct Script {
    total: u64,
    counts: HashMap<Op, u64>,
    faults: HashMap<(Op, u64), Fault>,
    always: HashMap<Op, Fault>,
    /// Held at this act, of whatever kind.
    hold: Option<(u64, Held)>,
    lost_after: Option<u64>,
}

impl FaultyStore {
    pub fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner, script: Arc::default() }
    }

    /// Something goes wrong at the `nth` act of a kind, counted from 1.
    pub fn on(&self, op: Op, nth: u64, fault: Fault) {
        self.script().faults.insert((op, nth), fault);
    }

    /// Something goes wrong at every act of a kind.
    pub fn always(&self, op: Op, fault: Fault) {
        self.script().always.insert(op, fault);
    }

    /// After `acts` acts of whatever kind, the store is out of reach for good.
    pub fn lose_after(&self, acts: u64) {
        self.script().lost_after = Some(acts);
    }

    /// Takes all faults back.
    pub fn heal(&self) {
        let mut script = self.script();
        *script = Script {
            total: script.total,
            counts: std::mem::take(&mut script.counts),
            ..Script::default()
        };
    }

    /// The `nth` act of whatever kind, counted from 1, waits before it begins.
    pub fn hold(&self, nth: u64) -> Held {
        let held = Held::new();
        self.script().hold = Some((nth, held.clone()));
        held
    }

    /// How many acts of a kind there were.
    pub fn count(&self, op: Op) -> u64 {
        self.script().counts.get(&op).copied().unwrap_or(0)
    }

    /// How many acts there were.
    pub fn total(&self) -> u64 {
        self.script().total
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an act and gives what goes wrong with it.
    fn next(&self, op: Op) -> Option<Fault> {
        let mut script = self.script();
        script.total += 1;
        let count = script.counts.entry(op).or_default();
        *count += 1;
        let at = (op, *count);
        if script.lost_after.is_some_and(|acts| script.total > acts) {
            return Some(Fault::Fail(Class::Transient));
        }
        if let Some((nth, held)) = &script.hold
            && *nth == script.total
        {
            return Some(Fault::Hold(held.clone()));
        }
        script.faults.remove(&at).or_else(|| script.always.get(&op).cloned())
    }

    /// What goes wrong before an act; what is left goes wrong with its result.
    async fn before(&self, op: Op, key: &str) -> Result<Option<Fault>> {
        match self.next(op) {
            Some(Fault::Fail(class)) => Err(injected(op, key, class)),
            Some(Fault::Slow(time)) => {
                tokio::time::sleep(time).await;
                Ok(None)
            }
            Some(Fault::Hold(held)) => {
                held.wait().await;
                Ok(None)
            }
            other => Ok(other),
        }
    }

    fn broken<'a, T: Send + 'a>(
        items: BoxStream<'a, Result<T>>,
        count: usize,
        op: Op,
        key: &str,
    ) -> BoxStream<'a, Result<T>> {
        let end = Err(injected(op, key, Class::Transient));
        items.take(count).chain(stream::once(std::future::ready(end))).boxed()
    }
}

fn injected(op: Op, key: &str, class: Class) -> StoreError {
    StoreError::new(class, format!("{op:?} {key}: a fault was injected"))
}

fn after<T>(fault: Option<Fault>, op: Op, key: &str, value: T) -> Result<T> {
    match fault {
        Some(Fault::FailAfter) => Err(injected(op, key, Class::Unknown)),
        _ => Ok(value),
    }
}

fn spoilt(fault: Option<&Fault>, bytes: Bytes) -> Bytes {
    match fault {
        Some(Fault::Truncate(to)) => bytes.slice(..bytes.len().min(*to)),
        Some(Fault::Flip(at)) if !bytes.is_empty() => {
            let mut bytes = bytes.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1;
            bytes.into()
        }
        _ => bytes,
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn url(&self) -> &str {
        self.inner.url()
    }

    fn region(&self) -> &str {
        self.inner.region()
    }

    async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Digest,
        condition: Condition,
    ) -> Result<Put> {
        let fault = self.before(Op::Put, key).await?;
        let (mut sha256, mut condition) = (sha256, condition);
        match fault {
            Some(Fault::Unconditional) => {
                self.inner.delete(&[key.to_owned()]).await?;
                condition = Condition::Absent;
            }
            Some(Fault::Unchecked) => sha256 = Digest::of(&bytes),
            _ => {}
        }
        let put = self.inner.put_if(key, bytes, sha256, condition).await?;
        after(fault, Op::Put, key, put)
    }

    async fn put_file_new(&self, key: &str, file: &Path, size: u64, sha256: Digest) -> Result<Put> {
        let fault = self.before(Op::PutFile, key).await?;
        let put = self.inner.put_file_new(key, file, size, sha256).await?;
        after(fault, Op::PutFile, key, put)
    }

    async fn get(&self, key: &str) -> Result<Object> {
        let fault = self.before(Op::Get, key).await?;
        let object = self.inner.get(key).await?;
        let object = Object { bytes: spoilt(fault.as_ref(), object.bytes), ..object };
        after(fault, Op::Get, key, object)
    }

    async fn get_stream(&self, key: &str) -> Result<ByteStream> {
        let fault = self.before(Op::GetStream, key).await?;
        match fault {
            None => self.inner.get_stream(key).await,
            Some(Fault::BreakAfter(chunks)) => {
                let stream = self.inner.get_stream(key).await?;
                Ok(Self::broken(stream, chunks, Op::GetStream, key))
            }
            Some(fault) => {
                let stream = self.inner.get_stream(key).await?;
                let chunks: Vec<Bytes> = stream.try_collect().await?;
                let bytes = spoilt(Some(&fault), chunks.concat().into());
                after(Some(fault), Op::GetStream, key, stream::iter([Ok(bytes)]).boxed())
            }
        }
    }

    async fn head(&self, key: &str, checksum: bool) -> Result<Option<Meta>> {
        let fault = self.before(Op::Head, key).await?;
        let meta = self.inner.head(key, checksum).await?;
        after(fault, Op::Head, key, meta)
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, Result<Listed>> {
        let prefix = prefix.to_owned();
        let begin = async move {
            let fault = self.before(Op::List, &prefix).await?;
            let list = self.inner.list(&prefix);
            Ok(match fault {
                Some(Fault::BreakAfter(items)) => Self::broken(list, items, Op::List, &prefix),
                _ => list,
            })
        };
        stream::once(begin).try_flatten().boxed()
    }

    async fn list_dirs(&self, prefix: &str) -> Result<Vec<String>> {
        let fault = self.before(Op::ListDirs, prefix).await?;
        let dirs = self.inner.list_dirs(prefix).await?;
        after(fault, Op::ListDirs, prefix, dirs)
    }

    async fn delete(&self, keys: &[String]) -> Result<()> {
        let first = keys.first().map_or("", String::as_str);
        let fault = self.before(Op::Delete, first).await?;
        self.inner.delete(keys).await?;
        after(fault, Op::Delete, first, ())
    }

    async fn copy_within(
        &self,
        from: &dyn ObjectStore,
        key: &str,
        size: u64,
        sha256: Digest,
    ) -> Result<Option<Put>> {
        let fault = self.before(Op::Copy, key).await?;
        let put = self.inner.copy_within(from, key, size, sha256).await?;
        after(fault, Op::Copy, key, put)
    }

    fn as_any(&self) -> &dyn Any {
        self.inner.as_any()
    }

    async fn posture(&self, witness: Option<&str>) -> Option<Posture> {
        match self.before(Op::Posture, "").await {
            Ok(_) => self.inner.posture(witness).await,
            Err(e) => {
                let all = Setting::ALL.into_iter();
                Some(all.map(|s| (s, Err(injected(Op::Posture, "", e.class)))).collect())
            }
        }
    }

    async fn now(&self) -> Result<DateTime<Utc>> {
        let fault = self.before(Op::Now, "").await?;
        let now = self.inner.now().await?;
        after(fault, Op::Now, "", now)
    }

    fn free_bytes(&self) -> Option<u64> {
        self.inner.free_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::MemoryStore;
    use super::*;

    #[tokio::test]
    async fn faults_happen_where_they_were_told_to() {
        let memory = MemoryStore::new("east");
        memory.overwrite("k", "bytes");
        let store = FaultyStore::new(Arc::new(memory));
        store.on(Op::Get, 1, Fault::Truncate(2));
        store.on(Op::Get, 2, Fault::Flip(6));
        store.on(Op::Get, 3, Fault::Fail(Class::Denied));
        assert_eq!(store.get("k").await.unwrap().bytes, "by");
        assert_eq!(store.get("k").await.unwrap().bytes, "bxtes");
        assert_eq!(store.get("k").await.unwrap_err().class, Class::Denied);
        assert_eq!(store.get("k").await.unwrap().bytes, "bytes");
        let held = store.hold(5);
        let get = tokio::spawn({
            let store = store.clone();
            async move { store.get("k").await }
        });
        held.reached().await;
        assert!(!get.is_finished());
        held.release();
        assert!(get.await.unwrap().is_ok());
        store.lose_after(store.total());
        assert!(store.head("k", false).await.is_err());
        store.heal();
        assert!(store.head("k", false).await.unwrap().is_some());
    }
}
