//! One generation on its way from one store to another.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use super::{CopyRequest, CopyState, SnapshotCopy};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::history::{self, Place};
use crate::integrity::lists;
use crate::integrity::verify::{self, Fault, Inventory, Names, Promise, TableLine};
use crate::model::{Digest, Event, Finding, FindingKind, GenerationId, PartList, PartName};
use crate::store::{Class, Condition, Put, keys, mirror};

/// After so many objects that could not be copied for other reasons than damage, a store is not
/// worth asking further.
const PATIENCE: usize = 16;

/// An object to copy.
struct Freight {
    key: String,
    size: u64,
    digest: Digest,
    /// None for lists and archives.
    part: Option<PartName>,
}

/// What stands in the way of a table or snapshot.
#[derive(Clone)]
struct Obstacle {
    store: String,
    key: String,
    fault: Fault,
}

/// A generation in both stores.
pub struct Passage<'a> {
    request: &'a CopyRequest,
    generation: &'a GenerationId,
    /// Copy, or only count.
    act: bool,
    here: Inventory,
    there: Inventory,
    /// Parts that came, or in a plan would come, to the destination in this run.
    brought: HashSet<PartName>,
    /// Parts that could not be brought.
    stuck: HashMap<PartName, Obstacle>,
    /// Lists that were dealt with, and what stands in their way.
    lists: HashMap<Digest, Vec<Obstacle>>,
    failures: usize,
}

/// Counts of one snapshot.
#[derive(Default)]
struct Sum {
    objects: u64,
    bytes: u64,
}

impl<'a> Passage<'a> {
    pub async fn open(
        request: &'a CopyRequest,
        generation: &'a GenerationId,
        act: bool,
    ) -> Result<Self> {
        let list = |store| Inventory::list(store, &request.database, generation);
        Ok(Self {
            request,
            generation,
            act,
            here: list(&*request.from).await?,
            there: list(&*request.to).await?,
            brought: HashSet::new(),
            stuck: HashMap::new(),
            lists: HashMap::new(),
            failures: 0,
        })
    }

    /// Brings one snapshot over.
    pub async fn snapshot(&mut self, place: &Place) -> Result<(SnapshotCopy, Vec<Finding>)> {
        let (request, database) = (self.request, self.request.database.as_str());
        let key = keys::manifest_key(database, self.generation, &place.snapshot);
        let copy = |state, sum: &Sum| SnapshotCopy {
            snapshot: place.snapshot.clone(),
            generation: place.generation.clone(),
            state,
            objects: sum.objects,
            bytes: sum.bytes,
        };
        let mut sum = Sum::default();
        let mut findings = Vec::new();
        let found = |table: Option<&str>, obstacle: Obstacle| Finding {
            kind: obstacle.fault.kind,
            store: obstacle.store,
            database: database.to_owned(),
            snapshot: Some(place.snapshot.to_string()),
            table: table.map(str::to_owned),
            part: Some(obstacle.key),
            detail: obstacle.fault.detail,
        };
        let object = request.from.get(&key).await.map_err(Fault::of);
        let proven = object.and_then(|object| {
            let proven = history::prove_manifest(&object.bytes, &request.keys, database, place);
            proven.map(|manifest| (manifest, object.bytes)).map_err(|e| fault_of(&e))
        });
        let (manifest, sealed) = match proven {
            Ok(proven) => proven,
            Err(fault) => {
                findings.push(found(None, self.at_source(&key, fault)));
                return Ok((copy(CopyState::Failed, &sum), findings));
            }
        };
        let promise = Promise::of(&manifest, &mut Names::new());
        drop(manifest);
        for line in &promise.tables {
            for obstacle in self.table(line, &mut sum).await? {
                findings.push(found(Some(&line.name), obstacle));
            }
        }
        if let Some(obstacle) = self.archive(&promise, &mut sum).await? {
            findings.push(found(None, obstacle));
        }
        let was_there = self.there.manifests.contains_key(&place.snapshot);
        if !findings.is_empty() {
            return Ok((copy(CopyState::Failed, &sum), findings));
        }
        if !was_there {
            sum.objects += 1;
            sum.bytes += sealed.len() as u64;
        }
        let state = match (was_there && sum.objects == 0, self.act) {
            (true, _) => CopyState::AlreadyThere,
            (false, false) => CopyState::Planned,
            (false, true) => CopyState::Copied,
        };
        // The commit mark goes last; one that is there must be this one.
        if (self.act || was_there)
            && let Some(fault) = self.commit(&key, sealed, was_there).await?
        {
            let store = request.to.name().to_owned();
            findings.push(found(None, Obstacle { store, key: key.clone(), fault }));
            return Ok((copy(CopyState::Failed, &sum), findings));
        }
        Ok((copy(state, &sum), findings))
    }

