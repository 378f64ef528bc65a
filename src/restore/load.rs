//! Rows into tables: sessions that take runs of parts, the largest tables first. Each fetches and
//! opens the next part while the present one is on its way to the server.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::objects::Objects;
use super::target::APPLICATION;
use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::rows::{BINARY_HEADER, BINARY_TRAILER};
use crate::model::{Event, Manifest, PartList, RowFormat, Sink, Table, TableName};
use crate::postgres::copy::{CopyIn, Selection};
use crate::postgres::{Conninfo, Session, connect, quote, session_settings, sqlstate};

/// Uncompressed bytes that one COPY carries, where a table is worked on by several sessions.
const COPY_BYTES: u64 = 64 << 20;

/// One table to load.
pub struct TableLoad {
    pub table: Table,
    pub list: PartList,
    /// Where its rows go: the table, or the root of its partition tree.
    pub into: TableName,
    /// This restore has made the table, and nothing is in it.
    pub ours: bool,
    started: AtomicBool,
    left: AtomicUsize,
}

impl TableLoad {
    pub fn new(table: Table, list: PartList, ours: bool) -> Self {
        let into = table.load_through.clone().unwrap_or_else(|| table.name.clone());
        let (started, left) = (AtomicBool::new(false), AtomicUsize::new(0));
        Self { table, list, into, ours, started, left }
    }
}

/// Some consecutive parts of a table, sent by one COPY.
struct Errand {
    table: usize,
    parts: Range<usize>,
    /// The whole table in one transaction, its rows frozen: they are not rewritten by whoever reads
    /// or vacuums them first, and under `wal_level = minimal` they are not logged.
    freeze: bool,
}

/// What the sessions share.
pub struct Load {
    tables: Vec<TableLoad>,
    queue: Vec<Errand>,
    next: AtomicUsize,
    objects: Arc<Objects>,
    format: RowFormat,
    sink: Arc<dyn Sink>,
}

impl Load {
    pub fn new(
        mut tables: Vec<TableLoad>,
        objects: Arc<Objects>,
        format: RowFormat,
        jobs: usize,
        sink: Arc<dyn Sink>,
    ) -> Self {
        tables.sort_by_key(|t| (Reverse(t.table.raw_bytes), t.table.name.clone()));
        let total: u64 = tables.iter().map(|t| t.table.raw_bytes).sum();
        // One session's fair share: a larger table must be shared among them, or they end apart.
        let share = total / jobs.max(1) as u64;
        let (mut whole, mut shared) = (Vec::new(), Vec::new());
        for (table, t) in tables.iter().enumerate() {
            let through_root = t.into != t.table.name;
            if t.ours && !through_root && t.table.raw_bytes <= share && !t.list.parts.is_empty() {
                whole.push(Errand { table, parts: 0..t.list.parts.len(), freeze: true });
                t.left.store(1, Ordering::Relaxed);
            } else {
                let runs = runs(&t.list, COPY_BYTES);
                t.left.store(runs.len(), Ordering::Relaxed);
                let errand = |parts| Errand { table, parts, freeze: false };
                shared.extend(runs.into_iter().map(errand));
            }
        }
        // What can be shared goes last: it fills whatever the whole tables leave uneven.
        whole.append(&mut shared);
        Self { tables, queue: whole, next: AtomicUsize::new(0), objects, format, sink }
    }

    /// Loads everything with up to `jobs` sessions in the database of `info`.
    pub async fn run(
        self,
        info: &Conninfo,
        manifest: &Manifest,
        jobs: usize,
        work: &str,
    ) -> Result<()> {
        let settings =
            session_settings::statements(&manifest.settings, manifest.source.version_num);
        let load = Arc::new(self);
        let mut workers = JoinSet::new();
        for _ in 0..jobs.min(load.queue.len()) {
            let session = connect(info, APPLICATION).await?;
            session.simple(&settings).await?;
            // A crash loses what is thrown away anyway.
            session.simple(&format!("SET synchronous_commit = off; {work}")).await.map_err(
                |e| {
                    match sqlstate(&e).as_deref() {
                    // insufficient_privilege
                    Some("42501") => e.hint(
                        "the provider's tables have triggers already, which must not fire on rows \
                         that are loaded: GRANT SET ON PARAMETER session_replication_role TO the \
                         restoring role (PostgreSQL 15), or restore with a role that may set it",
                    ),
                    _ => e,
                }
                },
            )?;
            workers.spawn(Arc::clone(&load).work(session));
        }
        while let Some(done) = workers.join_next().await {
            done.attempt(Kind::Bug, || "wait for a loading session".to_owned())??;
        }
        Ok(())
    }

    async fn work(self: Arc<Self>, session: Session) -> Result<()> {
        // Room for one: with the one being sent, two parts are open at a time.
        let (parts, opened) = mpsc::channel(1);
        tokio::try_join!(self.open(parts), self.send(&session, opened))?;
        session.close().await;
        Ok(())
    }

