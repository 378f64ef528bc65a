//! What the previous snapshot of the generation knows of a table.

use std::collections::{BTreeMap, HashMap};

use super::sealing::Slot;
use crate::config::ChangeDetection;
use crate::model::{BasePart, Digest, Manifest, Part, PartList, Table};
use crate::postgres::catalog::{Server, Window};

use super::plan::TablePlan;

/// A table's part list, indexed.
#[derive(Debug, Default)]
pub struct Previous {
    by_range: BTreeMap<u64, Vec<Part>>,
    by_digest: HashMap<Digest, Part>,
    bases: HashMap<Digest, BasePart>,
}

impl Previous {
    pub fn new(list: PartList) -> Self {
        let mut previous = Self::default();
        for base in list.bases {
            previous.bases.insert(base.digest, base);
        }
        for part in list.parts {
            previous.by_digest.entry(part.digest).or_insert_with(|| part.clone());
            previous.by_range.entry(part.from).or_default().push(part);
        }
        previous
    }

    /// The parts of the range that begins at block `from`.
    pub fn range(&self, from: u64) -> &[Part] {
        self.by_range.get(&from).map_or(&[], Vec::as_slice)
    }

    /// A part with these uncompressed bytes.
    pub fn with_digest(&self, digest: Digest) -> Option<&Part> {
        self.by_digest.get(&digest)
    }

    /// The base of a part that is a delta.
    pub fn base_of(&self, part: &Part) -> Option<&BasePart> {
        self.bases.get(&part.base?)
    }

    /// The plain part on which a new version of this slot can rest: the one of the same place in
    /// the range, or the range's last one.
    pub fn base_for(&self, slot: Slot) -> Option<BasePart> {
        let range = self.range(slot.from);
        let part = range.get(slot.index).or(range.last())?;
        match part.base {
            Some(_) => self.base_of(part).cloned(),
            None => Some(BasePart {
                digest: part.digest,
                stored_digest: part.stored_digest,
                stored: part.stored,
                raw: part.raw,
            }),
        }
    }
}

/// A row version's age is told by 32 bits; beyond half of that it is not believed.
const MAX_XID_DISTANCE: u64 = 1 << 30;

/// Whether ranges of a table may be probed for change instead of read, against the table's entry in
/// the previous snapshot. Anything else than the same relation on the same history means reading.
pub fn may_probe(
    detection: ChangeDetection,
    previous: &Manifest,
    then: &Table,
    server: &Server,
    window: &Window,
    now: &TablePlan,
) -> bool {
    let source = &previous.source;
    let known = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let distance = source
        .xmin
        .parse::<u64>()
        .ok()
        .and_then(|xmin| window.xmax.checked_sub(xmin))
        .is_some_and(|d| d < MAX_XID_DISTANCE);
    detection == ChangeDetection::Xmin
        && known(&source.system_identifier, &server.system_identifier)
        && source.timeline.is_some()
        && source.timeline == server.timeline
        // The identifiers of a server restored from a copy of its volume are those of the original;
        // only a postmaster that has run on since can vouch for the history in between.
        && source.postmaster_started == server.postmaster_started
        // A crash of one backend leaves the postmaster, but may lose commits and reuse their ids.
        && known(&source.counting_since, &server.counting_since)
        && source.in_recovery == server.in_recovery
        && source.database_oid == server.database_oid
        && distance
        && then.oid == now.relation.oid
        && then.relfilenode == now.relation.relfilenode
        && then.relfilenode != 0
        && then.range_blocks == now.range_blocks
        && then.definition == now.columns.definition
        && then.columns == now.columns.copied
        && then.condition.is_none()
        && now.relation.condition.is_none()
        && now.relation.heap
        && now.range_blocks > 0
        && now.columns.stable
}
