//! Examples that say what each rule means, and properties that no input may break.

use std::collections::BTreeSet;

use chrono::TimeZone as _;
use proptest::prelude::*;

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    DateTime::parse_from_rfc3339(&format!("{text}:00Z")).unwrap().to_utc()
}

fn snapshot(taken: DateTime<Utc>, verified: bool) -> Snapshot {
    let id = SnapshotId::new(taken, 1);
    Snapshot { id, taken, sealed: true, verified: verified.then_some(taken) }
}

/// A generation with verified snapshots, unchanged since the last of them.
fn generation(taken: &[&str]) -> Generation {
    let times: Vec<_> = taken.iter().map(|t| at(t)).collect();
    Generation {
        id: GenerationId::new(times[0], 1),
        snapshots: times.iter().map(|t| snapshot(*t, true)).collect(),
        unreadable: 0,
        changed: times[times.len() - 1],
    }
}

const DAILY_2: Keep = Keep { hourly: 0, daily: 2, weekly: 0, monthly: 0 };

/// Three generations, the oldest of which has expired under `DAILY_2`.
fn three() -> Vec<Generation> {
    vec![
        generation(&["2026-01-01T10:00", "2026-01-02T10:00"]),
        generation(&["2026-01-08T10:00", "2026-01-09T10:00"]),
        generation(&["2026-01-15T10:00"]),
    ]
}

fn now() -> DateTime<Utc> {
    at("2026-01-20T00:00")
}

fn shown(plan: &Plan) -> String {
    let removed = plan.remove.iter().map(|r| format!("- {}: {}", r.generation, r.reason));
    let kept = plan.keep.iter().map(|k| {
        let reasons: Vec<_> = k.reasons.iter().map(ToString::to_string).collect();
        format!("+ {}: {}", k.generation, reasons.join("; "))
    });
    removed.chain(kept).collect::<Vec<_>>().join("\n")
}

fn keeps_oldest(generations: &[Generation], keep: &Keep) -> Option<Vec<KeepReason>> {
    let plan = plan(generations, keep, now());
    plan.keep.into_iter().find(|k| k.generation == generations[0].id).map(|k| k.reasons)
}

