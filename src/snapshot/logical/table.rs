//! A table on its way into a snapshot: its ranges, the parts they gave, and at the end its list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::OnceCell;

use super::Ranges;
use super::plan::TablePlan;
use super::previous::Previous;
use super::sealing::Slot;
use crate::model::{BasePart, Kept, Part, PartList, RowDigest, Table};

/// One table of the snapshot under way.
pub struct TableWork {
    pub plan: TablePlan,
    /// Its entry in the previous snapshot of the generation.
    pub then: Option<Table>,
    /// Its ranges may be probed instead of read.
    pub probed: bool,
    /// Its previous list, read when the first worker comes.
    pub previous: OnceCell<Previous>,
    parts: Mutex<BTreeMap<Slot, Part>>,
    bases: Mutex<BTreeMap<crate::model::Digest, BasePart>>,
    /// Ranges and parts under way.
    pending: AtomicUsize,
    /// Consecutive ranges that a probe found changed.
    changed_in_a_row: AtomicUsize,
    new_bytes: AtomicU64,
    new_parts: AtomicU64,
    rows: AtomicU64,
    raw_bytes: AtomicU64,
    ranges_kept: AtomicU64,
    ranges_read: AtomicU64,
    told: AtomicBool,
    /// Its previous list could not be read somewhere, so it may not be there to be kept.
    list_doubted: AtomicBool,
}

/// A table whose rows are all stored, with what must be put besides: its list.
#[derive(Debug, Clone)]
pub struct Finished {
    pub list: PartList,
    pub rows: u64,
    pub row_digest: RowDigest,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
}

impl TableWork {
    pub fn new(plan: TablePlan, then: Option<Table>, probed: bool, ranges: usize) -> Self {
        Self {
            plan,
            then,
            probed,
            previous: OnceCell::new(),
            parts: Mutex::default(),
            bases: Mutex::default(),
            pending: AtomicUsize::new(ranges),
            changed_in_a_row: AtomicUsize::new(0),
            new_bytes: AtomicU64::new(0),
            new_parts: AtomicU64::new(0),
            rows: AtomicU64::new(0),
            raw_bytes: AtomicU64::new(0),
            ranges_kept: AtomicU64::new(0),
            ranges_read: AtomicU64::new(0),
            told: AtomicBool::new(false),
            list_doubted: AtomicBool::new(false),
        }
    }

    /// `schema.name`.
    pub fn label(&self) -> String {
        self.plan.relation.name.to_string()
    }

    /// Whether a probe is worth its time: where range after range has changed, most probes are
    /// wasted, and only every eighth range is asked.
    pub fn probe_pays(&self, range: u64) -> bool {
        self.changed_in_a_row.load(Ordering::Relaxed) < 4
            || (range / self.plan.range_blocks.max(1)).is_multiple_of(8)
    }

    pub fn note_probe(&self, changed: bool) {
        match changed {
            true => self.changed_in_a_row.fetch_add(1, Ordering::Relaxed),
            false => self.changed_in_a_row.swap(0, Ordering::Relaxed),
        };
    }

    /// Records a part, and the base that it needs if it is a delta.
    pub fn record(&self, slot: Slot, mut part: Part, base: Option<BasePart>) {
        (part.from, part.to) = (slot.from, slot.to);
        self.rows.fetch_add(part.rows, Ordering::Relaxed);
        self.raw_bytes.fetch_add(part.raw, Ordering::Relaxed);
        if let Some(base) = base {
            self.bases.lock().unwrap_or_else(PoisonError::into_inner).insert(base.digest, base);
        }
        self.parts.lock().unwrap_or_else(PoisonError::into_inner).insert(slot, part);
    }

    /// `true` the first time: that its lock is wanted is told once, whichever worker finds it so.
    pub fn tell_once(&self) -> bool {
        !self.told.swap(true, Ordering::Relaxed)
    }

    pub fn doubt_list(&self) {
        self.list_doubted.store(true, Ordering::Relaxed);
    }

    pub fn list_doubted(&self) -> bool {
        self.list_doubted.load(Ordering::Relaxed)
    }

    /// A range was taken over, or read.
    pub fn count_range(&self, kept: bool) {
        let counter = if kept { &self.ranges_kept } else { &self.ranges_read };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub fn ranges(&self) -> Ranges {
        Ranges {
            read: self.ranges_read.load(Ordering::Relaxed),
            kept: self.ranges_kept.load(Ordering::Relaxed),
        }
    }

    pub fn count_new(&self, bytes: u64) {
        self.new_bytes.fetch_add(bytes, Ordering::Relaxed);
        self.new_parts.fetch_add(1, Ordering::Relaxed);
    }

    /// Bytes and parts that the previous snapshot had not.
    pub fn new_counts(&self) -> (u64, u64) {
        (self.new_bytes.load(Ordering::Relaxed), self.new_parts.load(Ordering::Relaxed))
    }

    /// Rows and uncompressed bytes recorded so far.
    pub fn recorded(&self) -> (u64, u64) {
        (self.rows.load(Ordering::Relaxed), self.raw_bytes.load(Ordering::Relaxed))
    }

    /// One more part is under way.
    pub fn begin(&self) {
        self.pending.fetch_add(1, Ordering::AcqRel);
    }

    /// A part or range is done; `true` when it was the last.
    pub fn end(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// The list and the sums, once nothing is under way.
    pub fn finish(&self, kept: Kept) -> Finished {
        let parts: Vec<Part> =
            std::mem::take(&mut *self.parts.lock().unwrap_or_else(PoisonError::into_inner))
                .into_values()
                .collect();
        let used: BTreeSet<_> = parts.iter().filter_map(|p| p.base).collect();
        let bases: Vec<BasePart> =
            std::mem::take(&mut *self.bases.lock().unwrap_or_else(PoisonError::into_inner))
                .into_values()
                .filter(|b| used.contains(&b.digest))
                .collect();
        let mut row_digest = RowDigest::default();
        parts.iter().for_each(|p| row_digest.add(p.row_digest));
        // A base that is itself a part of the list is stored once.
        let plain: BTreeSet<_> =
            parts.iter().filter(|p| p.base.is_none()).map(|p| p.digest).collect();
        let extra: u64 =
            bases.iter().filter(|b| !plain.contains(&b.digest)).map(|b| b.stored).sum();
        Finished {
            rows: parts.iter().map(|p| p.rows).sum(),
            row_digest,
            raw_bytes: parts.iter().map(|p| p.raw).sum(),
            stored_bytes: parts.iter().map(|p| p.stored).sum::<u64>() + extra,
            list: PartList {
                format: kept.format(),
                range_blocks: self.plan.range_blocks,
                blocks: self.plan.blocks,
                bases,
                parts,
            },
        }
    }
}
