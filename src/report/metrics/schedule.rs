//! The metrics of a runner: from how the schedule stands, the open alerts, and the leases.

use chrono::{DateTime, Utc};

use crate::model::{Family, Learned, Severity, Unit, Verdict};
use crate::schedule::Standing;
use crate::schedule::standing::RpoLevel;

/// An open alert.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenAlert {
    pub key: String,
    pub severity: Severity,
    /// Channels that could not be told of it.
    pub untold: usize,
}

/// A lease that somebody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Held {
    pub name: String,
    pub store: String,
    pub holder: String,
}

/// Everything that a runner knows.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    pub standing: &'a Standing,
    /// Unknown: the control store does not say.
    pub alerts: &'a Learned<Vec<OpenAlert>>,
    pub leases: &'a [Held],
    pub now: DateTime<Utc>,
}

/// The metrics of `seen`.
pub fn of_schedule(seen: Seen<'_>) -> Vec<Family> {
    let mut all = Families::new();
    all.build.add(&[("version", env!("CARGO_PKG_VERSION"))], Some(1.0));
    all.snapshots(seen);
    all.jobs(seen);
    all.replicas(seen);
    all.runners(seen);
    all.alerts(seen);
    for Held { name, store, holder } in seen.leases {
        all.lease_held.add(&[("lease", name), ("store", store), ("holder", holder)], Some(1.0));
    }
    all.list()
}

/// Those metrics without values.
pub(super) fn families() -> Vec<Family> {
    Families::new().list()
}

macro_rules! families {
    ($($field:ident: $name:literal, $unit:ident, $help:literal;)*) => {
        struct Families { $($field: Family,)* }

        impl Families {
            fn new() -> Self {
                Self { $($field: Family::new($name, Unit::$unit, $help),)* }
            }

            fn list(self) -> Vec<Family> {
                vec![$(self.$field,)*]
            }
        }
    };
}

families! {
    build: "drctl_build_info", None, "The version of drctl; always 1";
    taken: "drctl_snapshot_taken_timestamp", Seconds,
        "The moment that the newest complete snapshot in the store shows";
    age: "drctl_snapshot_age", Seconds, "How old the newest complete snapshot in the store is";
    objective: "drctl_snapshot_objective", Seconds, "The recovery point objective";
    rpo_state: "drctl_snapshot_rpo_state", None,
        "Where the age stands against the objective: 1 at one of fine, near, broken, unknown";
    known: "drctl_snapshot_known", None,
        "Whether the store said which snapshot is its newest: 1 if so, else 0";
    stored: "drctl_snapshot_stored", Bytes, "What the newest snapshot needs in the store";
    new: "drctl_snapshot_new", Bytes, "What of it was new with it";
    job_known: "drctl_job_known", None, "Whether what is recorded of the job could be read: 1 or 0";
    job_good: "drctl_job_last_success_timestamp", Seconds, "When the job last ended well";
    job_ended: "drctl_job_last_ended_timestamp", Seconds, "When the job last ended, well or not";
    job_took: "drctl_job_last_duration", Seconds, "How long the job took last";
    job_well: "drctl_job_last_succeeded", None, "Whether the job ended well last: 1 or 0";
    job_verdict: "drctl_job_last_verdict", None, "How the job ended last; always 1";
    job_failures: "drctl_job_failures", None, "Tries in a row, up to the last, that failed";
    job_missed: "drctl_job_missed_turns", None, "Turns before the last one that nobody ran";
    job_running: "drctl_job_running", None, "Whether the job is under way: 1 or 0";
    job_began: "drctl_job_running_since_timestamp", Seconds, "Since when the job is under way";
    job_overdue: "drctl_job_overdue", Seconds,
        "How long ago the turn was that is due and has not been done; 0 if none is";
    job_next: "drctl_job_next_timestamp", Seconds, "The next turn";
    lag: "drctl_replica_lag", Bytes, "The primary's WAL that the standby has not replayed";
    replica_seen: "drctl_replica_seen_timestamp", Seconds, "When replication was last looked at";
    replica_known: "drctl_replica_known", None,
        "Whether the lag is known: 1 if so, else 0; an unknown lag has no value";
    runners_known: "drctl_runners_known", None,
        "Whether a store said which runners live: 1 if so, else 0";
    heartbeat: "drctl_runner_heartbeat_timestamp", Seconds, "The last sign of life of a runner";
    silent: "drctl_runner_silent", None, "Whether that sign is too old: 1 if so, else 0";
    started: "drctl_runner_started_timestamp", Seconds, "When the runner was started";
    sampled: "drctl_runner_sampled_timestamp", Seconds, "When its sampler last kept a sample";
    alerts_known: "drctl_alerts_known", None,
        "Whether the control store said which alerts are open: 1 if so, else 0";
    alerts_open: "drctl_alerts_open", None, "Open alerts of a severity";
    alert_open: "drctl_alert_open", None, "An open alert; always 1";
    alerts_untold: "drctl_alerts_untold", None,
        "Messages about open alerts that a channel has not taken yet";
    lease_held: "drctl_lease_held", None, "A lease that somebody holds; always 1";
}

