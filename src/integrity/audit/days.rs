//! The calendar of a database's snapshots: a letter for every hour. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Days, NaiveDate, Timelike as _, Utc};
use serde::{Deserialize, Serialize};

use super::chain::Hole;
use crate::integrity::verify::{StoreVerdict, Verdict};

/// Days shown at most; the newest.
const DAYS: i64 = 400;

/// One day, UTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Day {
    pub day: NaiveDate,
    /// 24 letters: `w` a snapshot that is whole in every store, `p` one that is not in every store
    /// or could not be verified, `d` one that is damaged, `m` one is missing, `.` none was due.
    pub hours: String,
}

/// What one hour came to, the better the higher.
fn letter(verdicts: &[Verdict], stores: usize) -> char {
    let damaged = verdicts.contains(&Verdict::Damaged);
    let intact = verdicts.iter().filter(|v| **v == Verdict::Intact).count();
    match (damaged, intact >= stores) {
        (true, _) => 'd',
        (false, true) => 'w',
        (false, false) => 'p',
    }
}

/// The days since the first snapshot. `stores`: in how many each snapshot is to be.
pub fn days(
    verdicts: &[StoreVerdict],
    holes: &[Hole],
    stores: usize,
    now: DateTime<Utc>,
) -> Vec<Day> {
    let mut by_snapshot: BTreeMap<_, Vec<Verdict>> = BTreeMap::new();
    for v in verdicts {
        by_snapshot.entry(&v.snapshot).or_default().push(v.verdict);
    }
    let hour = |at: DateTime<Utc>| (at.date_naive(), at.hour() as usize);
    let mut letters: BTreeMap<(NaiveDate, usize), char> = BTreeMap::new();
    for (snapshot, verdicts) in &by_snapshot {
        let seen = letter(verdicts, stores);
        let slot = letters.entry(hour(snapshot.began())).or_insert(seen);
        // One whole snapshot makes up for another; damage is always shown.
        *slot = match (*slot, seen) {
            ('d', _) | (_, 'd') => 'd',
            ('w', _) | (_, 'w') => 'w',
            _ => 'p',
        };
    }
    let missed: BTreeSet<_> = holes.iter().flat_map(|h| &h.missed).map(|at| hour(*at)).collect();
    for slot in missed {
        letters.entry(slot).or_insert('m');
    }
    let Some(((first, _), _)) = letters.first_key_value() else { return Vec::new() };
    let last = now.date_naive();
    let first = (*first).max(last - chrono::TimeDelta::days(DAYS));
    let mut days = Vec::new();
    let mut day = first;
    while day <= last {
        let hours = (0..24).map(|h| letters.get(&(day, h)).copied().unwrap_or('.')).collect();
        days.push(Day { day, hours });
        let Some(next) = day.checked_add_days(Days::new(1)) else { break };
        day = next;
    }
    days
}
