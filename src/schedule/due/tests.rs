//! What is due when, with a clock that is held.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::config::Config;
use crate::schedule::standing::Outcome;

fn unit(job: &str) -> Unit {
    let text = format!(
        "[project]\nname = \"p\"\n[regions]\nprimary = \"r\"\n[store.s]\nurl = \"file:///s\"\nregion \
         = \"r\"\n[database.d]\nurl = \"postgresql://h/d\"\nstores = [\"s\"]\n[[job]]\n{job}"
    );
    let config = Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap();
    Unit::all(&config.jobs).remove(0)
}

fn hourly() -> Unit {
    unit("run = \"snapshot\"\non = \"hourly\"\n")
}

fn at(text: &str) -> DateTime<Utc> {
    format!("2026-11-24T{text}Z").parse().unwrap()
}

fn outcome(turn: DateTime<Utc>, began: DateTime<Utc>, verdict: Verdict) -> Outcome {
    Outcome {
        turn,
        began,
        ended: began + TimeDelta::seconds(10),
        runner: "r".to_owned(),
        verdict,
        exit_code: Some(if verdict == Verdict::Done { 0 } else { 1 }),
        summary: String::new(),
        missed: 0,
    }
}

fn with(outcomes: &[(&str, &str, Verdict)]) -> Record {
    let mut record = Record::default();
    for (turn, began, verdict) in outcomes {
        record.add(outcome(at(turn), at(began), *verdict));
    }
    record
}

fn due(unit: &Unit, record: &Record, now: &str) -> Option<(DateTime<Utc>, u32)> {
    unit.look(record, at(now)).turn.map(|turn| (turn.at, turn.missed))
}

#[test]
fn missed_turns_are_caught_up_once_and_never_piled_up() {
    let unit = hourly();
    let record = with(&[("10:00:00", "10:00:01", Verdict::Done)]);
    assert_eq!(due(&unit, &record, "10:59:59"), None);
    assert_eq!(unit.look(&record, at("10:59:59")).again, Some(at("11:00:00")));
    assert_eq!(due(&unit, &record, "11:00:00"), Some((at("11:00:00"), 0)));
    // The machine slept until 14:20.
    assert_eq!(due(&unit, &record, "14:20:00"), Some((at("14:00:00"), 3)));
    let record =
        with(&[("10:00:00", "10:00:01", Verdict::Done), ("14:00:00", "14:20:00", Verdict::Done)]);
    assert_eq!(due(&unit, &record, "14:21:00"), None);
    // Whatever never ran is due for its last turn.
    assert_eq!(due(&unit, &Record::default(), "14:20:00"), Some((at("14:00:00"), 0)));
}

#[test]
fn a_job_that_is_not_caught_up_waits_for_its_next_turn() {
    let unit = unit("run = \"verify\"\non = \"0 * * * *\"\ncatch_up = \"none\"\n");
    let record = with(&[("10:00:00", "10:00:01", Verdict::Done)]);
    assert_eq!(due(&unit, &record, "11:04:00"), Some((at("11:00:00"), 0)));
    assert_eq!(due(&unit, &record, "11:06:00"), None);
    assert_eq!(due(&unit, &record, "12:00:00"), Some((at("12:00:00"), 1)));
}

#[test]
fn a_failed_snapshot_is_tried_again_until_its_next_turn_and_other_jobs_three_times() {
    for (unit, tries) in [(hourly(), 14), (unit("run = \"verify\"\non = \"hourly\"\n"), 3)] {
        let mut record = Record::default();
        let mut now = at("11:00:00");
        let mut began = Vec::new();
        while now < at("12:00:00") {
            if unit.look(&record, now).turn.is_some() {
                record.add(outcome(at("11:00:00"), now, Verdict::Failed));
                began.push(now);
            }
            now += TimeDelta::seconds(1);
        }
        assert_eq!(began.len(), tries, "{began:?}");
        let waits = began.windows(2).map(|two| (two[1] - two[0]).num_seconds() - 10);
        let waits: Vec<i64> = waits.collect();
        assert_eq!(waits[..2], [60, 120]);
        assert!(waits.iter().all(|wait| *wait <= 300), "{waits:?}");
        assert!(unit.look(&record, at("12:00:00")).turn.is_some());
    }
}

