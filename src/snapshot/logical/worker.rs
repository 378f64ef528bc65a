//! Workers: each holds one session on the snapshot and takes range after range until none is left.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::future::join_all;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

use super::cutter::Cutter;
use super::placing::{Piece, Placements};
use super::previous::Previous;
use super::sealing::{self, Slot};
use super::table::TableWork;
use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::history;
use crate::model::{Digest, Event, GenerationId, Level, Manifest, Part, PartName, RowFormat, Sink};
use crate::postgres::copy::{Selection, block_range};
use crate::postgres::{Session, quote, sqlstate};
use crate::snapshot::cache::Cache;
use crate::snapshot::lane::{Lane, PutError};
use crate::store::ObjectStore;

/// Bytes of compressed parts that may wait for their stores, for each job.
const UPLOAD_BUDGET: usize = 8 << 20;

/// What every worker shares.
pub struct Floor {
    pub database: String,
    pub generation: GenerationId,
    pub cipher: Cipher,
    /// What this run has stored of an encrypted generation, by the digest of what is inside.
    pub placed: Mutex<Placements>,
    pub tables: Vec<Arc<TableWork>>,
    /// `(table, from, to)`, the largest tables first.
    pub queue: Vec<(usize, u64, u64)>,
    pub next: AtomicUsize,
    pub lanes: Vec<Arc<Lane>>,
    /// The previous snapshot of the generation, and where its objects are.
    pub previous: Option<(Manifest, Arc<dyn ObjectStore>)>,
    pub row_format: RowFormat,
    pub part_size: u64,
    pub level: i32,
    pub cache: Option<Cache>,
    pub sink: Arc<dyn Sink>,
    /// Parts that are being hashed and compressed: as many as there are jobs, which bounds memory.
    pub sealing: Arc<Semaphore>,
    /// KiB of compressed parts under way to the stores.
    pub uploads: Arc<Semaphore>,
    pub upload_kib: u32,
    /// The session that holds the lock of every table.
    pub coordinator: Arc<Session>,
    /// Whose turn it is to read through it.
    pub turn: tokio::sync::Mutex<()>,
}

impl Floor {
    /// Permits for compressed bytes under way, in KiB.
    pub fn upload_budget(jobs: usize) -> u32 {
        u32::try_from(jobs * (UPLOAD_BUDGET >> 10)).unwrap_or(u32::MAX >> 8)
    }

    /// Works on ranges until the queue is empty and everything read is stored.
    pub async fn work(self: Arc<Self>, session: Session) -> Result<()> {
        let mut sealing = JoinSet::new();
        let mut locked = HashMap::new();
        while let Some(&(index, from, to)) =
            self.queue.get(self.next.fetch_add(1, Ordering::Relaxed))
        {
            while let Some(done) = sealing.try_join_next() {
                joined(done)?;
            }
            let table = Arc::clone(&self.tables[index]);
            let read = async {
                let own = match locked.get(&index) {
                    Some(own) => *own,
                    None => self.lock(&session, &table).await?,
                };
                locked.insert(index, own);
                if own {
                    return self.range(&session, &table, from, to, &mut sealing).await;
                }
                let _turn = self.turn.lock().await;
                self.range(&self.coordinator, &table, from, to, &mut sealing).await
            };
            read.await.map_err(|e| e.during(format!("snapshot of {}", table.label())))?;
        }
        while let Some(done) = sealing.join_next().await {
            joined(done)?;
        }
        Ok(())
    }

    /// Locks a table for this session too; `false` where somebody waits to alter it. Whoever asks for
    /// its lock now would queue behind them, they wait for the coordinator's lock, and the coordinator
    /// for us: all would stand still, and the table's users with them. The coordinator has its lock
    /// already and may read.
    async fn lock(&self, session: &Session, table: &TableWork) -> Result<bool> {
        let name = quote::table(&table.plan.relation.name);
        let sql = format!(
            "SAVEPOINT before_lock; LOCK TABLE ONLY {name} IN ACCESS SHARE MODE NOWAIT;
             RELEASE before_lock"
        );
        let Err(e) = session.simple(&sql).await else { return Ok(true) };
        // lock_not_available
        if sqlstate(&e).as_deref() != Some("55P03") {
            return Err(e);
        }
        session.simple("ROLLBACK TO before_lock; RELEASE before_lock").await?;
        if table.tell_once() {
            self.sink.notice(
                Level::Warning,
                format!("a schema change of {} waits for the end of this snapshot", table.label()),
            );
        }
        Ok(false)
    }

