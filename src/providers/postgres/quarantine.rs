//! `postgres.quarantine`: an old primary that comes back takes no writes beside the new one.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::door;
use super::known;
use super::server::{MARGIN, Server, limits};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::postgres::replication::{Replication, Role, bounded, look_in};
use crate::postgres::{Session, is_transient};
use crate::providers::counting::counted;
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Leaning, Observed, Plane, Standing,
};

const AGAIN: Duration = Duration::from_secs(1);

/// Arguments of `postgres.quarantine`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of the old primary.
    #[serde(rename = "in")]
    pub region: String,
    /// The region of the new primary; default: the other one.
    pub active: Option<String>,
    /// How long to wait for it to come back; default: as long as the step may take.
    #[serde(rename = "for")]
    pub patience: Option<Span>,
}

pub struct Quarantine {
    old: Server,
    new: Server,
    patience: Option<Duration>,
}

/// How the old primary was found.
enum Found {
    /// It takes writes, or could.
    Loose(Box<(Session, Replication)>),
    /// It is a standby by now.
    Standby,
    /// It does not answer, for this reason.
    Away(Error),
}

impl Quarantine {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        Ok(Self {
            old: Server::find(config, &with.database, &with.region)?,
            new: Server::other(config, &with.database, &with.region, with.active.as_deref())?,
            patience: with.patience.map(|span| span.0),
        })
    }

    async fn find(&self, cx: &Context<'_>) -> Found {
        let limits = limits(cx);
        let reached = async {
            let session = self.old.outside(limits.connect).await?;
            let seen = look_in(&session, limits.queries).await?;
            Ok((session, seen))
        };
        match reached.await {
            Ok((_, seen)) if seen.role == Role::Standby => Found::Standby,
            Ok(found) => Found::Loose(Box::new(found)),
            Err(e) => Found::Away(e),
        }
    }

    /// Shutting out the only primary would be the outage itself: the other must be one, of the same
    /// origin and on a newer timeline.
    async fn must_be_superseded(&self, cx: &Context<'_>, old: &Replication) -> Result<(), Failure> {
        let (label, there) = (self.old.label(), self.new.label());
        let refuse = |why: String| {
            let what = format!("quarantine {label}: {why}");
            Err(Failure::permanent(Error::new(Kind::Failed, what)))
        };
        let new = self.new.look(limits(cx)).await.map_err(|e| {
            Failure::transient(e.during(format!(
                "quarantine {label}: whether {there} has taken over cannot be found out"
            )))
        })?;
        if new.role == Role::Standby {
            return refuse(format!("{there} is a standby, so this is the primary"));
        }
        match (&old.system_identifier, &new.system_identifier) {
            (Some(a), Some(b)) if a != b => {
                return refuse(format!("it is no relative of {there}: {a} is not {b}"));
            }
            _ => {}
        }
        match (old.timeline, new.timeline) {
            (Some(old), Some(new)) if new > old => Ok(()),
            (Some(old), Some(new)) => {
                refuse(format!("its timeline {old} is not older than {new} of {there}"))
            }
            _ => refuse("which of both is the newer cannot be read".to_owned()),
        }
    }

    /// What it had that the new one never got, now that it can be asked: exact.
    fn loss(&self, cx: &Context<'_>, applied: Applied, old: &Replication) -> Applied {
        let ended = known::of(cx.facts, &self.old.database).ended_at;
        match (ended, old.flushed) {
            (Some(ended), Some(end)) => {
                applied.fact("lost_bytes_exactly", end.0.saturating_sub(ended.0))
            }
            _ => applied,
        }
    }

    /// How many transactions only the old primary has committed: those that the new one never saw.
    /// Before it is shut, which takes some of its own.
    async fn lost_transactions(&self, cx: &Context<'_>, session: &Session) -> Option<u64> {
        let next = known::of(cx.facts, &self.old.database).next_transaction?;
        let sql = format!(
            "SELECT pg_catalog.count(*) FROM pg_catalog.generate_series({next},
                 pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::text::bigint - 1) x
              WHERE pg_catalog.pg_xact_status(x::text::pg_catalog.xid8) = 'committed'"
        );
        let what = || format!("count what only {} has", self.old.label());
        bounded(limits(cx).queries, what, session.row(&sql)).await.ok()?.number(0).ok()
    }

    /// A run that leaves the old primary to come back as it was has not done all that it should.
    fn left_to_do(&self, away: Error, waited: &str) -> Failure {
        let (label, region, new) = (self.old.label(), &self.old.region, &self.new.region);
        let what =
            format!("quarantine {label}: it did not come back within {waited}: NOT SHUT OUT");
        let hint = format!(
            "quarantine {region} when it comes back: keep its server from starting and everything \
             from writing to it until a runbook with `postgres.quarantine` has shut it out, or it is \
             a standby of {new}"
        );
        Failure::permanent(Error::new(Kind::Failed, what).caused_by(away).hint(hint))
    }

    async fn shut(&self, cx: &Context<'_>, session: &Session) -> Result<u64, Failure> {
        let label = self.old.label();
        let name = self.old.name().map_err(Failure::permanent)?;
        let limit = limits(cx).queries;
        let act = || format!("quarantine {label}");
        let door = bounded(limit, act, async {
            let door = door::look(session, &name).await?;
            // It stays on that server, whatever becomes of the catalogue.
            if door.superuser && !door.server_read_only {
                door::impose_server_read_only(session).await?;
            }
            door::close(session, &name, door).await?;
            Ok(door)
        })
        .await
        .map_err(super::server::effectful)?;
        let told = |what: String| cx.waits_for(what);
        let patience = (cx.left() / 3).min(Duration::from_secs(20));
        let evicting = door::evict(session, &name, patience, &told);
        let out =
            bounded(patience + limit, act, evicting).await.map_err(super::server::effectful)?;
        if out.left.is_empty() {
            return Ok(out.ended);
        }
        let rights = if door.superuser { "" } else { " (the role is no superuser)" };
        let what =
            format!("quarantine {label}: sessions are left{rights}: {}", out.left.join("; "));
        Err(Failure::permanent(Error::new(Kind::Postgres, what)))
    }
}

