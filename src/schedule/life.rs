//! Signs of life: this runner's own, and a watch on those of the others.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::attempt::{ASKING, trouble, within};
use super::ports::Ports;
use super::runner::{Doing, Done, Terms};
use super::standing::RunnerStanding;
use crate::error::Result;
use crate::model::{Alert, Learned, Severity};

/// How often a runner gives a sign.
const BEAT: Duration = Duration::from_secs(30);
/// One that gave none for so long is believed dead, in seconds.
pub const SILENT: i64 = 180;
/// And after so long it is not missed any more, in seconds: another has its place.
pub const FORGOTTEN: i64 = 3600;

pub(super) type Beaten = (Result<()>, Result<Vec<RunnerStanding>>);

pub(super) struct Life {
    me: RunnerStanding,
    next: Duration,
    beating: bool,
    /// What was seen of all, or why not.
    seen: Learned<Vec<RunnerStanding>>,
    /// Who was told to be silent.
    missed: BTreeSet<String>,
}

impl Life {
    pub fn new(terms: &Terms, now: DateTime<Utc>) -> Self {
        Self {
            me: RunnerStanding {
                name: terms.runner.clone(),
                host: terms.host.clone(),
                version: terms.version.clone(),
                started: now,
                heartbeat: now,
                sampled: None,
                silent: false,
            },
            next: Duration::ZERO,
            beating: false,
            seen: Learned::Unknown("nobody was asked yet".to_owned()),
            missed: BTreeSet::new(),
        }
    }

    /// The sign that is due, and a look at those of the others.
    pub fn due(
        &mut self,
        ports: &Ports,
        at: Duration,
        sampled: Option<DateTime<Utc>>,
    ) -> Option<Doing> {
        if at < self.next || self.beating {
            return None;
        }
        self.next = at + BEAT;
        self.beating = true;
        self.me.heartbeat = ports.clock.now();
        self.me.sampled = sampled;
        let (ports, me) = (ports.clone(), self.me.clone());
        Some(Box::pin(async move {
            let clock = &*ports.clock;
            let own = within(clock, ASKING, "give a sign of life", ports.ledger.beat(&me)).await;
            let all = within(clock, ASKING, "look for runners", ports.ledger.runners()).await;
            Done::Life((own, all))
        }))
    }

    /// Takes what was seen, and gives what people are told.
    pub fn take(&mut self, beaten: Beaten, ports: &Ports, now: DateTime<Utc>) -> Vec<Alert> {
        self.beating = false;
        let (own, all) = beaten;
        if let Err(e) = own {
            trouble(ports, "give a sign of life".to_owned(), &e);
        }
        let all = match all {
            Ok(all) => all,
            Err(e) => {
                self.seen = Learned::Unknown(e.one_line());
                return Vec::new();
            }
        };
        let silent: BTreeSet<String> = all
            .iter()
            .filter(|r| r.silent && r.name != self.me.name)
            .map(|r| r.name.clone())
            .collect();
        let new = silent.difference(&self.missed).map(|name| alert(name, false, now));
        let over = self.missed.difference(&silent).map(|name| alert(name, true, now));
        let alerts = new.chain(over).collect();
        self.missed = silent;
        self.seen = Learned::Known(all);
        alerts
    }

    pub fn standing(&self) -> Learned<Vec<RunnerStanding>> {
        self.seen.clone()
    }
}

fn alert(name: &str, over: bool, now: DateTime<Utc>) -> Alert {
    Alert {
        key: format!("runner/{name}"),
        severity: Severity::Warning,
        summary: match over {
            false => format!("runner {name} gives no sign of life"),
            true => format!("runner {name} is not missed any more"),
        },
        detail: "its jobs are taken over by the runners that live\n\
                 next: look at the machine it ran on; a runner that is stopped in the usual way is not \
                 missed"
            .to_owned(),
        at: now,
        resolved: over,
    }
}