    async fn range(
        self: &Arc<Self>,
        session: &Session,
        table: &Arc<TableWork>,
        from: u64,
        to: u64,
        sealing: &mut JoinSet<Result<()>>,
    ) -> Result<()> {
        let previous = table
            .previous
            .get_or_init(|| async {
                let bytes = table.plan.relation.bytes + table.plan.relation.toast_bytes;
                self.sink.emit(Event::TableStarted { table: table.label(), total_bytes: bytes });
                self.read_previous(table).await
            })
            .await;
        if table.probed && table.probe_pays(from) {
            let same = self.unchanged(session, table, previous, from, to).await?;
            table.note_probe(!same);
            if same {
                table.count_range(true);
                self.keep_range(table, previous, from, to);
                return Ok(());
            }
        }
        table.count_range(false);
        let selection = Selection {
            table: &table.plan.relation.name,
            columns: &table.plan.columns.copied,
            blocks: (table.plan.range_blocks > 0).then_some((from, to)),
            condition: table.plan.relation.condition.as_deref(),
            format: self.row_format,
        };
        let mut copy = session.copy_out(&selection.copy_out(), &table.label()).await?;
        let expected = table.plan.expected_bytes(from, to);
        let mut cutter = Cutter::new(self.row_format, self.part_size / 2 * 3, expected);
        let mut index = 0;
        while let Some(chunk) = copy.next().await? {
            for raw in cutter.push(&chunk)? {
                self.hand_over(table, Slot { from, to, index }, raw, sealing).await;
                index += 1;
            }
        }
        if let Some(raw) = cutter.finish()? {
            self.hand_over(table, Slot { from, to, index }, raw, sealing).await;
        }
        self.end(table);
        Ok(())
    }

    /// The table's previous list, from the store that has the previous snapshot, else from any
    /// other. One that cannot be had only means that everything is read and nothing is known: a
    /// damaged object of an earlier snapshot must not stand in the way of the next.
    async fn read_previous(&self, table: &TableWork) -> Previous {
        let (Some((manifest, store)), Some(then)) = (&self.previous, &table.then) else {
            return Previous::default();
        };
        let others = self.lanes.iter().filter(|l| !l.is_lost() && l.name() != store.name());
        for store in std::iter::once(store).chain(others.map(|l| &l.store)) {
            match history::read_list(&**store, manifest, then).await {
                Ok(list) => return Previous::new(list),
                Err(e) => {
                    table.doubt_list();
                    self.sink.notice(
                        Level::Warning,
                        format!("{}; `drctl verify` tells what else is damaged", e.one_line()),
                    );
                }
            }
        }
        Previous::default()
    }

    /// Asks whether the rows of a range are those of the previous snapshot: none is as young as its
    /// xmin, and there are as many. Row versions never change in place or move, so every version
    /// visible now was visible then, and equal numbers leave no room for a deletion.
    async fn unchanged(
        &self,
        session: &Session,
        table: &TableWork,
        previous: &Previous,
        from: u64,
        to: u64,
    ) -> Result<bool> {
        let Some(xmin) =
            self.previous.as_ref().and_then(|(m, _)| m.source.xmin.parse::<u64>().ok())
        else {
            return Ok(false);
        };
        let xmin = xmin & 0xFFFF_FFFF;
        let sql = format!(
            "SELECT count(*), coalesce(min(age(xmin)), 2147483647) > age('{xmin}'::xid)
               FROM ONLY {} {}",
            quote::table(&table.plan.relation.name),
            block_range(from, to)
        );
        let row = session.row(&sql).await?;
        let then: u64 = previous.range(from).iter().map(|p| p.rows).sum();
        Ok(row.number::<u64>(0)? == then && row.text(1)? == "t")
    }

    /// Takes a range over from the previous snapshot.
    fn keep_range(&self, table: &TableWork, previous: &Previous, from: u64, to: u64) {
        let (mut rows, mut bytes) = (0, 0);
        for (index, part) in previous.range(from).iter().enumerate() {
            (rows, bytes) = (rows + part.rows, bytes + part.raw);
            table.record(Slot { from, to, index }, part.clone(), previous.base_of(part).cloned());
        }
        self.progress(table, rows, bytes);
        self.end(table);
    }

