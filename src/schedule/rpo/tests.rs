//! Ages, as the time goes on.

use super::*;

const MINUTE: u64 = 60;

fn at(minutes: u64) -> Duration {
    Duration::from_secs(minutes * MINUTE)
}

fn wall(minutes: u64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::from_std(at(minutes)).unwrap()
}

fn newest(minutes: u64) -> Newest {
    Newest {
        id: crate::model::SnapshotId::new(wall(minutes), 1),
        taken: wall(minutes),
        stored_bytes: 1,
        new_bytes: 1,
    }
}

fn watch() -> Watch {
    Watch::new("petforce", "west", "us-west-2", at(60), 0.75)
}

#[test]
fn people_are_warned_at_three_quarters_told_when_it_is_broken_and_told_when_it_is_over() {
    let mut watch = watch();
    watch.learn(Ok((Some(newest(0)), wall(1))), at(1));
    assert!(watch.judge(at(1), wall(1)).unwrap().resolved);
    assert_eq!(watch.judge(at(1), wall(1)), None);
    // It looks again before it tells, and in between now and then.
    assert_eq!(watch.look_at(), at(16));
    watch.learn(Ok((Some(newest(0)), wall(44))), at(44));
    assert_eq!((watch.judge(at(44), wall(44)), watch.look_at()), (None, at(45)));
    watch.learn(Ok((Some(newest(0)), wall(45))), at(45));
    let near = watch.judge(at(45), wall(45)).unwrap();
    assert_eq!((near.severity, near.key.as_str()), (Severity::Warning, "rpo/petforce/west"));
    assert!(near.summary.contains("is 45m old; the RPO is 1h"), "{}", near.summary);
    watch.learn(Ok((Some(newest(0)), wall(59))), at(59));
    assert_eq!((watch.judge(at(59), wall(59)), watch.look_at()), (None, at(60)));
    watch.learn(Ok((Some(newest(0)), wall(60))), at(60));
    assert_eq!(watch.judge(at(60), wall(60)).unwrap().severity, Severity::Critical);
    watch.learn(Ok((Some(newest(0)), wall(61))), at(61));
    assert_eq!(watch.judge(at(61), wall(61)), None);
    watch.learn(Ok((Some(newest(0)), wall(75))), at(75));
    assert!(watch.judge(at(75), wall(75)).is_some(), "it lasts");
    watch.stir();
    assert_eq!(watch.look_at(), Duration::ZERO);
    watch.learn(Ok((Some(newest(76)), wall(77))), at(77));
    assert!(watch.judge(at(77), wall(77)).unwrap().resolved);
}

#[test]
fn a_clock_that_is_set_makes_nothing_older() {
    let mut watch = watch();
    watch.learn(Ok((Some(newest(0)), wall(10))), at(10));
    watch.judge(at(10), wall(10));
    // This machine's clock is a day ahead; the store's is not.
    watch.learn(Ok((Some(newest(0)), wall(20))), at(20));
    assert_eq!(watch.judge(at(20), wall(20 + 24 * 60)), None);
}

#[test]
fn a_store_that_is_silent_hides_no_breach_and_is_never_shown_as_fine() {
    let mut watch = watch();
    assert_eq!(watch.standing(at(0), wall(0)).level, RpoLevel::Unknown);
    watch.learn(Ok((Some(newest(0)), wall(10))), at(10));
    watch.judge(at(10), wall(10));
    watch.learn(Err("no answer".to_owned()), at(25));
    assert_eq!(watch.judge(at(25), wall(25)), None);
    assert_eq!(watch.standing(at(25), wall(25)).level, RpoLevel::Unknown);
    assert_eq!(watch.silence(at(30)), Some(("no answer", at(5))));
    watch.learn(Err("no answer".to_owned()), at(60));
    let broken = watch.judge(at(60), wall(60)).unwrap();
    assert_eq!(broken.severity, Severity::Critical);
    assert!(broken.detail.contains("cannot be asked now: no answer"), "{}", broken.detail);
    assert_eq!(watch.standing(at(60), wall(60)).level, RpoLevel::Broken);
}

#[test]
fn a_database_without_any_snapshot_is_told_of_when_its_first_is_late() {
    let mut watch = watch();
    watch.learn(Ok((None, wall(0))), at(0));
    assert_eq!(watch.judge(at(0), wall(0)), None);
    assert_eq!(watch.standing(at(0), wall(0)).level, RpoLevel::Broken);
    watch.learn(Ok((None, wall(15))), at(15));
    let none = watch.judge(at(15), wall(15)).unwrap();
    assert!(none.summary.contains("has no complete snapshot"), "{}", none.summary);
}
