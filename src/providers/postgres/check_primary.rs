//! `postgres.check_primary`: the new primary takes writes as a client would make them.

use schemars::JsonSchema;
use serde::Deserialize;

use super::known;
use super::sequences::{self, Looked};
use super::server::{Server, harmless, limits};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::postgres::replication::{Replication, Role, bounded, look_in};
use crate::postgres::{Session, is_connection_lost, sqlstate};
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Plane, Standing,
};

/// Arguments of `postgres.check_primary`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of its new primary.
    #[serde(rename = "in")]
    pub region: String,
    /// Move sequences that are behind their columns on, in place of failing.
    #[serde(default)]
    pub fix_sequences: bool,
}

pub struct CheckPrimary {
    primary: Server,
    fix_sequences: bool,
}

impl CheckPrimary {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let primary = Server::find(config, &with.database, &with.region)?;
        Ok(Self { primary, fix_sequences: with.fix_sequences })
    }

    /// Role and history; what is wrong with them no other try mends.
    fn must_be_promoted(&self, cx: &Context<'_>, seen: &Replication) -> Result<(), Failure> {
        let label = self.primary.label();
        let wrong = |what: String| Err(Failure::permanent(Error::new(Kind::Failed, what)));
        if seen.role == Role::Standby {
            return wrong(format!("{label} is still in recovery: it takes no writes"));
        }
        let known = known::of(cx.facts, &self.primary.database);
        match (known.timeline, seen.timeline) {
            (Some(old), Some(new)) if new <= old => {
                wrong(format!("{label} is on timeline {new}, which did not grow from {old}"))
            }
            _ => Ok(()),
        }
    }

    async fn session(&self, cx: &Context<'_>) -> Result<(Session, Replication), Failure> {
        let limits = limits(cx);
        let reached = async {
            // As any client: with the defaults that the database and the role have.
            let session = self.primary.inside(limits.connect).await?;
            let seen = look_in(&session, limits.queries).await?;
            Ok((session, seen))
        };
        reached.await.map_err(harmless)
    }

    async fn sequences(&self, cx: &Context<'_>) -> Result<(Looked, bool), Failure> {
        let label = self.primary.label();
        cx.waits_for(format!("the sequences of {label} to be compared with their columns"));
        let what = || format!("compare the sequences of {label} with their columns");
        let patience = cx.left().mul_f32(0.6);
        let session = {
            let reached = self.primary.inside(limits(cx).connect).await.map_err(harmless)?;
            let limit = limits(cx).queries.as_millis();
            let sql = format!("SET search_path = ''; SET statement_timeout = {limit}");
            reached.simple(&sql).await.map_err(harmless)?;
            reached
        };
        let looked = bounded(patience, what, sequences::look(&session)).await.map_err(harmless)?;
        if !self.fix_sequences || looked.behind.is_empty() {
            return Ok((looked, false));
        }
        bounded(cx.left() / 2, what, sequences::fix(&session, &looked.behind))
            .await
            .map_err(super::server::effectful)?;
        Ok((looked, true))
    }
}

/// A write as clients make them, from a session without any setting of its own, that is committed:
/// a rolled-back one would prove neither that the disk takes it nor that the commit does not wait for
/// a synchronous standby that stayed behind. What it makes it takes away in the same transaction, so
/// that nothing is left of it.
const CANARY: &str = "BEGIN;
    CREATE SCHEMA drctl_canary;
    CREATE TABLE drctl_canary.written (at timestamptz NOT NULL);
    INSERT INTO drctl_canary.written VALUES (pg_catalog.now());
    DROP TABLE drctl_canary.written;
    DROP SCHEMA drctl_canary;
    COMMIT";

async fn canary(session: &Session, label: &str, limit: std::time::Duration) -> Result<()> {
    let what = || format!("commit a write to {label}");
    let done = bounded(limit, what, session.simple(CANARY)).await;
    let Err(e) = done else { return Ok(()) };
    let hint = match sqlstate(&e).as_deref() {
        Some("25006") => Some("it is read-only: a fence, or default_transaction_read_only"),
        Some("42501") => Some("GRANT CREATE ON DATABASE to the runbook's role"),
        None if !is_connection_lost(&e) => Some(
            "commits hang when synchronous_standby_names waits for a standby that is gone: \
             ALTER SYSTEM RESET synchronous_standby_names",
        ),
        _ => None,
    };
    let e = e.during(what());
    Err(match hint {
        Some(hint) => e.hint(hint),
        None => e,
    })
}

