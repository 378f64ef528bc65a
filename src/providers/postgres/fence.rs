//! `postgres.fence`: the old primary takes no more writes, and the standby has all that it took.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::door::{self, Door};
use super::server::{Server, effectful, harmless, is_over, limits, standby_checks, unreached};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Lsn;
use crate::postgres::Session;
use crate::postgres::replication::{Replication, Role, bounded, look_in};
use crate::providers::counting::counted;
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Leaning, Mode, Observed, Plane,
    Standing, agreement,
};

/// Tries to reach a primary before it counts as out of reach.
const TRIES: u32 = 3;
const BETWEEN: Duration = Duration::from_millis(200);
/// In forced mode the standby is not waited for longer: what feeds it may be broken.
const FORCED_WAIT: Duration = Duration::from_secs(10);

/// Arguments of `postgres.fence`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of the primary that is to be fenced.
    #[serde(rename = "in")]
    pub region: String,
    /// The region of the standby that must have everything; default: the other one, and `none` waits
    /// for no standby.
    pub standby: Option<String>,
}

pub struct Fence {
    primary: Server,
    standby: Option<Server>,
}

impl Fence {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let primary = Server::find(config, &with.database, &with.region)?;
        let standby = match with.standby.as_deref() {
            Some("none") => None,
            given => Some(Server::other(config, &with.database, &with.region, given)?),
        };
        Ok(Self { primary, standby })
    }

    /// A session on the primary and what it is, or why it is out of reach.
    async fn reach(&self, cx: &Context<'_>) -> Result<(Session, Replication)> {
        let limits = limits(cx);
        cx.waits_for(format!("the primary of {} to answer", self.primary.label()));
        let began = tokio::time::Instant::now();
        let mut tried = 0;
        loop {
            let reached = async {
                let session = self.primary.outside(limits.connect).await?;
                let seen = look_in(&session, limits.queries).await?;
                Ok((session, seen))
            };
            tried += 1;
            match reached.await {
                Ok(reached) => return Ok(reached),
                // One that hangs has had its time; one that refuses may be starting.
                Err(e)
                    if tried >= TRIES
                        || began.elapsed() >= limits.connect
                        || !crate::postgres::is_transient(&e) =>
                {
                    return Err(e);
                }
                Err(_) => tokio::time::sleep(BETWEEN).await,
            }
        }
    }

    /// The primary cannot be fenced. Only a forced run may go on, and only if somebody said so.
    async fn unfenced(&self, cx: &Context<'_>, e: Error) -> Result<Applied, Failure> {
        let label = self.primary.label();
        let why = e.one_line();
        if cx.run.mode == Mode::Graceful {
            let failure = harmless(e.during(format!("fence {label}")));
            return Err(Failure {
                error: failure
                    .error
                    .hint("if the primary is gone for good: drctl failover --mode forced"),
                ..failure
            });
        }
        let by = match cx.run.accept_unfenced {
            true => None,
            false => {
                let open = format!("{label} cannot be fenced and is left UNFENCED ({why})");
                let Some(by) = agreement::to(cx, &open, true).await? else {
                    let what = format!(
                        "fence {label}: it cannot be fenced, so it may come back and take writes"
                    );
                    let hint = format!(
                        "stop it for good by other means (security group, instance, network). To \
                         go on then, by a second person: {}; or begin a run with --accept-unfenced",
                        agreement::later(cx)
                    );
                    let error = Error::new(Kind::Failed, what).caused_by(e).hint(hint);
                    return Err(Failure::permanent(error));
                };
                Some(by)
            }
        };
        let accepted = by.as_ref().map(|by| format!(", accepted by {by}")).unwrap_or_default();
        let applied = Applied::new(format!("{label} is UNFENCED{accepted}: {why}"));
        let applied = by.into_iter().fold(applied, |applied, by| applied.fact("accepted_by", by));
        Ok(applied
            .fact("database", self.primary.database.clone())
            .fact("region", self.primary.region.clone())
            .fact("fenced", false)
            .fact("unfenced", true)
            .fact("why", why.clone())
            .warning(format!(
                "the old primary of {label} is UNFENCED{accepted}: if it comes back it takes writes \
                 ({why})"
            )))
    }

    async fn fence(
        &self,
        cx: &Context<'_>,
        session: &Session,
        name: &str,
    ) -> Result<Evicted, Failure> {
        let limit = limits(cx).queries;
        let ask = || format!("look at the door of {}", self.primary.label());
        let before = bounded(limit, ask, door::look(session, name)).await.map_err(harmless)?;
        let act = || format!("close {}", self.primary.label());
        bounded(limit, act, door::close(session, name, before)).await.map_err(effectful)?;
        let patience = cx.left() / 3;
        let told = |what: String| cx.waits_for(what);
        let what = || format!("end the sessions of {}", self.primary.label());
        let evicting = door::evict(session, name, patience, &told);
        let out = bounded(patience + limit, what, evicting).await.map_err(effectful)?;
        if !out.left.is_empty() {
            let who = out.left.join("; ");
            let what = format!("end the sessions of {}: still there: {who}", self.primary.label());
            return Err(Failure::permanent(Error::new(Kind::Postgres, what).hint(
                "GRANT pg_signal_backend TO the runbook's role; sessions of superusers only a \
                 superuser may end",
            )));
        }
        Ok(Evicted { before, ended: out.ended })
    }

    /// Waits until the standby has the primary's WAL up to `last`. `None`: it has; else what is
    /// missing.
    async fn await_standby(
        &self,
        cx: &Context<'_>,
        primary: &Replication,
        last: Lsn,
    ) -> Result<Option<String>, Failure> {
        let Some(standby) = &self.standby else { return Ok(None) };
        let forced_end = tokio::time::Instant::now() + FORCED_WAIT;
        let mut missing;
        loop {
            missing = match standby.look(limits(cx)).await {
                Ok(seen) => {
                    must_be_its_standby(standby, primary, &seen)?;
                    match seen.secured() {
                        Some(at) if at >= last => return Ok(None),
                        Some(at) => format!(
                            "the standby in {} lacks {} bytes (it has {at} of {last})",
                            standby.region,
                            last.0 - at.0
                        ),
                        None => format!("how far the standby in {} is", standby.region),
                    }
                }
                Err(e) => e.one_line(),
            };
            cx.waits_for(missing.clone());
            let forced = cx.run.mode == Mode::Forced && tokio::time::Instant::now() >= forced_end;
            if is_over(cx) || forced {
                return Ok(Some(missing));
            }
            tokio::time::sleep(BETWEEN).await;
        }
    }

    fn facts(&self, applied: Applied, primary: &Replication, last: Lsn) -> Applied {
        let slots: Vec<String> = primary
            .slots
            .iter()
            .flatten()
            .map(|s| s.plugin.as_ref().map_or(s.name.clone(), |p| format!("{} ({p})", s.name)))
            .collect();
        let mut applied = applied
            .fact("database", self.primary.database.clone())
            .fact("region", self.primary.region.clone())
            .fact("fenced", true)
            .fact("last_lsn", last.to_string())
            .fact("slots", slots);
        applied = super::known::note_timeline(applied, primary);
        if let Some(identifier) = &primary.system_identifier {
            applied = applied.fact("system_identifier", identifier.clone());
        }
        applied
    }
}

