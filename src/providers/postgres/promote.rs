//! `postgres.promote`: the standby leaves recovery, on a timeline of its own, and is open.

use std::time::Duration;

use chrono::Utc;
use tokio::time::{Instant, sleep};

use super::door;
use super::fence::must_be_its_standby;
use super::known::{self, Known};
use super::loss::{Primary, Standby, predict};
use super::samples::{self, Sample};
use super::server::{Server, Where, effectful, harmless, is_over, limits, standby_checks};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Lsn;
use crate::postgres::replication::{Replication, Role, bounded, look_in};
use crate::postgres::{Session, is_connection_lost, is_transient, sqlstate};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Plane, Standing,
};

/// How often to ask whether recovery has ended.
const AGAIN: Duration = Duration::from_millis(100);
/// What the control store may take away from the clock.
const SAMPLES: Duration = Duration::from_secs(2);

/// The number of the first transaction that the standby has not seen, and how far it had replayed
/// then: with nothing replayed after that, it is the first one that is lost.
#[derive(Debug, Clone, Copy)]
struct NextTransaction {
    number: u64,
    replayed: Option<Lsn>,
}

impl NextTransaction {
    /// `seen` came before, so that what is replayed in between shows in its position.
    async fn of(session: &Session, seen: &Replication, limit: Duration) -> Option<Self> {
        let sql = "SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())";
        let row = bounded(limit, || "read a snapshot".to_owned(), session.row(sql)).await.ok()?;
        Some(Self { number: row.number(0).ok()?, replayed: seen.replayed })
    }
}

pub struct Promote {
    standby: Server,
    /// The primary until now, where one is configured: only to tell whose copy the standby is.
    primary: Option<Server>,
}

impl Promote {
    pub fn new(with: Where, config: &Config) -> Result<Self> {
        Ok(Self {
            standby: Server::find(config, &with.database, &with.region)?,
            primary: Server::beside(config, &with.database, &with.region).ok(),
        })
    }

    /// What this run and the samples know of the database as it was.
    async fn known(&self, cx: &Context<'_>) -> (Known, Vec<Sample>) {
        let known = known::of(cx.facts, &self.standby.database);
        let store = &*cx.world.control;
        let what = || "read samples".to_owned();
        let reading = samples::read(store, &self.standby.database);
        // Without them less is known, and what needs them says so.
        let samples = bounded(SAMPLES, what, reading).await.unwrap_or_default();
        (known.or_sampled(&samples, cx.run.confirmed), samples)
    }

    /// Whether a server that is a primary is one because the standby was promoted.
    fn promoted(&self, known: &Known, seen: &Replication) -> Result<(), String> {
        let label = self.standby.label();
        if let (Some(was), Some(is)) = (&known.system_identifier, &seen.system_identifier)
            && was != is
        {
            return Err(format!("{label} is no copy of the primary: {is} is not {was}"));
        }
        match (known.timeline, seen.timeline) {
            (Some(old), Some(new)) if new > old => Ok(()),
            (Some(old), Some(new)) => Err(format!(
                "{label} is a primary on timeline {new}, and the standby was on {old}: it is not \
                 the promoted standby"
            )),
            _ => Err(format!(
                "{label} is a primary, and nothing tells that it was a standby when this run began"
            )),
        }
    }

    /// What tells the rest of the run and the report what came of it.
    fn facts(
        &self,
        seen: &Replication,
        known: &Known,
        samples: &[Sample],
        next: Option<NextTransaction>,
    ) -> Applied {
        let mut applied = Applied::default()
            .fact("database", self.standby.database.clone())
            .fact("promoted", true);
        if let Some(timeline) = seen.timeline {
            applied = applied.fact("new_timeline", timeline);
        }
        if let Some(old) = known.timeline {
            applied = applied.fact("old_timeline", old);
        }
        if let Some(at) = seen.replayed_commit {
            applied = applied.fact("last_commit", at.to_rfc3339());
        }
        // It does not move once recovery has ended; a restart forgets it.
        let ended = seen.replayed;
        if let Some(ended) = ended {
            applied = applied.fact("ended_at", ended.to_string());
        }
        let loss = predict(
            known.last_lsn.map(|end| Primary {
                end,
                timeline: known.timeline,
                fenced: known.fenced,
            }),
            ended.map(|secured| Standby { secured, timeline: known.timeline }),
            samples,
            Utc::now(),
        );
        let unknown = || serde_json::json!("unknown");
        applied = applied
            .fact("lost_seconds", loss.seconds.map_or_else(unknown, Into::into))
            .fact("lost_bytes", loss.bytes.map_or_else(unknown, Into::into))
            .fact("lost_bytes_at_least", loss.bytes_at_least)
            .fact("loss_basis", loss.basis);
        if let Some(next) = next.filter(|next| next.replayed == ended) {
            applied = applied.fact("next_transaction", next.number);
        }
        applied
    }