/// Logical slots are not replicated before PostgreSQL 17 with `sync_replication_slots`; their
/// consumers must be set up anew (patroni#1749).
fn slots(applied: Applied, before: Option<&Vec<String>>, seen: &Replication) -> Applied {
    let there: Vec<&str> = seen.slots.iter().flatten().map(|s| s.name.as_str()).collect();
    let mut applied = applied.fact("slots_here", there.clone());
    match before {
        None => applied = applied.fact("slots_lost", "unknown"),
        Some(before) => {
            let name = |slot: &String| slot.split(' ').next().unwrap_or(slot).to_owned();
            let lost: Vec<String> =
                before.iter().filter(|s| !there.contains(&name(s).as_str())).cloned().collect();
            for slot in lost.iter().filter(|slot| slot.contains('(')) {
                applied = applied.warning(format!(
                    "logical slot {slot} did not come along: set its consumer up anew"
                ));
            }
            applied = applied.fact("slots_lost", lost);
        }
    }
    for slot in seen.slots.iter().flatten().filter(|s| !s.active) {
        applied = applied.warning(format!(
            "slot {} is there and unused, and keeps WAL from being removed: drop it if nobody will \
             come for it",
            slot.name
        ));
    }
    applied
}

impl Action for CheckPrimary {
    fn describe(&self) -> Description {
        let label = self.primary.label();
        let mut description =
            Description::looks(format!("prove that {label} is a primary that takes writes"))
                .detail("not in recovery, its timeline grew, a write is committed (nothing stays)")
                .detail("sequences are not behind their columns; slots that are lost or left")
                .leans_on(
                    &self.primary.region,
                    Plane::Data,
                    format!("the server of `{}`", self.primary.database),
                );
        if self.fix_sequences {
            description.changes = true;
            description = description.detail("sequences that are behind are moved on");
        }
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = format!("check of {} once it is promoted", self.primary.label());
        let limits = limits(cx);
        let asked = async {
            let session = self.primary.session(limits.connect).await?;
            let name = self.primary.name()?;
            let sql = format!(
                "SELECT pg_catalog.has_database_privilege({}, 'CREATE'),
                        pg_catalog.current_setting('synchronous_standby_names')",
                crate::postgres::quote::literal(&name)
            );
            let row = bounded(limits.queries, || what.clone(), session.row(&sql)).await?;
            Ok((row.truth(0)?, row.text(1)?.to_owned()))
        };
        match asked.await {
            Err(e) => vec![super::server::unreached(what, &e)],
            Ok((may, waits_for)) => {
                let mut checks = vec![match may {
                    true => Check::new(Standing::Ready, &what, "the role may write there"),
                    false => Check::new(
                        Standing::NotReady,
                        &what,
                        "the role may not make a schema, which the proof of a write needs",
                    )
                    .hint("GRANT CREATE ON DATABASE to the runbook's role"),
                }];
                if !waits_for.is_empty() {
                    let found = format!("synchronous_standby_names = {waits_for}");
                    checks.push(Check::new(Standing::Warning, &what, found).hint(
                        "once promoted, commits wait for that standby: have it there, or reset it",
                    ));
                }
                checks
            }
        }
    }

    /// What was proven a while ago is proven again.
    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::NotDone("it is proven anew each time".to_owned()))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let label = self.primary.label();
        let (session, seen) = self.session(cx).await?;
        self.must_be_promoted(cx, &seen)?;
        cx.waits_for(format!("a commit on {label}"));
        // Nothing of it stays, so a lost answer is no harm.
        canary(&session, &label, limits(cx).queries.min(cx.left() / 3)).await.map_err(harmless)?;
        let (looked, fixed) = self.sequences(cx).await?;
        let behind: Vec<String> = looked
            .behind
            .iter()
            .map(|b| format!("{} is at {}, {} at {}", b.sequence, b.at, b.column, b.must_pass))
            .collect();
        if !behind.is_empty() && !fixed {
            let what = format!("sequences of {label} are behind: {}", behind.join("; "));
            return Err(Failure::permanent(Error::new(Kind::Failed, what).hint(
                "inserts would meet keys that are there: set `fix_sequences = true`, or setval() them",
            )));
        }
        let timeline = seen.timeline.map_or_else(|| "?".to_owned(), |t| t.to_string());
        let summary = format!(
            "{label} takes writes on timeline {timeline}; {} sequences, {}",
            looked.sequences,
            match behind.len() {
                0 => "none behind".to_owned(),
                n => format!("{n} moved on"),
            }
        );
        let mut applied = Applied::new(summary)
            .fact("database", self.primary.database.clone())
            .fact("sequences", looked.sequences)
            .fact("sequences_moved_on", behind);
        for unknown in looked.unknown {
            applied = applied.warning(format!("a sequence could not be compared: {unknown}"));
        }
        let known = known::of(cx.facts, &self.primary.database);
        Ok(slots(applied, known.slots.as_ref(), &seen))
    }
}