    /// Fetches, opens and proves parts, one ahead of what is sent.
    async fn open(&self, parts: mpsc::Sender<Opened>) -> Result<()> {
        loop {
            let taken = self.next.fetch_add(1, Ordering::Relaxed);
            let Some(errand) = self.queue.get(taken) else { return Ok(()) };
            let t = &self.tables[errand.table];
            for index in errand.parts.clone() {
                // The other end only goes when it fails, and then its error is told.
                let Ok(room) = parts.reserve().await else { return Ok(()) };
                let part = &t.list.parts[index];
                let what = part_label(t, index);
                let bytes = self.objects.part(&t.list, part, &what).await?;
                room.send(Opened { errand: taken, index, bytes });
            }
        }
    }

    async fn send(&self, session: &Session, mut parts: mpsc::Receiver<Opened>) -> Result<()> {
        let mut copy: Option<CopyIn> = None;
        while let Some(Opened { errand, index, bytes }) = parts.recv().await {
            let errand = &self.queue[errand];
            let t = &self.tables[errand.table];
            let first = index == errand.parts.start;
            let last = index + 1 == errand.parts.end;
            let during = |e: Error| e.during(format!("load {}", part_label(t, index)));
            let mut under_way = match copy.take() {
                Some(copy) => copy,
                None => self.begin(session, t, errand.freeze).await.map_err(during)?,
            };
            let raw_bytes = bytes.len() as u64;
            let bytes = match self.format {
                RowFormat::Text => bytes,
                RowFormat::Binary => within_stream(bytes, first, last),
            };
            under_way.send(bytes).await.map_err(during)?;
            self.sink.emit(Event::TableProgress {
                table: t.table.name.to_string(),
                rows: t.list.parts[index].rows,
                bytes: raw_bytes,
            });
            if last {
                self.end(session, under_way, t, errand).await.map_err(during)?;
            } else {
                copy = Some(under_way);
            }
        }
        Ok(())
    }

    async fn begin(&self, session: &Session, t: &TableLoad, freeze: bool) -> Result<CopyIn> {
        if !t.started.swap(true, Ordering::Relaxed) {
            self.sink.emit(Event::TableStarted {
                table: t.table.name.to_string(),
                total_bytes: t.table.raw_bytes,
            });
        }
        if freeze {
            let sql = format!("BEGIN; TRUNCATE ONLY {}", quote::table(&t.into));
            session.simple(&sql).await?;
        }
        let selection = Selection {
            table: &t.table.name,
            columns: &t.table.columns,
            blocks: None,
            condition: None,
            format: self.format,
        };
        session.copy_in(&selection.copy_in(&t.into, freeze), &t.table.name.to_string()).await
    }

    async fn end(
        &self,
        session: &Session,
        copy: CopyIn,
        t: &TableLoad,
        errand: &Errand,
    ) -> Result<()> {
        let taken = copy.finish().await?;
        let sent: u64 = t.list.parts[errand.parts.clone()].iter().map(|p| p.rows).sum();
        if taken != sent {
            return Err(Error::new(
                Kind::Failed,
                format!("{}: {sent} rows were sent and the server took {taken}", t.table.name),
            )
            .hint("a trigger or rule on the target ate rows: restore into an empty database"));
        }
        if errand.freeze {
            session.simple("COMMIT").await?;
        }
        if t.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.sink.emit(Event::TableEnded {
                table: t.table.name.to_string(),
                rows: t.table.rows,
                raw_bytes: t.table.raw_bytes,
                new_bytes: 0,
            });
        }
        Ok(())
    }
}

/// A part on its way.
struct Opened {
    errand: usize,
    index: usize,
    bytes: Bytes,
}

/// `part 3 of 17 of public.events (9f86d081884c)`.
fn part_label(t: &TableLoad, index: usize) -> String {
    let digest = t.list.parts[index].digest.short();
    format!("part {} of {} of {} ({digest})", index + 1, t.list.parts.len(), t.table.name)
}

/// Every part is a whole binary stream; several in one COPY share a header and a trailer.
fn within_stream(bytes: Bytes, first: bool, last: bool) -> Bytes {
    let from = if first { 0 } else { BINARY_HEADER.len() };
    let to = bytes.len() - if last { 0 } else { BINARY_TRAILER.len() };
    bytes.slice(from.min(to)..to)
}

/// Runs of parts of about `limit` uncompressed bytes.
fn runs(list: &PartList, limit: u64) -> Vec<Range<usize>> {
    let mut runs = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (i, part) in list.parts.iter().enumerate() {
        bytes += part.raw;
        if bytes >= limit || i + 1 == list.parts.len() {
            runs.push(start..i + 1);
            (start, bytes) = (i + 1, 0);
        }
    }
    runs
}