    /// Everything that speaks against promoting what was seen; it is a standby.
    fn refuse(&self, known: &Known, seen: &Replication) -> Result<Vec<String>, Failure> {
        let primary =
            Replication { system_identifier: known.system_identifier.clone(), ..seen.clone() };
        must_be_its_standby(&self.standby, &primary, seen)?;
        let mut warnings = Vec::new();
        if known.system_identifier.is_none() || seen.system_identifier.is_none() {
            warnings.push(format!(
                "that {} is a copy of the primary could not be proven: a system identifier is not \
                 known",
                self.standby.label()
            ));
        }
        if let (Some(old), Some(its)) = (known.timeline, seen.timeline)
            && its < old
        {
            let what = format!(
                "{} is on timeline {its} and the primary was on {old}: it follows an older history",
                self.standby.label()
            );
            return Err(Failure::permanent(Error::new(Kind::Failed, what)));
        }
        Ok(warnings)
    }

    /// Asks for the promotion. That the answer was lost is settled by looking.
    async fn ask(&self, session: &Session, limit: Duration) -> Result<(), Failure> {
        let label = self.standby.label();
        let what = || format!("promote {label}");
        let asked = bounded(limit, what, session.row("SELECT pg_catalog.pg_promote(false)")).await;
        let e = match asked {
            Ok(row) if row.get(0) == Some("t") => return Ok(()),
            Ok(_) => {
                let e =
                    Error::new(Kind::Postgres, format!("promote {label}: the server would not"));
                return Err(Failure::transient(e));
            }
            Err(e) => e,
        };
        match sqlstate(&e).as_deref() {
            // "recovery is not in progress": it has ended in between.
            Some("55000") => Ok(()),
            Some("42501") => Err(Failure::permanent(e.during(what()).hint(
                "GRANT EXECUTE ON FUNCTION pg_promote TO the runbook's role; on RDS use \
                 rds.promote_replica",
            ))),
            _ if is_connection_lost(&e) || is_transient(&e) => Ok(()),
            _ => Err(effectful(e.during(what()))),
        }
    }

    /// Waits until it has left recovery and its new timeline can be read.
    async fn await_end(
        &self,
        cx: &Context<'_>,
        mut session: Option<Session>,
        began: Instant,
    ) -> Result<(Session, Replication), Failure> {
        let label = self.standby.label();
        loop {
            let limits = limits(cx);
            let looked = async {
                let current = match session.take() {
                    Some(current) => current,
                    None => self.standby.session(limits.connect).await?,
                };
                let seen = look_in(&current, limits.queries).await?;
                Ok((current, seen))
            };
            match looked.await {
                Ok((current, seen)) if seen.role == Role::Primary && seen.timeline.is_some() => {
                    return Ok((current, seen));
                }
                Ok((current, _)) => session = Some(current),
                Err(e) if is_transient(&e) => {}
                Err(e) => return Err(Failure::unknown(e)),
            }
            let seconds = began.elapsed().as_secs_f64();
            cx.waits_for(format!("{label} to leave recovery, for {seconds:.1} s"));
            if is_over(cx) {
                let what = format!("promote {label}: it was asked to, and is still in recovery");
                return Err(Failure::unknown(
                    Error::new(Kind::Failed, what)
                        .hint("its log tells what it replays; `drctl resume` waits on"),
                ));
            }
            sleep(AGAIN).await;
        }
    }

    /// The fence lies in the catalogue, so the standby has it too.
    async fn open(&self, cx: &Context<'_>, session: &Session) -> Result<(), Failure> {
        let label = self.standby.label();
        let name = self.standby.name().map_err(Failure::permanent)?;
        let limit = limits(cx).queries;
        let within = session.row("SELECT pg_catalog.current_database()").await;
        let inside = within.is_ok_and(|row| row.get(0) == Some(name.as_str()));
        bounded(limit, || format!("open {label}"), async {
            let door = door::look(session, &name).await?;
            // Its own session is proof enough that it is open to somebody; read-only it may be.
            match inside && door.open && !door.read_only && !door.server_read_only {
                true => Ok(()),
                false => {
                    let outside = self.standby.outside(limit).await?;
                    door::open(&outside, &name, door).await
                }
            }
        })
        .await
        .map_err(effectful)
    }
}

