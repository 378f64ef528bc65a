//! Looking at objects: what a store's answer means, and the checks that ask it or read it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::bench::{Benches, Check, Task};
use super::inventory::Inventory;
use crate::error::{Error, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::hashing;
use crate::model::{Digest, FindingKind, PartName, RowFormat};
use crate::store::{Class, ObjectStore, StoreError};

/// What is wrong with an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    pub kind: FindingKind,
    pub detail: String,
}

impl Fault {
    pub fn new(kind: FindingKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into() }
    }

    /// A read that failed says nothing about the object, unless the store says it is gone or does
    /// not fit the store's own checksum.
    pub fn of(e: StoreError) -> Self {
        let kind = match e.class {
            Class::NotFound => FindingKind::Missing,
            Class::Corrupt => FindingKind::Damaged,
            Class::Transient | Class::Permanent | Class::Denied | Class::Unknown => {
                FindingKind::Unreadable
            }
        };
        Self::new(kind, Error::from(e).one_line())
    }

    pub fn wrong_size(seen: u64, promised: u64) -> Self {
        Self::new(FindingKind::Damaged, format!("it has {seen} bytes, {promised} are promised"))
    }
}

/// What looking at one part came to.
#[derive(Debug)]
pub struct Looked {
    pub task: Task,
    pub fault: Option<Fault>,
    /// It was only read as the base of others.
    pub footing: bool,
    /// It was wrong when read first, and right when read again.
    pub wavered: bool,
    /// The store had no checksum to compare, so it was read.
    pub streamed: bool,
}

/// A plain part with deltas that rest on it, which are checked together.
#[derive(Debug, Clone)]
pub struct Unit {
    pub base: Option<(Task, Check)>,
    pub deltas: Vec<Task>,
}

/// Deltas of one base that are checked in one go.
const DELTAS: usize = 16;

/// Groups the parts to look at into units, in their order. `footing` gives the plain part that a
/// delta rests on, if there is one to be had.
pub fn units(tasks: Vec<Task>, footing: impl Fn(&Digest) -> Option<Task>) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut open: std::collections::HashMap<Digest, usize> = std::collections::HashMap::new();
    let (plain, deltas): (Vec<Task>, Vec<Task>) =
        tasks.into_iter().partition(|task| task.name.base.is_none());
    for task in plain {
        open.insert(task.name.digest, units.len());
        units.push(Unit { base: Some((task, Check::Whole)), deltas: Vec::new() });
    }
    for task in deltas {
        // The partition leaves only parts that have a base here.
        let Some(base) = task.name.base else { continue };
        let at = open.get(&base).copied().filter(|at| units[*at].deltas.len() < DELTAS);
        let at = at.unwrap_or_else(|| {
            let base_task = footing(&base).map(|task| (task, Check::Footing));
            units.push(Unit { base: base_task, deltas: Vec::new() });
            open.insert(base, units.len() - 1);
            units.len() - 1
        });
        units[at].deltas.push(task);
    }
    units
}

/// How the bytes of parts are read.
pub type Reading<'c> = (RowFormat, &'c Cipher);

/// Reads one generation's parts in one store.
#[derive(Clone)]
pub struct Looker {
    pub store: Arc<dyn ObjectStore>,
    pub benches: Arc<Benches>,
    pub database: String,
    pub generation: crate::model::GenerationId,
    /// Objects asked for at once.
    pub width: usize,
}

impl Looker {
    pub fn key(&self, name: PartName) -> String {
        crate::store::keys::part_key(&self.database, &self.generation, name)
    }

    /// Compares the store's own SHA-256 of each part.
    pub async fn checksums(&self, tasks: Vec<Task>, mut each: impl FnMut(Looked)) {
        let mut looks = stream::iter(tasks)
            .map(async |task| {
                let key = self.key(task.name);
                let (found, streamed) =
                    checksum(&*self.store, &key, task.stored, task.stored_digest).await;
                Looked { task, fault: found.err(), footing: false, wavered: false, streamed }
            })
            .buffer_unordered(self.width);
        while let Some(looked) = looks.next().await {
            each(looked);
        }
    }

    /// Reads parts, undoes them and counts their rows.
    pub async fn content(
        &self,
        reading: Reading<'_>,
        units: Vec<Unit>,
        mut each: impl FnMut(Looked),
    ) -> Result<()> {
        let mut looks = stream::iter(units)
            .map(async |unit| self.unit(reading, unit).await)
            .buffer_unordered(self.width);
        while let Some(done) = looks.next().await {
            done?.into_iter().for_each(&mut each);
        }
        Ok(())
    }

    async fn unit(&self, reading: Reading<'_>, unit: Unit) -> Result<Vec<Looked>> {
        let first = self.read_unit(reading, &unit).await?;
        let bad = |looked: &[Looked]| {
            looked.iter().any(|l| l.fault.as_ref().is_some_and(|f| f.kind == FindingKind::Damaged))
        };
        if !bad(&first) {
            return Ok(first);
        }
        // Damage is believed when it is seen twice: bytes can also be spoilt on their way here.
        let mut second = self.read_unit(reading, &unit).await?;
        for looked in &mut second {
            let was = first.iter().find(|l| l.task.name == looked.task.name);
            looked.wavered = looked.fault.is_none() && was.is_some_and(|l| l.fault.is_some());
        }
        Ok(second)
    }