struct Evicted {
    before: Door,
    ended: u64,
}

/// A wrong target never becomes right by waiting.
pub(super) fn must_be_its_standby(
    server: &Server,
    primary: &Replication,
    seen: &Replication,
) -> Result<(), Failure> {
    let label = server.label();
    if seen.role == Role::Primary {
        let what = format!("{label} is not a standby: it takes writes itself");
        return Err(Failure::permanent(Error::new(Kind::Failed, what)));
    }
    match (&primary.system_identifier, &seen.system_identifier) {
        (Some(theirs), Some(its)) if theirs != its => {
            let what = format!(
                "{label} is no copy of the primary: its system identifier is {its}, the primary's \
                 is {theirs}"
            );
            Err(Failure::permanent(Error::new(Kind::Failed, what)))
        }
        _ => Ok(()),
    }
}

impl Action for Fence {
    fn describe(&self) -> Description {
        let label = self.primary.label();
        let mut description = Description::changes(format!(
            "fence {label}: close it to everybody, end its sessions, default to read-only"
        ))
        .detail("it holds for superusers too; replication goes on")
        .detail("a primary that cannot be reached stays UNFENCED, which needs --accept-unfenced or a second person's word")
        .compensated_by(format!("open {label} again"));
        description.leans_on.push(Leaning {
            region: self.primary.region.clone(),
            plane: Plane::Data,
            what: format!("the primary of `{}`", self.primary.database),
            optional: true,
        });
        if let Some(standby) = &self.standby {
            description = description
                .detail(format!("waits until {} has the primary's last WAL", standby.label()))
                .leans_on(
                    &standby.region,
                    Plane::Data,
                    format!("the standby of `{}`", standby.database),
                );
        }
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("fence of {}", self.primary.label());
        let limits = limits(cx);
        let mut checks = Vec::new();
        let mut primary = None;
        match self.reach(cx).await {
            Err(e) => {
                let check = unreached(what, &e);
                // A dead primary is what a forced run is for.
                let standing = match cx.run.mode {
                    Mode::Forced => Standing::Warning,
                    Mode::Graceful => Standing::NotReady,
                };
                checks.push(Check { standing, ..check });
            }
            Ok((_, seen)) if seen.role == Role::Standby => {
                checks.push(Check::new(Standing::NotReady, &what, "it is a standby"));
            }
            Ok((session, seen)) => {
                let name = self.primary.name().unwrap_or_default();
                let ask = || format!("look at the door of {}", self.primary.label());
                match bounded(limits.queries, ask, door::look(&session, &name)).await {
                    Err(e) => checks.push(unreached(what, &e)),
                    Ok(door) => checks.extend(rights(&what, &name, door)),
                }
                primary = Some(seen);
            }
        }
        if let Some(standby) = &self.standby {
            checks.extend(standby_checks(cx, standby, primary.as_ref()).await.1);
        }
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let (session, primary) = match self.reach(cx).await {
            Ok(reached) => reached,
            Err(e) => {
                return Ok(Observed::NotDone(format!("it cannot be asked: {}", e.one_line())));
            }
        };
        if primary.role == Role::Standby {
            return Ok(Observed::NotDone("it is a standby".to_owned()));
        }
        let name = self.primary.name().map_err(Failure::permanent)?;
        let limit = limits(cx).queries;
        let ask = || format!("look at the door of {}", self.primary.label());
        let (door, there) = bounded(limit, ask, async {
            Ok((door::look(&session, &name).await?, door::sessions(&session, &name).await?))
        })
        .await
        .map_err(harmless)?;
        if door.open || !door.read_only {
            return Ok(Observed::NotDone("it is open".to_owned()));
        }
        if !there.is_empty() {
            return Ok(Observed::NotDone(format!("{} in it", counted(there.len(), "session"))));
        }
        let Some(last) = primary.flushed else {
            return Ok(Observed::NotDone("the end of its WAL cannot be read".to_owned()));
        };
        if let Some(standby) = &self.standby {
            let seen = standby.look(limits(cx)).await.map_err(harmless)?;
            must_be_its_standby(standby, &primary, &seen)?;
            if seen.secured().is_none_or(|at| at < last) {
                return Ok(Observed::NotDone("the standby lacks some of its WAL".to_owned()));
            }
        }
        Ok(Observed::Done(self.facts(Applied::default(), &primary, last).facts))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let (session, primary) = match self.reach(cx).await {
            Ok(reached) => reached,
            Err(e) => return self.unfenced(cx, e).await,
        };
        if primary.role == Role::Standby {
            let what = format!("fence {}: it is a standby, not a primary", self.primary.label());
            return Err(Failure::permanent(Error::new(Kind::Failed, what)));
        }
        let name = self.primary.name().map_err(Failure::permanent)?;
        let Evicted { before, ended } = match self.fence(cx, &session, &name).await {
            Ok(evicted) => evicted,
            // Whatever it may not do, it may be known not to matter.
            Err(failure) if cx.run.mode == Mode::Forced && cx.run.accept_unfenced => {
                return self.unfenced(cx, failure.error).await;
            }
            Err(failure) => return Err(failure),
        };
        let limit = limits(cx).queries;
        let what = || format!("read the end of the WAL of {}", self.primary.label());
        let last = bounded(limit, what, door::last_lsn(&session)).await.map_err(harmless)?;
        let missing = self.await_standby(cx, &primary, last).await?;
        let label = self.primary.label();
        if let (Some(missing), Mode::Graceful) = (&missing, cx.run.mode) {
            let what = format!("fence {label}: it is fenced, but {missing}");
            return Err(Failure::transient(Error::new(Kind::Failed, what).hint(
                "does the standby stream? run `drctl status`; `drctl abort` opens the primary again",
            )));
        }
        let had = match &missing {
            None if self.standby.is_some() => ", which the standby has",
            _ => "",
        };
        let summary = format!(
            "{label} is fenced, {} ended; its WAL ends at {last}{had}",
            counted(ended, "session")
        );
        let mut applied = self.facts(Applied::new(summary), &primary, last).fact("ended", ended);
        if let Some(missing) = missing {
            applied = applied.warning(format!("fenced, and then waited in vain: {missing}"));
        }
        if before.prepared > 0 {
            applied = applied.warning(format!(
                "{} prepared transactions of {label} go over as they are: commit or roll them back",
                before.prepared
            ));
        }
        Ok(applied)
    }