impl Action for Promote {
    fn describe(&self) -> Description {
        Description::changes(format!("promote {} with pg_promote()", self.standby.label()))
            .detail("there is no way back: the old primary must not take writes any more")
            .detail("refused unless it is a standby with the primary's system identifier")
            .detail("what the fence closed is opened there")
            .leans_on(
                &self.standby.region,
                Plane::Data,
                format!("the standby of `{}`", self.standby.database),
            )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let limits = limits(cx);
        let primary = match &self.primary {
            Some(primary) => primary.look(limits).await.ok(),
            None => None,
        };
        let (seen, mut checks) = standby_checks(cx, &self.standby, primary.as_ref()).await;
        if seen.is_none_or(|seen| seen.role == Role::Primary) {
            return checks;
        }
        let what = format!("promotion of {}", self.standby.label());
        let asked = async {
            let session = self.standby.session(limits.connect).await?;
            let may = "SELECT pg_catalog.has_function_privilege('pg_catalog.pg_promote(boolean, integer)', 'EXECUTE')";
            bounded(limits.queries, || what.clone(), session.row(may)).await?.truth(0)
        };
        checks.push(match asked.await {
            Ok(true) => Check::new(Standing::Ready, what, "the role may call pg_promote()"),
            Ok(false) => Check::new(Standing::NotReady, what, "the role may not call pg_promote()")
                .hint(
                    "GRANT EXECUTE ON FUNCTION pg_promote TO the runbook's role; on RDS use \
                     rds.promote_replica",
                ),
            Err(e) => Check::new(Standing::Unproven, what, e.one_line()),
        });
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let seen = self.standby.look(limits(cx)).await.map_err(harmless)?;
        if seen.role == Role::Standby {
            return Ok(Observed::NotDone("it is in recovery".to_owned()));
        }
        let (known, samples) = self.known(cx).await;
        self.promoted(&known, &seen)
            .map_err(|why| Failure::permanent(Error::new(Kind::Failed, why)))?;
        let name = self.standby.name().map_err(Failure::permanent)?;
        let session = self.standby.session(limits(cx).connect).await.map_err(harmless)?;
        let door = door::look(&session, &name).await.map_err(harmless)?;
        if !door.open || door.read_only {
            return Ok(Observed::NotDone("it is promoted, and closed by the fence".to_owned()));
        }
        Ok(Observed::Done(self.facts(&seen, &known, &samples, None).facts))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let began = Instant::now();
        let label = self.standby.label();
        let limits = limits(cx);
        let (reached, (known, samples)) = tokio::join!(
            async {
                let session = self.standby.session(limits.connect).await?;
                let seen = look_in(&session, limits.queries).await?;
                Ok((session, seen))
            },
            self.known(cx),
        );
        let (session, seen) = reached.map_err(harmless)?;
        let mut next = None;
        let (known, warnings) = match seen.role {
            Role::Primary => {
                self.promoted(&known, &seen)
                    .map_err(|why| Failure::permanent(Error::new(Kind::Failed, why)))?;
                (known, Vec::new())
            }
            Role::Standby => {
                let warnings = self.refuse(&known, &seen)?;
                let known = Known { timeline: seen.timeline.or(known.timeline), ..known };
                if let Some(sample) = Sample::of(None, Some(&seen)) {
                    // After a crash it tells from which timeline this run promoted.
                    let store = &*cx.world.control;
                    let name = &self.standby.database;
                    let _ = samples::append_within(SAMPLES, store, name, &sample).await;
                }
                next = NextTransaction::of(&session, &seen, limits.queries).await;
                cx.waits_for(format!("{label} to leave recovery"));
                self.ask(&session, limits.queries).await?;
                (known, warnings)
            }
        };
        let (session, seen) = self.await_end(cx, Some(session), began).await?;
        if known.timeline.is_some() {
            self.promoted(&known, &seen)
                .map_err(|why| Failure::permanent(Error::new(Kind::Failed, why)))?;
        }
        self.open(cx, &session).await?;
        let seconds = began.elapsed().as_secs_f64();
        let mut applied = self.facts(&seen, &known, &samples, next).fact("seconds", seconds);
        applied.warnings.extend(warnings);
        let timeline = seen.timeline.map_or_else(|| "?".to_owned(), |t| t.to_string());
        applied.summary = format!(
            "{label} left recovery and is open on timeline {timeline} after {seconds:.1} s"
        );
        Ok(applied)
    }
}
