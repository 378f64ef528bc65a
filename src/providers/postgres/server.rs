//! A database's server in one region: reached within limits, and how its failures are classed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::config::{Config, Secret};
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::postgres::replication::{self, Limits, Replication, Role, bounded};
use crate::postgres::{Conninfo, Session, is_connection_lost, is_transient, sqlstate};
use crate::providers::{Check, Context, Failure, Mode, Standing};

/// The application name of every session of a run.
const APPLICATION: &str = "drctl run";

/// What is left of a step's time for telling why it ended.
pub const MARGIN: Duration = Duration::from_millis(500);

/// Which database, and in which region.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Where {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of its server.
    #[serde(rename = "in")]
    pub region: String,
}

/// The server of a configured database in a region. Opens nothing by itself.
#[derive(Debug, Clone)]
pub struct Server {
    /// The database's name in the configuration.
    pub database: String,
    pub region: String,
    url: Secret,
}

impl Server {
    /// `Kind::Usage` where the configuration has no such server.
    pub fn find(config: &Config, database: &str, region: &str) -> Result<Self> {
        let servers = &config.database(database)?.servers;
        let Some(server) = servers.get(region) else {
            let known: Vec<&str> = servers.keys().map(String::as_str).collect();
            let error = Error::new(
                Kind::Usage,
                format!("database `{database}` has no server in region `{region}`"),
            );
            return Err(match known.is_empty() {
                true => error.hint(format!(
                    "add a [database.{database}.server.{region}] table with its `url`"
                )),
                false => error.hint(format!("it has one in {}", known.join(" and "))),
            });
        };
        Ok(Self {
            database: database.to_owned(),
            region: region.to_owned(),
            url: server.url.clone(),
        })
    }

    /// The server in region `given`, or else `beside`.
    pub fn other(
        config: &Config,
        database: &str,
        region: &str,
        given: Option<&str>,
    ) -> Result<Self> {
        match given {
            Some(given) => Self::find(config, database, given),
            None => Self::beside(config, database, region),
        }
    }

    /// The database's server in the other region: where there are two, the one that is not `region`.
    pub fn beside(config: &Config, database: &str, region: &str) -> Result<Self> {
        let servers = &config.database(database)?.servers;
        let mut others = servers.keys().filter(|name| name.as_str() != region);
        match (others.next(), others.next()) {
            (Some(other), None) => Self::find(config, database, other),
            (None, _) => Err(Error::new(
                Kind::Usage,
                format!("database `{database}` has no server outside `{region}`"),
            )
            .hint(format!("add a [database.{database}.server.REGION] table for its standby"))),
            _ => Err(Error::new(
                Kind::Usage,
                format!("database `{database}` has several servers outside `{region}`"),
            )
            .hint("say which of them is meant: `standby`, or in a quarantine `active`")),
        }
    }

    /// "`petforce` in us-west-2".
    pub fn label(&self) -> String {
        format!("`{}` in {}", self.database, self.region)
    }

    pub fn conninfo(&self) -> Result<Conninfo> {
        Conninfo::parse(&self.url).map_err(|e| e.during(format!("reach {}", self.label())))
    }

    /// The name of the database on the server.
    pub fn name(&self) -> Result<String> {
        Ok(self.conninfo()?.database().to_owned())
    }

    /// Looks at its replication.
    pub async fn look(&self, limits: Limits) -> Result<Replication> {
        replication::look(&self.conninfo()?, APPLICATION, limits).await
    }

    /// A session in the database itself, as any client has it.
    pub async fn inside(&self, limit: Duration) -> Result<Session> {
        replication::reach(&self.conninfo()?, APPLICATION, limit).await
    }

    /// A session in any database of the server, ready to change things: a fence does not hold it up.
    pub async fn session(&self, limit: Duration) -> Result<Session> {
        let session = replication::reach_server(&self.conninfo()?, APPLICATION, limit).await?;
        self.ready(session, limit).await
    }

    /// As `session`, in a database beside the configured one.
    pub async fn outside(&self, limit: Duration) -> Result<Session> {
        let session = replication::reach_beside(&self.conninfo()?, APPLICATION, limit).await?;
        self.ready(session, limit).await
    }

    /// A commit waits for this server's disk alone: a standby that is gone would hold it for ever.
    async fn ready(&self, session: Session, limit: Duration) -> Result<Session> {
        let milliseconds = limit.as_millis();
        let sql = format!(
            "SET search_path = ''; SET default_transaction_read_only = off;
             SET synchronous_commit = local; SET statement_timeout = {milliseconds};
             SET lock_timeout = {milliseconds}"
        );
        bounded(limit, || format!("begin a session on {}", session.place()), session.simple(&sql))
            .await?;
        Ok(session)
    }
}

/// How long one look may take: the usual, or what is left.
pub fn limits(cx: &Context<'_>) -> Limits {
    let limit = Limits::default().connect.min(cx.left().max(Duration::from_millis(100)));
    Limits::each(limit)
}

