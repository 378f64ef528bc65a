//! Leases: two at once, ends, losses and breaks, under a clock that can be turned.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use super::super::fault::{Fault, FaultyStore, Op};
use super::super::{Class, FileStore, MemoryStore};
use super::*;

fn holder(pid: u32) -> Holder {
    Holder {
        host: "db1".to_owned(),
        pid,
        user: "ops".to_owned(),
        purpose: "take a snapshot of petforce".to_owned(),
        process: None,
    }
}

/// A store whose clock can be turned, by whole seconds.
fn turnable() -> (Arc<MemoryStore>, Arc<AtomicI64>) {
    let offset = Arc::new(AtomicI64::new(0));
    let turned = offset.clone();
    let clock = move || Utc::now() + chrono::Duration::seconds(turned.load(Ordering::Relaxed));
    (Arc::new(MemoryStore::with_clock("west", Arc::new(clock))), offset)
}

async fn acquire(store: &Arc<MemoryStore>, pid: u32, ttl: u64) -> Result<Lease> {
    Lease::acquire(store.clone(), "snapshot.petforce", holder(pid), Duration::from_secs(ttl)).await
}

#[tokio::test]
async fn the_second_is_told_who_holds_it() {
    let (store, _) = turnable();
    let lease = acquire(&store, 1, 60).await.unwrap();
    assert!(lease.is_held());
    let e = acquire(&store, 2, 60).await.unwrap_err();
    assert_eq!(e.kind(), Kind::LeaseHeld);
    for part in
        ["snapshot.petforce", "`west`", "ops on db1 (pid 1)", "take a snapshot", "held since"]
    {
        assert!(e.what().contains(part), "{part}: {e}");
    }
    assert!(e.advice().unwrap().contains("drctl unlock snapshot.petforce"));
    lease.release().await.unwrap();
    let next = acquire(&store, 2, 60).await.unwrap();
    assert_eq!(next.fence(), 2, "the number only grows");
    let other = Lease::acquire(store, "prune", holder(3), Duration::from_secs(60)).await.unwrap();
    assert_eq!(other.fence(), 1);
}

#[tokio::test]
async fn of_many_at_once_one_gets_it() {
    let dir = tempfile::tempdir().unwrap();
    let (memory, _) = turnable();
    let stores: [Arc<dyn ObjectStore>; 2] =
        [memory, Arc::new(FileStore::new("west", "local", dir.path()))];
    for store in stores {
        for round in 1..=5 {
            let tries = (0..8).map(|pid| {
                let ttl = Duration::from_secs(60);
                tokio::spawn(Lease::acquire(store.clone(), "x", holder(pid), ttl))
            });
            let mut won = Vec::new();
            for attempt in tries.collect::<Vec<_>>() {
                match attempt.await.unwrap() {
                    Ok(lease) => won.push(lease),
                    Err(e) => assert_eq!(e.kind(), Kind::LeaseHeld, "{e:?}"),
                }
            }
            assert_eq!(won.len(), 1);
            let lease = won.pop().unwrap();
            assert_eq!(lease.fence(), round);
            lease.release().await.unwrap();
        }
    }
}

#[tokio::test]
async fn one_that_ran_out_by_the_stores_clock_is_taken_and_its_holder_notices() {
    let (store, offset) = turnable();
    let old = acquire(&store, 1, 3).await.unwrap();
    offset.store(4, Ordering::Relaxed);
    let e = acquire(&store, 2, 3).await.unwrap_err();
    assert_eq!(e.kind(), Kind::LeaseHeld, "dates are to the second: not quite run out");
    offset.store(6, Ordering::Relaxed);
    let new = acquire(&store, 2, 3).await.unwrap();
    assert_eq!(new.fence(), 2);
    let e = tokio::time::timeout(Duration::from_secs(5), old.lost()).await.unwrap();
    assert!(e.what().contains("taken by ops on db1 (pid 2)"), "{e}");
    assert!(!old.is_held() && old.check().is_err() && new.is_held());
    assert!(old.release().await.is_err());
    assert!(new.is_held(), "an old holder cannot release the new one's lease");
    assert!(matches!(
        inspect(&*store, "snapshot.petforce").await.unwrap().unwrap().standing,
        Standing::Held { .. }
    ));
}

