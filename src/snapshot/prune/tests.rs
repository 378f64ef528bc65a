//! Expiry: interrupted anywhere, and never the last good snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use chrono::TimeDelta;
use proptest::prelude::*;

use super::*;
use crate::integrity::history::{Place, Which};
use crate::integrity::specimen::{Clock, Forge, contents, rows};
use crate::integrity::verified::Verdict;
use crate::integrity::verify::{self, Sample, VerifyRequest};
use crate::model::{Kept, Manifest, Silent};
use crate::store::MemoryStore;
use crate::store::fault::FaultyStore;
use crate::store::keys;

const KEEP: Keep = Keep { hourly: 2, daily: 2, weekly: 0, monthly: 0 };

/// A store with one generation of two snapshots on each of some days, the last two days ago.
struct Attic {
    clock: Clock,
    store: MemoryStore,
    days: Vec<Vec<Manifest>>,
}

impl Attic {
    async fn new(days: u64) -> Self {
        let clock = Clock::at("2026-10-01T08:00:00Z");
        let store = clock.store("west");
        let mut all = Vec::new();
        for day in 0..days {
            let mut forge = Forge::new("petforce", &clock, &["west"]);
            let mut snapshots = Vec::new();
            for hour in 0..2 {
                let tables = [("pets", vec![rows(day, 20, 0, 5), rows(day + 1000, 20, hour, 5)])];
                snapshots.push(forge.snapshot(&[&store], &tables).await);
                clock.advance(TimeDelta::hours(1));
            }
            all.push(snapshots);
            clock.advance(TimeDelta::hours(22));
        }
        clock.advance(TimeDelta::hours(48));
        Self { clock, store, days: all }
    }

    async fn verify(&self, which: Which) -> Verdict {
        let request = VerifyRequest {
            database: "petforce".to_owned(),
            stores: vec![Arc::new(self.store.clone())],
            which,
            depth: Depth::Checksums,
            sample: Sample::ALL,
            jobs: 2,
            keys: Keys::default(),
            sink: Arc::new(Silent),
            now: self.clock.now(),
        };
        verify::verify(&request).await.unwrap().verdict()
    }

    fn request(&self, store: Arc<dyn ObjectStore>) -> PruneRequest {
        PruneRequest {
            database: "petforce".to_owned(),
            stores: vec![store],
            keep: KEEP,
            keys: Keys::default(),
            least: Depth::Checksums,
            sink: Arc::new(Silent),
        }
    }

    /// The generations with anything of ours in them.
    async fn left(&self) -> Vec<GenerationId> {
        let mut left = Vec::new();
        for (day, key) in self.by_day().await {
            if !key.is_empty() {
                left.push(self.days[day][0].generation.clone());
            }
        }
        left
    }

    async fn by_day(&self) -> BTreeMap<usize, Vec<String>> {
        let all = contents(&self.store).await;
        (0..self.days.len())
            .map(|day| {
                let generation = &self.days[day][0].generation;
                let prefix = keys::generation_prefix("petforce", generation);
                let ours = all.keys().filter(|k| k.starts_with(&prefix));
                (day, ours.filter(|k| keys::parse(k).is_some()).cloned().collect())
            })
            .collect()
    }

    /// Manifests oldest first, of each day.
    async fn hollow(&self) -> Vec<Place> {
        let mut hollow = Vec::new();
        for place in history::places(&self.store, "petforce").await.unwrap() {
            let which = Which::One(place.snapshot.clone());
            if self.verify(which).await == Verdict::Damaged {
                hollow.push(place);
            }
        }
        hollow
    }
}

fn held() -> Result<()> {
    Ok(())
}

