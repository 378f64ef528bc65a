//! The check of one generation in one store: manifests, lists, parts and schema archives.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, stream};
use xxhash_rust::xxh3::xxh3_64;

use super::bench::Task;
use super::inventory::Inventory;
use super::looking::{self, Fault, Looked, Looker};
use super::promise::{Names, Promise, TableLine};
use super::surplus;
use super::{Depth, Sample, Verdict};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::history::{self, Place};
use crate::integrity::lists;
use crate::integrity::seal::Keys;
use crate::model::{
    BasePart, Digest, Event, Finding, FindingKind, Level, Part, PartList, PartName, RowFormat,
    Sink, SnapshotId,
};
use crate::store::keys;

/// Manifests and schema archives read or asked for at once.
const READERS: usize = 16;

/// Findings given one by one for each table of each snapshot; the others are counted.
const SHOWN: usize = 1000;

/// How a check is to be done; shared by every store and generation of a run.
pub struct Terms {
    pub keys: Keys,
    pub depth: Depth,
    pub sample: Sample,
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
    /// Uncompressed bytes that were gone through.
    pub raw_bytes: u64,
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
        self.streamed += other.streamed;
        self.wavered += other.wavered;
    }

    fn object(&mut self, bytes: u64) {
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
    pub counts: Counts,
}

/// Something wrong with an object that a table needs.
#[derive(Debug, Clone)]
struct Bad {
    key: String,
    fault: Fault,
}

/// What is wrong with the objects of one list, the first `SHOWN` of them one by one.
#[derive(Debug, Default)]
struct BadList {
    shown: Vec<Bad>,
    more: BTreeMap<FindingKind, u64>,
}

impl BadList {
    fn push(&mut self, key: impl FnOnce() -> String, fault: Fault) {
        if self.shown.len() < SHOWN {
            self.shown.push(Bad { key: key(), fault });
        } else {
            *self.more.entry(fault.kind).or_default() += 1;
        }
    }
}

/// How far a listed part has been checked by content or checksum, so that what many snapshots share
/// is looked at once.
#[derive(Debug, Clone, Copy, Default)]
struct Done {
    /// Of the promised bytes; 0: not yet.
    bytes: u64,
    /// Of the promised rows; 0: not counted.
    rows: u64,
}

impl Done {
    fn of(task: &Task) -> Self {
        let mut text = [0u8; 48];
        text[..32].copy_from_slice(task.stored_digest.as_bytes());
        text[32..40].copy_from_slice(&task.stored.to_le_bytes());
        text[40..].copy_from_slice(&task.raw.to_le_bytes());
        let rows = task
            .rows
            .map_or(0, |(rows, digest)| xxh3_64(format!("{rows} {digest}").as_bytes()) | 1);
        Self { bytes: xxh3_64(&text) | 1, rows }
    }

    fn covers(&self, task: &Task, depth: Depth) -> bool {
        let wanted = Self::of(task);
        self.bytes == wanted.bytes
            && (depth < Depth::Content || wanted.rows == 0 || self.rows == wanted.rows)
    }
}

/// The parts and bases that a list names.
pub fn tasks(list: &PartList) -> impl Iterator<Item = Task> + '_ {
    list.parts.iter().map(part_task).chain(list.bases.iter().map(base_task))
}

fn part_task(part: &Part) -> Task {
    Task {
        name: part.name(),
        stored_digest: part.stored_digest,
        stored: part.stored,
        raw: part.raw,
        rows: Some((part.rows, part.row_digest)),
    }
}

fn base_task(base: &BasePart) -> Task {
    Task {
        name: base.name(),
        stored_digest: base.stored_digest,
        stored: base.stored,
        raw: base.raw,
        rows: None,
    }
}

/// The tables of the checked snapshots that have one list.
struct Shared {
    line: TableLine,
    format: RowFormat,
    /// Snapshot (by its place among the promises) and table.
    users: Vec<(usize, Arc<str>)>,
}

