//! Random damages over a real repository, in one store or both: every one is found and placed at its
//! table and object, and nothing is found where nothing was damaged. `DRCTL_DAMAGES` says how many.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use drctl::config::Config;
use drctl::integrity::audit::{Aspect, AuditRequest, Standing, Subject};
use drctl::integrity::history;
use drctl::integrity::seal::Keys;
use drctl::integrity::verify::{Depth, Sample};
use drctl::model::{AuditId, FindingKind, GenerationId, Kept, Manifest, Silent, SnapshotId};
use drctl::report::audit::{AuditReport, Auditor, run};
use drctl::runbook::journal::Copies;
use drctl::store::keys::{self, KeyKind};
use drctl::store::{MemoryStore, ObjectStore};

use crate::change_detection_history::Random;
use crate::home::Home;
use crate::lab::shared_pg15;

const RUNBOOK: &str = r#"
title = "Nothing much"
rto = "5m"
[[step]]
id = "one"
uses = "command.run"
timeout = "20s"
with = { argv = ["true"], observe = ["true"], compensate = ["true"] }
[[step]]
id = "two"
uses = "command.run"
needs = ["one"]
timeout = "20s"
with = { argv = ["true"], observe = ["true"], compensate = ["true"] }
"#;

/// Kind, store, snapshot, table, key.
type Spot = (FindingKind, String, Option<String>, Option<String>, Option<String>);

struct Repository {
    /// Of each store, below `petforce/` and `runs/`.
    east: BTreeMap<String, Bytes>,
    west: BTreeMap<String, Bytes>,
    /// The journals of this machine.
    local: BTreeMap<String, Bytes>,
    /// By key, who needs it.
    needs: BTreeMap<String, BTreeSet<(String, Option<String>)>>,
    taken: DateTime<Utc>,
    config: Config,
    kept: Kept,
    keys: Keys,
    /// Keeps the configuration's folder.
    _home: Home,
}

fn files(root: &Path) -> BTreeMap<String, Bytes> {
    let mut found = BTreeMap::new();
    let mut open = vec![PathBuf::from(root)];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else {
                let key = path.strip_prefix(root).unwrap().display().to_string();
                found.insert(key, std::fs::read(&path).unwrap().into());
            }
        }
    }
    found.retain(|key, _| key.starts_with("petforce/") || key.starts_with("runs/"));
    found
}

fn filled(name: &str, objects: &BTreeMap<String, Bytes>, at: DateTime<Utc>) -> MemoryStore {
    let store = MemoryStore::with_clock(name, Arc::new(move || at));
    for (key, bytes) in objects {
        store.overwrite(key, bytes.clone());
    }
    store
}

impl Repository {
    /// `more` goes behind the database's section.
    async fn new(more: &str) -> Self {
        let server = shared_pg15();
        let db = server.fresh_db("damages");
        server.psql(
            &db,
            "CREATE SCHEMA shop;
             CREATE TABLE shop.orders AS SELECT i AS id, md5(i::text) AS body FROM generate_series(1, 40000) i;
             CREATE TABLE pets AS SELECT i AS id, repeat(md5(i::text), 3) AS body FROM generate_series(1, 18000) i;
             CREATE TABLE quiet AS SELECT i AS id FROM generate_series(1, 50) i;
             CREATE TABLE empty (id int)",
        );
        let home = Home::local(&server.url(&db), &format!("part_size = \"1MiB\"\n{more}"));
        home.snapshot();
        server.psql(&db, "UPDATE shop.orders SET body = upper(body) WHERE id % 700 = 0");
        home.snapshot();
        server.psql(
            &db,
            "UPDATE pets SET body = body || 'x' WHERE id < 20; ALTER TABLE quiet ADD c int",
        );
        home.snapshot();
        std::fs::create_dir(home.folder.join("runbooks")).unwrap();
        std::fs::write(home.folder.join("runbooks/region-failover.toml"), RUNBOOK).unwrap();
        home.run(
            &["failover", "--confirm", "us-west-2", "--skip-preflight", "a test without servers"],
            0,
        );
        let [east, west] = ["east", "west"].map(|store| files(&home.folder.join(store)));
        let local = files(&home.folder.join(".local/state/drctl/petforce"));
        assert!(local.keys().any(|key| key.starts_with("runs/")), "{:?}", local.keys());
        let config = Config::load(Some(&home.folder.join("drctl.toml")), &|_| None).unwrap();
        let taken = Utc::now();
        let needs = needs(&filled("east", &east, taken)).await;
        let snapshots = |all: &BTreeMap<String, Bytes>| -> BTreeMap<String, Bytes> {
            all.clone().into_iter().filter(|(key, _)| key.starts_with("petforce/")).collect()
        };
        assert_eq!(snapshots(&east), snapshots(&west));
        assert_eq!(snapshots(&east).keys().collect::<Vec<_>>(), needs.keys().collect::<Vec<_>>());
        assert!(needs.keys().any(|key| key.contains(".on.")), "there are delta parts");
        let kept = if more.is_empty() { Kept::Open } else { Kept::Age };
        assert!(needs.keys().all(|key| !key.contains("/parts/") || Kept::split(key).1 == kept));
        let app = drctl::app::App::load(Some(&home.folder.join("drctl.toml"))).unwrap();
        let keys = app.keys().unwrap();
        Self { east, west, local, needs, taken, config, kept, keys, _home: home }
    }

