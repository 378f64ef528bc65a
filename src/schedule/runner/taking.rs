//! What a runner does with the outcome of what it began.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{Done, Runner, raise};
use crate::model::{JobKind, Verdict};
use crate::schedule::attempt::{Tried, trouble};
use crate::schedule::happening::Happening;

impl Runner {
    pub(super) fn take(&mut self, done: Done) {
        let (now, at) = (self.ports.clock.now(), self.ports.clock.elapsed());
        self.stirred = true;
        match done {
            Done::Recorded { id, found } => {
                if let Err(e) = &found {
                    trouble(&self.ports, format!("{id}: read its record"), e);
                }
                if let Some(seat) = self.seats.iter_mut().find(|seat| seat.id == id) {
                    // Without a record it is due; the try reads it again.
                    seat.known = true;
                    seat.record.merge(found.unwrap_or_default());
                    seat.stir();
                }
            }
            Done::Tried { id, tried } => self.tried(&id, tried, now, at),
            Done::Looked { database, store, found } => {
                self.looking -= 1;
                self.looked.retain(|(d, s)| (d, s) != (&database, &store));
                let found = found.map_err(|e| e.one_line());
                if let Some(alert) = self.silences.take(&store, found.as_ref().err(), at, now) {
                    raise(&self.ports, &self.alerts, alert);
                }
                let mut watches = self.plan.watches.iter_mut();
                if let Some(watch) = watches.find(|w| w.database == database && w.store == store) {
                    watch.learn(found, at);
                    let alert = watch.judge(at, now);
                    alert.into_iter().for_each(|a| raise(&self.ports, &self.alerts, a));
                }
            }
            Done::Time(answer) => {
                let answer = answer.ok();
                let alert = self.asking.take(&self.time, answer, at, &self.terms.runner);
                alert.into_iter().for_each(|a| raise(&self.ports, &self.alerts, a));
            }
            Done::Life(beaten) => {
                for alert in self.life.take(beaten, &self.ports, now) {
                    raise(&self.ports, &self.alerts, alert);
                }
            }
            Done::Sampled(sampled) => self.sampling.take(sampled, &self.ports, at),
        }
    }

    fn tried(&mut self, id: &str, tried: Tried, now: DateTime<Utc>, at: Duration) {
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.id == id) else { return };
        let turn = seat.busy.take();
        seat.stir();
        match tried {
            Tried::Elsewhere { by, wait } => {
                seat.held_until = at + wait;
                // Once is enough for those who run what is due and end.
                seat.tried |= self.terms.once;
                if let Some(turn) = turn {
                    let unit = id.to_owned();
                    let elsewhere = Happening::JobElsewhere { unit, turn: turn.at, holder: by };
                    self.ports.diary.note(now, elsewhere);
                }
            }
            Tried::NotDue(record) => {
                seat.record = record;
                self.heard(id);
            }
            Tried::Ran { record, outcome, hint } => {
                seat.record = record;
                let alerts = [seat.take(&outcome, hint.as_deref()), seat.late_alert(true, now)];
                for alert in alerts.into_iter().flatten() {
                    raise(&self.ports, &self.alerts, alert);
                }
                self.heard(id);
            }
        }
    }

    /// Somebody did a job: what the stores have may have changed, and if it was a snapshot that is
    /// complete everywhere, that counts even where a store cannot be asked any more.
    fn heard(&mut self, id: &str) {
        let Some(seat) = self.seats.iter().find(|seat| seat.id == id) else { return };
        let complete = (seat.unit.job.run == JobKind::Snapshot)
            .then_some(seat.record.last_good.as_ref())
            .flatten()
            .filter(|good| good.verdict == Verdict::Done)
            .map(|good| good.began);
        for watch in &mut self.plan.watches {
            if Some(&watch.database) == seat.unit.database.as_ref() {
                watch.stir();
                if let Some(began) = complete {
                    watch.hear(began);
                }
            }
        }
    }
}
