//! What an audit answers over stores in memory: rotation, shards, sameness, strangers, denied reads.

use std::sync::Arc;

use chrono::TimeDelta;
use tokio::sync::Barrier;

use super::*;
use crate::integrity::seal;
use crate::integrity::specimen::World;
use crate::model::{Digest, FindingKind, Silent};
use crate::store::fault::{Fault, FaultyStore, Op};
use crate::store::{Class, Condition, MemoryStore, keys};

fn request(world: &World, stores: &[Arc<dyn ObjectStore>], depth: Depth) -> AuditRequest {
    AuditRequest {
        subjects: vec![Subject {
            name: "petforce".to_owned(),
            stores: stores.to_vec(),
            jobs: 2,
            full_every: TimeDelta::days(7),
        }],
        stores: stores.to_vec(),
        known: vec!["petforce".to_owned()],
        one_store: false,
        depth,
        sample: Sample::ALL,
        since: None,
        budget: None,
        shard: None,
        within: TimeDelta::days(30),
        afresh: false,
        every: TimeDelta::hours(1),
        keys: Keys::default(),
        sink: Arc::new(Silent),
        now: world.clock.now(),
    }
}

fn standing(audited: &Audited, aspect: Aspect) -> Vec<Standing> {
    audited.checks.iter().filter(|c| c.aspect == aspect).map(|c| c.standing).collect()
}

fn both(world: &World) -> [Arc<dyn ObjectStore>; 2] {
    [Arc::new(world.store("east")), Arc::new(world.store("west"))]
}

#[tokio::test]
async fn a_whole_repository_passes_and_two_days_without_snapshots_do_not() {
    let world = World::new().await;
    let audited = audit(&request(&world, &both(&world), Depth::Content)).await.unwrap();
    assert_eq!(audited.findings, vec![]);
    for aspect in [Aspect::Integrity, Aspect::Coverage, Aspect::Strangers] {
        assert_eq!(standing(&audited, aspect), [Standing::Passed; 2], "{aspect}");
    }
    for aspect in [Aspect::Sameness, Aspect::Generations] {
        assert_eq!(standing(&audited, aspect), [Standing::Passed], "{aspect}");
    }
    assert_eq!(standing(&audited, Aspect::Signatures), [Standing::NotApplicable]);
    assert_eq!(standing(&audited, Aspect::Encryption), [Standing::NotApplicable; 2]);
    // The clock of the world is two days past the last snapshot.
    assert_eq!(standing(&audited, Aspect::Chain), [Standing::Failed]);
    let hole = &audited.databases[0].holes[0];
    assert_eq!((hole.until, hole.missed_count), (None, 48));
    let day = &audited.databases[0].days[0];
    assert_eq!(day.hours, "..........wwwmmmmmmmmmmm");
}

#[tokio::test]
async fn a_budget_reads_on_until_everything_was_read_and_damage_is_found_on_the_way() {
    let world = World::new().await;
    let stores = both(&world);
    let terms = AuditRequest { budget: Some(1), ..request(&world, &stores, Depth::Content) };
    let total = audit(&terms).await.unwrap().chosen.unwrap().1;
    let key = world.objects.keys().find(|key| key.contains(".on.")).unwrap().clone();
    let mut spoilt = world.objects[&key].to_vec();
    spoilt[9] ^= 1;
    let west = world.store("west");
    west.overwrite(&key, spoilt);
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(world.store("east")), Arc::new(west)];
    let (mut rounds, mut found, mut read) = (0, Vec::new(), 0);
    while rounds < 60 {
        rounds += 1;
        let terms =
            AuditRequest { budget: Some(total / 7), ..request(&world, &stores, Depth::Content) };
        // A clock that goes on, so that the oldest looks come first.
        let terms = AuditRequest { now: terms.now + TimeDelta::minutes(rounds), ..terms };
        let audited = audit(&terms).await.unwrap();
        let (chosen, _) = audited.chosen.unwrap();
        read += chosen;
        found.extend(audited.findings);
        let never: u64 = audited.databases[0].coverage.values().map(|ages| ages.never).sum();
        // The damaged slice stays unread, and comes first each time.
        let spoilt: u64 = audited.databases[0].coverage["west"].never;
        if never == spoilt && rounds > 8 {
            break;
        }
    }
    assert!(rounds < 60 && read >= total, "{rounds} rounds, {read} of {total}");
    assert!(!found.is_empty());
    assert!(
        found.iter().all(|f| f.part.as_deref() == Some(&key) && f.store == "west"),
        "{found:#?}"
    );
}

