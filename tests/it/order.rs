//! Whatever the clock says, the snapshot that was taken last is the newest.

use std::sync::Arc;

use chrono::TimeDelta;
use drctl::integrity::history;
use drctl::integrity::seal::Keys;
use drctl::snapshot;
use drctl::store::{MemoryStore, ObjectStore};

use crate::lab::shared_pg15;
use crate::taking::{NAME, Recorded, request};

#[tokio::test]
async fn snapshots_sort_as_they_were_taken() {
    let server = shared_pg15();
    let db = server.fresh_db("order");
    let stores: [Arc<dyn ObjectStore>; 2] =
        [Arc::new(MemoryStore::new("east")), Arc::new(MemoryStore::new("west"))];
    let now = request(server, &db, &stores).now;
    let mut taken = Vec::new();
    let mut generations = Vec::new();
    // Within one second, by numbers that would sort the other way round; then the clock goes back.
    let hour = TimeDelta::hours(1);
    for (random, full, now) in [
        (0xff_ffff, false, now),
        (0x50_0000, false, now),
        (0x40_0000, true, now),
        (0x30_0000, true, now),
        (0x20_0000, false, now - hour),
    ] {
        let events = Arc::new(Recorded::default());
        let mut request = request(server, &db, &stores);
        (request.random, request.full, request.now) = (random, full, now);
        request.sink = events.clone();
        let manifest = snapshot::take(&request).await.unwrap().manifest;
        assert_eq!(events.said().contains("dated in the future"), random == 0x20_0000);
        generations.push(manifest.generation);
        taken.push(manifest.id);
    }
    assert!(taken.is_sorted_by(|a, b| a < b), "{taken:?}");
    assert_eq!(generations[0], generations[1]);
    assert!(generations[1] < generations[2] && generations[2] < generations[3]);
    assert_eq!(generations[3], generations[4]);
    for store in &stores {
        let listed = history::places(&**store, NAME).await.unwrap();
        assert_eq!(listed.into_iter().map(|p| p.snapshot).collect::<Vec<_>>(), taken);
        let (newest, _) = history::newest(&**store, &Keys::default(), NAME).await.unwrap();
        assert_eq!(newest.map(|m| m.id), taken.last().cloned());
    }
}
