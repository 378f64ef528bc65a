//! The age of the newest snapshot of a database in a store, and when somebody is told of it. Pure.
//!
//! Ages are told by the store's clock at the last look and by time that only goes on since then, so
//! that a clock that is set on this machine makes nothing older or younger.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::standing::{Newest, RpoLevel, RpoStanding};
use crate::model::{Alert, Learned, Severity};

/// The longest between two looks while all is well: snapshots can be removed, too.
const LOOK: Duration = Duration::from_mins(15);
/// Between looks at what is not well.
const LOOK_AGAIN: Duration = Duration::from_mins(1);
/// An alert that lasts is given again after so long.
const REPEAT: Duration = Duration::from_mins(15);

/// What is known of one database in one store.
#[derive(Debug, Clone)]
pub struct Watch {
    pub database: String,
    pub store: String,
    pub region: String,
    pub objective: Duration,
    /// Of the objective, at which people are warned.
    pub share: f64,
    /// The last answer; none: there was none yet.
    known: Option<Known>,
    /// Why there is no newer answer, and since when.
    silent: Option<(String, Duration)>,
    /// When it was last looked for, well or not.
    looked: Option<Duration>,
    /// When the first answer came.
    first: Option<Duration>,
    /// Something happened that may have changed the answer.
    stirred: bool,
    told: Option<(RpoLevel, Duration)>,
}

#[derive(Debug, Clone)]
struct Known {
    newest: Option<Newest>,
    /// The store's clock then, and ours that only goes on.
    store_now: DateTime<Utc>,
    at: Duration,
}

impl Watch {
    pub fn new(database: &str, store: &str, region: &str, objective: Duration, share: f64) -> Self {
        Self {
            database: database.to_owned(),
            store: store.to_owned(),
            region: region.to_owned(),
            objective,
            share,
            known: None,
            silent: None,
            looked: None,
            first: None,
            stirred: true,
            told: None,
        }
    }

    /// Goes on with what another watch of the same place knows.
    pub fn adopt(&mut self, other: &Self) {
        let (objective, share, region) = (self.objective, self.share, self.region.clone());
        *self = Self { objective, share, region, ..other.clone() };
    }

    /// Something ended that may have changed what the store has.
    pub fn stir(&mut self) {
        self.stirred = true;
    }

    /// Takes what a look found.
    pub fn learn(&mut self, found: Result<(Option<Newest>, DateTime<Utc>), String>, at: Duration) {
        self.stirred = false;
        self.looked = Some(at);
        match found {
            Ok((newest, store_now)) => {
                self.first.get_or_insert(at);
                self.known = Some(Known { newest, store_now, at });
                self.silent = None;
            }
            Err(why) => {
                let since = self.silent.take().map_or(at, |(_, since)| since);
                self.silent = Some((why, since));
            }
        }
    }

    /// Why the store cannot be asked, and for how long that has been so.
    pub fn silence(&self, at: Duration) -> Option<(&str, Duration)> {
        self.silent.as_ref().map(|(why, since)| (why.as_str(), at.saturating_sub(*since)))
    }

    /// How old the newest snapshot that is known is.
    fn age(&self, at: Duration) -> Option<TimeDelta> {
        let known = self.known.as_ref()?;
        let passed = TimeDelta::from_std(at.saturating_sub(known.at)).ok()?;
        Some(known.store_now + passed - known.newest.as_ref()?.taken)
    }

    fn near(&self) -> Duration {
        self.objective.mul_f64(self.share)
    }

    /// By what is known, however long ago it was learned.
    fn known_level(&self, at: Duration) -> RpoLevel {
        match (&self.known, self.age(at)) {
            (None, _) => RpoLevel::Unknown,
            (Some(_), None) => RpoLevel::Broken,
            (Some(_), Some(age)) => match age.to_std().unwrap_or_default() {
                age if age >= self.objective => RpoLevel::Broken,
                age if age >= self.near() => RpoLevel::Near,
                _ => RpoLevel::Fine,
            },
        }
    }