#[tokio::test]
async fn workers_at_once_read_everything_and_remember_each_others_looks() {
    let world = World::new().await;
    let stores = both(&world);
    let workers: u32 = 6;
    let start = Arc::new(Barrier::new(workers as usize));
    let audits = (1..=workers).map(|number| {
        let shard = Some(Shard { number, of: workers });
        let terms = AuditRequest { shard, ..request(&world, &stores, Depth::Content) };
        let start = Arc::clone(&start);
        async move {
            start.wait().await;
            audit(&terms).await.unwrap()
        }
    });
    let all = futures_util::future::join_all(audits).await;
    let chosen: u64 = all.iter().map(|a| a.chosen.unwrap().0).sum();
    let held = turns::Held::list(&*stores[0], "petforce").await.unwrap();
    let one: u64 = held.bytes.values().flatten().sum();
    assert_eq!(chosen, 2 * one);
    for store in &stores {
        let held = turns::Held::list(&**store, "petforce").await.unwrap();
        let (within, now) = (TimeDelta::days(30), world.clock.now());
        let ages = coverage::ages(&held.coverage, &held.bytes, Depth::Content, within, now);
        assert_eq!((ages.never, ages.day), (0, one), "{}", store.name());
    }
}

#[tokio::test]
async fn unchanged_listings_save_the_second_comparison_and_a_change_is_seen() {
    let world = World::new().await;
    let store = world.store("east").listing_versions();
    let faulty = FaultyStore::new(Arc::new(store.clone()));
    let stores: [Arc<dyn ObjectStore>; 1] = [Arc::new(faulty.clone())];
    let terms = || request(&world, &stores, Depth::Checksums);
    let first = audit(&terms()).await.unwrap();
    let heads = faulty.count(Op::Head);
    assert!(heads > 5 && first.findings.is_empty());
    let second = audit(&terms()).await.unwrap();
    assert_eq!(faulty.count(Op::Head), heads, "nothing is asked for again");
    assert!(second.databases[0].vouched_objects as u32 >= 5 && second.findings.is_empty());
    assert_eq!(second.databases[0].checked_objects, first.databases[0].checked_objects);
    // Other bytes of the same size, and the store knows of the write.
    let key = world.objects.keys().find(|key| key.contains("/parts/")).unwrap();
    let mut bytes = world.objects[key].to_vec();
    bytes[5] ^= 4;
    store.overwrite(key, bytes);
    let third = audit(&terms()).await.unwrap();
    assert!(
        third.findings.iter().all(|f| f.part.as_ref() == Some(key)) && !third.findings.is_empty()
    );
    // It stays found, since the slice is not vouched for.
    assert_eq!(audit(&terms()).await.unwrap().findings, third.findings);
    let afresh = audit(&AuditRequest { afresh: true, ..terms() }).await.unwrap();
    assert_eq!((afresh.databases[0].vouched_objects, &afresh.findings), (0, &third.findings));
}

