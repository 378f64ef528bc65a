//! What a prediction rests on, read from both servers and the control store at once.

use chrono::{DateTime, Utc};

use super::super::samples::{self, Sample};
use super::super::server::Server;
use super::{Prediction, Primary, Standby, predict};
use crate::error::{Error, Result};
use crate::postgres::replication::{Limits, Replication, Role, bounded};
use crate::store::ObjectStore;

/// Both servers of a database as they were seen, or why not, and the loss that follows.
#[derive(Debug)]
pub struct Sight {
    pub primary: Result<Replication>,
    pub standby: Result<Replication>,
    /// Oldest first.
    pub samples: Vec<Sample>,
    /// Why there are none, where they could not be read.
    pub samples_unread: Option<Error>,
    pub prediction: Prediction,
}

impl Sight {
    /// Keeps what was seen as a sample, for whoever asks once the primary is gone. That it could not
    /// be kept changes nothing about what was seen.
    pub async fn keep(&self, store: &dyn ObjectStore, database: &str, limits: Limits) {
        if let Some(fresh) = Sample::of(self.primary.as_ref().ok(), self.standby.as_ref().ok()) {
            let _ = samples::append_within(limits.queries, store, database, &fresh).await;
        }
    }

    /// Whether a graceful run would lose nothing: it goes on only when the standby has all that the
    /// primary has, and both can be asked.
    pub fn both_answer(&self) -> bool {
        let is = |seen: &Result<Replication>, role| seen.as_ref().is_ok_and(|s| s.role == role);
        is(&self.primary, Role::Primary) && is(&self.standby, Role::Standby)
    }
}

/// Looks at both servers and at the samples of old, and changes nothing. Ends within the limits
/// however many of them do not answer. `fenced`: the primary takes no writes.
pub async fn sight(
    store: &dyn ObjectStore,
    from: &Server,
    to: &Server,
    fenced: bool,
    limits: Limits,
    now: DateTime<Utc>,
) -> Sight {
    let what = || format!("read the samples of `{}`", from.database);
    let (primary, standby, samples) = tokio::join!(
        from.look(limits),
        to.look(limits),
        bounded(limits.queries, what, samples::read(store, &from.database)),
    );
    let (mut samples, samples_unread) = match samples {
        Ok(samples) => (samples, None),
        Err(e) => (Vec::new(), Some(e)),
    };
    samples.extend(Sample::of(primary.as_ref().ok(), standby.as_ref().ok()));
    let prediction = judged(&primary, &standby, &samples, fenced, now.max(Utc::now()));
    Sight { primary, standby, samples, samples_unread, prediction }
}

fn judged(
    primary: &Result<Replication>,
    standby: &Result<Replication>,
    samples: &[Sample],
    fenced: bool,
    now: DateTime<Utc>,
) -> Prediction {
    let standby = standby.as_ref().ok().filter(|s| s.role == Role::Standby);
    let primary = primary.as_ref().ok().filter(|p| p.role == Role::Primary);
    let identity = standby.and_then(|s| s.system_identifier.clone());
    // Samples of a server that was replaced by another one are of another history.
    let foreign = |theirs: &Option<String>| matches!((theirs, &identity), (Some(theirs), Some(ours)) if theirs != ours);
    let samples: Vec<Sample> =
        samples.iter().filter(|s| !foreign(&s.system_identifier)).cloned().collect();
    predict(
        primary.filter(|p| !foreign(&p.system_identifier)).and_then(|p| {
            // Of a fenced one what is on disk is all; an open one may have acknowledged more.
            let end = if fenced { p.flushed } else { p.inserted };
            Some(Primary { end: end?, timeline: p.timeline, fenced })
        }),
        standby.and_then(|s| Some(Standby { secured: s.secured()?, timeline: s.timeline })),
        &samples,
        now,
    )
}
