//! The parts that a list names, and how far each has been checked.

use xxhash_rust::xxh3::xxh3_64;

use super::Depth;
use super::bench::Task;
use super::inventory::Inventory;
use crate::model::{BasePart, Kept, Part, PartList};

/// How far a listed part has been checked by content or checksum, so that what many snapshots share
/// is looked at once.
#[derive(Debug, Clone, Copy, Default)]
pub struct Done {
    /// Of the promised bytes; 0: not yet.
    pub bytes: u64,
    /// Of the promised rows; 0: not counted.
    rows: u64,
}

impl Done {
    pub fn of(task: &Task) -> Self {
        let mut text = [0u8; 48];
        text[..32].copy_from_slice(task.stored_digest.as_bytes());
        text[32..40].copy_from_slice(&task.stored.to_le_bytes());
        text[40..].copy_from_slice(&task.raw.to_le_bytes());
        let rows = task
            .rows
            .map_or(0, |(rows, digest)| xxh3_64(format!("{rows} {digest}").as_bytes()) | 1);
        Self { bytes: xxh3_64(&text) | 1, rows }
    }

    pub fn covers(&self, task: &Task, depth: Depth) -> bool {
        let wanted = Self::of(task);
        self.bytes == wanted.bytes
            && (depth < Depth::Content || wanted.rows == 0 || self.rows == wanted.rows)
    }
}

/// The parts and bases that a list names.
pub fn tasks(list: &PartList) -> impl Iterator<Item = Task> + '_ {
    let kept = list.kept();
    let parts = list.parts.iter().map(move |part| part_task(part, kept));
    parts.chain(list.bases.iter().map(move |base| base_task(base, kept)))
}

fn part_task(part: &Part, kept: Kept) -> Task {
    Task {
        name: part.name(kept),
        stored_digest: part.stored_digest,
        stored: part.stored,
        raw: part.raw,
        rows: Some((part.rows, part.row_digest)),
    }
}

pub fn base_task(base: &BasePart, kept: Kept) -> Task {
    Task {
        name: base.name(kept),
        stored_digest: base.stored_digest,
        stored: base.stored,
        raw: base.raw,
        rows: None,
    }
}

/// Marks what a list names in an inventory.
pub fn mark(list: &PartList, inventory: &Inventory, named: &mut [bool]) {
    for task in tasks(list) {
        if let Some(at) = inventory.find(&task.name) {
            named[at] = true;
        }
    }
}