    async fn audit(&self, stores: [&MemoryStore; 2], local: &MemoryStore) -> AuditReport {
        let stores: Vec<Arc<dyn ObjectStore>> =
            stores.into_iter().map(|s| Arc::new(s.clone()) as Arc<dyn ObjectStore>).collect();
        let now = self.taken + TimeDelta::hours(48);
        let request = AuditRequest {
            subjects: vec![Subject {
                name: "petforce".to_owned(),
                stores: stores.clone(),
                jobs: 2,
                full_every: TimeDelta::days(7),
            }],
            stores: stores.clone(),
            known: vec!["petforce".to_owned()],
            one_store: false,
            depth: Depth::Content,
            sample: Sample::ALL,
            since: None,
            budget: None,
            shard: None,
            within: TimeDelta::days(30),
            afresh: false,
            every: TimeDelta::hours(1),
            keys: self.keys.clone(),
            sink: Arc::new(Silent),
            now,
        };
        let copies = Copies { control: Arc::clone(&stores[1]), local: Arc::new(local.clone()) };
        let auditor = Auditor {
            audit: AuditId::new(now, 1),
            operator: "test".to_owned(),
            journals: Some(Ok(copies)),
        };
        run(&self.config, &request, auditor, Utc::now).await.unwrap()
    }
}

/// Who needs what, read from manifests and lists.
async fn needs(store: &MemoryStore) -> BTreeMap<String, BTreeSet<(String, Option<String>)>> {
    let mut needs: BTreeMap<String, BTreeSet<(String, Option<String>)>> = BTreeMap::new();
    for place in history::places(store, "petforce").await.unwrap() {
        let manifest: Manifest =
            history::read_manifest(store, &Keys::default(), "petforce", &place).await.unwrap();
        let (generation, id) = (&manifest.generation, manifest.id.to_string());
        for key in [
            keys::manifest_key("petforce", generation, &manifest.id),
            keys::schema_key("petforce", generation, &manifest.id, manifest.kept()),
        ] {
            needs.entry(key).or_default().insert((id.clone(), None));
        }
        for table in &manifest.tables {
            let who = (id.clone(), Some(table.name.to_string()));
            let list = history::read_list(store, &manifest, table).await.unwrap();
            let names = list.parts.iter().map(|p| p.name(manifest.kept()));
            let names = names.chain(list.bases.iter().map(|b| b.name(manifest.kept())));
            let parts = names.map(|name| keys::part_key("petforce", generation, name));
            let list = keys::list_key("petforce", generation, table.list);
            for key in parts.chain([list]) {
                needs.entry(key).or_default().insert(who.clone());
            }
        }
    }
    needs
}

fn kind(key: &str) -> String {
    match keys::parse(key).unwrap() {
        KeyKind::Run { entry, .. } => {
            format!("run {}", entry.starts_with("seal") || entry.contains("plan"))
        }
        kind => format!("{:?}", std::mem::discriminant(&kind)),
    }
}

