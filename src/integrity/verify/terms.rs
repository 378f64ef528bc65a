//! The terms of a check, what it counts and what it comes to.

use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::looking::{Fault, Looker};
use super::{Depth, Sample, Scope, Verdict};
use crate::integrity::seal::Keys;
use crate::model::{Digest, Finding, Level, Sink, SnapshotId};

/// How a check is to be done; shared by every store and generation of a run.
pub struct Terms {
    pub keys: Keys,
    pub depth: Depth,
    pub sample: Sample,
    pub scope: Scope,
    /// Look for surplus objects whatever it takes.
    pub all: bool,
    pub now: DateTime<Utc>,
    pub sink: Arc<dyn Sink>,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Distinct objects that the checked snapshots need.
    pub objects: u64,
    /// Those that were checked as deep as was asked.
    pub checked: u64,
    /// Their stored bytes.
    pub bytes: u64,
    /// Uncompressed bytes that were gone through, or are the same as those of another store.
    pub raw_bytes: u64,
    /// Objects that were not asked for, since the listing shows them as they were when compared.
    pub vouched: u64,
    /// Objects that were read because the store keeps no checksum of them.
    pub streamed: u64,
    /// Objects that were wrong at first and right when read again.
    pub wavered: u64,
}

impl Counts {
    pub fn add(&mut self, other: &Counts) {
        self.objects += other.objects;
        self.checked += other.checked;
        self.bytes += other.bytes;
        self.raw_bytes += other.raw_bytes;
        self.vouched += other.vouched;
        self.streamed += other.streamed;
        self.wavered += other.wavered;
    }

    pub fn object(&mut self, bytes: u64) {
        self.objects += 1;
        self.checked += 1;
        self.bytes += bytes;
    }
}

/// What the check of a generation came to.
#[derive(Debug, Default)]
pub struct Checked {
    pub findings: Vec<Finding>,
    pub verdicts: Vec<(SnapshotId, Verdict)>,
    /// For each snapshot whose manifest could be read, the stores that were to have it.
    pub stores: Vec<(SnapshotId, Vec<String>)>,
    /// For each of them, the SHA-256 of the manifest.
    pub manifests: Vec<(SnapshotId, Digest)>,
    pub counts: Counts,
}

/// A finding, placed.
pub fn finding(
    looker: &Looker,
    snapshot: Option<&SnapshotId>,
    table: Option<&str>,
    key: &str,
    fault: Fault,
) -> Finding {
    Finding {
        kind: fault.kind,
        store: looker.store.name().to_owned(),
        database: looker.database.clone(),
        snapshot: snapshot.map(|s| s.as_str().to_owned()),
        table: table.map(str::to_owned),
        part: Some(key.to_owned()),
        detail: fault.detail,
    }
}

/// Tells of what was noticed besides findings.
pub fn notices(terms: &Terms, store: &str, counts: &Counts) {
    if counts.streamed > 0 {
        terms.sink.notice(
            Level::Info,
            format!(
                "store `{store}` keeps no SHA-256 of the whole for {} objects; they were read",
                counts.streamed
            ),
        );
    }
    if counts.wavered > 0 {
        terms.sink.notice(
            Level::Warning,
            format!(
                "{} objects of store `{store}` came wrong at first and right when read again: \
                 look at the network and at this machine's memory",
                counts.wavered
            ),
        );
    }
}
