//! The chain of snapshots: which are missing, by the objective for data loss. Pure.

use chrono::{DateTime, Duration, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::check::{Aspect, Check, Standing};

/// A time without a snapshot that is longer than it may be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hole {
    /// The snapshot before it.
    pub from: DateTime<Utc>,
    /// The snapshot after it; none: it is still open.
    pub until: Option<DateTime<Utc>>,
    /// The moments at which a snapshot was due and none was taken, the first of them.
    pub missed: Vec<DateTime<Utc>>,
    pub missed_count: u64,
}

/// Missed moments named one by one in a hole.
const NAMED: usize = 48;

/// A snapshot may begin so much later than due: a share of the interval.
fn grace(every: TimeDelta) -> TimeDelta {
    (every / 4).max(TimeDelta::minutes(5))
}

/// The holes between snapshots that begin at `times`, and until `now`. Times of removed generations
/// excuse the hole in which they lie, since their snapshots were taken.
pub fn holes(
    times: &[DateTime<Utc>],
    removed: &[DateTime<Utc>],
    every: TimeDelta,
    now: DateTime<Utc>,
) -> Vec<Hole> {
    let mut sorted = times.to_vec();
    sorted.sort();
    sorted.dedup();
    let mut found = Vec::new();
    let every = every.max(Duration::minutes(1));
    for (i, from) in sorted.iter().enumerate() {
        let until = sorted.get(i + 1).copied();
        let end = until.unwrap_or(now);
        if end - *from <= every + grace(every) {
            continue;
        }
        if removed.iter().any(|at| at > from && *at < end) {
            continue;
        }
        // The one that ends the hole stands for the last moment.
        let last = match until {
            Some(until) => until - every / 2,
            None => now - grace(every),
        };
        let mut hole = Hole { from: *from, until, missed: Vec::new(), missed_count: 0 };
        let mut due = *from + every;
        while due <= last {
            hole.missed_count += 1;
            if hole.missed.len() < NAMED {
                hole.missed.push(due);
            }
            due += every;
        }
        if hole.missed_count > 0 {
            found.push(hole);
        }
    }
    found
}

/// The check of a database's chain. `unread`: stores whose snapshots could not be listed.
pub fn check(
    times: &[DateTime<Utc>],
    holes: &[Hole],
    every: TimeDelta,
    unread: &[String],
) -> Check {
    let interval = humantime::format_duration(every.to_std().unwrap_or_default());
    let Some(first) = times.iter().min() else {
        let said = "there is no snapshot";
        return match unread.is_empty() {
            true => Check::new(Aspect::Chain, Standing::Failed, said),
            false => Check::new(
                Aspect::Chain,
                Standing::Unverified,
                format!("{said} in the stores that could be listed"),
            ),
        };
    };
    let missed: u64 = holes.iter().map(|hole| hole.missed_count).sum();
    if missed == 0 {
        let said = format!(
            "{} snapshots since {}, none missing at one every {interval}",
            times.len(),
            first.format("%Y-%m-%d %H:%M UTC")
        );
        return Check::new(Aspect::Chain, Standing::Passed, said);
    }
    let named: Vec<String> = holes.iter().take(3).map(in_words).collect();
    let more = holes.len().saturating_sub(3);
    let more = if more > 0 { format!("; and {more} more times") } else { String::new() };
    let said =
        format!("{missed} snapshots missing at one every {interval}: {}{more}", named.join("; "));
    // A store that cannot be listed may have them.
    let standing = if unread.is_empty() { Standing::Failed } else { Standing::Unverified };
    let open = holes.iter().any(|hole| hole.until.is_none());
    let check = Check::new(Aspect::Chain, standing, said);
    match open {
        true => check.hint("none is being taken now: `drctl doctor`, then `drctl snapshot`"),
        false => check.hint("look at the runner's log of that time"),
    }
}

/// `2026-11-22 from 13:00 to 15:00 UTC (3)`.
pub fn in_words(hole: &Hole) -> String {
    let (Some(first), Some(last)) = (hole.missed.first(), hole.missed.last()) else {
        return String::new();
    };
    let (day, hour) = ("%Y-%m-%d %H:%M", "%H:%M");
    let open = if hole.until.is_none() { ", still open" } else { "" };
    match (first == last, first.date_naive() == last.date_naive()) {
        (true, _) => format!("{} UTC{open}", first.format(day)),
        (false, true) => format!(
            "{} to {} UTC ({}{open})",
            first.format(day),
            last.format(hour),
            hole.missed_count
        ),
        (false, false) => format!(
            "{} to {} UTC ({}{open})",
            first.format(day),
            last.format(day),
            hole.missed_count
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn hourly(day: u32, hours: &[u32]) -> Vec<DateTime<Utc>> {
        hours.iter().map(|h| at(&format!("2026-11-{day:02}T{h:02}:02:00Z"))).collect()
    }

    #[test]
    fn missing_hours_are_named_and_late_ones_are_not_missing() {
        let hour = TimeDelta::hours(1);
        let mut times = hourly(22, &[0, 1, 2, 6, 7]);
        // Ten minutes late is late.
        times.push(at("2026-11-22T08:12:00Z"));
        let now = at("2026-11-22T09:15:00Z");
        let found = holes(&times, &[], hour, now);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].missed, hourly(22, &[3, 4, 5]));
        assert_eq!(in_words(&found[0]), "2026-11-22 03:02 to 05:02 UTC (3)");
        // The hole is still open when the newest is too old.
        let found = holes(&times, &[], hour, at("2026-11-22T11:30:00Z"));
        assert_eq!((found.len(), found[1].until, found[1].missed_count), (2, None, 3));
        let check = check(&times, &found, hour, &[]);
        assert_eq!(check.standing, Standing::Failed);
        assert!(check.said.starts_with("6 snapshots missing at one every 1h: "), "{}", check.said);
    }

    #[test]
    fn snapshots_of_removed_generations_were_taken() {
        let mut times = hourly(1, &[0, 1]);
        times.extend(hourly(22, &[0, 1]));
        let (hour, now) = (TimeDelta::hours(1), at("2026-11-22T01:30:00Z"));
        assert_eq!(holes(&times, &[], hour, now).len(), 1);
        assert_eq!(holes(&times, &[at("2026-11-08T00:00:00Z")], hour, now), vec![]);
    }

    #[test]
    fn nothing_to_see_is_not_fine() {
        let hour = TimeDelta::hours(1);
        assert_eq!(check(&[], &[], hour, &[]).standing, Standing::Failed);
        let unread = ["west".to_owned()];
        assert_eq!(check(&[], &[], hour, &unread).standing, Standing::Unverified);
    }
}