    fn at_source(&self, key: &str, fault: Fault) -> Obstacle {
        Obstacle { store: self.request.from.name().to_owned(), key: key.to_owned(), fault }
    }

    async fn commit(
        &self,
        key: &str,
        sealed: bytes::Bytes,
        was_there: bool,
    ) -> Result<Option<Fault>> {
        let to = &*self.request.to;
        if !was_there {
            let put =
                to.put_if(key, sealed.clone(), Digest::of(&sealed), Condition::Absent).await?;
            if let Put::Written(_) = put {
                return Ok(None);
            }
        }
        let there = match to.get(key).await {
            Ok(object) => object.bytes,
            Err(e) if e.class == Class::NotFound => {
                return Ok(Some(Fault::new(FindingKind::Missing, "it vanished meanwhile")));
            }
            Err(e) => return Err(e.into()),
        };
        Ok((there != sealed).then(|| {
            Fault::new(
                FindingKind::Damaged,
                "another manifest stands here; once it is sure that it is worthless, delete it \
                 and copy again",
            )
        }))
    }

    async fn archive(&mut self, promise: &Promise, sum: &mut Sum) -> Result<Option<Obstacle>> {
        let key =
            keys::schema_key(&self.request.database, self.generation, &promise.id, promise.kept);
        let (size, digest) = (promise.schema.stored, promise.schema.stored_digest);
        let name = (promise.id.clone(), promise.kept);
        let here = self.here.schemas.get(&name).map(|o| o.size);
        let there = self.there.schemas.get(&name).map(|o| o.size);
        let freight = Freight { key, size, digest, part: None };
        self.single(freight, here, there, sum).await
    }

    /// Brings one list or archive.
    async fn single(
        &mut self,
        freight: Freight,
        here: Option<u64>,
        there: Option<u64>,
        sum: &mut Sum,
    ) -> Result<Option<Obstacle>> {
        match self.wanted(&freight, here, there) {
            Err(obstacle) => Ok(Some(obstacle)),
            Ok(false) => Ok(None),
            Ok(true) => {
                sum.objects += 1;
                sum.bytes += freight.size;
                match self.act {
                    true => {
                        let carried = carry(self.request, &freight).await;
                        self.settle(&freight, carried).await
                    }
                    false => Ok(None),
                }
            }
        }
    }

    /// Whether an object must be brought, told from what both stores list.
    fn wanted(
        &self,
        freight: &Freight,
        here: Option<u64>,
        there: Option<u64>,
    ) -> std::result::Result<bool, Obstacle> {
        match there {
            Some(size) if size == freight.size => return Ok(false),
            Some(size) => {
                let mut fault = Fault::wrong_size(size, freight.size);
                fault.detail.push_str("; delete it there and copy again");
                let store = self.request.to.name().to_owned();
                return Err(Obstacle { store, key: freight.key.clone(), fault });
            }
            None => {}
        }
        match verify::listed(here, freight.size) {
            Ok(()) => Ok(true),
            Err(fault) => Err(self.at_source(&freight.key, fault)),
        }
    }

    /// What a copy came to: nothing, or an obstacle. Too many failures of a store end it all.
    async fn settle(
        &mut self,
        freight: &Freight,
        carried: Result<mirror::Copied>,
    ) -> Result<Option<Obstacle>> {
        let Err(e) = carried else { return Ok(None) };
        if e.kind() != Kind::Damaged {
            self.failures += 1;
            if self.failures > PATIENCE {
                return Err(e
                    .during(format!(
                        "copy {} from store `{}` to store `{}`",
                        freight.key,
                        self.request.from.name(),
                        self.request.to.name()
                    ))
                    .hint("what was copied stays; the same command goes on from there"));
            }
        }
        let mut obstacle = self.at_source(&freight.key, fault_of(&e));
        // Damage at the source writes nothing, so an object that is there is what stands in the way.
        if e.kind() == Kind::Damaged
            && let Ok(Some(_)) = self.request.to.head(&freight.key, false).await
        {
            obstacle.store = self.request.to.name().to_owned();
        }
        Ok(Some(obstacle))
    }

