//! The turns of a schedule: which moment comes next, and which came last. Pure.

use chrono::{DateTime, DurationRound as _, TimeDelta, Utc};

use crate::config::On;

/// Turns that are counted as missed before counting stops.
const COUNTED: u32 = 10_000;

/// The first turn after `after`; none: it never comes.
pub fn next(on: &On, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match on {
        On::Hourly => {
            let hour = after.duration_trunc(TimeDelta::hours(1)).ok()?;
            hour.checked_add_signed(TimeDelta::hours(1))
        }
        On::Cron { cron, zone, .. } => {
            let found = cron.find_next_occurrence(&after.with_timezone(zone), false).ok()?;
            Some(found.with_timezone(&Utc))
        }
    }
}

/// The last turn at or before `now`; none: there was none in eight years.
pub fn last(on: &On, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    if let On::Hourly = on {
        return now.duration_trunc(TimeDelta::hours(1)).ok();
    }
    // Only ever forward, so that both directions have the same turns around a change of clocks; in
    // growing windows, so that neither a turn each minute nor one each leap year takes long.
    const HOUR: i64 = 60;
    const DAY: i64 = 24 * HOUR;
    [2, HOUR, 25 * HOUR, 32 * DAY, 367 * DAY, 2929 * DAY].into_iter().find_map(|minutes| {
        let mut turn = next(on, now - TimeDelta::minutes(minutes)).filter(|turn| *turn <= now)?;
        while let Some(later) = next(on, turn).filter(|later| *later <= now) {
            turn = later;
        }
        Some(turn)
    })
}

/// How many turns lie between `from` and `to`, without both.
pub fn between(on: &On, from: DateTime<Utc>, to: DateTime<Utc>) -> u32 {
    if let On::Hourly = on {
        return u32::try_from((to - from).num_hours() - 1).unwrap_or(0);
    }
    let mut count = 0;
    let mut turn = from;
    while let Some(later) = next(on, turn).filter(|later| *later < to) {
        count += 1;
        turn = later;
        if count == COUNTED {
            break;
        }
    }
    count
}

/// The time from `turn` to the one after it; a day where there is none.
pub fn period(on: &On, turn: DateTime<Utc>) -> TimeDelta {
    next(on, turn).map_or(TimeDelta::days(1), |next| next - turn)
}