/// One damage; `None`: the bytes came out the same, or there was nothing to do it with.
fn spoil(
    objects: &BTreeMap<String, Bytes>,
    key: &str,
    random: &mut Random,
) -> Option<(&'static str, Option<Vec<u8>>)> {
    let before = &objects[key];
    let below = |random: &mut Random, n: usize| random.below(n.max(1) as u64) as usize;
    let (what, after) = match random.below(5) {
        0 => {
            let mut bytes = before.to_vec();
            for _ in 0..1 + random.below(3) {
                let at = below(random, bytes.len());
                *bytes.get_mut(at)? ^= 1 << random.below(8);
            }
            ("flip", bytes)
        }
        1 => ("truncate", before[..below(random, before.len())].to_vec()),
        2 => return Some(("delete", None)),
        3 => {
            let others: Vec<_> = objects.keys().filter(|k| kind(k) == kind(key)).collect();
            ("swap", objects[others[below(random, others.len())]].to_vec())
        }
        _ => {
            // The nearest that sorts before: of an earlier snapshot, or an earlier entry.
            let older = objects.keys().rfind(|k| k.as_str() < key && kind(k) == kind(key))?;
            ("stale", objects[older].to_vec())
        }
    };
    (after != before[..]).then_some((what, Some(after)))
}

async fn apply(store: &MemoryStore, key: &str, after: &Option<Vec<u8>>) {
    match after {
        Some(bytes) => store.overwrite(key, bytes.clone()),
        None => store.delete(&[key.to_owned()]).await.unwrap(),
    }
}

struct Trial<'r> {
    repository: &'r Repository,
    random: Random,
    found: BTreeMap<String, u64>,
}

impl Trial<'_> {
    async fn snapshots(&mut self, seed: u64) {
        let repository = self.repository;
        let stores = [
            filled("east", &repository.east, repository.taken),
            filled("west", &repository.west, repository.taken),
        ];
        let local = filled("local", &repository.local, repository.taken);
        let keys: Vec<&String> = repository.needs.keys().collect();
        let key = keys[self.random.below(keys.len() as u64) as usize];
        let which: &[usize] = [&[0][..], &[1], &[0, 1]][self.random.below(3) as usize];
        let mut wanted: BTreeSet<Spot> = BTreeSet::new();
        let mut gone = 0;
        let mut told = Vec::new();
        for at in which {
            let objects = [&repository.east, &repository.west][*at];
            let Some((what, after)) = spoil(objects, key, &mut self.random) else { continue };
            apply(&stores[*at], key, &after).await;
            gone += usize::from(after.is_none());
            told.push((stores[*at].name().to_owned(), what));
            *self.found.entry(format!("{what} {}", name_of(key))).or_default() += 1;
            let found = if after.is_none() { FindingKind::Missing } else { FindingKind::Damaged };
            for (snapshot, table) in &repository.needs[key] {
                let (snapshot, table) = (Some(snapshot.clone()), table.clone());
                wanted.insert((
                    found,
                    stores[*at].name().to_owned(),
                    snapshot,
                    table,
                    Some(key.clone()),
                ));
            }
        }
        let report = repository.audit([&stores[0], &stores[1]], &local).await;
        let spots = report.findings.iter().map(|f| {
            (f.kind, f.store.clone(), f.snapshot.clone(), f.table.clone(), f.part.clone())
        });
        let mut spots: BTreeSet<Spot> = spots.collect();
        let context = format!("seed {seed}: {told:?} of {key}");
        if let (Some(KeyKind::Manifest { generation, snapshot, .. }), true) =
            (keys::parse(key), gone > 0)
        {
            // Without its manifest a snapshot's own objects are named by nothing.
            let archive = keys::schema_key("petforce", &generation, &snapshot, repository.kept);
            let surplus = spots.iter().filter(|s| s.0 == FindingKind::Surplus);
            let surplus: Vec<_> = surplus.map(|s| s.4.clone().unwrap()).collect();
            let broken = gone < told.len();
            assert!(surplus.contains(&archive) || broken, "{context}: {surplus:?}");
            assert!(surplus.iter().all(|key| belongs(repository, key, &generation, &snapshot)));
            spots.retain(|s| s.0 != FindingKind::Surplus);
            if gone == 2 {
                // Gone from both, only what it left behind tells of it.
                wanted.clear();
            } else if broken {
                // The one that is left cannot be read, so nobody knows that the other is missing.
                wanted.retain(|s| s.0 != FindingKind::Missing);
            }
        }
        assert_eq!(spots, wanted, "{context}");
        assert_eq!(journals(&report), Standing::Passed, "{context}");
    }

    async fn journal(&mut self, seed: u64) {
        let repository = self.repository;
        let stores = [
            filled("east", &repository.east, repository.taken),
            filled("west", &repository.west, repository.taken),
        ];
        let local = filled("local", &repository.local, repository.taken);
        let runs: Vec<&String> =
            repository.west.keys().filter(|key| key.starts_with("runs/")).collect();
        let key = runs[self.random.below(runs.len() as u64) as usize];
        let mut told = Vec::new();
        for at in [&[0][..], &[1], &[0, 1]][self.random.below(3) as usize] {
            let (store, objects) =
                [(&stores[1], &repository.west), (&local, &repository.local)][*at];
            let Some((what, after)) = spoil(objects, key, &mut self.random) else { continue };
            apply(store, key, &after).await;
            told.push((store.name().to_owned(), what));
            *self.found.entry(format!("{what} journal")).or_default() += 1;
        }
        let report = repository.audit([&stores[0], &stores[1]], &local).await;
        let context = format!("seed {seed}: {told:?} of {key}");
        assert_eq!(report.findings, vec![], "{context}");
        match told.is_empty() {
            true => assert_eq!(journals(&report), Standing::Passed, "{context}"),
            false => assert!(journals(&report) >= Standing::Unverified, "{context}"),
        }
        let check = report.checks.iter().find(|c| c.aspect == Aspect::Journals).unwrap();
        let run = key.split('/').nth(1).unwrap();
        assert!(told.is_empty() || check.said.contains(run), "{context}: {}", check.said);
    }
}

