//! Trying again: by class, within a window, settling what may have landed.

use std::time::{Duration, Instant};

use super::super::fault::{Fault, FaultyStore, Op};
use super::super::{MemoryStore, conformance};
use super::*;

fn quick() -> Patience {
    Patience {
        first_wait: Duration::from_millis(1),
        longest_wait: Duration::from_millis(5),
        window: Duration::from_millis(200),
    }
}

fn stores() -> (MemoryStore, FaultyStore, Retrying) {
    let memory = MemoryStore::new("east");
    let faulty = FaultyStore::new(Arc::new(memory.clone()));
    let retrying = Retrying::new(Arc::new(faulty.clone()), quick());
    (memory, faulty, retrying)
}

async fn put(store: &dyn ObjectStore, key: &str, bytes: &'static [u8]) -> Result<Put> {
    let absent = Condition::Absent;
    store.put_if(key, Bytes::from_static(bytes), Digest::of(bytes), absent).await
}

#[tokio::test]
async fn a_store_that_is_tried_again_still_conforms() {
    let (_, faulty, retrying) = stores();
    // Not where the suite writes the same bytes a second time: a refusal after a lost answer then
    // cannot be told from success, and need not be.
    for (op, places) in [
        (Op::Put, &[1, 8, 9, 10, 33, 600][..]),
        (Op::PutFile, &[1, 3, 6]),
        (Op::Get, &[1, 2, 5]),
        (Op::GetStream, &[1, 2, 4]),
        (Op::Head, &[1, 3, 4, 7]),
        (Op::List, &[1, 2, 5, 7]),
        (Op::ListDirs, &[1, 3]),
        (Op::Delete, &[1, 3]),
        (Op::Now, &[1]),
    ] {
        for nth in places {
            let class = if nth % 2 == 0 { Class::Unknown } else { Class::Transient };
            faulty.on(op, *nth, Fault::Fail(class));
        }
    }
    conformance::check(Arc::new(retrying), 3 << 20).await.unwrap();
}

#[tokio::test]
async fn writes_that_landed_unseen_conform_too() {
    let (_, faulty, retrying) = stores();
    faulty.on(Op::Put, 1, Fault::FailAfter);
    for nth in (5..2000).step_by(3) {
        faulty.on(Op::Put, nth, Fault::FailAfter);
    }
    for nth in (2..20).step_by(3) {
        faulty.on(Op::PutFile, nth, Fault::FailAfter);
    }
    conformance::check(Arc::new(retrying), 3 << 20).await.unwrap();
}

#[tokio::test]
async fn a_refusal_by_another_writer_stays_a_refusal() {
    let (_, faulty, retrying) = stores();
    put(&retrying, "k", b"theirs").await.unwrap();
    faulty.on(Op::Put, 2, Fault::Fail(Class::Unknown));
    assert_eq!(put(&retrying, "k", b"ours").await.unwrap(), Put::Refused);
    assert_eq!(retrying.get("k").await.unwrap().bytes, "theirs");
}

#[tokio::test]
async fn only_transient_and_unknown_failures_are_tried_again() {
    for class in [Class::Permanent, Class::Denied, Class::NotFound, Class::Corrupt] {
        let (_, faulty, retrying) = stores();
        faulty.on(Op::Get, 1, Fault::Fail(class));
        assert_eq!(retrying.get("k").await.unwrap_err().class, class);
        assert_eq!(faulty.count(Op::Get), 1, "{class:?}");
    }
}

#[tokio::test]
async fn it_gives_up_when_the_window_ends_and_says_so() {
    let (_, faulty, retrying) = stores();
    faulty.lose_after(0);
    let began = Instant::now();
    let e = put(&retrying, "k", b"x").await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(5));
    assert_eq!(e.class, Class::Transient);
    assert!(e.what.contains("gave up after"), "{}", e.what);
    assert!(faulty.count(Op::Put) > 3);
}

#[tokio::test]
async fn bytes_that_change_on_their_way_are_sent_again_and_wrong_promises_are_not() {
    let (_, faulty, retrying) = stores();
    faulty.on(Op::Put, 1, Fault::Fail(Class::Corrupt));
    assert!(matches!(put(&retrying, "k", b"x").await.unwrap(), Put::Written(_)));
    let wrong = Digest::of(b"other");
    let put = retrying.put_if("w", Bytes::from_static(b"x"), wrong, Condition::Absent).await;
    assert_eq!(put.unwrap_err().class, Class::Corrupt);
    assert_eq!(faulty.count(Op::Put), 3);
}

#[tokio::test]
async fn a_listing_goes_on_where_it_broke_off() {
    let (_, faulty, retrying) = stores();
    for i in 0..50 {
        put(&retrying, &format!("l/{i:02}"), b"x").await.unwrap();
    }
    faulty.on(Op::List, 1, Fault::BreakAfter(7));
    faulty.on(Op::List, 2, Fault::BreakAfter(0));
    faulty.on(Op::List, 3, Fault::BreakAfter(20));
    let keys: Vec<_> = retrying.list("l/").map_ok(|o| o.key).try_collect().await.unwrap();
    assert_eq!(keys, (0..50).map(|i| format!("l/{i:02}")).collect::<Vec<_>>());
    assert_eq!(faulty.count(Op::List), 4);
}

#[tokio::test]
async fn a_download_goes_on_where_it_broke_off() {
    let (memory, faulty, retrying) = stores();
    let bytes: Vec<u8> = (0..300_000u32).flat_map(u32::to_le_bytes).collect();
    memory.overwrite("big", bytes.clone());
    faulty.on(Op::GetStream, 1, Fault::BreakAfter(3));
    faulty.on(Op::GetStream, 2, Fault::Fail(Class::Transient));
    faulty.on(Op::GetStream, 3, Fault::BreakAfter(10));
    let stream = retrying.get_stream("big").await.unwrap();
    let chunks: Vec<Bytes> = stream.try_collect().await.unwrap();
    assert!(chunks.concat() == bytes);
    assert_eq!(faulty.count(Op::GetStream), 4);
}

#[tokio::test]
async fn waits_grow_and_differ() {
    let waits: Vec<_> = Patience::default().begin().waits.take(12).collect();
    assert!(waits[0] >= Duration::from_millis(200));
    assert!(waits[11] <= Duration::from_secs(20) && waits[11] >= Duration::from_secs(10));
    let others: Vec<_> = Patience::default().begin().waits.take(12).collect();
    assert_ne!(waits, others, "two clients must not knock in step");
}
