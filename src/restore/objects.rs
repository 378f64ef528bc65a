//! Reading the objects of a snapshot from the first store that has them intact.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;

use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::{codec, hashing, history};
use crate::model::{
    Digest, Event, GenerationId, Kept, Level, Manifest, Part, PartList, PartName, Sink, Table,
};
use crate::store::{Class, ObjectStore, StoreError, keys};

/// Failures to reach a store, one after another, until it is asked last.
const PATIENCE: u32 = 3;

/// The stores of a snapshot, nearest first.
pub struct Objects {
    sources: Vec<Source>,
    database: String,
    generation: GenerationId,
    cipher: Cipher,
    sink: Arc<dyn Sink>,
}

struct Source {
    store: Arc<dyn ObjectStore>,
    unreachable: AtomicU32,
}

impl Source {
    fn is_away(&self) -> bool {
        self.unreachable.load(Ordering::Relaxed) >= PATIENCE
    }
}

impl Objects {
    pub fn new(
        stores: &[Arc<dyn ObjectStore>],
        manifest: &Manifest,
        cipher: Cipher,
        sink: Arc<dyn Sink>,
    ) -> Self {
        let source = |s: &Arc<dyn ObjectStore>| Source {
            store: Arc::clone(s),
            unreachable: AtomicU32::new(0),
        };
        Self {
            sources: stores.iter().map(source).collect(),
            database: manifest.database.clone(),
            generation: manifest.generation.clone(),
            cipher,
            sink,
        }
    }

    /// Tries one store after another until `read` succeeds. `what` names the object for people.
    async fn first<T, F>(
        &self,
        what: &str,
        key: &str,
        read: impl Fn(Arc<dyn ObjectStore>) -> F,
    ) -> Result<T>
    where
        F: Future<Output = Result<T, ReadError>> + Send,
    {
        let (near, away): (Vec<_>, Vec<_>) = self.sources.iter().partition(|s| !s.is_away());
        let mut failures: Vec<(String, ReadError)> = Vec::new();
        for source in near.into_iter().chain(away) {
            let name = source.store.name();
            match read(Arc::clone(&source.store)).await {
                Ok(value) => {
                    source.unreachable.store(0, Ordering::Relaxed);
                    for (failed, e) in &failures {
                        let message = format!(
                            "{what} is not intact in store `{failed}` ({}: {}); store `{name}` has it",
                            key,
                            e.error.one_line()
                        );
                        self.sink.notice(Level::Warning, message);
                    }
                    return Ok(value);
                }
                Err(e) => {
                    if e.unreachable
                        && source.unreachable.fetch_add(1, Ordering::Relaxed) + 1 == PATIENCE
                    {
                        let error = e.error.one_line();
                        self.sink.emit(Event::StoreLost { store: name.to_owned(), error });
                    }
                    failures.push((name.to_owned(), e));
                }
            }
        }
        Err(all_failed(what, key, failures))
    }

    /// A table's part list, proven.
    pub async fn list(&self, table: &Table) -> Result<PartList> {
        let key = keys::list_key(&self.database, &self.generation, table.list);
        let what = format!("the part list of {}", table.name);
        self.first(&what, &key, |store| {
            let (key, table) = (key.clone(), table.clone());
            async move {
                let stored = store.get(&key).await?.bytes;
                Ok(blocking(move || history::open_list(&stored, &table)).await?)
            }
        })
        .await
    }

    /// The uncompressed bytes of a part, proven. `what` names it for people.
    pub async fn part(&self, list: &PartList, part: &Part, what: &str) -> Result<Bytes> {
        let base = match part.base {
            None => None,
            Some(digest) => {
                let base = list.bases.iter().find(|b| b.digest == digest).ok_or_else(|| {
                    Error::new(
                        Kind::Damaged,
                        format!("{what} rests on a base that its list does not name"),
                    )
                })?;
                let what = format!("the base of {what}");
                let frame = Frame { stored_digest: base.stored_digest, raw: base.raw, digest };
                Some(self.open(base.name(list.kept()), frame, None, &what).await?)
            }
        };
        let frame = Frame { stored_digest: part.stored_digest, raw: part.raw, digest: part.digest };
        self.open(part.name(list.kept()), frame, base, what).await
    }

