//! Every kind of damage, at every depth that can see it, placed exactly; and nothing where nothing
//! is damaged.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::integrity::codec;
use crate::integrity::seal;
use crate::integrity::specimen::World;
use crate::model::{Digest, Kept, RowHash, Silent};
use crate::store::fault::{FaultyStore, Op};
use crate::store::keys::{self, KeyKind};
use crate::store::{Class, Condition, MemoryStore};

const DEPTHS: [Depth; 3] = [Depth::Listing, Depth::Checksums, Depth::Content];

/// Kind, store, snapshot, table, key.
type Spot = (FindingKind, String, Option<String>, Option<String>, Option<String>);

fn request(world: &World, stores: &[Arc<dyn ObjectStore>], depth: Depth) -> VerifyRequest {
    VerifyRequest {
        database: "petforce".to_owned(),
        stores: stores.to_vec(),
        which: Which::All,
        depth,
        sample: Sample::ALL,
        jobs: 2,
        keys: Keys::default(),
        sink: Arc::new(Silent),
        now: world.clock.now(),
    }
}

fn spots(report: &VerifyReport) -> BTreeSet<Spot> {
    let spots: BTreeSet<Spot> = report
        .findings
        .iter()
        .map(|f| (f.kind, f.store.clone(), f.snapshot.clone(), f.table.clone(), f.part.clone()))
        .collect();
    assert_eq!(spots.len(), report.findings.len(), "a finding is told twice: {report:#?}");
    spots
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Damage {
    Truncate(usize),
    Flip(usize),
    Append,
    Empty,
    Delete,
    /// Replaced by another object of the same kind.
    Swap(usize),
}

fn same_kind(a: &str, b: &str) -> bool {
    let kind = |key: &str| keys::parse(key).map(|k| std::mem::discriminant(&k));
    kind(a) == kind(b)
}

/// Damages one object; whether its bytes are now others, and whether its size is.
async fn spoil(world: &World, store: &MemoryStore, key: &str, damage: Damage) -> (bool, bool) {
    let before = world.objects[key].clone();
    let after: Vec<u8> = match damage {
        Damage::Truncate(at) => before[..at % before.len()].to_vec(),
        Damage::Flip(at) => {
            let mut bytes = before.to_vec();
            let at = at % bytes.len();
            bytes[at] ^= 1 << (at % 8);
            bytes
        }
        Damage::Append => [&before[..], b"\n"].concat(),
        Damage::Empty => Vec::new(),
        Damage::Delete => {
            store.delete(&[key.to_owned()]).await.unwrap();
            return (true, true);
        }
        Damage::Swap(nth) => {
            let others: Vec<_> = world.objects.keys().filter(|k| same_kind(k, key)).collect();
            world.objects[others[nth % others.len()]].to_vec()
        }
    };
    let changed = (after != before, after.len() != before.len());
    store.overwrite(key, after);
    changed
}

/// What a check must find, told from who needs the object.
fn expected(
    world: &World,
    store: &str,
    key: &str,
    damage: Damage,
    (changed, resized): (bool, bool),
    depth: Depth,
) -> BTreeSet<Spot> {
    let kind = keys::parse(key).unwrap();
    // Manifests and lists are read at every depth.
    let read = matches!(kind, KeyKind::Manifest { .. } | KeyKind::List { .. });
    if !changed || !(read || resized || depth > Depth::Listing) {
        return BTreeSet::new();
    }
    let finding = match damage {
        Damage::Delete => FindingKind::Missing,
        _ => FindingKind::Damaged,
    };
    world.forge.needs[key]
        .iter()
        .map(|(snapshot, table)| {
            (finding, store.to_owned(), Some(snapshot.clone()), table.clone(), Some(key.to_owned()))
        })
        .collect()
}

async fn check_damage(world: &World, key: &str, damage: Damage, where_: &[&str], depth: Depth) {
    let stores = [world.store("east"), world.store("west")];
    let mut wanted = BTreeSet::new();
    for store in &stores {
        if where_.contains(&store.name()) {
            let changed = spoil(world, store, key, damage).await;
            wanted.extend(expected(world, store.name(), key, damage, changed, depth));
        }
    }
    let manifest = matches!(keys::parse(key), Some(KeyKind::Manifest { .. }));
    if manifest && damage == Damage::Delete {
        // Gone from both, a snapshot never was; its own archive is then surplus.
        if where_.len() == 2 {
            wanted.clear();
        }
    }
    let shared: Vec<Arc<dyn ObjectStore>> =
        stores.iter().map(|s| Arc::new(s.clone()) as Arc<dyn ObjectStore>).collect();
    let report = verify(&request(world, &shared, depth)).await.unwrap();
    let mut found = spots(&report);
    if manifest && damage == Damage::Delete {
        found.retain(|spot| spot.0 != FindingKind::Surplus);
    }
    assert_eq!(found, wanted, "{damage:?} of {key} in {where_:?} at depth {depth}");
    for verdict in &report.verdicts {
        let bad = wanted.iter().any(|(_, store, snapshot, ..)| {
            *store == verdict.store && snapshot.as_deref() == Some(verdict.snapshot.as_str())
        });
        let expected = if bad { Verdict::Damaged } else { Verdict::Intact };
        assert_eq!(verdict.verdict, expected, "{verdict:?}");
    }
}

#[tokio::test]
async fn nothing_is_found_where_nothing_is_wrong_and_shared_objects_are_checked_once() {
    let world = World::new().await;
    let stores: Vec<Arc<dyn ObjectStore>> =
        vec![Arc::new(world.store("east")), Arc::new(world.store("west"))];
    for depth in DEPTHS {
        let report = verify(&request(&world, &stores, depth)).await.unwrap();
        assert_eq!(spots(&report), BTreeSet::new());
        assert_eq!(report.verdict(), Verdict::Intact);
        assert_eq!(report.verdicts.len(), 6);
        assert_eq!(report.objects, 2 * world.objects.len() as u64, "{depth}");
        assert_eq!(report.checked_objects, report.objects, "{depth}");
        let record = Record::read(&*stores[1], "petforce").await.unwrap();
        for manifest in &world.manifests {
            assert_eq!(record.intact(&manifest.id, depth), Some(world.clock.now()));
        }
    }
}

#[tokio::test]
async fn every_damage_to_every_object_is_placed_exactly() {
    let world = World::new().await;
    let damages = [
        Damage::Delete,
        Damage::Truncate(7),
        Damage::Flip(13),
        Damage::Append,
        Damage::Empty,
        Damage::Swap(0),
        Damage::Swap(1),
    ];
    for key in world.objects.keys() {
        for damage in damages {
            for depth in DEPTHS {
                check_damage(&world, key, damage, &["west"], depth).await;
            }
        }
    }
}

/// Made once: random damage needs it hundreds of times.
static WORLD: std::sync::LazyLock<World> =
    std::sync::LazyLock::new(|| runtime().block_on(World::new()));

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn random_damage_is_placed_exactly(
        key in any::<prop::sample::Index>(),
        at in any::<usize>(),
        how in 0..5usize,
        depth in prop::sample::select(DEPTHS.to_vec()),
        where_ in prop::sample::select(vec![vec!["east"], vec!["west"], vec!["east", "west"]]),
    ) {
        let damage = match how {
            0 => Damage::Truncate(at),
            1 => Damage::Flip(at),
            2 => Damage::Append,
            3 => Damage::Delete,
            _ => Damage::Swap(at),
        };
        let world = &*WORLD;
        runtime().block_on(async {
            let keys: Vec<&String> = world.objects.keys().collect();
            let key = keys[key.index(keys.len())];
            check_damage(world, key, damage, &where_, depth).await;
        });
    }
}