#[tokio::test]
async fn expired_generations_go_whole_and_nothing_else_is_touched() {
    let attic = Attic::new(5).await;
    assert_eq!(attic.verify(Which::All).await, Verdict::Intact);
    let foreign = format!("petforce/{}/parts/notes.txt", attic.days[0][0].generation);
    attic.store.overwrite(&foreign, "mine");
    // The plan goes by the youngest object, so make this one old as well.
    attic.clock.advance(TimeDelta::hours(48));
    let before = contents(&attic.store).await;
    let request = attic.request(Arc::new(attic.store.clone()));
    let planned = plan(&request).await.unwrap();
    let going: Vec<_> =
        planned.stores[0].plan.remove.iter().map(|r| r.generation.clone()).collect();
    let expected: Vec<_> = attic.days[..3].iter().map(|d| d[0].generation.clone()).collect();
    assert_eq!(going, expected);
    assert_eq!(planned.stores[0].foreign, std::slice::from_ref(&foreign));
    assert_eq!(contents(&attic.store).await, before, "a plan changes nothing");

    let report = apply(&request, &planned, &held).await.unwrap();
    assert_eq!(report.removed.len(), 3);
    assert_eq!(report.removed[0].foreign, std::slice::from_ref(&foreign));
    assert!(report.spared.is_empty() && report.failed.is_empty());
    let (objects, _) = planned.stores[0].freed();
    assert_eq!(report.removed.iter().map(|r| r.objects).sum::<u64>(), objects);
    let after = contents(&attic.store).await;
    assert_eq!(after.get(&foreign), Some(&Bytes::from_static(b"mine")));
    let kept = |key: &str| !expected.iter().any(|g| key.contains(g.as_str())) || key == foreign;
    for (key, bytes) in before.iter().filter(|(key, _)| !key.starts_with("state/")) {
        assert_eq!(after.get(key), kept(key).then_some(bytes), "{key}");
    }
    assert_eq!(attic.verify(Which::All).await, Verdict::Intact);
    let again = plan(&request).await.unwrap();
    assert!(again.stores[0].plan.remove.is_empty(), "{again:#?}");
}

#[tokio::test]
async fn nothing_goes_on_the_strength_of_the_unverified() {
    let attic = Attic::new(4).await;
    let request = attic.request(Arc::new(attic.store.clone()));
    assert!(plan(&request).await.unwrap().stores[0].plan.remove.is_empty(), "never verified");
    // Only the newest is known to be intact: an older one may then go only if it is intact too.
    attic.verify(Which::Latest).await;
    assert!(plan(&request).await.unwrap().stores[0].plan.remove.is_empty());
    attic.verify(Which::One(attic.days[0][1].id.clone())).await;
    let planned = plan(&request).await.unwrap();
    assert_eq!(planned.stores[0].plan.remove.len(), 1);
    // A check of less depth than asked for is none.
    let deeper = PruneRequest { least: Depth::Content, ..request };
    assert!(plan(&deeper).await.unwrap().stores[0].plan.remove.is_empty());
}

#[tokio::test]
async fn damage_found_in_the_newest_keeps_the_last_good_one() {
    let attic = Attic::new(4).await;
    attic.verify(Which::All).await;
    for day in &attic.days[1..] {
        for manifest in day {
            let key =
                keys::schema_key("petforce", &manifest.generation, &manifest.id, manifest.kept());
            attic.store.overwrite(&key, "PGDMP broken");
        }
    }
    attic.clock.advance(TimeDelta::hours(48));
    assert_eq!(attic.verify(Which::All).await, Verdict::Damaged);
    let request = attic.request(Arc::new(attic.store.clone()));
    let planned = plan(&request).await.unwrap();
    assert!(planned.stores[0].plan.remove.is_empty(), "{planned:#?}");
}

#[tokio::test]
async fn what_changed_since_the_plan_is_spared() {
    let attic = Attic::new(4).await;
    attic.verify(Which::All).await;
    let request = attic.request(Arc::new(attic.store.clone()));
    let planned = plan(&request).await.unwrap();
    assert_eq!(planned.stores[0].plan.remove.len(), 2);
    let generation = &attic.days[0][0].generation;
    let part = crate::model::PartName {
        digest: crate::model::Digest::of(b"new"),
        base: None,
        kept: Kept::Open,
    };
    attic.store.overwrite(&keys::part_key("petforce", generation, part), "new");
    let report = apply(&request, &planned, &held).await.unwrap();
    assert_eq!(report.removed.len(), 1);
    assert_eq!(report.spared.len(), 1);
    assert_eq!(report.spared[0].1, *generation);
    assert!(attic.left().await.contains(generation));
}

