//! Servers of drills that a provider still has though no record leads to them: found by what they say
//! themselves. One is made so when a drill is killed between its request and the answer.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::history::get;
use super::leftovers::{goes_on, record_of};
use super::lent::{Lender, Loan};
use super::record::{CLEARED, REPORT, Records};
use super::scratch::Grounds;

/// A drill that left no record anywhere is over when so much more than its limit has passed.
const MARGIN: Duration = Duration::from_hours(1);

/// Who looks for strays, and when.
pub struct Sweep<'s> {
    pub project: &'s str,
    /// The lease that this process holds.
    pub held: &'s str,
    /// How long a drill may take.
    pub timeout: Duration,
    pub now: DateTime<Utc>,
}

/// What became of the drill that a server was made for.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It is over, so its server is nobody's.
    Over,
    /// It is under way, or its server is to stay.
    Leave,
    /// Not known; says why.
    Unknown(String),
}

/// Takes back every server whose drill is over. Gives what there is to tell.
pub async fn reclaim(records: &Records, grounds: &Grounds, sweep: &Sweep<'_>) -> Vec<String> {
    let mut told = Vec::new();
    let mut asked = BTreeSet::new();
    for lender in grounds.lenders.values() {
        if !asked.insert(lender.region().to_owned()) {
            continue;
        }
        match lender.loans(sweep.project).await {
            Ok(loans) => {
                for loan in loans.iter().filter(|loan| !loan.going) {
                    told.extend(settle(loan, &**lender, records, sweep).await);
                }
            }
            Err(e) => told.push(format!(
                "whether drills left anything in {} is unknown: {}",
                lender.region(),
                e.one_line()
            )),
        }
    }
    told
}

async fn settle(
    loan: &Loan,
    lender: &dyn Lender,
    records: &Records,
    sweep: &Sweep<'_>,
) -> Option<String> {
    let Loan { what, drill, .. } = loan;
    match fate(loan, records, sweep).await {
        Fate::Leave => None,
        Fate::Unknown(why) => Some(format!(
            "{what} is there and drill {drill}, that it was made for, is not known here: {why}; it \
             is paid for until it is deleted"
        )),
        Fate::Over => Some(match lender.take_back(drill, &*records.sink).await {
            Ok(removed) => {
                format!("drill {drill} is over; what it left was removed: {}", removed.join(", "))
            }
            Err(e) => e.during(format!("remove {what}, which drill {drill} left")).one_line(),
        }),
    }
}

async fn fate(loan: &Loan, records: &Records, sweep: &Sweep<'_>) -> Fate {
    let mut away = Vec::new();
    let (mut reported, mut cleared) = (false, false);
    for store in &records.stores {
        for (entry, there) in [(REPORT, &mut reported), (CLEARED, &mut cleared)] {
            match get(&**store, &loan.drill, entry).await {
                Ok(found) => *there |= found.is_some(),
                Err(e) => away.push(e.one_line()),
            }
        }
    }
    let known = record_of(records, &loan.drill).await;
    match known {
        _ if cleared => Fate::Over,
        Some(leftover) if reported && leftover.began.keep => Fate::Leave,
        Some(_) if reported => Fate::Over,
        Some(leftover) if goes_on(&leftover.began, records, sweep.held).await => Fate::Leave,
        // It was killed, also one that was to be kept: it never came to say how to reach it.
        Some(_) => Fate::Over,
        None if !away.is_empty() => Fate::Unknown(away.join("; ")),
        None => unrecorded(loan, sweep),
    }
}

/// Of a drill without a record: the record lies in other stores than ours, or is gone with them.
fn unrecorded(loan: &Loan, sweep: &Sweep<'_>) -> Fate {
    let age = loan.began.and_then(|began| (sweep.now - began).to_std().ok());
    match age {
        Some(age) if !loan.keep && age > sweep.timeout + MARGIN => Fate::Over,
        Some(_) if loan.keep => Fate::Unknown("no store has its record, and it was to stay".into()),
        _ => Fate::Unknown("no store has its record, and it may be under way elsewhere".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_without_a_record_is_taken_back_only_when_its_drill_cannot_be_under_way() {
        let now = DateTime::parse_from_rfc3339("2026-11-22T13:45:12Z").unwrap().to_utc();
        let sweep = Sweep { project: "petforce", held: "", timeout: Duration::from_hours(4), now };
        let fate = |hours: Option<i64>, keep: bool| {
            let loan = Loan {
                drill: "d20261122T134512Z-3f9a1c".parse().unwrap(),
                what: String::new(),
                began: hours.map(|hours| now - chrono::TimeDelta::hours(hours)),
                keep,
                going: false,
            };
            unrecorded(&loan, &sweep)
        };
        assert_eq!(fate(Some(6), false), Fate::Over);
        for (hours, keep) in [(Some(4), false), (Some(6), true), (None, false), (Some(-1), false)] {
            assert!(matches!(fate(hours, keep), Fate::Unknown(_)), "{hours:?} {keep}");
        }
    }
}