#[tokio::test]
async fn many_damages_at_once_are_all_found() {
    let world = World::new().await;
    let store = world.store("east");
    let mut wanted = BTreeSet::new();
    for (i, key) in world.objects.keys().filter(|k| k.contains("/parts/")).enumerate() {
        let damage = if i % 2 == 0 { Damage::Flip(i) } else { Damage::Delete };
        let changed = spoil(&world, &store, key, damage).await;
        wanted.extend(expected(&world, "east", key, damage, changed, Depth::Content));
    }
    assert!(wanted.len() > 10);
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(store)];
    let report = verify(&request(&world, &stores, Depth::Content)).await.unwrap();
    assert_eq!(spots(&report), wanted);
}

#[tokio::test]
async fn a_read_that_fails_is_unreadable_never_damaged_nor_intact() {
    let world = World::new().await;
    for (op, depth) in [
        (Op::Get, Depth::Listing),
        (Op::List, Depth::Listing),
        (Op::Head, Depth::Checksums),
        (Op::GetStream, Depth::Content),
        (Op::Get, Depth::Content),
    ] {
        for class in [Class::Transient, Class::Denied, Class::Permanent] {
            let faulty = FaultyStore::new(Arc::new(world.store("west")));
            faulty.always(op, crate::store::fault::Fault::Fail(class));
            let stores: Vec<Arc<dyn ObjectStore>> =
                vec![Arc::new(world.store("east")), Arc::new(faulty)];
            let report = verify(&request(&world, &stores, depth)).await.unwrap();
            assert_eq!(report.verdict(), Verdict::Unverified, "{op:?} {class:?} {depth}");
            assert!(report.findings.iter().all(|f| f.kind == FindingKind::Unreadable));
            assert!(report.findings.iter().all(|f| f.store == "west"));
            let west = report.verdicts.iter().filter(|v| v.store == "west");
            assert!(west.clone().all(|v| v.verdict == Verdict::Unverified), "{op:?} {depth}");
        }
    }
}

