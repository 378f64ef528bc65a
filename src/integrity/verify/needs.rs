//! What the tables of a generation need in one store: schema archives, lists, parts and bases.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use futures_util::{StreamExt as _, stream};

use super::Depth;
use super::bench::Task;
use super::inventory::Inventory;
use super::looking::{self, Fault, Looked, Looker};
use super::promise::{Promise, TableLine};
use super::reading::open_list;
use super::scope::{self, Covered, SLICES, Slice};
use super::tasks::{Done, base_task, tasks};
use super::terms::{Checked, Terms, finding};
use crate::error::Result;
use crate::integrity::encryption::Cipher;
use crate::integrity::lists;
use crate::model::{
    BasePart, Digest, Event, FindingKind, PartList, PartName, RowFormat, SnapshotId,
};
use crate::store::keys;

/// Schema archives asked for at once.
const READERS: usize = 16;

/// Findings given one by one for each table of each snapshot; the others are counted.
const SHOWN: usize = 1000;

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

/// The tables of the checked snapshots that have one list.
struct Shared {
    line: TableLine,
    format: RowFormat,
    cipher: Option<Cipher>,
    /// Snapshot (by its place among the promises) and table.
    users: Vec<(usize, Arc<str>)>,
}

impl Shared {
    /// How deep its parts can be looked at: what cannot be opened is compared as it is stored.
    fn depth(&self, wanted: Depth) -> Depth {
        if self.cipher.is_some() { wanted } else { wanted.min(Depth::Checksums) }
    }
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
                    cipher: promise.cipher.clone(),
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
pub struct Run<'a> {
    terms: &'a Terms,
    looker: &'a Looker,
    pub inventory: Inventory,
    /// By place in the inventory: a list names the part.
    pub named: Vec<bool>,
    /// By place in the inventory; empty at depth `listing`.
    done: Vec<Done>,
    /// Parts that looking at them found wrong.
    faulty: HashMap<PartName, Fault>,
    absent: HashSet<PartName>,
    pub found: Checked,
    /// Lists whose content is known.
    pub known: HashSet<Digest>,
    /// Every manifest and list of the checked snapshots could be read.
    pub understood: bool,
    /// At least one part has been looked at.
    looked: bool,
    /// By slice: it is looked into in this round.
    turn: [bool; SLICES],
    /// By slice: the listing shows it as it was when its checksums were compared.
    vouched: [bool; SLICES],
    /// The rounds after the first only look into their slices.
    again: bool,
    /// Lists that could not be read.
    unread: HashSet<Digest>,
    /// Snapshots whose schema archive is not as promised.
    bad_archives: HashSet<SnapshotId>,
}

/// A round takes no fewer bytes than this; each reads the lists anew.
const ROUND: u64 = 4 << 30;

/// Rounds of a generation at most.
const ROUNDS: u64 = 16;

/// The slices that have their turn, in rounds, so that what was done is remembered as it is done.
fn rounds(terms: &Terms, looker: &Looker, inventory: &Inventory) -> Vec<[bool; SLICES]> {
    let Some(ledger) = terms.scope.ledger.as_ref().filter(|_| terms.depth > Depth::Listing) else {
        return vec![[true; SLICES]];
    };
    let bytes = &inventory.tallies.bytes;
    let size = ROUND.max(bytes.iter().sum::<u64>() / ROUNDS);
    let (mut rounds, mut round, mut taken) = (Vec::new(), [false; SLICES], 0);
    for slice in 0..=Slice::MAX {
        let at = usize::from(slice);
        if !ledger.picks(looker.store.name(), &looker.generation, slice) {
            continue;
        }
        if taken > 0 && taken + bytes[at] > size {
            rounds.push(std::mem::replace(&mut round, [false; SLICES]));
            taken = 0;
        }
        round[at] = true;
        taken += bytes[at];
    }
    rounds.push(round);
    rounds
}

impl<'a> Run<'a> {
    pub fn new(
        terms: &'a Terms,
        looker: &'a Looker,
        inventory: Inventory,
        found: Checked,
        understood: bool,
    ) -> Self {
        let deep = if terms.depth > Depth::Listing { inventory.parts().len() } else { 0 };
        Self {
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
            turn: [true; SLICES],
            vouched: [false; SLICES],
            again: false,
            unread: HashSet::new(),
            bad_archives: HashSet::new(),
        }
    }

    /// Checks everything that the promises need.
    pub async fn check(&mut self, promises: &[Promise]) -> Result<()> {
        self.ask_ledger();
        let shared = shared(promises);
        for round in rounds(self.terms, self.looker, &self.inventory) {
            self.turn = round;
            self.check_archives(promises).await;
            for shared in &shared {
                self.check_list(promises, shared).await?;
            }
            self.close_round().await;
            self.again = true;
        }
        Ok(())
    }

    fn ask_ledger(&mut self) {
        let Some(ledger) = &self.terms.scope.ledger else { return };
        if self.terms.depth != Depth::Checksums {
            return;
        }
        let (store, generation) = (self.looker.store.name(), &self.looker.generation);
        for slice in 0..=Slice::MAX {
            let seen = self.inventory.tallies.fingerprint(slice);
            self.vouched[usize::from(slice)] =
                seen.is_some_and(|seen| ledger.vouches(store, generation, slice, &seen));
        }
    }

