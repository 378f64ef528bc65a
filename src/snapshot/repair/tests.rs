//! Repairs over stores in memory: each kind of damage, good bytes left alone, crashes in between.

use std::sync::Arc;

use super::*;
use crate::integrity::specimen::{World, contents};
use crate::model::{Digest, Silent};
use crate::store::MemoryStore;
use crate::store::fault::{Fault, FaultyStore, Op};

fn request(world: &World, stores: &[Arc<dyn ObjectStore>]) -> RepairRequest {
    RepairRequest {
        database: "petforce".to_owned(),
        stores: stores.to_vec(),
        depth: Depth::Content,
        jobs: 2,
        keys: Keys::default(),
        sink: Arc::new(Silent),
        now: world.clock.now(),
        random: 7,
    }
}

fn spoilt(world: &World, key: &str) -> Vec<u8> {
    let mut bytes = world.objects[key].to_vec();
    let at = bytes.len() / 2;
    bytes[at] ^= 0x20;
    bytes
}

/// What lies in a store, but for state and what was put aside.
async fn held(store: &MemoryStore) -> BTreeMap<String, bytes::Bytes> {
    let mut all = contents(store).await;
    all.retain(|key, _| key.starts_with("petforce/"));
    all
}

#[tokio::test]
async fn every_object_is_mended_from_the_other_store_and_its_damage_kept() {
    let world = World::new().await;
    for key in world.objects.keys() {
        for delete in [false, true] {
            let (east, west) = (world.store("east"), world.store("west"));
            match delete {
                true => west.delete(std::slice::from_ref(key)).await.unwrap(),
                false => west.overwrite(key, spoilt(&world, key)),
            }
            let before = held(&east).await;
            let stores: [Arc<dyn ObjectStore>; 2] =
                [Arc::new(east.clone()), Arc::new(west.clone())];
            let request = request(&world, &stores);
            let plan = plan(&request).await.unwrap();
            assert_eq!(plan.lost(), 0, "{key} {plan:#?}");
            assert_eq!(plan.mends.len() + plan.absent.len(), 1, "{key} {plan:#?}");
            // A plan changes nothing.
            assert_ne!(held(&west).await.get(key), Some(&world.objects[key]));
            let report = apply(&request, &plan, &|| Ok(())).await.unwrap();
            assert_eq!(report.verdict(), Verdict::Intact, "{key} {report:#?}");
            assert_eq!(held(&west).await, world.objects, "{key}");
            assert_eq!(held(&east).await, before, "{key}: the good store is untouched");
            if !delete {
                let aside = report.mended[0].aside.clone().unwrap();
                let kept = west.get(&aside).await.unwrap().bytes;
                assert_eq!(kept, spoilt(&world, key));
                assert_eq!(aside, keys::quarantine_key(key, Digest::of(&kept)));
            }
        }
    }
}

#[tokio::test]
async fn what_is_spoilt_in_both_stores_is_lost_and_nothing_is_written() {
    let world = World::new().await;
    let key = world.objects.keys().find(|key| key.contains("/parts/")).unwrap();
    let (east, west) = (world.store("east"), world.store("west"));
    east.overwrite(key, spoilt(&world, key));
    west.delete(std::slice::from_ref(key)).await.unwrap();
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(east.clone()), Arc::new(west.clone())];
    let request = request(&world, &stores);
    let plan = plan(&request).await.unwrap();
    assert_eq!((plan.lost(), plan.mendable(), plan.is_empty()), (2, 0, true), "{plan:#?}");
    assert!(plan.mends.iter().all(|m| !m.tables.is_empty() && !m.snapshots.is_empty()));
    let (before_east, before_west) = (held(&east).await, held(&west).await);
    let report = apply(&request, &plan, &|| Ok(())).await.unwrap();
    assert_eq!(report.verdict(), Verdict::Damaged);
    assert_eq!((held(&east).await, held(&west).await), (before_east, before_west));
}

#[tokio::test]
async fn each_store_mends_the_other() {
    let world = World::new().await;
    let (east, west) = (world.store("east"), world.store("west"));
    for (i, key) in world.objects.keys().enumerate() {
        let store = if i % 2 == 0 { &east } else { &west };
        match i % 3 {
            0 => store.delete(std::slice::from_ref(key)).await.unwrap(),
            _ => store.overwrite(key, spoilt(&world, key)),
        }
    }
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(east.clone()), Arc::new(west.clone())];
    // What hangs below a manifest or a list that is gone shows only once that is there again.
    let request = request(&world, &stores);
    let mut rounds = 0;
    loop {
        rounds += 1;
        let plan = plan(&request).await.unwrap();
        if plan.mends.is_empty() && plan.absent.is_empty() {
            break;
        }
        assert_eq!(plan.lost(), 0, "round {rounds}: {plan:#?}");
        apply(&request, &plan, &|| Ok(())).await.unwrap();
        assert!(rounds < 5);
    }
    assert_eq!(held(&east).await, world.objects);
    assert_eq!(held(&west).await, world.objects);
}

#[tokio::test]
async fn a_repair_that_is_stopped_anywhere_is_gone_on_with() {
    let world = World::new().await;
    let bad: Vec<&String> = world.objects.keys().filter(|key| key.contains("/parts/")).collect();
    for acts in (0..400).step_by(7) {
        let west = world.store("west");
        for (i, key) in bad.iter().enumerate() {
            match i % 2 {
                0 => west.overwrite(key, spoilt(&world, key)),
                _ => west.delete(&[(*key).clone()]).await.unwrap(),
            }
        }
        let faulty = FaultyStore::new(Arc::new(west.clone()));
        let east: Arc<dyn ObjectStore> = Arc::new(world.store("east"));
        let first = request(&world, &[Arc::clone(&east), Arc::new(faulty.clone())]);
        let planned = plan(&first).await.unwrap();
        faulty.lose_after(faulty.total() + acts);
        let _ = apply(&first, &planned, &|| Ok(())).await;
        let second = request(&world, &[east, Arc::new(west.clone())]);
        let planned = plan(&second).await.unwrap();
        let report = apply(&second, &planned, &|| Ok(())).await.unwrap();
        assert_eq!(report.verdict(), Verdict::Intact, "{acts}");
        assert_eq!(held(&west).await, world.objects, "{acts}");
    }
}

/// The good copy is spoilt on its way, or goes bad after the plan: it is never written.
#[tokio::test]
async fn bytes_that_are_not_proven_are_never_written() {
    let world = World::new().await;
    let key = world.objects.keys().find(|key| key.contains("/parts/")).unwrap();
    let west = world.store("west");
    west.overwrite(key, spoilt(&world, key));
    let faulty = FaultyStore::new(Arc::new(world.store("east")));
    let stores: [Arc<dyn ObjectStore>; 2] = [Arc::new(faulty.clone()), Arc::new(west.clone())];
    let request = request(&world, &stores);
    let planned = plan(&request).await.unwrap();
    assert_eq!(planned.mendable(), 1);
    faulty.on(Op::Get, faulty.count(Op::Get) + 1, Fault::Flip(40));
    let report = apply(&request, &planned, &|| Ok(())).await.unwrap();
    assert_eq!(report.failed.len(), 1, "{report:#?}");
    assert_eq!(west.get(key).await.unwrap().bytes, spoilt(&world, key));
    assert_eq!(report.verdict(), Verdict::Damaged);
}