#[tokio::test]
async fn bytes_spoilt_on_their_way_are_read_again() {
    let world = World::new().await;
    let faulty = FaultyStore::new(Arc::new(world.store("east")));
    for nth in 1..40 {
        if nth % 2 == 1 {
            faulty.on(Op::Get, nth, crate::store::fault::Fault::Flip(nth as usize * 7));
        }
    }
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(faulty.clone())];
    let alone = VerifyRequest { jobs: 1, ..request(&world, &stores, Depth::Content) };
    let report = verify(&alone).await.unwrap();
    // Neighbouring reads may both be hit; what is told must at least be no more than what was hit.
    assert!(report.findings.len() < 20, "{:#?}", report.findings);
    faulty.heal();
    faulty.on(Op::Get, faulty.count(Op::Get) + 12, crate::store::fault::Fault::Flip(9));
    let report = verify(&request(&world, &stores, Depth::Content)).await.unwrap();
    assert_eq!(report.findings, vec![]);
}

#[tokio::test]
async fn a_newer_format_and_an_untrusted_signature_are_unverified() {
    let world = World::new().await;
    let store = world.store("east");
    let mut future = world.manifests[2].clone();
    future.format = 99;
    let key = keys::manifest_key("petforce", &future.generation, &future.id);
    store.overwrite(&key, seal::seal(&future, &Keys::default()).unwrap());
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(store)];
    let report = verify(&request(&world, &stores, Depth::Checksums)).await.unwrap();
    let spot =
        (FindingKind::Unreadable, "east".to_owned(), Some(future.id.to_string()), None, Some(key));
    assert_eq!(spots(&report), BTreeSet::from([spot]));
    assert_eq!(report.verdict(), Verdict::Unverified);

    let trusted = "-----BEGIN PUBLIC KEY-----\n\
                   MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                   -----END PUBLIC KEY-----\n";
    let keys = Keys::read(None, &[trusted.to_owned()]).unwrap();
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(world.store("east"))];
    let report =
        verify(&VerifyRequest { keys, ..request(&world, &stores, Depth::Listing) }).await.unwrap();
    assert_eq!(report.findings.len(), 3);
    assert!(report.findings.iter().all(|f| f.kind == FindingKind::Unreadable));
}

async fn put(store: &MemoryStore, key: &str, text: &'static str) {
    let bytes = Bytes::from_static(text.as_bytes());
    store.put_if(key, bytes.clone(), Digest::of(&bytes), Condition::Absent).await.unwrap();
}

#[tokio::test]
async fn surplus_is_what_nothing_names_once_it_is_a_day_old() {
    let world = World::new().await;
    let generation = &world.forge.generation;
    let mut extra = world.objects.clone();
    let orphan = crate::model::PartName { digest: Digest::of(b"x"), base: None, kept: Kept::Open };
    let unfinished = SnapshotId::new(world.clock.now() - chrono::TimeDelta::hours(30), 7);
    let mut wanted = BTreeSet::new();
    for key in [
        keys::part_key("petforce", generation, orphan),
        keys::list_key("petforce", generation, Digest::of(b"y")),
        keys::schema_key("petforce", generation, &unfinished, Kept::Open),
        format!("petforce/{generation}/notes.txt"),
        "petforce/zebra.txt".to_owned(),
        "petforce/apple.txt".to_owned(),
    ] {
        extra.insert(key.clone(), Bytes::from_static(b"what is this"));
        wanted.insert((FindingKind::Surplus, "east".to_owned(), None, None, Some(key)));
    }
    let with_extra = World { objects: extra, ..world };
    let store = with_extra.store("east");
    // Young, so perhaps of a snapshot under way.
    let young = crate::model::PartName { digest: Digest::of(b"z"), base: None, kept: Kept::Open };
    put(&store, &keys::part_key("petforce", generation_of(&with_extra), young), "z").await;
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(store)];
    for depth in DEPTHS {
        let report = verify(&request(&with_extra, &stores, depth)).await.unwrap();
        assert_eq!(spots(&report), wanted, "{depth}");
        assert_eq!(report.verdict(), Verdict::Intact, "surplus is no fault");
    }
    // The newest alone: what older snapshots name is not surplus either.
    let latest =
        VerifyRequest { which: Which::Latest, ..request(&with_extra, &stores, Depth::Listing) };
    wanted.retain(|spot| !spot.4.as_ref().unwrap().ends_with("a.txt"));
    wanted.retain(|spot| !spot.4.as_ref().unwrap().ends_with("e.txt"));
    assert_eq!(spots(&verify(&latest).await.unwrap()), wanted);
}