    async fn fetch(&self, task: &Task) -> std::result::Result<Bytes, Fault> {
        self.store.get(&self.key(task.name)).await.map(|object| object.bytes).map_err(Fault::of)
    }

    async fn read_unit(&self, reading: Reading<'_>, unit: &Unit) -> Result<Vec<Looked>> {
        let mut looked = Vec::with_capacity(1 + unit.deltas.len());
        let look = |task: Task, fault: Option<Fault>, footing: bool| Looked {
            task,
            fault,
            footing,
            wavered: false,
            streamed: false,
        };
        let mut base = None;
        if let Some((task, check)) = unit.base {
            match self.fetch(&task).await {
                Ok(bytes) => base = Some((task, check, bytes)),
                Err(fault) => looked.push(look(task, Some(fault), check == Check::Footing)),
            }
        }
        let mut deltas = Vec::with_capacity(unit.deltas.len());
        for task in &unit.deltas {
            match self.fetch(task).await {
                Ok(bytes) => deltas.push((*task, bytes)),
                Err(fault) => looked.push(look(*task, Some(fault), false)),
            }
        }
        let (base_task, check) = base.as_ref().map(|(t, c, _)| (*t, *c)).unzip();
        let tasks: Vec<Task> = deltas.iter().map(|(task, _)| *task).collect();
        let (format, cipher) = (reading.0, reading.1.clone());
        let proven = self.benches.proven.clone();
        let _turn = match (&proven, base_task.as_ref().or(tasks.first())) {
            (Some(proven), Some(first)) => Some(proven.turn(first).await),
            _ => None,
        };
        let known = proven.clone();
        let (of_base, of_deltas) = self
            .benches
            .at(move |bench| {
                let base = base.as_ref().map(|(task, check, bytes)| (task, *check, bytes));
                bench.check((format, &cipher), base, &deltas, known.as_deref())
            })
            .await?;
        let damaged = |e: String| Fault::new(FindingKind::Damaged, e);
        if let (Some(task), Some(outcome)) = (base_task, of_base) {
            let footing = check == Some(Check::Footing);
            looked.push(look(task, outcome.err().map(damaged), footing));
        }
        for (task, outcome) in tasks.into_iter().zip(of_deltas) {
            looked.push(look(task, outcome.err().map(damaged), false));
        }
        Ok(looked)
    }
}

/// Compares the store's SHA-256 of a whole object; where it keeps none, the object is read, which
/// the second value tells.
pub async fn checksum(
    store: &dyn ObjectStore,
    key: &str,
    size: u64,
    digest: Digest,
) -> (std::result::Result<(), Fault>, bool) {
    let meta = match store.head(key, true).await {
        Ok(Some(meta)) => meta,
        Ok(None) => {
            return (Err(Fault::new(FindingKind::Missing, "it is not there any more")), false);
        }
        Err(e) => return (Err(Fault::of(e)), false),
    };
    if meta.size != size {
        return (Err(Fault::wrong_size(meta.size, size)), false);
    }
    match meta.sha256 {
        Some(seen) if seen == digest => (Ok(()), false),
        Some(seen) => {
            let detail = format!("the store's SHA-256 of it is {seen}, {digest} is promised");
            (Err(Fault::new(FindingKind::Damaged, detail)), false)
        }
        None => (streamed(store, key, size, digest).await, true),
    }
}

/// Reads an object of any size and compares its SHA-256. Damage is believed when seen twice.
pub async fn streamed(
    store: &dyn ObjectStore,
    key: &str,
    size: u64,
    digest: Digest,
) -> std::result::Result<(), Fault> {
    let read = async || {
        let stream = store.get_stream(key).await.map_err(Fault::of)?;
        let (seen, bytes) = hashing::stream(stream).await.map_err(Fault::of)?;
        match seen == digest {
            true => Ok(()),
            false if bytes != size => Err(Fault::wrong_size(bytes, size)),
            false => Err(Fault::new(
                FindingKind::Damaged,
                format!("its bytes have the SHA-256 {seen}, {digest} is promised"),
            )),
        }
    };
    match read().await {
        Err(fault) if fault.kind == FindingKind::Damaged => read().await,
        other => other,
    }
}

/// Whether a promised object is listed with its size.
pub fn listed(seen: Option<u64>, promised: u64) -> std::result::Result<(), Fault> {
    match seen {
        Some(size) if size == promised => Ok(()),
        Some(size) => Err(Fault::wrong_size(size, promised)),
        None => Err(Fault::new(FindingKind::Missing, "it is not in the store")),
    }
}

/// As `listed`, for a part; its place in the inventory.
pub fn listed_part(inventory: &Inventory, task: &Task) -> std::result::Result<usize, Fault> {
    let at = inventory.find(&task.name);
    let held = at.map(|at| inventory.parts()[at].size);
    listed(held, task.stored)?;
    // `listed` fails where the part was not found.
    Ok(at.unwrap_or_default())
}
