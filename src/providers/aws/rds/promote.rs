//! `rds.promote_replica`: makes a read replica a database of its own.

use schemars::JsonSchema;
use serde::Deserialize;

use super::check_replica;
use super::instance::{Instance, Stage};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::failure::{Call, code};
use crate::providers::aws::identity::untried;
use crate::providers::aws::waiting::{Asked, Look, until};
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, FailureClass, Observed,
};

/// The arguments of `rds.promote_replica`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database, by its name in the configuration.
    database: String,
    /// The region whose instance is promoted.
    r#in: String,
    /// Days for which the promoted instance keeps its automated backups; without it, as the
    /// replica has it, or 1 day.
    backup_retention: Option<u8>,
}

pub(super) struct Promote {
    instance: Instance,
    retention: Option<i32>,
}

pub(super) fn make(with: With, config: &Config) -> Result<Promote> {
    if with.backup_retention.is_some_and(|days| days > 35) {
        // Amazon RDS API Reference, PromoteReadReplica.
        return Err(Error::new(Kind::Usage, "`backup_retention` is at most 35 days"));
    }
    let instance = Instance::of(config, &with.database, &with.r#in)?;
    Ok(Promote { instance, retention: with.backup_retention.map(i32::from) })
}

impl Promote {
    fn refused(&self, why: String) -> Failure {
        let error = Error::new(Kind::Failed, self.what()).caused_by(why).hint(
            "nothing was promoted; `aws rds describe-db-instances` shows the instance as it is",
        );
        Failure::permanent(error)
    }

    fn what(&self) -> String {
        format!("promote {}", self.instance)
    }

    /// Asks for the promotion. `Some`: RDS will not begin it now, for this reason.
    async fn ask(&self, cx: &Context<'_>) -> Result<Option<String>, Failure> {
        let call = Call::writes("rds:PromoteReadReplica", self.what());
        let answer = cx
            .world
            .aws
            .at(&self.instance.region)
            .await?
            .writing()
            .rds()
            .promote_read_replica()
            .db_instance_identifier(&self.instance.id)
            .set_backup_retention_period(self.retention)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            // Its status has changed since the look: a backup began, or another operator asked.
            Err(e) if code(&e) == Some("InvalidDBInstanceState") => {
                Ok(Some(call.failed(e).error.one_line()))
            }
            Err(e) => Err(call.failed(e)),
        }
    }
}

impl Action for Promote {
    fn describe(&self) -> Description {
        let Instance { database, source, .. } = &self.instance;
        let of = source.as_ref().map(|source| format!(", the replica of `{source}`"));
        let effect = format!("promote {} of `{database}`{}", self.instance, of.unwrap_or_default());
        self.instance.leaning(
            Description::changes(effect)
                .detail("RDS reboots the instance and takes minutes; replication ends and cannot be taken up again")
                .detail("while a backup of the replica runs RDS refuses: the step waits for its end as long as its timeout allows")
                .detail("a replica of another source is refused; an instance that is no replica is left as it is"),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let mut checks = check_replica::checks(cx, &self.instance).await;
        let what = format!("permission to promote {}", self.instance);
        checks.push(untried(what, &["rds:PromoteReadReplica"]));
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let instance = self.instance.look(cx).await?;
        Ok(match self.instance.stage(&instance) {
            Stage::Standalone => Observed::Done(Facts::new()),
            Stage::Promotable => Observed::NotDone("it is still a replica".into()),
            Stage::Busy(status) => {
                Observed::NotDone(format!("it is still a replica, with status `{status}`"))
            }
            Stage::Refused(why) => Observed::NotDone(why),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let asked = Asked::default();
        let began = tokio::time::Instant::now();
        let promoted = until(cx, &self.what(), || async {
            let instance = self.instance.look(cx).await?;
            match self.instance.stage(&instance) {
                Stage::Standalone => Ok(Look::There(())),
                Stage::Refused(why) => Err(self.refused(why)),
                Stage::Busy(status) if status == "backing-up" => Ok(Look::NotYet(
                    "a backup of the replica to end (RDS promotes none in `backing-up`)".into(),
                )),
                Stage::Busy(status) => {
                    Ok(Look::NotYet(format!("RDS: the replica's status is `{status}`")))
                }
                Stage::Promotable if asked.lately() => {
                    Ok(Look::NotYet("RDS to begin the promotion".into()))
                }
                Stage::Promotable => Ok(Look::NotYet(asked.ask(self.ask(cx)).await?)),
            }
        })
        .await;
        let asked = asked.at_all();
        match promoted {
            Ok(()) if asked => {
                let took = began.elapsed().as_secs_f64();
                let summary = format!("{} is promoted after {took:.1} s", self.instance);
                Ok(Applied::new(summary).fact("seconds", took))
            }
            Ok(()) => Ok(Applied::new(format!("{} is no replica", self.instance))),
            // It goes on at RDS.
            Err(f) if asked && f.class == FailureClass::Transient => Err(Failure::unknown(f.error)),
            Err(f) => Err(f),
        }
    }
}