    /// When to look next.
    pub fn look_at(&self) -> Duration {
        let Some(looked) = self.looked.filter(|_| !self.stirred) else { return Duration::ZERO };
        if self.silent.is_some() {
            return looked + LOOK_AGAIN;
        }
        // Just before anybody would be told: what is known may be old.
        let left = |limit: Duration| {
            let age = self.age(looked).and_then(|age| age.to_std().ok()).unwrap_or_default();
            limit.checked_sub(age)
        };
        match self.known_level(looked) {
            RpoLevel::Fine => looked + left(self.near()).unwrap_or(LOOK).min(LOOK),
            RpoLevel::Near => looked + left(self.objective).unwrap_or(LOOK_AGAIN).min(LOOK_AGAIN),
            _ => looked + LOOK_AGAIN,
        }
    }

    /// After a look: what to tell, if anything has changed or has lasted.
    pub fn judge(&mut self, at: Duration, now: DateTime<Utc>) -> Option<Alert> {
        let level = self.known_level(at);
        if level == RpoLevel::Unknown {
            return None;
        }
        // The very first snapshot is given the time that a late one has.
        let grace = self.objective.saturating_sub(self.near());
        let none_yet = self.known.as_ref().is_some_and(|k| k.newest.is_none());
        if none_yet && self.told.is_none() && self.first.is_some_and(|f| at < f + grace) {
            return None;
        }
        let due = match self.told {
            None => true,
            Some((told, _)) if told != level => true,
            Some((told, when)) => told != RpoLevel::Fine && at >= when + REPEAT,
        };
        if !due {
            return None;
        }
        self.told = Some((level, at));
        Some(self.alert(level, at, now))
    }

    fn alert(&self, level: RpoLevel, at: Duration, now: DateTime<Utc>) -> Alert {
        let (database, store) = (&self.database, &self.store);
        let objective = humantime::format_duration(self.objective);
        let newest = self.known.as_ref().and_then(|k| k.newest.as_ref());
        let age = self.age(at).and_then(|age| age.to_std().ok()).unwrap_or_default();
        let age = humantime::format_duration(Duration::from_secs(age.as_secs() / 60 * 60));
        let summary = match (level, newest) {
            (RpoLevel::Fine, _) => {
                format!(
                    "`{database}` has a snapshot in store `{store}` within the RPO of {objective}"
                )
            }
            (_, None) => format!("`{database}` has no complete snapshot in store `{store}`"),
            (RpoLevel::Near, _) => format!(
                "the newest snapshot of `{database}` in store `{store}` is {age} old; the RPO is \
                 {objective}"
            ),
            _ => format!(
                "RPO broken: the newest snapshot of `{database}` in store `{store}` is {age} old, and \
                 {objective} is the limit"
            ),
        };
        let mut detail = newest.map_or_else(String::new, |newest| {
            let taken = newest.taken.format("%Y-%m-%d %H:%M:%S UTC");
            format!("newest: {}, which shows {taken}\n", newest.id)
        });
        if let Some((why, _)) = self.silence(at) {
            detail.push_str(&format!("the store cannot be asked now: {why}\n"));
        }
        if level != RpoLevel::Fine {
            detail.push_str(&format!(
                "next: `drctl jobs` shows what ran and how it ended; `drctl snapshot {database}` takes \
                 one now"
            ));
        }
        Alert {
            key: format!("rpo/{database}/{store}"),
            severity: match level {
                RpoLevel::Near => Severity::Warning,
                RpoLevel::Fine => Severity::Info,
                _ => Severity::Critical,
            },
            summary,
            detail,
            at: now,
            resolved: level == RpoLevel::Fine,
        }
    }

    /// For those who show it; `now` is the time at `at`.
    pub fn standing(&self, at: Duration, now: DateTime<Utc>) -> RpoStanding {
        let newest = match (&self.silent, &self.known) {
            (Some((why, _)), _) => Learned::Unknown(why.clone()),
            (None, Some(known)) => Learned::Known(known.newest.clone()),
            (None, None) => Learned::Unknown("it has not been looked for yet".to_owned()),
        };
        let ago = self.looked.map_or(Duration::ZERO, |looked| at.saturating_sub(looked));
        let level = match self.known_level(at) {
            // It was fine; whether it is, nobody can say.
            RpoLevel::Fine if self.silent.is_some() => RpoLevel::Unknown,
            level => level,
        };
        RpoStanding {
            database: self.database.clone(),
            store: self.store.clone(),
            region: self.region.clone(),
            objective: self.objective.as_secs_f64(),
            newest,
            looked: now - TimeDelta::from_std(ago).unwrap_or_default(),
            level,
        }
    }
}

#[cfg(test)]
mod tests {
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
}
