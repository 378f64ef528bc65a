//! How a runner shows what it knows.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::{NAP, Runner, STANDING};
use crate::model::Learned;
use crate::schedule::plan::Plan;
use crate::schedule::standing::Standing;

impl Runner {
    pub(super) fn show(&mut self, now: DateTime<Utc>, at: Duration) {
        let due = self
            .shown_at
            .is_none_or(|shown| at >= shown + STANDING || (self.stirred && at >= shown + NAP));
        if !due && !self.is_over() {
            return;
        }
        self.shown_at = Some(at);
        self.stirred = false;
        let jobs = self.seats.iter().map(|seat| {
            let known = match seat.known {
                true => Learned::Known(&seat.record),
                false => Learned::Unknown("it has not been read yet".to_owned()),
            };
            // What is under way here is not due any more, recorded or not.
            (&seat.unit, known, seat.due())
        });
        let jobs = Plan::jobs(jobs, now);
        let standing = Standing {
            at: now,
            project: self.plan.project.clone(),
            jobs,
            rpo: self.plan.watches.iter().map(|w| w.standing(at, now)).collect(),
            replicas: self.sampling.standing(),
            runners: self.life.standing(),
        };
        self.shown.send_replace(Arc::new(standing));
    }
}