    /// Tells the ledger which slices were looked at whole and are as promised.
    async fn close_round(&mut self) {
        let Some(ledger) = self.terms.scope.ledger.clone() else { return };
        // What cannot be read might name more.
        if !self.understood || self.terms.depth == Depth::Listing {
            return;
        }
        let mut sound = self.turn;
        let parts = self.faulty.keys().chain(&self.absent).map(scope::of_part);
        let archives = self.bad_archives.iter().map(scope::of_archive);
        parts.chain(archives).for_each(|slice| sound[usize::from(slice)] = false);
        // Of what no list names the checksum was not compared.
        let mut unnamed = [false; SLICES];
        let parts = self.inventory.parts().iter().zip(&self.named);
        for (held, _) in parts.filter(|(_, named)| !**named) {
            unnamed[usize::from(scope::of_part(&held.name))] = true;
        }
        let covered: Vec<Covered> = (0..=Slice::MAX)
            .filter(|slice| sound[usize::from(*slice)])
            .map(|slice| Covered {
                slice,
                fingerprint: (!unnamed[usize::from(slice)])
                    .then(|| self.inventory.tallies.fingerprint(slice))
                    .flatten(),
            })
            .collect();
        ledger.covered(self.looker.store.name(), &self.looker.generation, &covered).await;
    }

    /// Whether a slice is to be looked into, rather than only listed.
    fn looks_into(&self, slice: Slice) -> bool {
        self.turn[usize::from(slice)] && !self.vouched[usize::from(slice)]
    }

    fn report(&mut self, promise: &Promise, table: Option<&str>, key: &str, fault: Fault) {
        let finding = finding(self.looker, Some(&promise.id), table, key, fault);
        self.found.findings.push(finding);
    }

    async fn check_archives(&mut self, promises: &[Promise]) {
        let (store, depth) = (&*self.looker.store, self.terms.depth);
        let held = &self.inventory.schemas;
        let looker = self.looker;
        let (again, vouched) = (self.again, self.vouched);
        let due = promises.iter().filter(|promise| {
            !self.again || self.turn[usize::from(scope::of_archive(&promise.id))]
        });
        let due: Vec<(&Promise, bool)> =
            due.map(|p| (p, self.looks_into(scope::of_archive(&p.id)))).collect();
        let looks: Vec<_> = stream::iter(due)
            .map(async |(promise, into)| {
                let depth = if into { depth } else { Depth::Listing };
                let key = keys::schema_key(
                    &looker.database,
                    &looker.generation,
                    &promise.id,
                    promise.kept,
                );
                let (size, digest) = (promise.schema.stored, promise.schema.stored_digest);
                let seen = held.get(&(promise.id.clone(), promise.kept)).map(|other| other.size);
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
            let slice = scope::of_archive(&promise.id);
            if !again {
                self.found.counts.object(promise.schema.stored);
                self.found.counts.vouched += u64::from(vouched[usize::from(slice)]);
            }
            self.found.counts.streamed += u64::from(streamed);
            if let Err(fault) = checked
                && self.bad_archives.insert(promise.id.clone())
            {
                self.report(promise, None, &key, fault);
            }
        }
    }

    /// Checks one list and what it names, and reports it to every table that has it.
    async fn check_list(&mut self, promises: &[Promise], shared: &Shared) -> Result<()> {
        let promise = shared.line.list;
        let key = keys::list_key(&self.looker.database, &self.looker.generation, promise.list);
        if self.again && self.unread.contains(&promise.list) {
            return Ok(());
        }
        if self.known.insert(promise.list) {
            self.found.counts.object(shared.line.list_stored);
        }
        let mut bad = BadList::default();
        match self.read_list(&key, shared).await? {
            Err(fault) => {
                self.understood = false;
                self.unread.insert(promise.list);
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
        let depth = shared.depth(self.terms.depth);
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
                    if !self.again && reported.insert(task.name) {
                        bad.push(|| self.looker.key(task.name), fault);
                    }
                }
                Ok(at) => {
                    let slice = scope::of_part(&task.name);
                    let first = !std::mem::replace(&mut self.named[at], true);
                    self.found.counts.objects += u64::from(first);
                    if depth == Depth::Listing {
                        self.found.counts.checked += u64::from(first);
                        self.found.counts.bytes += if first { task.stored } else { 0 };
                    } else if !self.looks_into(slice) {
                        if first && self.vouched[usize::from(slice)] {
                            self.found.counts.checked += 1;
                            self.found.counts.vouched += 1;
                        }
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
        if wanted.is_empty() && !self.looked && self.terms.scope.ledger.is_none() {
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
                && self.turn[usize::from(scope::of_part(&task.name))]
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
        let depth = shared.depth(terms.depth);
        let units = (depth == Depth::Content).then(|| {
            let bases: HashMap<Digest, &BasePart> =
                list.bases.iter().map(|base| (base.digest, base)).collect();
            looking::units(wanted.clone(), |digest| {
                let task = base_task(bases.get(digest)?, list.kept());
                let sound = !faulty.contains_key(&task.name);
                (sound && looking::listed_part(inventory, &task).is_ok()).then_some(task)
            })
        });
        let each = |looked: Looked| {
            let Looked { task, fault, footing, wavered, streamed } = looked;
            counts.streamed += u64::from(streamed);
            counts.wavered += u64::from(wavered);
            counts.raw_bytes += if depth == Depth::Content { task.raw } else { 0 };
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
        match (units, &shared.cipher) {
            (Some(units), Some(cipher)) => {
                looker.content((shared.format, cipher), units, each).await
            }
            _ => {
                looker.checksums(wanted, each).await;
                Ok(())
            }
        }
    }
}
