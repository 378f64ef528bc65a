//! What `[[job]]` and `[runner]` say.

use std::time::Duration;

use chrono_tz::Tz;
use croner::Cron;

use super::Secret;
use crate::model::JobKind;

/// One `[[job]]`.
#[derive(Debug, Clone)]
pub struct JobConfig {
    /// Names the job in records, leases and alerts. Default: what it runs.
    pub name: String,
    pub run: JobKind,
    /// Which databases it is for, in the order of the file; empty where it is for none.
    pub databases: Vec<String>,
    pub on: On,
    /// Each turn of each database begins up to this much later, always by the same amount.
    pub jitter: Duration,
    /// A turn that takes longer is ended, and has failed.
    pub timeout: Duration,
    pub catch_up: CatchUp,
    /// More arguments for the command.
    pub args: Vec<String>,
    /// Called after each good turn, so that somebody else misses the calls when they stop.
    pub heartbeat: Option<Secret>,
}

/// When a job runs.
#[derive(Debug, Clone)]
pub enum On {
    /// Every full hour of UTC, whatever clocks on walls do.
    Hourly,
    /// Five fields of cron, by the clock on the wall of a zone.
    Cron { text: String, cron: Box<Cron>, zone: Tz },
}

impl On {
    /// As the configuration has it.
    pub fn text(&self) -> String {
        match self {
            Self::Hourly => "hourly".to_owned(),
            Self::Cron { text, zone, .. } => format!("{text} {zone}"),
        }
    }
}

/// What becomes of turns that nobody ran in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CatchUp {
    /// The last of them is run as soon as may be; those before it are over.
    #[default]
    Once,
    /// The next one is waited for.
    None,
}

/// `[runner]`.
#[derive(Debug, Clone)]
pub struct RunnerConfig {
    /// Jobs that run at the same time. Default 4.
    pub max_parallel: usize,
    /// How often both servers of each database are looked at; none: never. Default 5 s.
    pub sample_every: Option<Duration>,
    /// The share of the recovery point objective at which people are warned. Default 0.75.
    pub rpo_alert: f64,
    /// Names the runner; none: host and process.
    pub name: Option<String>,
}

impl Default for RunnerConfig {
    fn default() -> Self {
        Self {
            max_parallel: 4,
            sample_every: Some(Duration::from_secs(5)),
            rpo_alert: 0.75,
            name: None,
        }
    }
}
