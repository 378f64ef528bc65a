//! The time that a runner goes by: that of the stores, which all runners share, carried on by time
//! that only goes on. A clock that somebody sets on this machine moves no turn.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};

use super::ports::Clock;
use crate::model::{Alert, Severity};

/// This machine is believed within so much: stores tell whole seconds, and take a while to answer.
const CLOSE: TimeDelta = TimeDelta::seconds(5);
/// People are told of a clock that is wrong by more.
const WRONG: TimeDelta = TimeDelta::seconds(60);
/// Between two looks at the stores' time.
const USUAL: Duration = Duration::from_secs(30);
/// And where there is a doubt, or no answer.
const SOON: Duration = Duration::from_secs(5);

/// See the module.
pub(super) struct Timekeeper {
    inner: Arc<dyn Clock>,
    anchor: Mutex<Option<(DateTime<Utc>, Duration)>>,
}

#[async_trait]
impl Clock for Timekeeper {
    fn now(&self) -> DateTime<Utc> {
        match *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) {
            None => self.inner.now(),
            Some((then, at)) => {
                let passed = self.inner.elapsed().saturating_sub(at);
                then + TimeDelta::from_std(passed).unwrap_or_default()
            }
        }
    }

    fn elapsed(&self) -> Duration {
        self.inner.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        self.inner.sleep(time).await;
    }
}

impl Timekeeper {
    pub fn new(inner: Arc<dyn Clock>) -> Self {
        Self { inner, anchor: Mutex::default() }
    }

    /// Takes the stores' time, and gives how far this machine's clock is ahead of it.
    fn keep(&self, stores: DateTime<Utc>) -> TimeDelta {
        let (wall, at) = (self.inner.now(), self.inner.elapsed());
        let ahead = wall - stores;
        let now = if ahead.abs() <= CLOSE { wall } else { stores };
        *self.anchor.lock().unwrap_or_else(PoisonError::into_inner) = Some((now, at));
        ahead
    }

    /// Whether the clock on the wall was set, or the machine slept.
    fn is_in_doubt(&self) -> bool {
        (self.inner.now() - self.now()).abs() > CLOSE
    }
}

/// When to ask the stores for their time, and what people are told of this machine's.
#[derive(Debug, Default)]
pub(super) struct Asking {
    next: Duration,
    last: Duration,
    pub under_way: bool,
    /// Whether there was an answer, or a failure, at all.
    pub asked: bool,
    told: Option<bool>,
}

impl Asking {
    pub fn is_due(&mut self, keeper: &Timekeeper, at: Duration) -> bool {
        let doubt = keeper.is_in_doubt() && at >= self.last + SOON;
        if self.under_way || !(at >= self.next || doubt) {
            return false;
        }
        self.under_way = true;
        self.last = at;
        true
    }

    /// Takes an answer; gives what people are told.
    pub fn take(
        &mut self,
        keeper: &Timekeeper,
        answer: Option<DateTime<Utc>>,
        at: Duration,
        runner: &str,
    ) -> Option<Alert> {
        self.under_way = false;
        self.asked = true;
        let Some(stores) = answer else {
            self.next = at + SOON;
            return None;
        };
        self.next = at + USUAL;
        let ahead = keeper.keep(stores);
        let well = ahead.abs() <= WRONG;
        if self.told == Some(well) {
            return None;
        }
        self.told = Some(well);
        let off =
            humantime::format_duration(Duration::from_secs(ahead.num_seconds().unsigned_abs()));
        let way = if ahead > TimeDelta::zero() { "ahead of" } else { "behind" };
        Some(Alert {
            key: format!("clock/{runner}"),
            severity: if well { Severity::Info } else { Severity::Warning },
            summary: match well {
                true => format!("the clock of runner {runner} agrees with the stores"),
                false => format!("the clock of runner {runner} is {off} {way} the stores'"),
            },
            detail: match well {
                true => String::new(),
                false => "turns go by the stores' time; snapshots are dated by this machine\n\
                          next: set its clock, and see to NTP"
                    .to_owned(),
            },
            at: keeper.now(),
            resolved: well,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Held(Mutex<(DateTime<Utc>, Duration)>);

    #[async_trait]
    impl Clock for Held {
        fn now(&self) -> DateTime<Utc> {
            self.0.lock().unwrap().0
        }
        fn elapsed(&self) -> Duration {
            self.0.lock().unwrap().1
        }
        async fn sleep(&self, _: Duration) {}
    }

    #[test]
    fn a_clock_that_is_set_moves_nothing_and_is_told_of() {
        let start = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let at = Duration::from_secs;
        let clock = Arc::new(Held(Mutex::new((start, at(0)))));
        let keeper = Timekeeper::new(clock.clone());
        let mut asking = Asking::default();
        assert!(asking.is_due(&keeper, at(0)) && !asking.is_due(&keeper, at(0)));
        let stores = start - TimeDelta::seconds(1);
        assert!(asking.take(&keeper, Some(stores), at(0), "one").unwrap().resolved);
        assert_eq!(keeper.now(), start);
        // An hour ahead, ten seconds later: asked at once, and not gone by.
        *clock.0.lock().unwrap() = (start + TimeDelta::seconds(3610), at(10));
        assert_eq!(keeper.now(), start + TimeDelta::seconds(10));
        assert!(asking.is_due(&keeper, at(10)));
        let stores = start + TimeDelta::seconds(10);
        let alert = asking.take(&keeper, Some(stores), at(10), "one").unwrap();
        assert_eq!(alert.key, "clock/one");
        assert!(alert.summary.contains("is 1h ahead of the stores'"), "{}", alert.summary);
        assert_eq!(keeper.now(), start + TimeDelta::seconds(10));
        // Without an answer it goes on as before, and asks again soon.
        assert!(asking.is_due(&keeper, at(15)));
        assert_eq!(asking.take(&keeper, None, at(15), "one"), None);
        *clock.0.lock().unwrap() = (start + TimeDelta::seconds(3700), at(100));
        assert_eq!(keeper.now(), start + TimeDelta::seconds(100));
        // Set right again.
        *clock.0.lock().unwrap() = (start + TimeDelta::seconds(120), at(120));
        assert!(asking.is_due(&keeper, at(120)));
        let stores = start + TimeDelta::seconds(120);
        assert!(asking.take(&keeper, Some(stores), at(120), "one").unwrap().resolved);
    }
}