/// How much later than its turn `unit` begins: the same on every machine and in every turn.
pub fn lateness(unit: &str, jitter: std::time::Duration) -> TimeDelta {
    let jitter = u64::try_from(jitter.as_millis()).unwrap_or(u64::MAX);
    if jitter == 0 {
        return TimeDelta::zero();
    }
    let share = xxhash_rust::xxh3::xxh3_64(unit.as_bytes()) % jitter;
    TimeDelta::milliseconds(i64::try_from(share).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::config::Config;

    fn on(expression: &str, zone: Option<&str>) -> On {
        let zone = zone.map(|zone| format!("time_zone = \"{zone}\"\n")).unwrap_or_default();
        let text = format!(
            "[project]\nname = \"p\"\n[regions]\nprimary = \"r\"\n[store.s]\nurl = \"file:///s\"\n\
             region = \"r\"\n[database.d]\nurl = \"postgresql://h/d\"\nstores = [\"s\"]\n[[job]]\n\
             run = \"verify\"\non = \"{expression}\"\n{zone}"
        );
        Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap().jobs[0].on.clone()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// Every turn of a year, as a clock that looks every so often sees them come due.
    fn year(on: &On, look: TimeDelta) -> Vec<DateTime<Utc>> {
        let mut now = at("2026-01-01T00:00:30Z");
        let mut seen = Vec::new();
        while now < at("2027-01-01T00:00:30Z") {
            now += look;
            let turn = last(on, now);
            if turn != seen.last().copied() {
                seen.extend(turn);
            }
        }
        seen
    }

    #[test]
    fn hourly_is_every_hour_of_a_year_once() {
        let seen = year(&On::Hourly, TimeDelta::minutes(7));
        let apart: BTreeSet<_> =
            seen.windows(2).map(|two| (two[1] - two[0]).num_minutes()).collect();
        assert_eq!(apart, BTreeSet::from([60]));
        assert!((8759..=8761).contains(&seen.len()), "{}", seen.len());
        assert_eq!(between(&On::Hourly, at("2026-03-29T00:00:00Z"), at("2026-03-29T04:00:00Z")), 3);
        assert_eq!(between(&On::Hourly, at("2026-03-29T00:00:00Z"), at("2026-03-29T01:00:00Z")), 0);
    }

    /// Berlin and New York change by an hour, Lord Howe by half of one, Kolkata never.
    #[test]
    fn no_hour_of_a_year_is_skipped_or_repeated_in_any_zone() {
        for (zone, longest) in [
            ("Europe/Berlin", 60),
            ("America/New_York", 60),
            ("Asia/Kolkata", 60),
            // Where clocks go back by half an hour, the hour on the wall is 90 minutes long.
            ("Australia/Lord_Howe", 90),
        ] {
            let hourly = on("0 * * * *", Some(zone));
            let seen = year(&hourly, TimeDelta::minutes(29));
            let apart: BTreeSet<_> =
                seen.windows(2).map(|two| (two[1] - two[0]).num_minutes()).collect();
            assert!(apart.iter().all(|m| (30..=longest).contains(m)), "{zone}: {apart:?}");
            assert!((8758..=8762).contains(&seen.len()), "{zone}: {}", seen.len());
        }
    }

    #[test]
    fn a_daily_turn_comes_once_a_day_on_the_days_when_clocks_change() {
        for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"] {
            for expression in ["30 2 * * *", "0 1 * * *", "15 2 * * *", "59 1 * * *", "5 0 * * *"] {
                let daily = on(expression, Some(zone));
                let seen = year(&daily, TimeDelta::minutes(181));
                let tz: chrono_tz::Tz = zone.parse().unwrap();
                let days: BTreeSet<_> =
                    seen.iter().map(|turn| turn.with_timezone(&tz).date_naive()).collect();
                assert_eq!(days.len(), seen.len(), "{zone} {expression}: a day came twice");
                assert!((364..=366).contains(&seen.len()), "{zone} {expression}: {}", seen.len());
                let first = seen[0];
                assert_eq!(
                    between(&daily, first, seen[seen.len() - 1]) as usize,
                    seen.len() - 2,
                    "{zone} {expression}"
                );
            }
        }
    }

    #[test]
    fn a_time_that_is_skipped_runs_when_it_is_skipped_and_one_that_comes_twice_once() {
        let daily = on("30 2 * * *", Some("Europe/Berlin"));
        // 02:00 becomes 03:00 at 01:00 UTC.
        assert_eq!(next(&daily, at("2026-03-29T00:00:00Z")), Some(at("2026-03-29T01:00:00Z")));
        // 03:00 becomes 02:00 at 01:00 UTC: 02:30 is at 00:30 and again at 01:30.
        assert_eq!(next(&daily, at("2026-10-25T00:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
        assert_eq!(next(&daily, at("2026-10-25T00:30:00Z")), Some(at("2026-10-26T01:30:00Z")));
        assert_eq!(last(&daily, at("2026-10-25T02:00:00Z")), Some(at("2026-10-25T00:30:00Z")));
    }

    #[test]
    fn rare_turns_are_found_from_both_sides() {
        let leap = on("0 0 29 2 *", None);
        assert_eq!(last(&leap, at("2027-06-01T00:00:00Z")), Some(at("2024-02-29T00:00:00Z")));
        assert_eq!(next(&leap, at("2027-06-01T00:00:00Z")), Some(at("2028-02-29T00:00:00Z")));
        let each_minute = on("* * * * *", None);
        assert_eq!(
            last(&each_minute, at("2026-06-01T00:00:59Z")),
            Some(at("2026-06-01T00:00:00Z"))
        );
        assert_eq!(period(&each_minute, at("2026-06-01T00:00:00Z")), TimeDelta::minutes(1));
    }

    #[test]
    fn jitter_spreads_units_and_keeps_each_at_its_place() {
        let late = |unit: &str| lateness(unit, Duration::from_secs(60)).num_milliseconds();
        let all: BTreeSet<i64> = (0..100).map(|n| late(&format!("snapshot.db{n}"))).collect();
        assert!(all.len() > 90 && all.iter().all(|ms| (0..60_000).contains(ms)), "{all:?}");
        assert_eq!(late("snapshot.db1"), late("snapshot.db1"));
        assert_eq!(lateness("x", Duration::ZERO), TimeDelta::zero());
    }
}
