//! A server that a provider makes for one drill and deletes after it: what is asked of whoever makes
//! it, and what is asked of it before anything is restored there.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use tokio::time::{Instant, sleep};

use super::guard;
use super::password;
use super::rehearsal::Request;
use crate::config::Secret;
use crate::error::{Error, Kind, Result};
use crate::model::{DrillId, Manifest, Sink};
use crate::postgres::programs::{Program, Tool};
use crate::postgres::{Conninfo, Session, connect};

/// How long a server that is said to be there may take to answer: its name must come into DNS.
const ANSWERS: Duration = Duration::from_mins(3);
const AGAIN: Duration = Duration::from_secs(1);

/// What a drill needs of a server.
#[derive(Debug, Clone)]
pub struct Wish {
    pub drill: DrillId,
    pub project: String,
    /// The database whose snapshot is restored.
    pub subject: String,
    pub began: DateTime<Utc>,
    /// It stays until somebody clears it away.
    pub keep: bool,
    /// PostgreSQL's major version, at the least.
    pub major: u32,
    /// Of the rows that it will hold, as text.
    pub raw_bytes: u64,
    /// Of its master user.
    pub password: Secret,
}

/// A server that was made for a drill and is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loan {
    pub drill: DrillId,
    /// For people: "RDS instance `drctl-drill-…` in us-west-2".
    pub what: String,
    /// None: it does not tell.
    pub began: Option<DateTime<Utc>>,
    pub keep: bool,
    /// Its deletion is under way.
    pub going: bool,
}

/// Makes servers for drills at a provider, and takes them back.
#[async_trait]
pub trait Lender: Send + Sync {
    /// Where it makes them: `us-west-2`.
    fn region(&self) -> &str;

    /// The name that the server of a drill has there: no other may have one like it.
    fn instance(&self, drill: &DrillId) -> String;

    /// Refuses what could not be made; makes nothing. Gives the major version that it would run.
    async fn judge(&self, wish: &Wish) -> Result<u32>;

    /// Makes a server and waits until it is said to be available. Dropped at any moment, it leaves
    /// what `take_back` removes. Gives the way in, as its master, which nobody has tried yet.
    async fn lend(&self, wish: &Wish, sink: &dyn Sink) -> Result<Conninfo>;

    /// Deletes the server of a drill, finished or not, and waits until it is gone, or until it is
    /// seen to be going; again too. Gives what was removed. Touches nothing that does not say
    /// itself that it is that drill's.
    async fn take_back(&self, drill: &DrillId, sink: &dyn Sink) -> Result<Vec<String>>;

    /// The servers of drills of a project that are there, by what they say themselves.
    async fn loans(&self, project: &str) -> Result<Vec<Loan>>;

    /// How somebody who was told nothing gets in.
    fn reach(&self, drill: &DrillId, info: &Conninfo) -> String;
}

/// What `request` needs of a server for `manifest`.
fn wish(request: &Request, manifest: &Manifest) -> Result<Wish> {
    Ok(Wish {
        drill: request.id.clone(),
        project: request.project.clone(),
        subject: request.config.name.clone(),
        began: request.now,
        keep: request.keep,
        major: manifest.source.version_num / 10_000,
        raw_bytes: manifest.totals.raw_bytes,
        password: Secret::new(password::random()?),
    })
}

/// Refuses, before anything is made that costs something, what could not be made or restored into.
pub async fn judge(request: &Request, lender: &dyn Lender, manifest: &Manifest) -> Result<()> {
    let major = lender.judge(&wish(request, manifest)?).await?;
    Program::find(Tool::PgRestore, request.config.pg_bin.as_deref(), major).await.map(drop)
}

/// Has the server made, and proves that it is none of production's, before the first byte goes there
/// and again once it says who it is. Gives what could not be compared too.
pub async fn make(
    request: &Request,
    lender: &dyn Lender,
    manifest: &Manifest,
) -> Result<(Conninfo, Vec<String>)> {
    let info = lender.lend(&wish(request, manifest)?, &*request.sink).await?;
    guard::elsewhere(&info, &request.production).await?;
    let session = answering(&info).await?;
    let uncompared = guard::another(&session, &info, &request.production, manifest).await;
    session.close().await;
    Ok((info, uncompared?))
}

async fn answering(info: &Conninfo) -> Result<Session> {
    let deadline = Instant::now() + ANSWERS;
    loop {
        match connect(info, "drctl drill").await {
            Ok(session) => return Ok(session),
            Err(e) if Instant::now() >= deadline => {
                let limit = humantime::format_duration(ANSWERS);
                let what = format!("reach {} within {limit}", info.host_for_people());
                return Err(Error::new(Kind::Postgres, what).caused_by(e.one_line()).hint(
                    "it is said to be available: its security groups and subnets must let this \
                     machine in, and `sslmode` in [drill.rds.NAME] must be one that it takes",
                ));
            }
            Err(_) => sleep(AGAIN).await,
        }
    }
}