#[test]
fn a_generation_goes_when_all_its_snapshots_have_expired() {
    let plan = plan(&three(), &DAILY_2, now());
    insta::assert_snapshot!(shown(&plan), @r"
    - g20260101T100000Z-000001: all its snapshots have expired
    + g20260108T100000Z-000001: 1 of its snapshots is to be kept
    + g20260115T100000Z-000001: 1 of its snapshots is to be kept; it is the newest generation; 20260115T100000Z-000001 is the newest snapshot known to be intact in this store
    ");
    let order: Vec<_> = plan.remove[0].snapshots.iter().map(SnapshotId::as_str).collect();
    assert_eq!(order, ["20260101T100000Z-000001", "20260102T100000Z-000001"]);
}

#[test]
fn an_unverified_newest_snapshot_protects_its_generation() {
    let mut all = three();
    all[0].snapshots[1].verified = None;
    let snapshot = all[0].snapshots[1].id.clone();
    assert_eq!(keeps_oldest(&all, &DAILY_2), Some(vec![KeepReason::NewestUnverified { snapshot }]));
    // An earlier one that was never verified does not.
    let mut all = three();
    all[0].snapshots[0].verified = None;
    assert_eq!(keeps_oldest(&all, &DAILY_2), None);
}

#[test]
fn nothing_goes_before_something_newer_is_known_to_be_intact() {
    let mut all = three();
    for generation in &mut all[1..] {
        generation.snapshots.iter_mut().for_each(|s| s.verified = None);
    }
    let reasons = keeps_oldest(&all, &DAILY_2).unwrap();
    let snapshot = all[0].snapshots[1].id.clone();
    assert_eq!(reasons, [KeepReason::NewestGood { snapshot }]);
}

#[test]
fn what_is_not_understood_stays() {
    let mut all = three();
    all[0].unreadable = 1;
    let one = [KeepReason::NotUnderstood { manifests: 1 }];
    assert_eq!(keeps_oldest(&all, &DAILY_2).unwrap(), one);
    let mut all = three();
    all[0].snapshots[0].sealed = false;
    assert_eq!(keeps_oldest(&all, &DAILY_2).unwrap(), one);
}

#[test]
fn an_intact_snapshot_does_not_expire_in_favour_of_an_unverified_one_of_the_same_period() {
    let keep = Keep { hourly: 0, daily: 1, weekly: 0, monthly: 1 };
    let mut all = vec![
        generation(&["2025-12-05T10:00"]),
        generation(&["2025-12-20T10:00", "2026-01-02T10:00"]),
        generation(&["2026-01-15T10:00"]),
    ];
    assert_eq!(keeps_oldest(&all, &Keep { monthly: 2, ..keep }), None);
    all[1].snapshots[0].verified = None;
    assert_eq!(
        keeps_oldest(&all, &Keep { monthly: 2, ..keep }),
        Some(vec![KeepReason::Wanted { snapshots: 1 }])
    );
    assert_eq!(keeps_oldest(&all, &keep), None);
}

#[test]
fn a_generation_in_use_stays_and_an_abandoned_one_goes() {
    let mut all = three();
    all[0].changed = now() - TimeDelta::hours(23);
    assert_eq!(keeps_oldest(&all, &DAILY_2).unwrap(), [KeepReason::ChangedLately]);
    let mut all = three();
    all[0].snapshots.clear();
    assert_eq!(plan(&all, &DAILY_2, now()).remove[0].reason, RemoveReason::Unfinished);
    // The newest generation stays, even without a snapshot.
    all[2].snapshots.clear();
    assert_eq!(plan(&all, &DAILY_2, now()).remove.len(), 1);
}

#[test]
fn a_clock_that_was_ahead_costs_nothing() {
    let mut all = three();
    let future = generation(&["2099-01-01T00:00"]);
    all.push(future.clone());
    let plan = plan(&all, &DAILY_2, now());
    let kept: Vec<_> = plan.keep.iter().map(|k| &k.generation).collect();
    assert_eq!(kept, [&all[1].id, &all[2].id, &all[3].id]);
    let snapshot = future.snapshots[0].id.clone();
    assert!(plan.keep[2].reasons.contains(&KeepReason::Future { snapshot }));
    // The newest true generation is still protected as the newest.
    assert!(plan.keep[1].reasons.contains(&KeepReason::Newest));
}

const START: i64 = 1_750_000_000;
const SPAN: i64 = 150 * 86_400;

prop_compose! {
    fn any_generation()(
        began in 0..SPAN,
        // Of ten snapshots so many are never verified.
        unverified in prop::sample::select(vec![1_u8, 4, 10]),
        offsets in prop::collection::vec((0..12 * 86_400_i64, 0..10_u8), 0..8),
        unreadable in prop::sample::select(vec![0_usize, 0, 0, 0, 0, 0, 1]),
        idle in 0..3 * 86_400_i64,
        random in any::<u32>(),
    ) -> Generation {
        let time = |s: i64| Utc.timestamp_opt(START + s, 0).unwrap();
        let last = offsets.iter().map(|(s, _)| *s).max().unwrap_or(0);
        let mut seen = BTreeSet::new();
        Generation {
            id: GenerationId::new(time(began), random),
            snapshots: offsets
                .into_iter()
                .filter(|(s, _)| seen.insert(*s))
                .map(|(s, state)| {
                    let taken = time(began + s);
                    let id = SnapshotId::new(taken, random);
                    let verified = (state >= unverified).then_some(taken);
                    Snapshot { id, taken, sealed: state != 0, verified }
                })
                .collect(),
            unreadable,
            changed: time(began + last + idle),
        }
    }
}

/// Often none, so that other rules than the counts decide.
fn few(most: u32) -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), 0..most]
}

prop_compose! {
    fn any_keep()(hourly in few(30), daily in few(10), weekly in few(6), monthly in few(4)) -> Keep {
        Keep { hourly, daily, weekly, monthly }
    }
}

/// Generations with distinct ids, a `keep` and a moment that may lie before some of them.
fn world() -> impl Strategy<Value = (Vec<Generation>, Keep, DateTime<Utc>)> {
    let generations = prop::collection::vec(any_generation(), 0..14).prop_map(|mut all| {
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all.dedup_by(|a, b| a.id == b.id);
        all
    });
    let now = (SPAN / 2..SPAN * 2).prop_map(|s| Utc.timestamp_opt(START + s, 0).unwrap());
    (generations, any_keep(), now)
}

fn removed(plan: &Plan) -> BTreeSet<GenerationId> {
    plan.remove.iter().map(|r| r.generation.clone()).collect()
}

fn rest(generations: &[Generation], plan: &Plan) -> Vec<Generation> {
    let gone = removed(plan);
    generations.iter().filter(|g| !gone.contains(&g.id)).cloned().collect()
}

