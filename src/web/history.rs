//! The snapshots of a database over the last days: how old the newest complete one was at each
//! moment. Pure.

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::integrity::shelf::Shelf;

/// The snapshots of a database.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct History {
    pub database: String,
    /// The stores that could be asked; each is drawn.
    pub stores: Vec<String>,
    /// Stores that could not, and why.
    pub unknown: Vec<(String, String)>,
    /// Oldest first. Those taken in the window, and the last one before it.
    pub taken: Vec<Taken>,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Taken {
    pub id: String,
    pub at: DateTime<Utc>,
    pub complete_in: Vec<String>,
    /// Bytes that it added to a store; none: its manifest could not be read.
    pub new_bytes: Option<u64>,
    pub stored_bytes: Option<u64>,
    pub troubles: Vec<String>,
}

/// A stretch of time.
pub type Stretch = (DateTime<Utc>, DateTime<Utc>);

/// How old the newest complete snapshot of a store was.
#[derive(Debug, Clone, PartialEq)]
pub struct Ages {
    /// Time and seconds, in the order of time; each snapshot gives two: just before it and at it.
    pub points: Vec<(DateTime<Utc>, f64)>,
    /// When it was older than the RPO.
    pub late: Vec<Stretch>,
    /// Before that nothing is known: no snapshot of then is kept.
    pub known_from: Option<DateTime<Utc>>,
}

impl History {
    pub fn of(shelf: &Shelf, configured: &[String], window: TimeDelta, to: DateTime<Utc>) -> Self {
        let from = to - window;
        let away = |store: &&String| shelf.unreachable.iter().any(|(name, _)| name == *store);
        let stores: Vec<String> = configured.iter().filter(|s| !away(s)).cloned().collect();
        let older = |at: DateTime<Utc>| at < from;
        // What a store lacks of the last one before the window, it may have of one before that.
        let needed = stores.iter().filter_map(|store| {
            let here = |s: &&crate::integrity::shelf::Shelved| {
                older(s.taken()) && s.complete_in().any(|name| name == store)
            };
            shelf.snapshots.iter().rfind(here).map(crate::integrity::shelf::Shelved::taken)
        });
        let first = needed.min().unwrap_or(from);
        let mut taken: Vec<Taken> = shelf
            .snapshots
            .iter()
            .filter(|s| s.taken() >= first && s.taken() <= to)
            .map(|s| Taken {
                id: s.id.to_string(),
                at: s.taken(),
                complete_in: s.complete_in().map(str::to_owned).collect(),
                new_bytes: s.facts.as_ref().map(|f| f.totals.new_bytes),
                stored_bytes: s.facts.as_ref().map(|f| f.totals.stored_bytes),
                troubles: s.troubles(),
            })
            .collect();
        taken.sort_by_key(|t| t.at);
        let unknown = shelf.unreachable.clone();
        Self { database: shelf.database.clone(), stores, unknown, taken, from, to }
    }

    /// A database whose shelf could not be looked at.
    pub fn unknown(database: &str, why: String, window: TimeDelta, to: DateTime<Utc>) -> Self {
        let unknown = vec![("every store".to_owned(), why)];
        let (database, from) = (database.to_owned(), to - window);
        Self { database, stores: Vec::new(), unknown, taken: Vec::new(), from, to }
    }

    /// The ages in one store.
    pub fn ages(&self, store: &str, rpo: TimeDelta) -> Ages {
        let moments: Vec<DateTime<Utc>> = self
            .taken
            .iter()
            .filter(|t| t.complete_in.iter().any(|s| s == store))
            .map(|t| t.at)
            .collect();
        let seconds = |later: DateTime<Utc>, earlier: DateTime<Utc>| {
            (later - earlier).as_seconds_f64().max(0.0)
        };
        let (mut points, mut late) = (Vec::new(), Vec::new());
        for (i, at) in moments.iter().enumerate() {
            let until = moments.get(i + 1).copied().unwrap_or(self.to);
            let begin = (*at).max(self.from);
            if until < begin {
                continue;
            }
            points.push((begin, seconds(begin, *at)));
            points.push((until, seconds(until, *at)));
            let broken = (*at + rpo).max(self.from);
            if broken < until {
                late.push((broken, until));
            }
        }
        let known_from = moments.first().map(|at| (*at).max(self.from));
        Ages { points, late, known_from }
    }

    /// Those taken within the window.
    pub fn within(&self) -> impl Iterator<Item = &Taken> {
        self.taken.iter().filter(|t| t.at >= self.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: f64) -> DateTime<Utc> {
        let seconds = 1_795_000_000.0 + hours * 3600.0;
        DateTime::from_timestamp(seconds as i64, 0).unwrap()
    }

    fn taken(hours: f64, stores: &[&str]) -> Taken {
        Taken {
            id: format!("s{hours}"),
            at: at(hours),
            complete_in: stores.iter().map(|s| (*s).to_owned()).collect(),
            new_bytes: Some(1),
            stored_bytes: Some(2),
            troubles: Vec::new(),
        }
    }

    fn history(taken: Vec<Taken>) -> History {
        History {
            database: "petforce".to_owned(),
            stores: vec!["east".to_owned(), "west".to_owned()],
            unknown: Vec::new(),
            taken,
            from: at(0.0),
            to: at(6.0),
        }
    }

    #[test]
    fn an_age_grows_until_the_next_snapshot_of_the_same_store() {
        let both = ["east", "west"];
        let history = history(vec![
            taken(-0.5, &both),
            taken(1.0, &both),
            taken(2.0, &["east"]),
            taken(3.0, &both),
        ]);
        let rpo = TimeDelta::hours(1);
        let east = history.ages("east", rpo);
        let hours: Vec<(f64, f64)> = east
            .points
            .iter()
            .map(|(t, age)| ((*t - at(0.0)).as_seconds_f64() / 3600.0, age / 3600.0))
            .collect();
        let expected = [
            (0.0, 0.5),
            (1.0, 1.5),
            (1.0, 0.0),
            (2.0, 1.0),
            (2.0, 0.0),
            (3.0, 1.0),
            (3.0, 0.0),
            (6.0, 3.0),
        ];
        assert_eq!(hours, expected);
        // Just at the objective is not late; the half hour before the second and what is since are.
        assert_eq!(east.late, [(at(0.5), at(1.0)), (at(4.0), at(6.0))]);
        let west = history.ages("west", rpo);
        assert_eq!(west.late, [(at(0.5), at(1.0)), (at(2.0), at(3.0)), (at(4.0), at(6.0))]);
        assert_eq!(west.known_from, Some(at(0.0)));
    }

    #[test]
    fn what_no_snapshot_tells_of_is_not_known() {
        let history = history(vec![taken(2.0, &["east"])]);
        let east = history.ages("east", TimeDelta::hours(10));
        assert_eq!((east.known_from, east.late), (Some(at(2.0)), Vec::new()));
        let west = history.ages("west", TimeDelta::hours(1));
        assert_eq!((west.points.len(), west.known_from), (0, None));
    }
}