#[tokio::test]
async fn renewals_keep_it_past_its_time_to_live() {
    let (store, _) = turnable();
    let lease = acquire(&store, 1, 1).await.unwrap();
    tokio::time::sleep(Duration::from_millis(3500)).await;
    assert!(lease.is_held());
    assert_eq!(acquire(&store, 2, 1).await.unwrap_err().kind(), Kind::LeaseHeld);
    lease.release().await.unwrap();
}

#[tokio::test]
async fn a_broken_one_is_noticed_and_free() {
    let (store, _) = turnable();
    let lease = acquire(&store, 1, 2).await.unwrap();
    let before = break_lease(&*store, "snapshot.petforce", "eve on db9").await.unwrap().unwrap();
    assert!(matches!(before.standing, Standing::Held { .. }));
    let e = tokio::time::timeout(Duration::from_secs(5), lease.lost()).await.unwrap();
    assert!(e.what().contains("broken by eve on db9"), "{e}");
    let info = inspect(&*store, "snapshot.petforce").await.unwrap().unwrap();
    assert_eq!(info.standing, Standing::Free);
    assert_eq!(info.broken_by.as_deref(), Some("eve on db9"));
    assert_eq!(acquire(&store, 2, 2).await.unwrap().fence(), 2);
    assert_eq!(break_lease(&*store, "never", "eve").await.unwrap(), None);
}

#[tokio::test]
async fn a_store_that_is_gone_loses_it_in_time() {
    let (memory, _) = turnable();
    let store = FaultyStore::new(memory);
    let ttl = Duration::from_secs(1);
    let lease = Lease::acquire(Arc::new(store.clone()), "x", holder(1), ttl).await.unwrap();
    store.lose_after(store.total());
    let began = Instant::now();
    let e = tokio::time::timeout(Duration::from_secs(5), lease.lost()).await.unwrap();
    assert!(began.elapsed() < Duration::from_millis(1900), "{:?}", began.elapsed());
    assert!(e.what().contains("could not be renewed"), "{e}");
    assert!(!lease.is_held());
}

#[tokio::test]
async fn renewals_survive_lost_answers_and_short_failures() {
    let (memory, _) = turnable();
    let store = FaultyStore::new(memory);
    let ttl = Duration::from_secs(2);
    let lease = Lease::acquire(Arc::new(store.clone()), "x", holder(1), ttl).await.unwrap();
    store.on(Op::Put, 2, Fault::FailAfter);
    store.on(Op::Put, 4, Fault::Fail(Class::Transient));
    store.on(Op::Put, 5, Fault::FailAfter);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert!(lease.is_held());
    assert!(store.count(Op::Put) > 6);
    store.on(Op::Put, store.count(Op::Put) + 1, Fault::Slow(Duration::from_millis(10)));
    lease.release().await.unwrap();
}

#[tokio::test]
async fn leases_are_listed_and_nonsense_is_no_lease() {
    let (store, _) = turnable();
    let one = acquire(&store, 1, 60).await.unwrap();
    let two = Lease::acquire(store.clone(), "prune", holder(2), Duration::from_secs(60)).await;
    two.unwrap().release().await.unwrap();
    let leases = list(&*store).await.unwrap();
    let seen: Vec<_> = leases.iter().map(|l| (&*l.name, l.standing == Standing::Free)).collect();
    assert_eq!(seen, [("prune", true), ("snapshot.petforce", false)]);
    drop(one);
    store.overwrite(&keys::lease_key("odd"), "nonsense");
    assert_eq!(inspect(&*store, "odd").await.unwrap_err().kind(), Kind::Damaged);
    let e = Lease::acquire(store, "a/b", holder(1), Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
}