impl Action for Quarantine {
    fn describe(&self) -> Description {
        let label = self.old.label();
        let mut description = Description::changes(format!(
            "keep {label} from taking writes when it comes back: close it, end its sessions"
        ))
        .detail("refused unless the other region's server is a primary on a newer timeline")
        .detail("one that does not come back in time is left to do: the step fails, and says so")
        .leans_on(
            &self.new.region,
            Plane::Data,
            format!("the new primary of `{}`", self.new.database),
        );
        description.leans_on.push(Leaning {
            region: self.old.region.clone(),
            plane: Plane::Data,
            what: format!("the old primary of `{}`", self.old.database),
            optional: true,
        });
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("quarantine of {}", self.old.label());
        let Found::Loose(found) = self.find(cx).await else {
            return vec![Check::new(Standing::Unproven, what, "it cannot be asked as a primary")];
        };
        let name = self.old.name().unwrap_or_default();
        let limit = limits(cx).queries;
        match bounded(limit, || what.clone(), door::look(&found.0, &name)).await {
            Ok(door) if door.ours && (door.superuser || door.may_signal) => {
                vec![Check::new(Standing::Ready, what, "the role may close it and end sessions")]
            }
            Ok(_) => vec![
                Check::new(Standing::NotReady, what, "the role may not close it or end sessions")
                    .hint("GRANT the database's owner and pg_signal_backend TO the role"),
            ],
            Err(e) => vec![super::server::unreached(what, &e)],
        }
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let (session, seen) = match self.find(cx).await {
            Found::Away(e) => return Ok(Observed::NotDone(e.one_line())),
            Found::Standby => {
                let facts =
                    Applied::default().fact("quarantined", true).fact("standby", true).facts;
                return Ok(Observed::Done(facts));
            }
            Found::Loose(found) => *found,
        };
        let name = self.old.name().map_err(Failure::permanent)?;
        let limit = limits(cx).queries;
        let what = || format!("look at {}", self.old.label());
        let (door, there) = bounded(limit, what, async {
            Ok((door::look(&session, &name).await?, door::sessions(&session, &name).await?))
        })
        .await
        .map_err(super::server::harmless)?;
        let shut = !door.open && door.read_only && there.is_empty();
        if !shut || (door.superuser && !door.server_read_only) {
            return Ok(Observed::NotDone("it is open".to_owned()));
        }
        let applied = Applied::default()
            .fact("database", self.old.database.clone())
            .fact("quarantined", true);
        Ok(Observed::Done(self.loss(cx, applied, &seen).facts))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let label = self.old.label();
        let began = tokio::time::Instant::now();
        loop {
            let away = match self.find(cx).await {
                Found::Standby => {
                    return Ok(Applied::new(format!("{label} is a standby: nothing to shut out"))
                        .fact("quarantined", true)
                        .fact("standby", true));
                }
                Found::Loose(found) => {
                    let (session, seen) = *found;
                    self.must_be_superseded(cx, &seen).await?;
                    let lost = self.lost_transactions(cx, &session).await;
                    let ended = self.shut(cx, &session).await?;
                    let mut summary =
                        format!("{label} is shut out, {} ended", counted(ended, "session"));
                    let mut applied = Applied::default();
                    if let Some(lost) = lost {
                        let count = counted(lost, "transaction");
                        summary.push_str(&format!("; what only it has: {count}"));
                        applied = applied.fact("lost_transactions", lost);
                    }
                    applied.summary = summary;
                    let applied = applied
                        .fact("database", self.old.database.clone())
                        .fact("quarantined", true)
                        .fact("ended", ended);
                    return Ok(self.loss(cx, applied, &seen));
                }
                Found::Away(e) => e,
            };
            let over = self.patience.is_some_and(|p| began.elapsed() >= p);
            // A look may take its limit twice.
            let out_of_time = cx.left() <= MARGIN + limits(cx).connect.min(AGAIN);
            if over || out_of_time || !is_transient(&away) {
                let waited = humantime::format_duration(Duration::from_secs(
                    began.elapsed().as_secs().max(1),
                ));
                return Err(self.left_to_do(away, &waited.to_string()));
            }
            cx.waits_for(format!("{label} to come back: {}", away.one_line()));
            tokio::time::sleep(AGAIN).await;
        }
    }
}