/// Distinct lists, in the order in which snapshots came to need them: a base is then mostly met
/// first as a part, with its rows.
fn shared(promises: &[Promise]) -> Vec<Shared> {
    let mut places: HashMap<lists::Promise, usize> = HashMap::new();
    let mut all: Vec<Shared> = Vec::new();
    for (index, promise) in promises.iter().enumerate() {
        for line in &promise.tables {
            let at = *places.entry(line.list).or_insert_with(|| {
                all.push(Shared {
                    line: line.clone(),
                    format: promise.row_format,
                    users: Vec::new(),
                });
                all.len() - 1
            });
            all[at].users.push((index, Arc::clone(&line.name)));
        }
    }
    all
}

/// A check under way.
struct Run<'a> {
    terms: &'a Terms,
    looker: &'a Looker,
    inventory: Inventory,
    /// By place in the inventory: a list names the part.
    named: Vec<bool>,
    /// By place in the inventory; empty at depth `listing`.
    done: Vec<Done>,
    /// Parts that looking at them found wrong.
    faulty: HashMap<PartName, Fault>,
    absent: HashSet<PartName>,
    found: Checked,
    /// Lists whose content is known.
    known: HashSet<Digest>,
    /// Every list of the checked snapshots could be read.
    understood: bool,
    /// At least one part has been looked at.
    looked: bool,
}