    async fn compensate(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let label = self.primary.label();
        let (session, primary) =
            self.reach(cx).await.map_err(|e| harmless(e.during(format!("open {label} again"))))?;
        if primary.role == Role::Standby {
            let what = format!("open {label} again: it is a standby by now");
            return Err(Failure::permanent(Error::new(Kind::Failed, what)));
        }
        let name = self.primary.name().map_err(Failure::permanent)?;
        let limit = limits(cx).queries;
        bounded(limit, || format!("open {label} again"), async {
            let door = door::look(&session, &name).await?;
            door::open(&session, &name, door).await
        })
        .await
        .map_err(effectful)?;
        Ok(Applied::new(format!("{label} is open again")))
    }
}

/// What the role may do to the door.
fn rights(what: &str, name: &str, door: Door) -> Vec<Check> {
    let mut checks = Vec::new();
    checks.push(match door.ours {
        true => Check::new(Standing::Ready, what, "the role may close the database"),
        false => Check::new(
            Standing::NotReady,
            what,
            format!("the role may not close the database `{name}`: it lacks its owner's rights"),
        )
        .hint("GRANT the owner TO the role, or use the owner"),
    });
    checks.push(match door.superuser || door.may_signal {
        true if door.superuser => Check::new(Standing::Ready, what, "it may end every session"),
        true => Check::new(Standing::Ready, what, "it may end sessions, but not superusers'"),
        false => Check::new(Standing::NotReady, what, "it may end no sessions of other roles")
            .hint("GRANT pg_signal_backend TO the role"),
    });
    if !door.open {
        checks.push(
            Check::new(Standing::Warning, what, "the database is closed already")
                .hint("a run that was not ended has left it so"),
        );
    }
    checks
}
