//! Copies between stores: cut short anywhere, damaged anywhere, never overwriting.

use std::sync::Arc;

use super::*;
use crate::integrity::specimen::{World, contents};
use crate::integrity::verify::{self, Depth, Sample, Verdict, VerifyRequest};
use crate::model::{FindingKind, Silent};
use crate::store::fault::{Fault, FaultyStore, Op};
use crate::store::{Class, MemoryStore, keys};

fn request(world: &World, from: &MemoryStore, to: Arc<dyn ObjectStore>) -> CopyRequest {
    CopyRequest {
        database: "petforce".to_owned(),
        from: Arc::new(from.clone()),
        to,
        which: Which::All,
        keys: Keys::default(),
        jobs: 3,
        sink: Arc::new(Silent),
        now: world.clock.now(),
        random: 7,
    }
}

/// Whether every manifest in the store has all that it promises.
async fn sound(world: &World, store: &MemoryStore) -> bool {
    let report = verify::verify(&VerifyRequest {
        database: "petforce".to_owned(),
        stores: vec![Arc::new(store.clone())],
        which: Which::All,
        depth: Depth::Content,
        sample: Sample::ALL,
        jobs: 2,
        keys: Keys::default(),
        sink: Arc::new(Silent),
        now: world.clock.now(),
    })
    .await;
    match report {
        Ok(report) => report.verdict() == Verdict::Intact,
        Err(e) => e.what().contains("there is no snapshot"),
    }
}

/// What the world has and a destination must have, besides its own marker and state.
async fn is_whole(world: &World, store: &MemoryStore) -> bool {
    let there = contents(store).await;
    world.objects.iter().all(|(key, bytes)| there.get(key) == Some(bytes))
}

fn states(report: &CopyReport) -> Vec<CopyState> {
    report.snapshots.iter().map(|s| s.state).collect()
}

#[tokio::test]
async fn everything_is_copied_once_as_planned() {
    let world = World::new().await;
    let (from, to) = (world.store("east"), world.clock.store("west"));
    let request = request(&world, &from, Arc::new(to.clone()));
    let planned = plan(&request).await.unwrap();
    assert_eq!(states(&planned), [CopyState::Planned; 3]);
    assert!(contents(&to).await.is_empty(), "a plan changes nothing");
    let done = copy(&request).await.unwrap();
    assert_eq!(states(&done), [CopyState::Copied; 3]);
    assert_eq!((done.objects, done.bytes), (planned.objects, planned.bytes));
    assert_eq!(done.objects, world.objects.len() as u64);
    assert_eq!(done.bytes, world.objects.values().map(|b| b.len() as u64).sum::<u64>());
    assert!(is_whole(&world, &to).await && sound(&world, &to).await);
    assert!(to.head(keys::marker(), false).await.unwrap().is_some());
    let again = copy(&request).await.unwrap();
    assert_eq!(states(&again), [CopyState::AlreadyThere; 3]);
    assert_eq!((again.objects, again.bytes), (0, 0));
    assert!(again.is_complete());
}

#[tokio::test]
async fn one_snapshot_is_enough() {
    let world = World::new().await;
    for (which, index) in [(Which::Latest, 2), (Which::One(world.manifests[1].id.clone()), 1)] {
        let (from, to) = (world.store("east"), world.clock.store("west"));
        let request = CopyRequest { which, ..request(&world, &from, Arc::new(to.clone())) };
        let done = copy(&request).await.unwrap();
        assert_eq!(done.snapshots[0].snapshot, world.manifests[index].id);
        assert_eq!(states(&done), [CopyState::Copied]);
        let places = history::places(&to, "petforce").await.unwrap();
        assert_eq!(places.len(), 1);
        assert!(sound(&world, &to).await);
    }
    let (from, to) = (world.store("east"), world.clock.store("west"));
    let which = Which::One("20261122T110001Z-000abc".parse().unwrap());
    let request = CopyRequest { which, ..request(&world, &from, Arc::new(to)) };
    let e = copy(&request).await.unwrap_err();
    assert!(e.advice().unwrap().contains("20261122T110000Z-000abc"), "{e:?}");
}

