//! Small real snapshots for tests, made of the same parts, lists and seals as the engine makes,
//! without a database.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::TryStreamExt as _;

use super::rows;
use super::seal::{self, Keys};
use super::verify::synthetic::{self, Outline};
use super::{codec, lists};
use crate::model::{
    BasePart, Digest, GenerationId, Kept, Manifest, Part, RowFormat, RowHash, SnapshotId,
};
use crate::store::keys;
use crate::store::{Condition, MemoryStore, ObjectStore};

/// A clock that tests turn.
#[derive(Clone)]
pub struct Clock(Arc<Mutex<DateTime<Utc>>>);

impl Clock {
    pub fn at(time: &str) -> Self {
        let time = DateTime::parse_from_rfc3339(time).unwrap().to_utc();
        Self(Arc::new(Mutex::new(time)))
    }

    pub fn now(&self) -> DateTime<Utc> {
        *self.0.lock().unwrap()
    }

    pub fn advance(&self, by: TimeDelta) {
        *self.0.lock().unwrap() += by;
    }

    pub fn store(&self, name: &str) -> MemoryStore {
        let clock = self.clone();
        MemoryStore::with_clock(name, Arc::new(move || clock.now()))
    }
}

/// Who needs an object: snapshot and table; no table for manifests and schema archives.
pub type Need = (String, Option<String>);

/// Makes the snapshots of one generation.
pub struct Forge {
    pub database: String,
    pub generation: GenerationId,
    pub keys: Keys,
    pub clock: Clock,
    /// The stores that manifests name.
    pub names: Vec<String>,
    /// By key, what needs it: what a check must report if the object is bad.
    pub needs: BTreeMap<String, BTreeSet<Need>>,
    bases: HashMap<(String, usize), (BasePart, Vec<u8>)>,
}