#[tokio::test]
async fn a_forged_manifest_is_seen_beside_the_other_store() {
    let world = World::new().await;
    let west = world.store("west");
    let mut forged = world.manifests[1].clone();
    forged.program = "somebody else".to_owned();
    let key = keys::manifest_key("petforce", &forged.generation, &forged.id);
    west.overwrite(&key, seal::seal(&forged, &Keys::default()).unwrap());
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(world.store("east")), Arc::new(west)];
    let audited = audit(&request(&world, &stores, Depth::Checksums)).await.unwrap();
    assert_eq!(standing(&audited, Aspect::Sameness), [Standing::Failed]);
    assert_eq!(audited.findings.len(), 1, "{:#?}", audited.findings);
    let finding = &audited.findings[0];
    assert_eq!((finding.kind, finding.part.as_ref()), (FindingKind::Damaged, Some(&key)));
}

async fn put(store: &MemoryStore, key: &str) {
    let bytes = bytes::Bytes::from_static(b"hello");
    store.put_if(key, bytes.clone(), Digest::of(&bytes), Condition::Absent).await.unwrap();
}

#[tokio::test]
async fn strangers_are_found_wherever_they_hide() {
    let world = World::new().await;
    for key in [
        "readme.txt",
        "zz.txt",
        "other/thing.txt",
        "runs/what",
        "state/x.bin",
        "leases/sub/x.json",
        "audits/today/report.json",
        "petforce/notes.txt",
        "petforce/old/x",
    ] {
        let store = world.store("east");
        put(&store, key).await;
        let stores: [Arc<dyn ObjectStore>; 1] = [Arc::new(store)];
        let audited = audit(&request(&world, &stores, Depth::Listing)).await.unwrap();
        assert_eq!(standing(&audited, Aspect::Strangers), [Standing::Failed], "{key}");
        assert_eq!(audited.findings.len(), 1, "{key}: {:#?}", audited.findings);
        let found = audited.findings[0].part.clone().unwrap();
        assert!(key.starts_with(&found), "{key}: {found}");
    }
    // What drctl writes is no stranger.
    let store = world.store("east");
    for key in [
        "drctl.json",
        "runs/r20261124T100000Z-00000a/00000000.json",
        "state/verified-petforce.json",
        "leases/a.json",
        "audits/a20261124T100000Z-00000a/report.json",
    ] {
        put(&store, key).await;
    }
    let stores: [Arc<dyn ObjectStore>; 1] = [Arc::new(store)];
    let audited = audit(&request(&world, &stores, Depth::Listing)).await.unwrap();
    assert_eq!(standing(&audited, Aspect::Strangers), [Standing::Passed]);
}

#[tokio::test]
async fn what_cannot_be_read_is_unverified_in_every_answer() {
    let world = World::new().await;
    let faulty = FaultyStore::new(Arc::new(world.store("west")));
    for op in [Op::Get, Op::Head, Op::List, Op::ListDirs, Op::GetStream, Op::Posture] {
        faulty.always(op, Fault::Fail(Class::Denied));
    }
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(world.store("east")), Arc::new(faulty)];
    let audited = audit(&request(&world, &stores, Depth::Checksums)).await.unwrap();
    for aspect in [
        Aspect::Integrity,
        Aspect::Strangers,
        Aspect::Encryption,
        Aspect::PublicAccess,
        Aspect::Versioning,
        Aspect::ObjectLock,
        Aspect::Replication,
    ] {
        let west = audited
            .checks
            .iter()
            .find(|c| c.aspect == aspect && c.store.as_deref() == Some("west"));
        assert_eq!(west.unwrap().standing, Standing::Unverified, "{aspect}");
    }
    assert_eq!(standing(&audited, Aspect::Sameness), [Standing::Unverified]);
    assert_eq!(standing(&audited, Aspect::Chain), [Standing::Unverified]);
}

#[tokio::test]
async fn without_any_snapshot_nothing_is_fine() {
    let world = World::new().await;
    let stores: [Arc<dyn ObjectStore>; 1] = [Arc::new(MemoryStore::new("east"))];
    let audited = audit(&request(&world, &stores, Depth::Content)).await.unwrap();
    assert_eq!(standing(&audited, Aspect::Chain), [Standing::Failed]);
    assert_eq!(audited.databases[0].snapshots, 0);
}
