//! Copies snapshots from store to store: what is missing there, create-only, the manifest last. An
//! interrupted copy is taken up where it stopped.

mod passage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use serde::Serialize;

use self::passage::Passage;
use crate::error::{Error, Kind, Result};
use crate::integrity::history::{self, Place, Which};
use crate::integrity::seal::Keys;
use crate::integrity::shelf;
use crate::integrity::verified::Record;
use crate::model::{Event, Finding, GenerationId, Level, Sink, SnapshotId};
use crate::store::{ObjectStore, marker};

/// What to copy.
pub struct CopyRequest {
    pub database: String,
    pub from: Arc<dyn ObjectStore>,
    pub to: Arc<dyn ObjectStore>,
    pub which: Which,
    pub keys: Keys,
    /// Objects under way at once.
    pub jobs: usize,
    pub sink: Arc<dyn Sink>,
    pub now: DateTime<Utc>,
    /// Keeps the id of a destination that was never used apart from others.
    pub random: u32,
}

/// What a copy would do, or did, for one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotCopy {
    pub snapshot: SnapshotId,
    pub generation: GenerationId,
    pub state: CopyState,
    /// Objects that this snapshot adds to the destination.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CopyState {
    /// Would be copied (a plan).
    Planned,
    /// Is whole at the destination now.
    Copied,
    /// Was whole at the destination before.
    AlreadyThere,
    /// Something it needs is not to be had: its manifest was not written.
    Failed,
}

/// A plan, or what became of it.
#[derive(Debug, Clone, Serialize)]
pub struct CopyReport {
    pub from: String,
    pub to: String,
    /// Oldest first.
    pub snapshots: Vec<SnapshotCopy>,
    pub objects: u64,
    pub bytes: u64,
    /// What stands in the way, by snapshot, table and object.
    pub findings: Vec<Finding>,
    pub seconds: f64,
}

impl CopyReport {
    /// Whether every snapshot is, or would be, whole at the destination.
    pub fn is_complete(&self) -> bool {
        self.findings.is_empty() && self.snapshots.iter().all(|s| s.state != CopyState::Failed)
    }
}

/// The id that a destination gets which was never used.
fn marker_id(request: &CopyRequest) -> u128 {
    let CopyRequest { database, to, now, random, .. } = request;
    let text = format!("{} {database} {now} {random}", to.url());
    xxhash_rust::xxh3::xxh3_128(text.as_bytes())
}

/// The snapshots to copy, by generation, oldest first.
async fn targets(request: &CopyRequest) -> Result<BTreeMap<GenerationId, Vec<Place>>> {
    let (from, database) = (&*request.from, &request.database);
    let places = history::places(from, database).await?;
    if places.is_empty() {
        let what = format!("store `{}` has no snapshot of `{database}`", from.name());
        return Err(Error::new(Kind::Failed, what));
    }
    // Expiry removed these on purpose; only naming a snapshot brings one back.
    let expired = match request.which {
        Which::All => Record::read(&*request.to, database).await.unwrap_or_default(),
        Which::Latest | Which::One(_) => Record::default(),
    };
    let mut by_generation: BTreeMap<GenerationId, Vec<Place>> = BTreeMap::new();
    let newest = places.last().cloned();
    let wanted = places.iter().filter(|place| match &request.which {
        Which::All => !expired.was_removed(&place.generation),
        Which::Latest => newest.as_ref() == Some(place),
        Which::One(id) => place.snapshot == *id,
    });
    for place in wanted {
        by_generation.entry(place.generation.clone()).or_default().push(place.clone());
    }
    match (&request.which, by_generation.is_empty()) {
        (Which::One(id), true) => {
            Err(shelf::unknown(id.as_str(), places.iter().map(|p| p.snapshot.as_str())))
        }
        _ => Ok(by_generation),
    }
}

/// What `copy` would do. Reads manifests, lists and listings, and changes nothing.
pub async fn plan(request: &CopyRequest) -> Result<CopyReport> {
    run(request, false).await
}

/// Copies snapshots, oldest first: parts, bases, lists and the schema archive, and at the end the
/// manifest. What is damaged or missing at the source is reported, and its snapshots are left
/// without a manifest; the others go on.
///
/// Errors: a store that fails for other reasons. What was copied stays and is not copied again.
pub async fn copy(request: &CopyRequest) -> Result<CopyReport> {
    run(request, true).await
}

async fn run(request: &CopyRequest, act: bool) -> Result<CopyReport> {
    let began = Instant::now();
    let (from, to) = (request.from.name(), request.to.name());
    if from == to {
        let what = format!("`{from}` is both the source and the destination of the copy");
        return Err(Error::new(Kind::Usage, what));
    }
    request.sink.emit(Event::Started {
        command: "copy".to_owned(),
        database: request.database.clone(),
        id: None,
        at: request.now,
    });
    let mut report = CopyReport {
        from: from.to_owned(),
        to: to.to_owned(),
        snapshots: Vec::new(),
        objects: 0,
        bytes: 0,
        findings: Vec::new(),
        seconds: 0.0,
    };
    let targets = targets(request).await?;
    if act {
        marker::ensure(&*request.to, request.now, marker_id(request)).await?;
    }
    for (generation, places) in targets {
        request.sink.emit(Event::Phase { name: format!("copy generation {generation}") });
        let mut passage = Passage::open(request, &generation, act).await?;
        for place in places {
            let (done, findings) = passage.snapshot(&place).await?;
            report.objects += done.objects;
            report.bytes += done.bytes;
            if done.state == CopyState::Copied {
                request.sink.notice(
                    Level::Info,
                    format!("snapshot {} is complete in store `{to}`", done.snapshot),
                );
            }
            findings.iter().for_each(|f| request.sink.emit(Event::Found(f.clone())));
            report.snapshots.push(done);
            report.findings.extend(findings);
        }
    }
    report.seconds = began.elapsed().as_secs_f64();
    Ok(report)
}

#[cfg(test)]
mod tests;