    /// Brings what a table needs. A list that other tables or snapshots had is not gone through
    /// again.
    async fn table(&mut self, line: &TableLine, sum: &mut Sum) -> Result<Vec<Obstacle>> {
        if let Some(obstacles) = self.lists.get(&line.list.list) {
            return Ok(obstacles.clone());
        }
        let key = keys::list_key(&self.request.database, self.generation, line.list.list);
        let freight = Freight {
            key: key.clone(),
            size: line.list_stored,
            digest: line.list.stored_digest,
            part: None,
        };
        let mut obstacles = match self.read_list(&key, line).await? {
            Err(fault) => vec![self.at_source(&key, fault)],
            Ok(list) => self.parts(&list, &line.name, sum).await?,
        };
        if obstacles.is_empty() {
            let here = self.here.lists.get(&line.list.list).map(|o| o.size);
            let there = self.there.lists.get(&line.list.list).map(|o| o.size);
            obstacles.extend(self.single(freight, here, there, sum).await?);
        }
        self.lists.insert(line.list.list, obstacles.clone());
        Ok(obstacles)
    }

    async fn read_list(
        &self,
        key: &str,
        line: &TableLine,
    ) -> Result<std::result::Result<PartList, Fault>> {
        let stored = match self.request.from.get(key).await {
            Ok(object) => object.bytes,
            Err(e) => return Ok(Err(Fault::of(e))),
        };
        let promise = line.list;
        let opened = tokio::task::spawn_blocking(move || lists::open(&stored, &promise))
            .await
            .attempt(Kind::Bug, || "read a part list on another thread".to_owned())?;
        Ok(opened.map_err(|e| fault_of(&e)))
    }

    async fn parts(
        &mut self,
        list: &PartList,
        table: &str,
        sum: &mut Sum,
    ) -> Result<Vec<Obstacle>> {
        let mut obstacles: Vec<Obstacle> = Vec::new();
        let mut load = Vec::new();
        for task in verify::tasks(list) {
            if let Some(obstacle) = self.stuck.get(&task.name) {
                obstacles.push(obstacle.clone());
                continue;
            }
            if self.brought.contains(&task.name) {
                continue;
            }
            let size = |inventory: &Inventory| {
                inventory.find(&task.name).map(|at| inventory.parts()[at].size)
            };
            let (here, there) = (size(&self.here), size(&self.there));
            let freight = Freight {
                key: keys::part_key(&self.request.database, self.generation, task.name),
                size: task.stored,
                digest: task.stored_digest,
                part: Some(task.name),
            };
            match self.wanted(&freight, here, there) {
                Ok(false) => {}
                Ok(true) => {
                    self.brought.insert(task.name);
                    sum.objects += 1;
                    sum.bytes += freight.size;
                    load.push(freight);
                }
                Err(obstacle) => {
                    self.stuck.insert(task.name, obstacle.clone());
                    obstacles.push(obstacle);
                }
            }
        }
        if self.act {
            obstacles.extend(self.carry_all(load, table, sum).await?);
        }
        Ok(obstacles)
    }

    async fn carry_all(
        &mut self,
        load: Vec<Freight>,
        table: &str,
        sum: &mut Sum,
    ) -> Result<Vec<Obstacle>> {
        let request = self.request;
        let mut obstacles = Vec::new();
        let mut copies = stream::iter(load)
            .map(async |freight| {
                let carried = carry(request, &freight).await;
                (freight, carried)
            })
            .buffer_unordered(request.jobs.max(1));
        while let Some((freight, carried)) = copies.next().await {
            if carried.is_ok() {
                request.sink.emit(Event::TableProgress {
                    table: table.to_owned(),
                    rows: 0,
                    bytes: freight.size,
                });
            }
            if let Some(obstacle) = self.settle(&freight, carried).await? {
                sum.objects -= 1;
                sum.bytes -= freight.size;
                if let Some(part) = freight.part {
                    self.brought.remove(&part);
                    self.stuck.insert(part, obstacle.clone());
                }
                obstacles.push(obstacle);
            }
        }
        Ok(obstacles)
    }
}

async fn carry(request: &CopyRequest, freight: &Freight) -> Result<mirror::Copied> {
    let Freight { key, size, digest, .. } = freight;
    mirror::copy_object(&*request.from, &*request.to, key, *size, *digest).await
}

fn fault_of(e: &Error) -> Fault {
    let kind = match e.kind() {
        Kind::Damaged => FindingKind::Damaged,
        _ => FindingKind::Unreadable,
    };
    Fault::new(kind, e.one_line())
}