    /// Gives a part to a task of its own, once there is room for it.
    async fn hand_over(
        self: &Arc<Self>,
        table: &Arc<TableWork>,
        slot: Slot,
        raw: Vec<u8>,
        sealing: &mut JoinSet<Result<()>>,
    ) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.sealing).acquire_owned().await.ok();
        table.begin();
        let (floor, table) = (Arc::clone(self), Arc::clone(table));
        sealing.spawn(async move {
            let label = format!("{} (blocks {} to {})", table.label(), slot.from, slot.to);
            floor
                .seal(&table, slot, raw, permit)
                .await
                .map_err(|e| e.during(format!("store rows of {label}")))
        });
    }

    async fn seal(
        self: &Arc<Self>,
        table: &Arc<TableWork>,
        slot: Slot,
        raw: Vec<u8>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<()> {
        let raw_len = raw.len() as u64;
        let cipher = self.cipher.clone();
        let (digest, raw) = blocking(move || Ok((cipher.digest(&raw), raw))).await?;
        let previous = table.previous.get();
        if let Some(part) = previous.and_then(|p| p.with_digest(digest)) {
            let base = previous.and_then(|p| p.base_of(part)).cloned();
            table.record(slot, part.clone(), base);
            self.progress(table, part.rows, raw_len);
            drop(permit);
            self.end(table);
            return Ok(());
        }
        let base = previous.and_then(|p| p.base_for(slot));
        if let Some(base) = base.as_ref().filter(|b| b.digest == digest) {
            // The rows are again what they were when the base was stored.
            let (format, cipher) = (self.row_format, self.cipher.clone());
            let tally = blocking(move || sealing::measure(format, &raw, &cipher)).await?;
            table.record(slot, sealing::as_base(base, tally, slot), None);
            self.progress(table, tally.rows, raw_len);
            drop(permit);
            self.end(table);
            return Ok(());
        }
        let piece = Piece { slot, digest, raw: raw.into(), base, permit };
        let (placed, new) = self.place(piece).await?;
        if new {
            table.count_new(placed.part.stored);
        }
        let rows = placed.part.rows;
        table.record(slot, placed.part, placed.base);
        self.progress(table, rows, raw_len);
        self.end(table);
        Ok(())
    }

    fn progress(&self, table: &TableWork, rows: u64, bytes: u64) {
        self.sink.emit(Event::TableProgress { table: table.label(), rows, bytes });
    }

    /// Counts a range or part as done; the last one tells that the table is.
    fn end(&self, table: &TableWork) {
        if table.end() {
            let (rows, raw_bytes) = table.recorded();
            let new_bytes = table.new_counts().0;
            self.sink.emit(Event::TableEnded { table: table.label(), rows, raw_bytes, new_bytes });
        }
    }
}

/// Puts an object into every lane that is not lost. Fails only when none is left, or on a conflict.
pub async fn put_everywhere(
    lanes: &[Arc<Lane>],
    key: &str,
    stored: &Bytes,
    stored_digest: Digest,
) -> Result<()> {
    let live = lanes.iter().filter(|l| !l.is_lost());
    let outcomes =
        join_all(live.map(async |lane| (lane, lane.ensure(key, stored, stored_digest).await)))
            .await;
    for (lane, outcome) in outcomes {
        match outcome {
            Ok(()) => {}
            Err(PutError::Conflict(what)) => {
                return Err(Error::new(Kind::Failed, what).caused_by(StartAfresh));
            }
            Err(PutError::Failed(e)) => lane.lose(e),
        }
    }
    match lanes.iter().any(|l| !l.is_lost()) {
        true => Ok(()),
        false => Err(all_lost(lanes)),
    }
}

/// Marks the one failure that a new generation mends.
#[derive(Debug)]
pub struct StartAfresh;

impl std::fmt::Display for StartAfresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the generation cannot take it")
    }
}

impl std::error::Error for StartAfresh {}

/// No store is left to write to.
pub fn all_lost(lanes: &[Arc<Lane>]) -> Error {
    let mut what = "no store is left to write to".to_owned();
    let mut first = None;
    for lane in lanes {
        if let Some(loss) = lane.take_loss() {
            what.push_str(&format!("\n  {}: {}", lane.name(), loss.one_line()));
            first.get_or_insert(loss);
        }
    }
    let error = Error::new(Kind::Storage, what);
    match first.as_ref().and_then(Error::advice) {
        Some(hint) => error.hint(hint),
        None => error.hint("`drctl doctor` tests every store; then run the snapshot again"),
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

fn joined(done: std::result::Result<Result<()>, tokio::task::JoinError>) -> Result<()> {
    done.attempt(Kind::Bug, || "wait for a part".to_owned())?
}

/// The parts and bases of a finished list, each name once.
pub fn names(list: &crate::model::PartList) -> Vec<(PartName, u64, Digest)> {
    let kept = list.kept();
    let parts = list.parts.iter().map(|p: &Part| (p.name(kept), p.stored, p.stored_digest));
    let bases = list.bases.iter().map(|b| (b.name(kept), b.stored, b.stored_digest));
    let mut all: Vec<_> = parts.chain(bases).collect();
    all.sort_by_key(|(name, ..)| *name);
    all.dedup_by_key(|(name, ..)| *name);
    all
}