fn seconds(at: DateTime<Utc>) -> Option<f64> {
    Some(at.timestamp_millis() as f64 / 1000.0)
}

fn truth(yes: bool) -> Option<f64> {
    Some(if yes { 1.0 } else { 0.0 })
}

impl Families {
    fn snapshots(&mut self, seen: Seen<'_>) {
        for rpo in &seen.standing.rpo {
            let place = [
                ("database", rpo.database.as_str()),
                ("store", rpo.store.as_str()),
                ("region", rpo.region.as_str()),
            ];
            let newest = rpo.newest.known().and_then(Option::as_ref);
            self.known.add(&place, truth(rpo.newest.known().is_some()));
            self.objective.add(&place, Some(rpo.objective));
            self.taken.add(&place, newest.and_then(|newest| seconds(newest.taken)));
            self.age.add(&place, rpo.age(seen.now));
            self.stored.add(&place, newest.map(|newest| newest.stored_bytes as f64));
            self.new.add(&place, newest.map(|newest| newest.new_bytes as f64));
            for (word, level) in [
                ("fine", RpoLevel::Fine),
                ("near", RpoLevel::Near),
                ("broken", RpoLevel::Broken),
                ("unknown", RpoLevel::Unknown),
            ] {
                let [database, store, region] = place;
                let labels = [database, store, region, ("state", word)];
                self.rpo_state.add(&labels, truth(rpo.level == level));
            }
        }
    }

    fn jobs(&mut self, seen: Seen<'_>) {
        for job in &seen.standing.jobs {
            let labels = [
                ("job", job.job.as_str()),
                ("run", job.run.as_str()),
                ("database", job.database.as_deref().unwrap_or_default()),
            ];
            self.job_known.add(&labels, truth(job.state.known().is_some()));
            self.job_next.add(&labels, job.next.and_then(seconds));
            let Some(state) = job.state.known() else { continue };
            let overdue = job.due.map_or(0.0, |due| (seen.now - due).as_seconds_f64().max(0.0));
            self.job_overdue.add(&labels, Some(overdue));
            self.job_running.add(&labels, truth(state.running.is_some()));
            let began = state.running.as_ref().and_then(|running| seconds(running.began));
            self.job_began.add(&labels, began);
            self.job_failures.add(&labels, Some(f64::from(state.failures)));
            let good = state.last_good.as_ref();
            self.job_good.add(&labels, good.and_then(|outcome| seconds(outcome.ended)));
            if let Some(last) = &state.last {
                self.job_ended.add(&labels, seconds(last.ended));
                self.job_took.add(&labels, Some(last.took().as_seconds_f64()));
                self.job_well.add(&labels, truth(last.verdict.is_good()));
                self.job_missed.add(&labels, Some(f64::from(last.missed)));
                let [job, run, database] = labels;
                let verdict = ("verdict", verdict(last.verdict));
                self.job_verdict.add(&[job, run, database, verdict], Some(1.0));
            }
        }
    }

    fn replicas(&mut self, seen: Seen<'_>) {
        for replica in &seen.standing.replicas {
            let labels = [("database", replica.database.as_str())];
            let look = replica.seen.known().and_then(Option::as_ref);
            let lag = look.and_then(|look| look.lag_bytes());
            self.replica_known.add(&labels, truth(lag.is_some()));
            self.lag.add(&labels, lag.map(|bytes| bytes as f64));
            self.replica_seen.add(&labels, look.and_then(|look| seconds(look.at)));
        }
    }

    fn runners(&mut self, seen: Seen<'_>) {
        let runners = seen.standing.runners.known();
        self.runners_known.add(&[], truth(runners.is_some()));
        for runner in runners.into_iter().flatten() {
            let labels = [("runner", runner.name.as_str()), ("host", runner.host.as_str())];
            self.heartbeat.add(&labels, seconds(runner.heartbeat));
            self.silent.add(&labels, truth(runner.silent));
            self.started.add(&labels, seconds(runner.started));
            self.sampled.add(&labels, runner.sampled.and_then(seconds));
        }
    }

    fn alerts(&mut self, seen: Seen<'_>) {
        let alerts = seen.alerts.known();
        self.alerts_known.add(&[], truth(alerts.is_some()));
        let Some(alerts) = alerts else { return };
        for (word, severity) in [
            ("info", Severity::Info),
            ("warning", Severity::Warning),
            ("critical", Severity::Critical),
        ] {
            let of_it: Vec<&OpenAlert> = alerts.iter().filter(|a| a.severity == severity).collect();
            self.alerts_open.add(&[("severity", word)], Some(of_it.len() as f64));
            for alert in of_it {
                self.alert_open.add(&[("key", &alert.key), ("severity", word)], Some(1.0));
            }
        }
        let untold: usize = alerts.iter().map(|alert| alert.untold).sum();
        self.alerts_untold.add(&[], Some(untold as f64));
    }
}

/// As a label: one word.
fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Done => "done",
        Verdict::Partial => "partial",
        Verdict::Failed => "failed",
        Verdict::TimedOut => "timed_out",
        Verdict::Interrupted => "interrupted",
    }
}