#[test]
fn what_a_repeat_cannot_help_waits_for_the_next_turn() {
    for code in [2, 3] {
        let mut record = Record::default();
        let mut failed = outcome(at("11:00:00"), at("11:00:01"), Verdict::Failed);
        failed.exit_code = Some(code);
        record.add(failed);
        assert_eq!(due(&hourly(), &record, "11:30:00"), None);
        assert_eq!(due(&hourly(), &record, "12:00:00"), Some((at("12:00:00"), 0)));
    }
}

#[test]
fn a_turn_that_was_interrupted_is_due_at_once() {
    let record = with(&[
        ("10:00:00", "10:00:01", Verdict::Done),
        ("11:00:00", "11:00:01", Verdict::Interrupted),
    ]);
    assert_eq!(due(&hourly(), &record, "11:00:12"), Some((at("11:00:00"), 0)));
}

#[test]
fn a_clock_that_is_set_back_a_little_repeats_nothing_and_by_much_skips_nothing() {
    let unit = hourly();
    let mut record =
        with(&[("13:00:00", "13:00:00", Verdict::Done), ("14:00:00", "14:00:00", Verdict::Done)]);
    assert!(!unit.disbelieve(&mut record, at("13:59:58")));
    assert_eq!(due(&unit, &record, "13:59:58"), None);
    assert_eq!(due(&unit, &record, "14:00:00"), None);
    // An hour back: what was done at 14:00 was done at 13:00 in truth.
    assert!(unit.disbelieve(&mut record, at("13:10:00")));
    assert_eq!(due(&unit, &record, "13:10:00"), None);
    assert_eq!(due(&unit, &record, "14:00:00"), Some((at("14:00:00"), 0)));
    // A day ahead for a moment.
    let mut record = with(&[("13:00:00", "13:00:00", Verdict::Done)]);
    let tomorrow = at("13:05:00") + TimeDelta::days(1);
    record.add(outcome(tomorrow, tomorrow, Verdict::Done));
    assert!(unit.disbelieve(&mut record, at("13:06:00")));
    assert_eq!(due(&unit, &record, "13:06:00"), None);
    assert_eq!(due(&unit, &record, "14:00:00"), Some((at("14:00:00"), 0)));
}

/// A clock that is kept right by small steps, as NTP does, for a year.
#[test]
fn a_year_under_small_steps_of_the_clock_has_every_hour_once() {
    let unit = hourly();
    let mut record = Record::default();
    let mut dice = 1_u64;
    let mut throw = |sides: u64| {
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        dice % sides
    };
    let mut truth = "2026-01-01T00:00:30Z".parse::<DateTime<Utc>>().unwrap();
    let end = truth + TimeDelta::days(365);
    let (mut turns, mut offset) = (Vec::new(), TimeDelta::zero());
    while truth < end {
        truth += TimeDelta::seconds(20 + throw(40) as i64);
        if throw(200) == 0 {
            // Less than a quarter of an hour in all.
            offset = TimeDelta::seconds(throw(840) as i64 - 420);
        }
        let now = truth + offset;
        unit.disbelieve(&mut record, now);
        if let Some(turn) = unit.look(&record, now).turn {
            turns.push(turn.at);
            record.add(outcome(turn.at, now, Verdict::Done));
        }
    }
    let odd: Vec<_> = turns.windows(2).filter(|w| w[1] - w[0] != TimeDelta::hours(1)).collect();
    assert!(odd.is_empty(), "{odd:?}");
    assert!((8759..=8761).contains(&turns.len()), "{}", turns.len());
}

#[test]
fn each_database_begins_at_its_own_moment_within_the_jitter() {
    let unit = unit("run = \"snapshot\"\non = \"hourly\"\njitter = \"10min\"\n");
    let late = turns::lateness(&unit.id(), Duration::from_secs(600));
    assert!(late > TimeDelta::zero());
    let record = with(&[("10:00:00", "10:05:01", Verdict::Done)]);
    let moment = at("11:00:00") + late;
    assert_eq!(unit.look(&record, moment - TimeDelta::milliseconds(1)).turn, None);
    assert_eq!(unit.look(&record, moment - TimeDelta::seconds(1)).again, Some(moment));
    assert_eq!(unit.look(&record, moment).turn.map(|turn| turn.at), Some(at("11:00:00")));
}

#[test]
fn a_job_is_the_command_that_one_would_type() {
    let unit = unit(
        "run = \"copy\"\non = \"hourly\"\nargs = [\"--from\", \"east\", \"--to\", \"west\"]\n",
    );
    assert_eq!(unit.command().join(" "), "copy d --from east --to west");
    assert_eq!((unit.id(), unit.title()), ("copy.d".to_owned(), "copy of `d`".to_owned()));
}