/// The rows of each range of each table.
pub type Tables<'a> = &'a [(&'a str, Vec<Vec<u8>>)];

/// Text rows that differ by `seed`; every `stride`-th row differs by `version` too.
pub fn rows(seed: u64, count: usize, version: u64, stride: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    for i in 0..count {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let changed = if i % stride == 0 { version } else { 0 };
        out.extend_from_slice(format!("{i}\t{x:x}\tname {}\t{changed}\n", x % 9973).as_bytes());
    }
    out
}

impl Forge {
    pub fn new(database: &str, clock: &Clock, stores: &[&str]) -> Self {
        let generation = GenerationId::new(clock.now(), 0xabc);
        Self {
            database: database.to_owned(),
            generation,
            keys: Keys::default(),
            clock: clock.clone(),
            names: stores.iter().map(|s| (*s).to_owned()).collect(),
            needs: BTreeMap::new(),
            bases: HashMap::new(),
        }
    }

    fn part(&mut self, table: &str, range: usize, raw: &[u8]) -> (Part, Bytes) {
        let slot = (table.to_owned(), range);
        let digest = Digest::of(raw);
        let tally = rows::tally(RowFormat::Text, raw, &RowHash::Open).unwrap();
        let plain = codec::compress(raw, 1).unwrap();
        let mut base = None;
        let mut stored = plain;
        match self.bases.get(&slot) {
            Some((old, _)) if old.digest == digest => {}
            Some((old, old_raw)) => {
                let delta = codec::compress_delta(raw, old_raw, 1).unwrap().unwrap();
                if delta.len() * 2 < stored.len() {
                    (base, stored) = (Some(old.digest), delta);
                }
            }
            None => {}
        }
        let stored_digest = Digest::of(&stored);
        let part = Part {
            digest,
            base,
            stored_digest,
            stored: stored.len() as u64,
            raw: raw.len() as u64,
            rows: tally.rows,
            row_digest: tally.digest,
            from: range as u64,
            to: range as u64 + 1,
        };
        if base.is_none() {
            let base = BasePart { digest, stored_digest, stored: part.stored, raw: part.raw };
            self.bases.insert(slot, (base, raw.to_vec()));
        }
        (part, stored.into())
    }

    /// Takes a snapshot into the given stores, named or not.
    pub async fn snapshot(&mut self, stores: &[&dyn ObjectStore], tables: Tables<'_>) -> Manifest {
        let now = self.clock.now();
        let id = SnapshotId::new(now, 0xabc);
        let mut objects: Vec<(String, Bytes)> = Vec::new();
        let mut lines = Vec::new();
        for (name, ranges) in tables {
            let needed: Need = (id.to_string(), Some(format!("public.{name}")));
            let mut parts = Vec::new();
            let mut bases = BTreeMap::new();
            for (range, raw) in ranges.iter().enumerate() {
                let (part, stored) = self.part(name, range, raw);
                let key = keys::part_key(&self.database, &self.generation, part.name(Kept::Open));
                self.needs.entry(key.clone()).or_default().insert(needed.clone());
                objects.push((key, stored));
                if part.base.is_some() {
                    let base = self.bases[&((*name).to_owned(), range)].0.clone();
                    let key =
                        keys::part_key(&self.database, &self.generation, base.name(Kept::Open));
                    self.needs.entry(key).or_default().insert(needed.clone());
                    bases.insert(base.digest, base);
                }
                parts.push(part);
            }
            let mut list = synthetic::part_list(parts);
            list.bases = bases.into_values().collect();
            let (stored, table) = synthetic::list(name, &list).unwrap();
            lists::open(&stored, &lists::Promise::of(&table)).unwrap();
            let key = keys::list_key(&self.database, &self.generation, table.list);
            self.needs.entry(key.clone()).or_default().insert(needed);
            objects.push((key, stored));
            lines.push(table);
        }
        let schema = Bytes::from(format!("PGDMP schema of {id}"));
        let key = keys::schema_key(&self.database, &self.generation, &id, Kept::Open);
        self.needs.entry(key.clone()).or_default().insert((id.to_string(), None));
        objects.push((key, schema.clone()));
        let manifest = synthetic::manifest(Outline {
            id: id.clone(),
            database: self.database.clone(),
            generation: self.generation.clone(),
            taken: now,
            stores: self.names.clone(),
            tables: lines,
            schema,
        });
        let sealed = seal::seal(&manifest, &self.keys).unwrap();
        let key = keys::manifest_key(&self.database, &self.generation, &id);
        self.needs.entry(key.clone()).or_default().insert((id.to_string(), None));
        objects.push((key, sealed));
        for store in stores {
            for (key, bytes) in &objects {
                let digest = Digest::of(bytes);
                store.put_if(key, bytes.clone(), digest, Condition::Absent).await.unwrap();
            }
        }
        manifest
    }
}

/// Everything in a store.
pub async fn contents(store: &dyn ObjectStore) -> BTreeMap<String, Bytes> {
    let mut all = BTreeMap::new();
    let listed: Vec<_> = store.list("").try_collect().await.unwrap();
    for listed in listed {
        all.insert(listed.key.clone(), store.get(&listed.key).await.unwrap().bytes);
    }
    all
}

/// A store with these objects.
pub fn filled(clock: &Clock, name: &str, objects: &BTreeMap<String, Bytes>) -> MemoryStore {
    let store = clock.store(name);
    for (key, bytes) in objects {
        store.overwrite(key, bytes.clone());
    }
    store
}

/// Three snapshots of one generation in two stores, an hour apart: tables that stay, that change
/// here and there (deltas), that change for good, and two empty ones that share their list.
pub struct World {
    pub clock: Clock,
    pub forge: Forge,
    pub manifests: Vec<Manifest>,
    pub objects: BTreeMap<String, Bytes>,
}

impl World {
    pub async fn new() -> Self {
        let clock = Clock::at("2026-11-22T10:00:00Z");
        let mut forge = Forge::new("petforce", &clock, &["east", "west"]);
        let east = clock.store("east");
        let mut manifests = Vec::new();
        for version in 0..3u64 {
            let tables = [
                ("empty", vec![]),
                ("hollow", vec![]),
                (
                    "pets",
                    vec![
                        rows(1, 800, 0, 50),
                        rows(2, 900, version, 60),
                        rows(3 + 100 * version, 300, 0, 10),
                    ],
                ),
                ("visits", vec![rows(4, 700, 0, 9), rows(5, 50, 0, 9)]),
            ];
            manifests.push(forge.snapshot(&[&east], &tables).await);
            clock.advance(TimeDelta::hours(1));
        }
        // A day later nothing is young any more.
        clock.advance(TimeDelta::hours(48));
        let objects = contents(&east).await;
        let deltas = objects.keys().filter(|key| key.contains(".on.")).count();
        assert_eq!(deltas, 2, "the second range of pets is stored as deltas");
        Self { clock, forge, manifests, objects }
    }

    /// A fresh copy of the world's objects, two days old.
    pub fn store(&self, name: &str) -> MemoryStore {
        let old = Clock::at("2026-11-22T14:00:00Z");
        let store = filled(&old, name, &self.objects);
        let gap = self.clock.now() - old.now();
        old.advance(gap);
        store
    }
}