/// Checks the given snapshots of one generation in one store, oldest first.
pub async fn check(terms: &Terms, looker: &Looker, mut targets: Vec<Place>) -> Result<Checked> {
    let mut found = Checked::default();
    let (promises, understood) = read_promises(terms, looker, &targets, &mut found).await;
    // Listed after the manifests were read: what they name was there before them.
    let listing = Inventory::list(&*looker.store, &looker.database, &looker.generation).await;
    let inventory = match listing {
        Ok(inventory) => inventory,
        Err(e) => {
            let fault = Fault::of(e);
            let prefix = keys::generation_prefix(&looker.database, &looker.generation);
            for place in &targets {
                let fault = Fault::new(FindingKind::Unreadable, fault.detail.clone());
                found.findings.push(finding(looker, Some(&place.snapshot), None, &prefix, fault));
            }
            judge(&mut found, &targets);
            return Ok(found);
        }
    };
    let deep = if terms.depth > Depth::Listing { inventory.parts().len() } else { 0 };
    let mut run = Run {
        terms,
        looker,
        named: vec![false; inventory.parts().len()],
        done: vec![Done::default(); deep],
        inventory,
        faulty: HashMap::new(),
        absent: HashSet::new(),
        found,
        known: HashSet::new(),
        understood,
        looked: false,
    };
    run.check_archives(&promises).await;
    for shared in shared(&promises) {
        run.check_list(&promises, &shared).await?;
    }
    let Run { mut found, inventory, named, known, understood, .. } = run;
    forget_deleted(terms, looker, &mut targets, &mut found).await;
    judge(&mut found, &targets);
    surplus::find(terms, looker, &inventory, named, known, understood, &targets, &mut found)
        .await?;
    Ok(found)
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

/// Reads a manifest; what is wrong with it as a fault.
pub async fn read_promise(
    terms: &Terms,
    looker: &Looker,
    place: &Place,
) -> std::result::Result<(crate::model::Manifest, u64), Fault> {
    let key = keys::manifest_key(&looker.database, &place.generation, &place.snapshot);
    let mut object = looker.store.get(&key).await.map_err(Fault::of)?;
    let mut read = history::prove_manifest(&object.bytes, &terms.keys, &looker.database, place);
    if read.as_ref().is_err_and(|e| e.kind() == Kind::Damaged) {
        // Damage is believed when it is seen twice.
        object = looker.store.get(&key).await.map_err(Fault::of)?;
        read = history::prove_manifest(&object.bytes, &terms.keys, &looker.database, place);
    }
    match read {
        Ok(manifest) => Ok((manifest, object.bytes.len() as u64)),
        Err(e) => Err(fault_of(&e)),
    }
}

fn fault_of(e: &Error) -> Fault {
    let kind = match e.kind() {
        Kind::Damaged => FindingKind::Damaged,
        _ => FindingKind::Unreadable,
    };
    Fault::new(kind, e.one_line())
}

async fn read_promises(
    terms: &Terms,
    looker: &Looker,
    targets: &[Place],
    found: &mut Checked,
) -> (Vec<Promise>, bool) {
    let mut reads = stream::iter(targets)
        .map(async |place| (place, read_promise(terms, looker, place).await))
        .buffered(READERS);
    let (mut promises, mut names, mut understood) = (Vec::new(), Names::new(), true);
    while let Some((place, read)) = reads.next().await {
        match read {
            Ok((manifest, size)) => {
                found.counts.object(size);
                found.stores.push((place.snapshot.clone(), manifest.stores.clone()));
                promises.push(Promise::of(&manifest, &mut names));
            }
            Err(fault) => {
                understood = false;
                found.counts.object(0);
                let key = keys::manifest_key(&looker.database, &place.generation, &place.snapshot);
                found.findings.push(finding(looker, Some(&place.snapshot), None, &key, fault));
            }
        }
    }
    (promises, understood)
}

/// The verdict over each snapshot, from its findings.
fn judge(found: &mut Checked, targets: &[Place]) {
    let mut worst: HashMap<&str, Verdict> = HashMap::new();
    for finding in &found.findings {
        let Some(snapshot) = finding.snapshot.as_deref() else { continue };
        let verdict = match finding.kind {
            FindingKind::Missing | FindingKind::Damaged => Verdict::Damaged,
            FindingKind::Unreadable => Verdict::Unverified,
            FindingKind::Surplus => Verdict::Intact,
        };
        let slot = worst.entry(snapshot).or_insert(verdict);
        *slot = verdict.max(*slot);
    }
    found.verdicts = targets
        .iter()
        .map(|place| {
            let verdict = worst.get(place.snapshot.as_str()).copied();
            (place.snapshot.clone(), verdict.unwrap_or(Verdict::Intact))
        })
        .collect();
}

/// A snapshot that was removed while it was looked at misses nothing; `targets` loses it.
async fn forget_deleted(
    terms: &Terms,
    looker: &Looker,
    targets: &mut Vec<Place>,
    found: &mut Checked,
) {
    let missing: HashSet<String> = found
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Missing)
        .filter_map(|f| f.snapshot.clone())
        .collect();
    for id in missing {
        let Ok(snapshot) = id.parse::<SnapshotId>() else { continue };
        let key = keys::manifest_key(&looker.database, &looker.generation, &snapshot);
        if matches!(looker.store.head(&key, false).await, Ok(None)) {
            found.findings.retain(|f| f.snapshot.as_deref() != Some(id.as_str()));
            found.stores.retain(|(s, _)| *s != snapshot);
            targets.retain(|place| place.snapshot != snapshot);
            let store = looker.store.name();
            terms.sink.notice(
                Level::Info,
                format!("snapshot {id} was removed from store `{store}` while it was checked"),
            );
        }
    }
}