fn snapshots(generations: &[Generation]) -> impl Iterator<Item = &Snapshot> {
    generations.iter().flat_map(|g| &g.snapshots)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_generation_is_decided_once((all, keep, now) in world()) {
        let plan = plan(&all, &keep, now);
        prop_assert_eq!(plan.remove.len() + plan.keep.len(), all.len());
        prop_assert!(plan.keep.iter().all(|k| !k.reasons.is_empty()));
        for removal in &plan.remove {
            let generation = all.iter().find(|g| g.id == removal.generation).unwrap();
            prop_assert_eq!(removal.snapshots.len(), generation.snapshots.len());
            prop_assert!(generation.changed <= now - QUIET);
            prop_assert_eq!(generation.unreadable, 0);
            prop_assert!(generation.snapshots.iter().all(|s| s.sealed && s.taken <= now));
            prop_assert!(generation.snapshots.iter().max_by_key(|s| age_order(s)).is_none_or(is_good));
        }
    }

    #[test]
    fn the_newest_good_snapshot_is_never_removed((all, keep, now) in world()) {
        let left = rest(&all, &plan(&all, &keep, now));
        for until in [now, DateTime::<Utc>::MAX_UTC] {
            let good = |list| snapshots(list).filter(|s| is_good(s) && s.taken <= until);
            let newest = |list| good(list).max_by_key(|s| age_order(s));
            prop_assert_eq!(newest(&all), newest(&left));
        }
        // Nor the newest of all, good or not, nor the newest generation.
        prop_assert_eq!(
            snapshots(&all).max_by_key(|s| s.taken).map(|s| s.taken),
            snapshots(&left).max_by_key(|s| s.taken).map(|s| s.taken)
        );
        prop_assert_eq!(all.last(), left.last());
    }

    #[test]
    fn something_removed_always_leaves_something_good_and_newer((all, keep, now) in world()) {
        let plan = plan(&all, &keep, now);
        let left = rest(&all, &plan);
        for gone in snapshots(&all).filter(|s| plan.remove.iter().any(|r| r.snapshots.contains(&s.id))) {
            prop_assert!(snapshots(&left).any(|s| is_good(s) && s.taken >= gone.taken));
        }
    }

    #[test]
    fn planning_again_after_acting_removes_nothing((all, keep, now) in world()) {
        let left = rest(&all, &plan(&all, &keep, now));
        prop_assert_eq!(plan(&left, &keep, now).remove, vec![]);
    }

    #[test]
    fn a_run_cut_short_is_finished_by_the_next((all, keep, now) in world(), cut in any::<prop::sample::Index>()) {
        let first = plan(&all, &keep, now);
        if first.remove.is_empty() {
            return Ok(());
        }
        // Some generations are gone, and of one so many manifests, oldest first.
        let at = cut.index(first.remove.len());
        let gone: Vec<_> = first.remove[..at].iter().map(|r| r.generation.clone()).collect();
        let broken = &first.remove[at];
        let manifests = cut.index(broken.snapshots.len() + 1);
        let mut left: Vec<_> = all.iter().filter(|g| !gone.contains(&g.id)).cloned().collect();
        for generation in left.iter_mut().filter(|g| g.id == broken.generation) {
            generation.snapshots.retain(|s| !broken.snapshots[..manifests].contains(&s.id));
        }
        prop_assert_eq!(removed(&plan(&left, &keep, now)), &removed(&first) - &gone.into_iter().collect());
    }

    #[test]
    fn what_is_kept_satisfies_the_counts((all, keep, now) in world()) {
        let left = rest(&all, &plan(&all, &keep, now));
        let candidates = |list| snapshots(list).filter(|s| s.sealed && s.taken <= now).cloned().collect::<Vec<_>>();
        let formats = ["%Y-%m-%d %H", "%Y-%m-%d", "%G-%V", "%Y-%m"];
        for (count, format) in [keep.hourly, keep.daily, keep.weekly, keep.monthly].into_iter().zip(formats) {
            let period = |s: &Snapshot| s.taken.format(format).to_string();
            let had = candidates(&all);
            let wanted: BTreeSet<_> = had.iter().map(period).collect();
            for period_wanted in wanted.iter().rev().take(count as usize) {
                let newest = had.iter().filter(|s| period(s) == *period_wanted).max_by_key(|s| age_order(s)).unwrap();
                prop_assert!(candidates(&left).contains(newest), "{} of {}", newest.id, period_wanted);
            }
        }
    }

    #[test]
    fn asking_for_more_or_asking_earlier_never_removes_more(
        (all, keep, now) in world(), more in any_keep(), earlier in 0..90 * 86_400_i64,
    ) {
        let plan_now = removed(&plan(&all, &keep, now));
        let more = Keep {
            hourly: keep.hourly + more.hourly,
            daily: keep.daily + more.daily,
            weekly: keep.weekly + more.weekly,
            monthly: keep.monthly + more.monthly,
        };
        prop_assert!(removed(&plan(&all, &more, now)).is_subset(&plan_now));
        let before = plan(&all, &keep, now - TimeDelta::seconds(earlier));
        prop_assert!(removed(&before).is_subset(&plan_now));
    }

    #[test]
    fn the_order_of_what_is_given_does_not_matter((all, keep, now) in world()) {
        let mut turned = all.clone();
        turned.reverse();
        turned.iter_mut().for_each(|g| g.snapshots.reverse());
        prop_assert_eq!(plan(&all, &keep, now), plan(&turned, &keep, now));
    }
}