fn generation_of(world: &World) -> &crate::model::GenerationId {
    &world.forge.generation
}

#[tokio::test]
async fn with_an_unreadable_manifest_nothing_is_called_surplus() {
    let world = World::new().await;
    for how in [Damage::Flip(50), Damage::Truncate(30)] {
        let store = world.store("east");
        let id = &world.manifests[1].id;
        let key = keys::manifest_key("petforce", &world.forge.generation, id);
        spoil(&world, &store, &key, how).await;
        let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(store)];
        for which in [Which::All, Which::Latest, Which::One(world.manifests[0].id.clone())] {
            let request = VerifyRequest { which, ..request(&world, &stores, Depth::Checksums) };
            let report = verify(&request).await.unwrap();
            assert!(report.findings.iter().all(|f| f.kind == FindingKind::Damaged), "{report:#?}");
        }
    }
}

#[tokio::test]
async fn a_snapshot_that_one_store_lacks_is_missing_there_unless_it_was_removed_on_purpose() {
    let world = World::new().await;
    let west = world.store("west");
    let newest = &world.manifests[2];
    let key = keys::manifest_key("petforce", &newest.generation, &newest.id);
    west.delete(std::slice::from_ref(&key)).await.unwrap();
    let stores: Vec<Arc<dyn ObjectStore>> =
        vec![Arc::new(world.store("east")), Arc::new(west.clone())];
    let latest =
        || VerifyRequest { which: Which::Latest, ..request(&world, &stores, Depth::Listing) };
    let report = verify(&latest()).await.unwrap();
    let missing: Vec<_> =
        report.findings.iter().filter(|f| f.kind != FindingKind::Surplus).collect();
    assert_eq!(missing.len(), 1, "{report:#?}");
    assert_eq!(missing[0].kind, FindingKind::Missing);
    assert_eq!(missing[0].store, "west");
    assert_eq!(missing[0].part.as_deref(), Some(key.as_str()));
    assert!(missing[0].detail.contains("drctl copy petforce --from east --to west"));
    // The store's own newest was checked all the same.
    let west_verdicts: Vec<_> = report.verdicts.iter().filter(|v| v.store == "west").collect();
    assert_eq!(west_verdicts.len(), 1);
    assert_eq!(west_verdicts[0].snapshot, world.manifests[1].id);

    let gone = |r: &mut Record| r.note_removed(&newest.generation, &[], world.clock.now());
    Record::update(&west, "petforce", gone).await.unwrap();
    let report = verify(&latest()).await.unwrap();
    assert!(report.findings.iter().all(|f| f.kind == FindingKind::Surplus), "{report:#?}");
}

#[tokio::test]
async fn a_sample_looks_at_a_share_at_least_at_one_part_and_never_counts_as_the_whole() {
    let world = World::new().await;
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(world.store("east"))];
    let mut seen = BTreeSet::new();
    for seed in 0..40 {
        let sample = Sample { share: 0.0001, seed };
        let request = VerifyRequest { sample, ..request(&world, &stores, Depth::Content) };
        let report = verify(&request).await.unwrap();
        assert!(report.raw_bytes > 0, "something was looked at");
        assert!(report.checked_objects < report.objects);
        seen.insert(report.raw_bytes);
    }
    assert!(seen.len() > 1, "another seed looks at another part");
    let record = Record::read(&*stores[0], "petforce").await.unwrap();
    assert_eq!(record.intact(&world.manifests[2].id, Depth::Checksums), None);
    assert!(record.intact(&world.manifests[2].id, Depth::Listing).is_some());
}

