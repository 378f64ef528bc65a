//! How old the newest snapshot is.

use chrono::{DateTime, TimeDelta, Utc};

use super::Notes;
use super::place::{Newest, Visit};

/// The recovery point objective.
const OBJECTIVE: TimeDelta = TimeDelta::hours(1);

/// Judges the newest snapshots of `database` in its stores.
pub(super) fn judge<'a>(
    database: &str,
    stores: impl Iterator<Item = (&'a str, &'a Visit)>,
    now: DateTime<Utc>,
    notes: &mut Notes,
) {
    let seen: Vec<(&str, &Newest)> = stores
        .filter_map(|(store, visit)| {
            Some((store, visit.newest.iter().find(|n| n.database == database)?))
        })
        .collect();
    let snapshot = format!("run `drctl snapshot {database}`, and hourly from a timer");
    let newest = seen.iter().filter_map(|(_, n)| n.taken.clone()).max_by_key(|(taken, _)| *taken);
    match newest {
        // No store could be asked; that is told of the stores.
        None if seen.is_empty() => {}
        None => notes.warning("there is no snapshot yet", snapshot),
        Some((taken, id)) => {
            let age = ago(now - taken);
            match now - taken > OBJECTIVE {
                true => notes.warning(format!("the newest snapshot {id} is {age} old"), snapshot),
                false => notes.ok(format!("the newest snapshot {id} is {age} old")),
            }
            let behind: Vec<_> = seen
                .iter()
                .filter(|(_, n)| n.taken.as_ref().is_none_or(|(_, other)| *other != id))
                .map(|(store, _)| format!("`{store}`"))
                .collect();
            if !behind.is_empty() {
                notes.warning(
                    format!("snapshot {id} is not in {}", behind.join(", ")),
                    format!(
                        "run `drctl copy {database} --from STORE --to STORE`, or the next snapshot"
                    ),
                );
            }
        }
    }
}

fn ago(age: TimeDelta) -> String {
    let minutes = age.num_minutes().max(0);
    match minutes {
        0..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} d", minutes / 1440),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Severity;
    use super::*;

    fn at(minutes: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes)
    }

    fn visit(taken: Option<i64>) -> Visit {
        let taken = taken.map(|minutes| (at(minutes), format!("s{minutes}")));
        let newest = vec![Newest { database: "petforce".to_owned(), taken, encryption: None }];
        Visit { newest, free_bytes: None }
    }

    fn judged(east: &Visit, west: &Visit) -> Vec<(Severity, String)> {
        let mut notes = Notes::new("database petforce".to_owned(), Duration::ZERO);
        judge("petforce", [("east", east), ("west", west)].into_iter(), at(1000), &mut notes);
        notes.into_findings().into_iter().map(|f| (f.severity, f.what)).collect()
    }

    #[test]
    fn the_newest_anywhere_counts_and_stores_behind_it_are_named() {
        let fresh = visit(Some(970));
        let ok = (Severity::Ok, "the newest snapshot s970 is 30 min old".to_owned());
        assert_eq!(judged(&fresh, &fresh), std::slice::from_ref(&ok));
        let behind = (Severity::Warning, "snapshot s970 is not in `west`".to_owned());
        assert_eq!(judged(&fresh, &visit(Some(900))), [behind.clone(), ok.clone()]);
        assert_eq!(judged(&fresh, &visit(None)), [behind, ok.clone()]);
        // A store that could not be asked is not said to be behind.
        assert_eq!(judged(&fresh, &Visit::default()), [ok]);
        let old = judged(&visit(Some(100)), &visit(Some(100)));
        assert_eq!(old, [(Severity::Warning, "the newest snapshot s100 is 15 h old".to_owned())]);
        assert_eq!(judged(&visit(None), &visit(None))[0].1, "there is no snapshot yet");
        assert_eq!(judged(&Visit::default(), &Visit::default()), []);
    }
}
