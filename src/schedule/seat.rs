//! What a runner knows of one unit, and the alerts about it.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::due::{Look, Turn, Unit};
use super::record::Record;
use super::standing::Outcome;
use crate::model::{Alert, Severity, Verdict};

/// One unit at one runner.
#[derive(Debug)]
pub(super) struct Seat {
    pub unit: Unit,
    pub id: String,
    pub record: Record,
    /// Whether the record was ever read; if not, it may be that another has done it all.
    pub known: bool,
    /// Due, and waiting for a place.
    pub queued: Option<Turn>,
    /// Under way here.
    pub busy: Option<Turn>,
    /// Another has it: not before then, by time that only goes on.
    pub held_until: Duration,
    /// Tried in this life of the runner.
    pub tried: bool,
    /// How the last try ended, in this life of the runner.
    pub last: Option<Verdict>,
    /// When the last look was, and until when it holds.
    looked: Option<(DateTime<Utc>, Look)>,
    /// The next turn that was reported as waiting.
    late: Option<DateTime<Utc>>,
    /// Whether people were told of the last outcome.
    told: Option<bool>,
}

impl Seat {
    pub fn new(unit: Unit) -> Self {
        Self {
            id: unit.id(),
            unit,
            record: Record::default(),
            known: false,
            queued: None,
            busy: None,
            held_until: Duration::ZERO,
            tried: false,
            last: None,
            looked: None,
            late: None,
            told: None,
        }
    }

    /// What is known has changed.
    pub fn stir(&mut self) {
        self.looked = None;
    }

    /// The turn that is due now, where this has to be thought about at all. Gives also whether what
    /// is recorded had to be disbelieved.
    pub fn look(&mut self, now: DateTime<Utc>) -> (Option<Turn>, bool) {
        if let Some((looked, look)) = self.looked
            && now >= looked
            && look.again.is_some_and(|again| now < again)
        {
            return (look.turn, false);
        }
        let doubted = self.busy.is_none() && self.unit.disbelieve(&mut self.record, now);
        let look = self.unit.look(&self.record, now);
        self.looked = Some((now, look));
        (look.turn, doubted)
    }

    /// The turn that was due at the last look.
    pub fn due(&self) -> Option<Turn> {
        self.looked.and_then(|(_, look)| look.turn).filter(|_| self.busy.is_none())
    }

    /// Until when nothing changes by itself.
    pub fn wakes(&self) -> Option<DateTime<Utc>> {
        self.looked.and_then(|(_, look)| look.again)
    }

    /// The next turn has come while one is under way: once for each.
    pub fn is_newly_late(&mut self, turn: Turn) -> bool {
        let newly = self.late != Some(turn.at);
        self.late = Some(turn.at);
        newly
    }

    /// The alert that it is late, or no longer.
    pub fn late_alert(&mut self, over: bool, now: DateTime<Utc>) -> Option<Alert> {
        let next = if over { self.late.take()? } else { self.late? };
        let title = self.unit.title();
        let clock = next.format("%H:%M UTC");
        Some(Alert {
            key: format!("job/{}/late", self.id.replace('.', "/")),
            severity: Severity::Warning,
            summary: match over {
                false => format!("{title} is still under way at its next turn, {clock}"),
                true => format!("{title} is no longer under way at its next turn"),
            },
            detail: "the next turn waits and is run once when this one has ended\n\
                     next: `drctl jobs` shows how long it takes; raise `jobs` of the database, or run \
                     the job less often"
                .to_owned(),
            at: now,
            resolved: over,
        })
    }

    /// Takes how a try ended, and gives what people are told of it.
    pub fn take(&mut self, outcome: &Outcome, hint: Option<&str>) -> Option<Alert> {
        self.tried = true;
        self.last = Some(outcome.verdict);
        let well = match outcome.verdict {
            Verdict::Interrupted => return None,
            verdict => verdict == Verdict::Done,
        };
        if well && self.told == Some(true) {
            return None;
        }
        self.told = Some(well);
        let title = self.unit.title();
        let verdict = outcome.verdict.as_str();
        let mut detail = outcome.summary.clone();
        if !well {
            detail.push_str(&format!("\nturn {}", outcome.turn.format("%Y-%m-%d %H:%M UTC")));
            if let Some(hint) = hint {
                detail.push_str(&format!("\nnext: {hint}"));
            }
            detail.push_str("\n`drctl jobs` shows all jobs");
        }
        let severity = match outcome.exit_code {
            _ if well => Severity::Info,
            // Damage in the stores.
            Some(3) => Severity::Critical,
            _ => Severity::Warning,
        };
        Some(Alert {
            key: format!("job/{}", self.id.replace('.', "/")),
            severity,
            summary: match well {
                true => format!("{title} is done well"),
                false => format!(
                    "{title} {}",
                    if verdict == "partial" { "reached only some stores" } else { verdict }
                ),
            },
            detail,
            at: outcome.ended,
            resolved: well,
        })
    }
}