#[tokio::test]
async fn a_lost_lease_stops_it_at_once() {
    let attic = Attic::new(5).await;
    attic.verify(Which::All).await;
    let request = attic.request(Arc::new(attic.store.clone()));
    let planned = plan(&request).await.unwrap();
    for allowed in 0..12 {
        let asked = AtomicUsize::new(0);
        let before = Mutex::new(0);
        let guard = || -> Result<()> {
            *before.lock().unwrap() += 1;
            match asked.fetch_add(1, Ordering::Relaxed) < allowed {
                true => Ok(()),
                false => Err(Error::new(Kind::LeaseHeld, "another has it")),
            }
        };
        match apply(&request, &plan(&request).await.unwrap(), &guard).await {
            Err(e) => assert_eq!(e.kind(), Kind::LeaseHeld),
            Ok(report) => assert!(report.failed.is_empty()),
        }
        assert!(attic.hollow().await.is_empty(), "no manifest promises what is gone");
    }
    let planned_again = plan(&request).await.unwrap();
    apply(&request, &planned_again, &held).await.unwrap();
    assert_eq!(attic.left().await.len(), 5 - planned.stores[0].plan.remove.len());
}

#[tokio::test]
async fn interrupted_anywhere_it_is_taken_up_and_ends_the_same() {
    for acts in 1..300 {
        let attic = Attic::new(4).await;
        attic.verify(Which::All).await;
        let faulty = FaultyStore::new(Arc::new(attic.store.clone()));
        let request = attic.request(Arc::new(faulty.clone()));
        let planned = plan(&request).await.unwrap();
        let wanted: BTreeSet<_> =
            planned.stores[0].plan.keep.iter().map(|k| k.generation.clone()).collect();
        faulty.lose_after(faulty.total() + acts);
        let report = apply(&request, &planned, &held).await.unwrap();
        let done = report.removed.len() == planned.stores[0].plan.remove.len();
        faulty.heal();
        if acts % 7 == 0 {
            assert!(attic.hollow().await.is_empty(), "after {acts} acts");
        }
        let again = plan(&request).await.unwrap();
        apply(&request, &again, &held).await.unwrap();
        let left: BTreeSet<_> = attic.left().await.into_iter().collect();
        assert_eq!(left, wanted, "after {acts} acts");
        if done {
            assert!(acts > 20, "{acts}");
            return;
        }
    }
    panic!("pruning takes more acts than were tried");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn the_newest_generation_and_the_last_good_snapshot_always_stay(
        days in 1..6u64,
        hourly in 0..3u32,
        daily in 0..4u32,
        checked in proptest::collection::vec(any::<bool>(), 12),
        broken in proptest::collection::vec(0..4u8, 12),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let attic = Attic::new(days).await;
            let mut good = None;
            for (i, manifest) in attic.days.iter().flatten().enumerate() {
                if broken[i] == 0 {
                    let key = keys::schema_key("petforce", &manifest.generation, &manifest.id, manifest.kept());
                    attic.store.overwrite(&key, "");
                }
            }
            attic.clock.advance(TimeDelta::hours(48));
            for (i, manifest) in attic.days.iter().flatten().enumerate() {
                if checked[i] {
                    let verdict = attic.verify(Which::One(manifest.id.clone())).await;
                    assert_eq!(verdict == Verdict::Damaged, broken[i] == 0);
                    if verdict == Verdict::Intact {
                        good = Some(manifest.clone());
                    }
                }
            }
            let mut request = attic.request(Arc::new(attic.store.clone()));
            request.keep = Keep { hourly, daily, weekly: 0, monthly: 0 };
            let planned = plan(&request).await.unwrap();
            apply(&request, &planned, &held).await.unwrap();
            let left = attic.left().await;
            assert_eq!(left.last(), attic.days.last().map(|d| &d[0].generation));
            if let Some(good) = good {
                let verdict = attic.verify(Which::One(good.id)).await;
                assert_eq!(verdict, Verdict::Intact);
            }
        });
    }
}