    async fn open(
        &self,
        name: PartName,
        frame: Frame,
        base: Option<Bytes>,
        what: &str,
    ) -> Result<Bytes> {
        let key = keys::part_key(&self.database, &self.generation, name);
        self.first(what, &key, |store| {
            let (key, base, cipher) = (key.clone(), base.clone(), self.cipher.clone());
            async move {
                let stored = store.get(&key).await?.bytes;
                let raw = blocking(move || {
                    let Frame { stored_digest, raw, digest } = frame;
                    codec::open_part(&stored, stored_digest, base.as_deref(), raw, digest, &cipher)
                });
                Ok(Bytes::from(raw.await?))
            }
        })
        .await
    }

    /// Writes the schema archive to a file, proven.
    pub async fn schema(&self, manifest: &Manifest, to: &Path) -> Result<()> {
        let kept = manifest.kept();
        let key = keys::schema_key(&self.database, &self.generation, &manifest.id, kept);
        let promised = manifest.schema.stored_digest;
        self.first("the schema archive", &key, |store| {
            let (key, to, cipher) = (key.clone(), to.to_owned(), self.cipher.clone());
            async move {
                let stream = store.get_stream(&key).await?;
                if kept == Kept::Open {
                    return Ok(hashing::fetch(stream, &to, promised).await?);
                }
                let sealed = to.with_extension("age");
                hashing::fetch(stream, &sealed, promised).await?;
                Ok(blocking(move || cipher.open_file(&sealed, &to)).await?)
            }
        })
        .await
    }
}

/// What a stored frame must turn out to be.
#[derive(Clone, Copy)]
struct Frame {
    stored_digest: Digest,
    raw: u64,
    digest: Digest,
}

/// Why one store could not give an object.
struct ReadError {
    error: Error,
    /// The store, not the object, is at fault.
    unreachable: bool,
}

impl From<StoreError> for ReadError {
    fn from(e: StoreError) -> Self {
        let unreachable = !matches!(e.class, Class::NotFound | Class::Corrupt);
        Self { error: e.into(), unreachable }
    }
}

impl From<Error> for ReadError {
    fn from(error: Error) -> Self {
        Self { error, unreachable: false }
    }
}

fn all_failed(what: &str, key: &str, mut failures: Vec<(String, ReadError)>) -> Error {
    let lines: String = failures
        .iter()
        .map(|(store, e)| format!("\n  store `{store}`: {}", e.error.one_line()))
        .collect();
    // Where every store answered, what is missing or wrong is so for good.
    let damaged = failures.iter().all(|(_, e)| !e.unreachable);
    let kind = if damaged { Kind::Damaged } else { Kind::Storage };
    let asked = match failures.len() {
        1 => format!("{what} is not intact in the only store that was asked"),
        _ => format!("no store has {what} intact"),
    };
    let error = Error::new(kind, format!("{asked}:{lines}\n  its key: {key}"));
    let hint = match failures.len() {
        1 => {
            "restore from another store; an earlier snapshot may be whole too: `drctl verify` tells"
        }
        _ => "`drctl verify` tells what each store still has; an earlier snapshot may be whole",
    };
    match failures.pop() {
        Some((_, ReadError { error: last, .. }))
            if last.advice().is_some() && failures.is_empty() =>
        {
            error.hint(last.advice().unwrap_or(hint).to_owned())
        }
        _ => error.hint(hint),
    }
}

/// Runs work for the CPU where it does not hold up the others.
pub async fn blocking<T: Send + 'static>(
    f: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(f)
        .await
        .attempt(Kind::Bug, || "run work on another thread".to_owned())?
}