#[tokio::test]
async fn nothing_to_check_is_an_error() {
    let world = World::new().await;
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(MemoryStore::new("east"))];
    let e = verify(&request(&world, &stores, Depth::Listing)).await.unwrap_err();
    assert_eq!(e.what(), "there is no snapshot of `petforce` in any store");
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(world.store("east"))];
    let id: SnapshotId = "20261122T110001Z-000abc".parse().unwrap();
    let request =
        VerifyRequest { which: Which::One(id), ..request(&world, &stores, Depth::Listing) };
    let e = verify(&request).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    assert!(e.advice().unwrap().contains("20261122T110000Z-000abc"), "{e:?}");
}

/// Wrong rows under right digests: only counting them can tell, so a list is forged that promises
/// other rows for the same bytes.
#[tokio::test]
async fn content_counts_rows_and_compares_their_digests() {
    let world = World::new().await;
    let store = world.store("east");
    let mut manifest = world.manifests[0].clone();
    let table = manifest.tables.iter_mut().find(|t| t.name.name == "visits").unwrap();
    let key = keys::list_key("petforce", &manifest.generation, table.list);
    let json = codec::decompress_document(&world.objects[&key], 1 << 20).unwrap();
    let mut list: crate::model::PartList = serde_json::from_slice(&json).unwrap();
    list.parts[0].row_digest.add_row(&RowHash::Open, b"never stored");
    table.row_digest.add_row(&RowHash::Open, b"never stored");
    let json = serde_json::to_vec(&list).unwrap();
    let stored = codec::compress_document(&json).unwrap();
    table.list = Digest::of(&json);
    table.list_stored_digest = Digest::of(&stored);
    table.list_stored = stored.len() as u64;
    let key = keys::list_key("petforce", &manifest.generation, table.list);
    store.overwrite(&key, stored);
    let key = keys::manifest_key("petforce", &manifest.generation, &manifest.id);
    store.overwrite(&key, seal::seal(&manifest, &Keys::default()).unwrap());
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(store)];
    let report = verify(&request(&world, &stores, Depth::Checksums)).await.unwrap();
    assert_eq!(report.findings, vec![]);
    let report = verify(&request(&world, &stores, Depth::Content)).await.unwrap();
    let part = crate::store::keys::part_key(
        "petforce",
        &manifest.generation,
        list.parts[0].name(Kept::Open),
    );
    assert!(!report.findings.is_empty());
    for finding in &report.findings {
        assert_eq!(finding.part.as_deref(), Some(part.as_str()));
        assert!(finding.detail.contains("its rows have the digest"), "{}", finding.detail);
    }
}

/// Collects what is told.
#[derive(Default)]
struct Ears(Mutex<Vec<Event>>);

impl Sink for Ears {
    fn emit(&self, event: Event) {
        self.0.lock().unwrap().push(event);
    }
}

#[tokio::test]
async fn a_record_that_cannot_be_written_is_told_and_nothing_else() {
    let world = World::new().await;
    let faulty = FaultyStore::new(Arc::new(world.store("east")));
    faulty.always(Op::Put, crate::store::fault::Fault::Fail(Class::Denied));
    let stores: Vec<Arc<dyn ObjectStore>> = vec![Arc::new(faulty)];
    let ears = Arc::new(Ears::default());
    let sink = Arc::clone(&ears) as Arc<dyn Sink>;
    let report =
        verify(&VerifyRequest { sink, ..request(&world, &stores, Depth::Listing) }).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Intact);
    let told = ears.0.lock().unwrap().iter().any(
        |e| matches!(e, Event::Notice { message, .. } if message.contains("does not remember")),
    );
    assert!(told);
}

#[tokio::test]
async fn parts_by_the_ten_thousand_are_listed_and_a_lost_one_is_found() {
    let now = chrono::Utc::now();
    let mut store = synthetic::millions(now, 5, 10_000).await.unwrap();
    let check = |store: synthetic::Millions| VerifyRequest {
        database: synthetic::DATABASE.to_owned(),
        stores: vec![Arc::new(store)],
        which: Which::Latest,
        depth: Depth::Listing,
        sample: Sample::ALL,
        jobs: 2,
        keys: Keys::default(),
        sink: Arc::new(Silent),
        now,
    };
    let report = verify(&check(store.clone())).await.unwrap();
    assert_eq!(report.findings, vec![]);
    assert_eq!(report.checked_objects, 50_000 + 5 + 2);
    let lost = store.lose(31_415);
    let key = keys::part_key(synthetic::DATABASE, store.generation(), lost);
    let report = verify(&check(store)).await.unwrap();
    assert_eq!(report.findings.len(), 1);
    assert_eq!(report.findings[0].kind, FindingKind::Missing);
    assert_eq!(report.findings[0].part, Some(key));
}
