//! `rds.check_replica`: whether a read replica could be promoted, and what would be lost.

use std::time::Duration;

use aws_sdk_rds::types::DbInstance;
use schemars::JsonSchema;
use serde::Deserialize;

use super::instance::{Instance, Stage, look};
use super::server::{Replay, replay};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::providers::aws::identity::failed;
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, Leaning, Observed, Plane,
    Standing,
};

/// What asking the primary region may take: it may be the one that failed.
const SOURCE: Duration = Duration::from_secs(4);

/// The arguments of `rds.check_replica`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database, by its name in the configuration.
    database: String,
    /// The region of the replica.
    r#in: String,
}

pub(super) struct CheckReplica {
    instance: Instance,
}

pub(super) fn make(with: With, config: &Config) -> Result<CheckReplica> {
    Ok(CheckReplica { instance: Instance::of(config, &with.database, &with.r#in)? })
}

/// Every check of a replica that is to be promoted.
pub(super) async fn checks(cx: &Context<'_>, instance: &Instance) -> Vec<Check> {
    let found = match instance.look(cx).await {
        Ok(found) => found,
        Err(f) => return vec![failed(instance.to_string(), f)],
    };
    let stage = instance.stage(&found);
    let mut checks = vec![status(instance, &found, &stage)];
    if stage == Stage::Standalone {
        return checks;
    }
    let (server, source) = tokio::join!(replay(cx, instance), source(cx, instance));
    checks.push(lag(instance, server, cx.world.config.objectives.rpo));
    checks.push(retention(instance, found.backup_retention_period()));
    checks.push(version(instance, found.engine_version(), source));
    checks
}

fn status(instance: &Instance, found: &DbInstance, stage: &Stage) -> Check {
    let what = instance.to_string();
    let source = found.read_replica_source_db_instance_identifier().unwrap_or("nothing");
    match stage {
        Stage::Standalone => Check::new(Standing::Warning, what, "it is no replica")
            .hint("if it was promoted before, it follows nothing: make a new replica"),
        Stage::Promotable => {
            Check::new(Standing::Ready, what, format!("available, a replica of {source}"))
        }
        Stage::Busy(status) => {
            let found = format!("a replica of {source}, with status `{status}`");
            Check::new(Standing::Warning, what, found)
                .hint("RDS promotes it only when it is `available`; backups end by themselves")
        }
        Stage::Refused(why) => Check::new(Standing::NotReady, what, &**why),
    }
}

/// As RDS has it: the time since the last transaction that was replayed (Amazon RDS User Guide,
/// "Monitoring and tuning the replication process"). So it grows where nobody writes, to minutes,
/// until the source writes something by itself.
fn lag(instance: &Instance, server: Result<Replay>, rpo: Duration) -> Check {
    let Instance { database, region, .. } = instance;
    let what = format!("lag of `{database}` in {region}");
    let replay = match server {
        Ok(replay) => replay,
        Err(e) => {
            return Check::new(Standing::Unproven, what, format!("unknown: {}", e.one_line()));
        }
    };
    if !replay.in_recovery {
        return Check::new(Standing::NotReady, what, "its server is not in recovery");
    }
    match replay.lag {
        None => Check::new(Standing::Unproven, what, "unknown: it has replayed no transaction"),
        Some(seconds) if seconds > rpo.as_secs_f64() => {
            let found = format!("{seconds:.0} s, more than the RPO of {}", Span(rpo));
            Check::new(Standing::NotReady, what, found)
                .hint("see why replication is behind: a long query there, or the network")
        }
        Some(seconds) => {
            Check::new(Standing::Ready, what, format!("{seconds:.0} s at most (idle counts too)"))
        }
    }
}

/// Without automated backups before, RDS takes one right after the promotion (Amazon RDS API
/// Reference, PromoteReadReplica: enable backups and complete at least one before).
fn retention(instance: &Instance, days: Option<i32>) -> Check {
    let what = format!("automated backups of {instance}");
    match days {
        None => Check::new(Standing::Unproven, what, "RDS does not tell"),
        Some(0) => Check::new(Standing::Warning, what, "off").hint(
            "give the replica a backup retention period now and let one backup end: a first backup \
             after a promotion takes long on a large database",
        ),
        Some(days) => Check::new(Standing::Ready, what, format!("kept for {days} days")),
    }
}

fn version(instance: &Instance, own: Option<&str>, source: Option<DbInstance>) -> Check {
    let what = format!("engine version of {instance}");
    let own = own.unwrap_or("unknown");
    let Some(source) = source else {
        let found = format!("{own}; that of its source is not known");
        return Check::new(Standing::Unproven, what, found);
    };
    match source.engine_version().unwrap_or("unknown") {
        theirs if theirs == own => {
            Check::new(Standing::Ready, what, format!("{own}, as its source"))
        }
        theirs => Check::new(Standing::Warning, what, format!("{own}; its source has {theirs}"))
            .hint("upgrade the replica first, then its source"),
    }
}

/// The source, where its region answers soon.
async fn source(cx: &Context<'_>, instance: &Instance) -> Option<DbInstance> {
    let id = instance.source.as_deref()?;
    let region = &instance.source_region;
    tokio::time::timeout(SOURCE, look(cx, region, id)).await.ok()?.ok()
}

impl CheckReplica {
    /// The facts of a replica with nothing against it, or what there is.
    async fn judge(&self, cx: &Context<'_>) -> Result<(Facts, Vec<String>), String> {
        let checks = checks(cx, &self.instance).await;
        let told = |check: &Check| format!("{}: {}", check.what, check.found);
        let against: Vec<_> =
            checks.iter().filter(|c| c.standing == Standing::NotReady).map(told).collect();
        if !against.is_empty() {
            return Err(against.join("; "));
        }
        let open: Vec<_> =
            checks.iter().filter(|c| c.standing != Standing::Ready).map(told).collect();
        let mut facts = Facts::new();
        facts.insert("found".into(), checks.iter().map(told).collect::<Vec<_>>().into());
        Ok((facts, open))
    }
}

impl Action for CheckReplica {
    fn describe(&self) -> Description {
        let Instance { database, region, source, source_region, .. } = &self.instance;
        let mut description = self
            .instance
            .leaning(Description::looks(format!("check that {} could be promoted", self.instance)))
            .detail("its source, status, lag against the RPO, backups and engine version")
            .leans_on(&**region, Plane::Data, format!("the server of `{database}`"));
        // Only for the engine version, and not for long.
        if let Some(source) = source {
            description.leans_on.push(Leaning {
                region: source_region.clone(),
                plane: Plane::Control,
                what: format!("RDS, for the engine version of `{source}`"),
                optional: true,
            });
        }
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        checks(cx, &self.instance).await
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        Ok(match self.judge(cx).await {
            Ok((facts, _)) => Observed::Done(facts),
            Err(why) => Observed::NotDone(why),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        match self.judge(cx).await {
            Ok((facts, warnings)) => {
                let summary = format!("{} could be promoted", self.instance);
                Ok(Applied { summary, facts, warnings })
            }
            Err(why) => {
                let what = format!("check that {} could be promoted", self.instance);
                Err(Failure::permanent(Error::new(Kind::Failed, what).caused_by(why)))
            }
        }
    }
}
