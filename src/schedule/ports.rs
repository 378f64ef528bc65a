//! What a runner needs of the world, so that tests can hold all of it.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::sync::watch;

use super::due::Unit;
use super::happening::Happening;
use super::record::Record;
use super::standing::{Newest, ReplicaSeen, RunnerStanding};
use crate::config::Secret;
use crate::error::Result;
use crate::model::{AlertSink, Verdict};

/// Time.
#[async_trait]
pub trait Clock: Send + Sync {
    /// What the clock on the wall says; somebody may set it.
    fn now(&self) -> DateTime<Utc>;
    /// Time that only ever goes on.
    fn elapsed(&self) -> Duration;
    async fn sleep(&self, time: Duration);
}

/// A lease that is held until it is released; dropped, it runs out.
#[async_trait]
pub trait Claim: Send + Sync {
    /// Whether it is still ours, as far as is known.
    fn is_held(&self) -> bool;
    async fn release(self: Box<Self>);
}

/// What came of asking for a lease.
pub enum Claimed {
    Ours(Box<dyn Claim>),
    /// Somebody has it, and keeps it for so long without another sign of life.
    Held {
        by: String,
        left: Duration,
    },
}

/// Leases, records and signs of life, in the stores.
#[async_trait]
pub trait Ledger: Send + Sync {
    /// Takes the lease `name`, in the first store that can be asked; an error where none can.
    async fn claim(&self, name: &str, purpose: &str) -> Result<Claimed>;
    /// What is known of a unit, from every store that can be asked; an error where none can.
    async fn read(&self, unit: &str) -> Result<Record>;
    /// Writes what is known, together with what others wrote meanwhile, which is given back.
    async fn write(&self, unit: &str, record: &Record) -> Result<Record>;
    /// The time, by the first store that can be asked.
    async fn now(&self) -> Result<DateTime<Utc>>;
    /// This runner's sign of life.
    async fn beat(&self, runner: &RunnerStanding) -> Result<()>;
    /// The runner stops: nobody need miss it.
    async fn leave(&self, runner: &str) -> Result<()>;
    /// Every runner that gave a sign of life.
    async fn runners(&self) -> Result<Vec<RunnerStanding>>;
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    pub verdict: Verdict,
    pub exit_code: Option<i32>,
    /// One line, without secrets.
    pub summary: String,
    /// The next move, where it failed.
    pub hint: Option<String>,
}

/// Runs the jobs themselves.
#[async_trait]
pub trait Work: Send + Sync {
    /// Runs a job to its end, its timeout, or until `stop` becomes true: then it gives back what it
    /// holds, and was interrupted.
    async fn run(&self, unit: &Unit, stop: watch::Receiver<bool>) -> Ended;
}

/// What the stores have.
#[async_trait]
pub trait Snapshots: Send + Sync {
    /// The newest complete snapshot of a database in a store, and the store's clock.
    async fn newest(&self, database: &str, store: &str) -> Result<(Option<Newest>, DateTime<Utc>)>;
}

/// Looks at servers.
#[async_trait]
pub trait Replicas: Send + Sync {
    /// Looks at both servers of a database and keeps what was seen. Ends within some seconds.
    async fn sample(&self, database: &str) -> Result<ReplicaSeen>;
    /// What was kept last, whoever kept it.
    async fn last(&self, database: &str) -> Result<Option<ReplicaSeen>>;
}

/// Calls heartbeat URLs.
#[async_trait]
pub trait Beats: Send + Sync {
    async fn call(&self, url: &Secret) -> Result<()>;
}

/// Where happenings go. Must not block.
pub trait Diary: Send + Sync {
    fn note(&self, at: DateTime<Utc>, happening: Happening);
    /// The runner's loop is alive: for watchdogs.
    fn alive(&self) {}
}

/// All of them.
#[derive(Clone)]
pub struct Ports {
    pub clock: Arc<dyn Clock>,
    pub ledger: Arc<dyn Ledger>,
    pub work: Arc<dyn Work>,
    pub snapshots: Arc<dyn Snapshots>,
    pub replicas: Arc<dyn Replicas>,
    pub alerts: Arc<dyn AlertSink>,
    pub beats: Arc<dyn Beats>,
    pub diary: Arc<dyn Diary>,
}

/// The time of this machine.
#[derive(Debug)]
pub struct SystemClock(tokio::time::Instant);

impl Default for SystemClock {
    fn default() -> Self {
        Self(tokio::time::Instant::now())
    }
}

#[async_trait]
impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }

    async fn sleep(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}
