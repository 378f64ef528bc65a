//! `postgres.drain`: the standby has replayed all that it has received.

use std::time::Duration;

use super::known;
use super::server::{Server, Where, harmless, is_over, limits, standby_checks};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Lsn;
use crate::postgres::replication::{Replication, Role, look_in};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Mode, Observed, Plane,
};

const AGAIN: Duration = Duration::from_millis(100);

pub struct Drain {
    standby: Server,
}

impl Drain {
    pub fn new(with: Where, config: &Config) -> Result<Self> {
        Ok(Self { standby: Server::find(config, &with.database, &with.region)? })
    }

    /// Up to where it must replay: all that it has, and what the fenced primary wrote last.
    fn goal(&self, cx: &Context<'_>, seen: &Replication) -> Result<Lsn, Failure> {
        let label = self.standby.label();
        if seen.role == Role::Primary {
            let what = format!("drain {label}: it is not a standby");
            return Err(Failure::permanent(Error::new(Kind::Failed, what)));
        }
        let last = known::of(cx.facts, &self.standby.database).last_lsn;
        if cx.run.mode == Mode::Graceful && last.is_none() {
            let what = format!("drain {label}: no step before it fenced the primary");
            return Err(Failure::permanent(Error::new(Kind::Usage, what).hint(
                "graceful means that nothing is lost: put a `postgres.fence` step before this one",
            )));
        }
        let secured = seen.secured().ok_or_else(|| {
            let what = format!("drain {label}: its positions cannot be read");
            Failure::permanent(
                Error::new(Kind::Postgres, what).hint("GRANT pg_monitor to the role"),
            )
        })?;
        // In forced mode what has not arrived will not come.
        Ok(match cx.run.mode {
            Mode::Graceful => secured.max(last.unwrap_or(secured)),
            Mode::Forced => secured,
        })
    }

    fn facts(&self, seen: &Replication, goal: Lsn) -> Applied {
        let label = self.standby.label();
        let applied = Applied::new(format!("{label} has replayed all it has, up to {goal}"))
            .fact("database", self.standby.database.clone())
            .fact("drained_to", goal.to_string());
        let applied = known::note_timeline(applied, seen);
        match seen.replayed_commit {
            Some(at) => applied.fact("last_commit", at.to_rfc3339()),
            None => applied,
        }
    }
}

fn has(seen: &Replication, goal: Lsn) -> bool {
    seen.replayed.is_some_and(|at| at >= goal)
}

impl Action for Drain {
    fn describe(&self) -> Description {
        let label = self.standby.label();
        Description::looks(format!("wait until {label} has replayed all that it has received"))
            .detail("graceful: up to the fenced primary's last WAL")
            .leans_on(
                &self.standby.region,
                Plane::Data,
                format!("the standby of `{}`", self.standby.database),
            )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        standby_checks(cx, &self.standby, None)
            .await
            .1
            .into_iter()
            // Whose copy it is, the promotion's checks tell.
            .filter(|check| !check.found.contains("system identifier"))
            .collect()
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let seen = self.standby.look(limits(cx)).await.map_err(harmless)?;
        let goal = self.goal(cx, &seen)?;
        Ok(match has(&seen, goal) {
            true => Observed::Done(self.facts(&seen, goal).facts),
            false => Observed::NotDone(format!("it has not replayed up to {goal}")),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let label = self.standby.label();
        let began = tokio::time::Instant::now();
        let (mut session, mut goal) = (None, None);
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
            let waiting = match looked.await {
                Ok((current, seen)) => {
                    session = Some(current);
                    let goal = match goal {
                        Some(goal) => goal,
                        None => *goal.insert(self.goal(cx, &seen)?),
                    };
                    if has(&seen, goal) {
                        let seconds = began.elapsed().as_secs_f64();
                        return Ok(self.facts(&seen, goal).fact("seconds", seconds));
                    }
                    if seen.paused == Some(true) {
                        let what = format!("drain {label}: its replay is paused");
                        return Err(Failure::permanent(
                            Error::new(Kind::Failed, what)
                                .hint("SELECT pg_wal_replay_resume() there, then `drctl resume`"),
                        ));
                    }
                    let left = seen.replayed.map(|at| goal.0.saturating_sub(at.0));
                    match left {
                        Some(left) => format!("{label} to replay {left} bytes, up to {goal}"),
                        None => format!("{label} to replay up to {goal}"),
                    }
                }
                Err(e) if crate::postgres::is_transient(&e) => e.one_line(),
                Err(e) => return Err(harmless(e)),
            };
            cx.waits_for(waiting.clone());
            if is_over(cx) {
                let what = format!("drain {label}: its time is up; it still waits for {waiting}");
                return Err(Failure::transient(Error::new(Kind::Failed, what)));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}
