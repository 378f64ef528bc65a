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
    /// The moment of the last snapshot that was recorded as complete in every store: what counts while
    /// the store itself cannot be asked.
    recorded: Option<DateTime<Utc>>,
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
            recorded: None,
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

    /// A snapshot that began at `began` is recorded as complete in every store.
    pub fn hear(&mut self, began: DateTime<Utc>) {
        self.recorded = self.recorded.max(Some(began));
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
        let taken = known.newest.as_ref().map(|newest| newest.taken);
        let taken = match self.silent {
            None => taken,
            Some(_) => taken.max(self.recorded),
        };
        Some(known.store_now + passed - taken?)
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
mod tests;