fn journals(report: &AuditReport) -> Standing {
    report.checks.iter().find(|c| c.aspect == Aspect::Journals).unwrap().standing
}

fn name_of(key: &str) -> &'static str {
    match keys::parse(key) {
        Some(KeyKind::Part { name, .. }) if name.base.is_some() => "delta part",
        Some(KeyKind::Part { .. }) => "part",
        Some(KeyKind::List { .. }) => "list",
        Some(KeyKind::Schema { .. }) => "schema archive",
        Some(KeyKind::Manifest { .. }) => "manifest",
        _ => "other",
    }
}

/// Whether only this snapshot needs the object.
fn belongs(r: &Repository, key: &str, generation: &GenerationId, snapshot: &SnapshotId) -> bool {
    let needed = &r.needs[key];
    key.contains(generation.as_str()) && needed.iter().all(|(s, _)| s == snapshot.as_str())
}

/// Damages as many objects as asked, each in a repository that is else whole.
async fn trials(repository: &Repository, count: u64) {
    let stores = [
        filled("east", &repository.east, repository.taken),
        filled("west", &repository.west, repository.taken),
    ];
    let local = filled("local", &repository.local, repository.taken);
    let report = repository.audit([&stores[0], &stores[1]], &local).await;
    assert_eq!(report.findings, vec![]);
    assert_eq!(journals(&report), Standing::Passed);
    let mut trial = Trial { repository, random: Random::new(0), found: BTreeMap::new() };
    for seed in 0..count {
        trial.random = Random::new(seed);
        match trial.random.below(6) {
            0 => trial.journal(seed).await,
            _ => trial.snapshots(seed).await,
        }
    }
    let total: u64 = trial.found.values().sum();
    println!("{count} trials, {total} objects damaged: {:#?}", trial.found);
    assert!(total >= count / 2);
}

fn count() -> u64 {
    std::env::var("DRCTL_DAMAGES").map_or(150, |n| n.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_random_damage_is_found_at_its_place_and_nothing_else() {
    trials(&Repository::new("").await, count()).await;
}

/// The same of encrypted ones, with the identity and without: what is stored is compared either way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_is_every_damage_of_what_is_encrypted() {
    use age::secrecy::ExposeSecret as _;
    let identity = age::x25519::Identity::generate();
    let more = format!(
        "[encryption]\nrecipients = [\"{}\"]\nidentity = \"{}\"\n",
        identity.to_public(),
        identity.to_string().expose_secret()
    );
    trials(&Repository::new(&more).await, count() / 5).await;
}