impl Run<'_> {
    fn report(&mut self, promise: &Promise, table: Option<&str>, key: &str, fault: Fault) {
        let finding = finding(self.looker, Some(&promise.id), table, key, fault);
        self.found.findings.push(finding);
    }

    async fn check_archives(&mut self, promises: &[Promise]) {
        let (store, depth) = (&*self.looker.store, self.terms.depth);
        let held = &self.inventory.schemas;
        let looker = self.looker;
        let looks: Vec<_> = stream::iter(promises)
            .map(async |promise| {
                let key = keys::schema_key(&looker.database, &looker.generation, &promise.id);
                let (size, digest) = (promise.schema.stored, promise.schema.stored_digest);
                let seen = held.get(&promise.id).map(|other| other.size);
                let (checked, streamed) = match (looking::listed(seen, size), depth) {
                    (Ok(()), Depth::Checksums) => {
                        looking::checksum(store, &key, size, digest).await
                    }
                    (Ok(()), Depth::Content) => {
                        (looking::streamed(store, &key, size, digest).await, false)
                    }
                    (listed, _) => (listed, false),
                };
                (promise, key, checked, streamed)
            })
            .buffered(READERS)
            .collect()
            .await;
        for (promise, key, checked, streamed) in looks {
            self.found.counts.object(promise.schema.stored);
            self.found.counts.streamed += u64::from(streamed);
            if let Err(fault) = checked {
                self.report(promise, None, &key, fault);
            }
        }
    }

    /// Checks one list and what it names, and reports it to every table that has it.
    async fn check_list(&mut self, promises: &[Promise], shared: &Shared) -> Result<()> {
        let promise = shared.line.list;
        let key = keys::list_key(&self.looker.database, &self.looker.generation, promise.list);
        if self.known.insert(promise.list) {
            self.found.counts.object(shared.line.list_stored);
        }
        let mut bad = BadList::default();
        match self.read_list(&key, shared).await? {
            Err(fault) => {
                self.understood = false;
                bad.push(|| key.clone(), fault);
            }
            Ok(list) => self.check_parts(&list, shared, &mut bad).await?,
        }
        for (index, table) in &shared.users {
            let promise = &promises[*index];
            for Bad { key, fault } in &bad.shown {
                self.report(promise, Some(table), key, fault.clone());
            }
            for (kind, count) in &bad.more {
                let detail = format!("{count} more objects of this table are {kind}");
                self.report(promise, Some(table), &key, Fault::new(*kind, detail));
            }
        }
        Ok(())
    }

    async fn read_list(
        &self,
        key: &str,
        shared: &Shared,
    ) -> Result<std::result::Result<PartList, Fault>> {
        let promise = shared.line.list;
        let held = self.inventory.lists.get(&promise.list).map(|other| other.size);
        if let Err(fault) = looking::listed(held, shared.line.list_stored) {
            return Ok(Err(fault));
        }
        let mut last = None;
        // Damage is believed when it is seen twice.
        for _ in 0..2 {
            let stored = match self.looker.store.get(key).await {
                Ok(object) => object.bytes,
                Err(e) => return Ok(Err(Fault::of(e))),
            };
            match open_list(stored, promise).await? {
                Ok(list) => return Ok(Ok(list)),
                Err(fault) => last = Some(fault),
            }
        }
        let unseen = || Fault::new(FindingKind::Unreadable, "it was not read");
        Ok(Err(last.unwrap_or_else(unseen)))
    }

    async fn check_parts(
        &mut self,
        list: &PartList,
        shared: &Shared,
        bad: &mut BadList,
    ) -> Result<()> {
        let depth = self.terms.depth;
        let mut wanted = Vec::new();
        let mut lowest: Option<(u64, Task)> = None;
        let mut reported = HashSet::new();
        for task in tasks(list) {
            match looking::listed_part(&self.inventory, &task) {
                Err(fault) => {
                    if self.absent.insert(task.name) {
                        self.found.counts.object(0);
                    }
                    if let Some(at) = self.inventory.find(&task.name) {
                        self.named[at] = true;
                    }
                    if reported.insert(task.name) {
                        bad.push(|| self.looker.key(task.name), fault);
                    }
                }
                Ok(at) => {
                    let first = !std::mem::replace(&mut self.named[at], true);
                    self.found.counts.objects += u64::from(first);
                    if depth == Depth::Listing {
                        self.found.counts.checked += u64::from(first);
                        self.found.counts.bytes += if first { task.stored } else { 0 };
                    } else if !self.done[at].covers(&task, depth) {
                        if self.terms.sample.takes(&task.name) {
                            wanted.push(task);
                        } else if !self.looked {
                            let rank = self.terms.sample.rank(&task.name);
                            if lowest.is_none_or(|(low, _)| rank < low) {
                                lowest = Some((rank, task));
                            }
                        }
                    }
                }
            }
        }
        if depth == Depth::Listing {
            return Ok(());
        }
        // However small the share, something is looked at.
        if wanted.is_empty() && !self.looked {
            wanted.extend(lowest.map(|(_, task)| task));
        }
        self.looked |= !wanted.is_empty();
        // A part that a list names both as part and as base is wanted with its rows.
        wanted.sort_by_key(|task| (task.name, task.rows.is_none()));
        wanted.dedup_by_key(|task| task.name);
        self.look(list, shared, wanted).await?;
        self.report_faulty(list, bad);
        Ok(())
    }

    fn report_faulty(&self, list: &PartList, bad: &mut BadList) {
        if self.faulty.is_empty() {
            return;
        }
        let mut reported = HashSet::new();
        for task in tasks(list) {
            if let Some(fault) = self.faulty.get(&task.name)
                && reported.insert(task.name)
            {
                bad.push(|| self.looker.key(task.name), fault.clone());
            }
        }
    }

    async fn look(&mut self, list: &PartList, shared: &Shared, wanted: Vec<Task>) -> Result<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        let Run { terms, looker, inventory, done, faulty, found, .. } = self;
        let label = shared.users.first().map_or_else(String::new, |(_, table)| table.to_string());
        let (inventory, counts) = (&*inventory, &mut found.counts);
        let units = (terms.depth == Depth::Content).then(|| {
            let bases: HashMap<Digest, &BasePart> =
                list.bases.iter().map(|base| (base.digest, base)).collect();
            looking::units(wanted.clone(), |digest| {
                let task = base_task(bases.get(digest)?);
                let sound = !faulty.contains_key(&task.name);
                (sound && looking::listed_part(inventory, &task).is_ok()).then_some(task)
            })
        });
        let each = |looked: Looked| {
            let Looked { task, fault, footing, wavered, streamed } = looked;
            counts.streamed += u64::from(streamed);
            counts.wavered += u64::from(wavered);
            counts.raw_bytes += if terms.depth == Depth::Content { task.raw } else { 0 };
            if !footing {
                if let Some(at) = inventory.find(&task.name) {
                    if done[at].bytes == 0 {
                        counts.checked += 1;
                        counts.bytes += task.stored;
                    }
                    done[at] = Done::of(&task);
                }
                let bytes = task.raw;
                let rows = task.rows.map_or(0, |(rows, _)| rows);
                terms.sink.emit(Event::TableProgress { table: label.clone(), rows, bytes });
            }
            if let Some(fault) = fault {
                faulty.insert(task.name, fault);
            }
        };
        match units {
            Some(units) => looker.content(shared.format, units, each).await,
            None => {
                looker.checksums(wanted, each).await;
                Ok(())
            }
        }
    }
}

/// Proves and reads a list on another thread; a fault says what is wrong with it.
pub async fn open_list(
    stored: Bytes,
    promise: lists::Promise,
) -> Result<std::result::Result<PartList, Fault>> {
    let opened = tokio::task::spawn_blocking(move || lists::open(&stored, &promise))
        .await
        .attempt(Kind::Bug, || "read a part list on another thread".to_owned())?;
    Ok(opened.map_err(|e| fault_of(&e)))
}

/// Marks what a list names in an inventory.
pub fn mark(list: &PartList, inventory: &Inventory, named: &mut [bool]) {
    for task in tasks(list) {
        if let Some(at) = inventory.find(&task.name) {
            named[at] = true;
        }
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