#[tokio::test]
async fn a_copy_cut_short_anywhere_leaves_no_hollow_manifest_and_goes_on() {
    let world = World::new().await;
    let from = world.store("east");
    for acts in 0..200 {
        let to = world.clock.store("west");
        let faulty = FaultyStore::new(Arc::new(to.clone()));
        faulty.lose_after(acts);
        let request = request(&world, &from, Arc::new(faulty.clone()));
        let first = copy(&request).await;
        let done = first.as_ref().is_ok_and(CopyReport::is_complete);
        assert!(sound(&world, &to).await, "after {acts} acts");
        faulty.heal();
        if done {
            assert!(is_whole(&world, &to).await);
            assert!(acts > 50, "{acts}");
            return;
        }
        let second = copy(&request).await.unwrap();
        assert!(second.is_complete(), "after {acts} acts: {second:#?}");
        assert!(is_whole(&world, &to).await, "after {acts} acts");
    }
    panic!("the copy takes more acts than were tried");
}

#[tokio::test]
async fn lost_answers_do_no_harm() {
    let world = World::new().await;
    let (from, to) = (world.store("east"), world.clock.store("west"));
    let faulty = FaultyStore::new(Arc::new(to.clone()));
    for nth in [2, 5, 9] {
        faulty.on(Op::Put, nth, Fault::FailAfter);
    }
    let request = request(&world, &from, Arc::new(faulty));
    let _ = copy(&request).await;
    let second = copy(&request).await.unwrap();
    assert!(second.is_complete(), "{second:#?}");
    assert!(is_whole(&world, &to).await && sound(&world, &to).await);
}

#[tokio::test]
async fn what_is_bad_at_the_source_is_named_and_holds_up_only_what_needs_it() {
    let world = World::new().await;
    for (key, _) in world.objects.iter() {
        for missing in [false, true] {
            let (from, to) = (world.store("east"), world.clock.store("west"));
            if missing {
                from.delete(std::slice::from_ref(key)).await.unwrap();
            } else {
                let mut bytes = world.objects[key].to_vec();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                from.overwrite(key, bytes);
            }
            let done = copy(&request(&world, &from, Arc::new(to.clone()))).await.unwrap();
            let mut wanted = world.forge.needs[key].clone();
            if missing && key.ends_with("manifest.json") {
                wanted.clear();
            }
            let found = done
                .findings
                .iter()
                .map(|f| {
                    assert_eq!((f.store.as_str(), f.part.as_ref()), ("east", Some(key)));
                    let kinds = [FindingKind::Damaged, FindingKind::Missing];
                    assert_eq!(f.kind, kinds[usize::from(missing)], "{f:?}");
                    (f.snapshot.clone().unwrap(), f.table.clone())
                })
                .collect();
            assert_eq!(wanted, found, "{key}");
            for copied in &done.snapshots {
                let held_up = wanted.iter().any(|(id, _)| *id == copied.snapshot.to_string());
                let expected = if held_up { CopyState::Failed } else { CopyState::Copied };
                assert_eq!(copied.state, expected, "{key}");
            }
            assert!(sound(&world, &to).await, "{key}");
        }
    }
}

#[tokio::test]
async fn lost_parts_are_brought_back_and_other_bytes_are_never_replaced() {
    let world = World::new().await;
    let from = world.store("east");
    for key in world.objects.keys() {
        let to = world.store("west");
        to.delete(std::slice::from_ref(key)).await.unwrap();
        let done = copy(&request(&world, &from, Arc::new(to.clone()))).await.unwrap();
        assert!(done.is_complete() && done.objects == 1, "{key}: {done:#?}");
        assert!(is_whole(&world, &to).await, "{key}");

        to.overwrite(key, "others");
        let done = copy(&request(&world, &from, Arc::new(to.clone()))).await.unwrap();
        assert!(!done.is_complete(), "{key}");
        assert!(done.findings.iter().all(|f| f.store == "west"), "{key}: {done:#?}");
        assert_eq!(to.get(key).await.unwrap().bytes, "others");
    }
}

#[tokio::test]
async fn a_store_that_denies_ends_the_copy_and_expired_generations_stay_away() {
    let world = World::new().await;
    let (from, to) = (world.store("east"), world.clock.store("west"));
    let faulty = FaultyStore::new(Arc::new(to.clone()));
    faulty.always(Op::Put, Fault::Fail(Class::Denied));
    let e = copy(&request(&world, &from, Arc::new(faulty))).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Storage);

    let gone = |r: &mut Record| r.note_removed(&world.forge.generation, &[], world.clock.now());
    Record::update(&to, "petforce", gone).await.unwrap();
    let all = request(&world, &from, Arc::new(to.clone()));
    assert_eq!(copy(&all).await.unwrap().snapshots, vec![]);
    let one = CopyRequest { which: Which::One(world.manifests[0].id.clone()), ..all };
    assert_eq!(states(&copy(&one).await.unwrap()), [CopyState::Copied]);
}
