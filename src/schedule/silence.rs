//! Stores that give no answer: one alert for each, however many databases it is for.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::model::{Alert, Severity};

/// A store that is silent for longer is told of.
const PATIENCE: Duration = Duration::from_mins(3);
/// And again, as long as it lasts.
const REPEAT: Duration = Duration::from_mins(15);

#[derive(Debug, Default)]
pub(super) struct Silences {
    stores: BTreeMap<String, Silence>,
}

#[derive(Debug, Default)]
struct Silence {
    since: Option<Duration>,
    told: Option<Duration>,
    /// Whether it was ever told to be well.
    well: bool,
}

impl Silences {
    /// Takes the outcome of a look into `store`: why it failed, or none.
    pub fn take(
        &mut self,
        store: &str,
        why: Option<&String>,
        at: Duration,
        now: DateTime<Utc>,
    ) -> Option<Alert> {
        let silence = self.stores.entry(store.to_owned()).or_default();
        let Some(why) = why else {
            silence.since = None;
            let news = silence.told.take().is_some() || !silence.well;
            silence.well = true;
            return news.then(|| alert(store, None, now));
        };
        let since = *silence.since.get_or_insert(at);
        let due = match silence.told {
            None => at >= since + PATIENCE,
            Some(told) => at >= told + REPEAT,
        };
        if !due {
            return None;
        }
        silence.told = Some(at);
        silence.well = false;
        Some(alert(store, Some(why), now))
    }
}

fn alert(store: &str, why: Option<&String>, now: DateTime<Utc>) -> Alert {
    Alert {
        key: format!("store/{store}"),
        severity: if why.is_some() { Severity::Warning } else { Severity::Info },
        summary: match why {
            Some(_) => {
                format!("store `{store}` gives no answer: the age of its snapshots is unknown")
            }
            None => format!("store `{store}` answers"),
        },
        detail: why.map_or_else(String::new, |why| {
            format!("{why}\nnext: `drctl doctor` tests every store")
        }),
        at: now,
        resolved: why.is_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_told_of_once_whoever_asked_and_when_it_answers_again() {
        let mut silences = Silences::default();
        let now = DateTime::UNIX_EPOCH;
        let minutes = Duration::from_mins;
        let why = "no answer".to_owned();
        assert!(silences.take("west", None, minutes(0), now).unwrap().resolved);
        assert_eq!(silences.take("west", None, minutes(1), now), None);
        assert_eq!(silences.take("west", Some(&why), minutes(2), now), None);
        let alert = silences.take("west", Some(&why), minutes(5), now).unwrap();
        assert_eq!((alert.key.as_str(), alert.resolved), ("store/west", false));
        assert_eq!(silences.take("west", Some(&why), minutes(6), now), None);
        assert!(silences.take("west", Some(&why), minutes(20), now).is_some());
        assert!(silences.take("west", None, minutes(21), now).unwrap().resolved);
        assert_eq!(silences.take("west", None, minutes(22), now), None);
    }
}