/// Whether it is time to end with what is known, before the engine cuts the step off.
pub fn is_over(cx: &Context<'_>) -> bool {
    cx.left() <= MARGIN
}

/// A failure of something that only looks, or that certainly did not happen.
pub fn harmless(error: Error) -> Failure {
    match is_transient(&error) {
        true => Failure::transient(error),
        false => Failure::permanent(error),
    }
}

/// A failure of a statement that changes something: with the connection its answer was lost.
pub fn effectful(error: Error) -> Failure {
    let answered = sqlstate(&error).is_some_and(|state| !state.starts_with("57P"));
    match (answered, is_connection_lost(&error) || is_transient(&error)) {
        (true, true) => Failure::transient(error),
        (true, false) => Failure::permanent(error),
        (false, _) => Failure::unknown(error),
    }
}

/// Looks at a standby for a preflight: reachable, a standby, of that primary, and fed.
pub async fn standby_checks(
    cx: &Context<'_>,
    server: &Server,
    primary: Option<&Replication>,
) -> (Option<Replication>, Vec<Check>) {
    let what = format!("standby of {}", server.label());
    let seen = match server.look(limits(cx)).await {
        Ok(seen) => seen,
        Err(e) => return (None, vec![unreached(what, &e)]),
    };
    let mut checks = Vec::new();
    if seen.role == Role::Primary {
        let found = "it is a primary, not a standby".to_owned();
        checks.push(Check::new(Standing::NotReady, what, found).hint("is it the right region?"));
        return (Some(seen), checks);
    }
    let feed = match (seen.is_streaming(), seen.silence()) {
        (Some(true), _) => Check::new(Standing::Ready, &what, "it streams"),
        // What a dead primary leaves behind, and what a forced run is for: what that costs is
        // judged by the loss.
        (Some(false), _) if cx.run.mode == Mode::Forced && primary.is_none() => {
            Check::new(Standing::Warning, &what, "no WAL arrives: nothing streams to it")
                .hint("as expected when the primary is lost; `drctl status` shows what is missing")
        }
        (Some(false), _) => {
            Check::new(Standing::NotReady, &what, "no WAL arrives: nothing streams to it")
                .hint("look at primary_conninfo, the slot and the server's log")
        }
        (None, _) => {
            Check::new(Standing::Unproven, &what, "whether WAL arrives cannot be read by this role")
                .hint("GRANT pg_monitor to the role")
        }
    };
    checks.push(feed);
    let same =
        primary.and_then(|p| p.system_identifier.as_ref()).zip(seen.system_identifier.as_ref());
    checks.push(match same {
        Some((a, b)) if a == b => {
            Check::new(Standing::Ready, &what, format!("system identifier {a}, as the primary's"))
        }
        Some((a, b)) => Check::new(
            Standing::NotReady,
            &what,
            format!("its system identifier is {b}, the primary's is {a}: it is no copy of it"),
        ),
        None => Check::new(
            Standing::Unproven,
            &what,
            "whether it is a copy of the primary: a system identifier could not be read",
        ),
    });
    if let Some(primary) = primary.filter(|p| p.role == Role::Primary) {
        let rpo = cx.run.rpo.unwrap_or(Span(cx.world.config.objectives.rpo));
        checks.push(lag(server, primary, &seen, rpo));
    }
    if seen.paused == Some(true) {
        checks.push(
            Check::new(Standing::Warning, &what, "its replay is paused")
                .hint("SELECT pg_wal_replay_resume() there"),
        );
    }
    (Some(seen), checks)
}

/// How far the standby is behind its primary, against the objective.
fn lag(server: &Server, primary: &Replication, seen: &Replication, rpo: Span) -> Check {
    let what = format!("replication lag of {}", server.label());
    let (bytes, seconds) = (seen.bytes_behind(primary), seen.seconds_behind(primary));
    let behind = match bytes {
        Some(0) => "nothing is left to replay".to_owned(),
        Some(bytes) => format!("{bytes} bytes behind"),
        None => "how many bytes it is behind cannot be read".to_owned(),
    };
    match seconds {
        Some(0.0) => Check::new(Standing::Ready, what, behind),
        Some(seconds) if seconds <= rpo.0.as_secs_f64() => {
            Check::new(Standing::Ready, what, format!("{seconds:.1} s, {behind}; the RPO is {rpo}"))
        }
        Some(seconds) => {
            let found = format!("{seconds:.0} s, {behind}: MORE than the RPO of {rpo}");
            Check::new(Standing::NotReady, what, found).hint("`drctl status` shows both servers")
        }
        None => {
            let found = format!("unknown: {behind}; since when cannot be told");
            Check::new(Standing::Unproven, what, found)
        }
    }
}

/// What a preflight says of a server that it could not ask.
pub fn unreached(what: String, e: &Error) -> Check {
    let check = Check::new(Standing::NotReady, what, e.one_line());
    match e.advice() {
        Some(hint) => check.hint(hint),
        None => check,
    }
}
