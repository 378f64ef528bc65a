//! `rds.modify_class`: another instance class, as when a small standby must carry all the load.

use aws_sdk_rds::types::DbInstance;
use schemars::JsonSchema;
use serde::Deserialize;

use super::instance::Instance;
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::failure::{Call, code};
use crate::providers::aws::identity::{failed, unproven, untried};
use crate::providers::aws::waiting::{Asked, Look, until};
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, FailureClass, Observed, Standing,
};

/// The arguments of `rds.modify_class`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database, by its name in the configuration.
    database: String,
    /// The region whose instance is changed.
    r#in: String,
    /// The instance class, such as `db.r6g.xlarge`.
    class: String,
}

pub(super) struct ModifyClass {
    instance: Instance,
    class: String,
}

pub(super) fn make(with: With, config: &Config) -> Result<ModifyClass> {
    if !with.class.starts_with("db.") {
        let what = format!("`{}` is no instance class of RDS", with.class);
        return Err(Error::new(Kind::Usage, what).hint("they are named as `db.r6g.xlarge` is"));
    }
    let instance = Instance::of(config, &with.database, &with.r#in)?;
    Ok(ModifyClass { instance, class: with.class })
}

impl ModifyClass {
    fn what(&self) -> String {
        format!("give {} the class {}", self.instance, self.class)
    }

    fn is_so(&self, found: &DbInstance) -> bool {
        found.db_instance_class() == Some(&self.class)
            && found.db_instance_status() == Some("available")
    }

    /// The status, class and pending class, in words.
    fn told(found: &DbInstance) -> String {
        let status = found.db_instance_status().unwrap_or("unknown");
        let class = found.db_instance_class().unwrap_or("unknown");
        let pending = found.pending_modified_values().and_then(|p| p.db_instance_class());
        let pending = pending.map(|class| format!(", to become {class}")).unwrap_or_default();
        format!("its class is {class}{pending}, its status `{status}`")
    }

    async fn ask(&self, cx: &Context<'_>) -> Result<Option<String>, Failure> {
        let call = Call::writes("rds:ModifyDBInstance", self.what());
        let answer = cx
            .world
            .aws
            .at(&self.instance.region)
            .await?
            .writing()
            .rds()
            .modify_db_instance()
            .db_instance_identifier(&self.instance.id)
            .db_instance_class(&self.class)
            .apply_immediately(true)
            .send()
            .await;
        match answer {
            Ok(_) => Ok(None),
            Err(e) if code(&e) == Some("InvalidDBInstanceState") => {
                Ok(Some(call.failed(e).error.one_line()))
            }
            Err(e) => Err(call.failed(e)),
        }
    }

    async fn offered(&self, cx: &Context<'_>, found: &DbInstance) -> Check {
        let what = format!("class {} in {}", self.class, self.instance.region);
        let call =
            Call::reads("rds:DescribeOrderableDBInstanceOptions", format!("look for {what}"));
        let asked = async {
            let reach = cx.world.aws.at(&self.instance.region).await?;
            let request = reach
                .rds()
                .describe_orderable_db_instance_options()
                .engine(found.engine().unwrap_or("postgres"))
                .set_engine_version(found.engine_version().map(str::to_owned))
                .db_instance_class(&self.class);
            request.send().await.map_err(|e| call.failed(e))
        };
        match asked.await {
            Ok(answer) if answer.orderable_db_instance_options().is_empty() => {
                Check::new(Standing::NotReady, what, "not offered for this engine version")
            }
            Ok(_) => {
                Check::new(Standing::Ready, what, "offered; whether there is capacity shows then")
            }
            Err(f) => unproven(what, &f.error),
        }
    }
}

impl Action for ModifyClass {
    fn describe(&self) -> Description {
        // Amazon RDS User Guide, "Settings for DB instances": changing the class is an outage.
        self.instance.leaning(
            Description::changes(self.what())
                .detail("at once, not in the maintenance window: the instance is out for minutes"),
        )
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = self.instance.to_string();
        let mut checks = match self.instance.look(cx).await {
            Ok(found) => vec![
                Check::new(Standing::Ready, what, Self::told(&found)),
                self.offered(cx, &found).await,
            ],
            Err(f) => vec![failed(what, f)],
        };
        let what = format!("permission to modify {}", self.instance);
        checks.push(untried(what, &["rds:ModifyDBInstance"]));
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let found = self.instance.look(cx).await?;
        Ok(match self.is_so(&found) {
            true => Observed::Done(Facts::new()),
            false => Observed::NotDone(Self::told(&found)),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let asked = Asked::default();
        let outcome = until(cx, &self.what(), || async {
            let found = self.instance.look(cx).await?;
            if self.is_so(&found) {
                return Ok(Look::There(()));
            }
            let status = found.db_instance_status().unwrap_or("unknown");
            let is_class = found.db_instance_class() == Some(&self.class);
            if is_class || status != "available" || asked.lately() {
                return Ok(Look::NotYet(format!("RDS: {}", Self::told(&found))));
            }
            Ok(Look::NotYet(asked.ask(self.ask(cx)).await?))
        })
        .await;
        match outcome {
            Ok(()) => Ok(Applied::new(format!("{} has the class {}", self.instance, self.class))),
            Err(f) if asked.at_all() && f.class == FailureClass::Transient => {
                Err(Failure::unknown(f.error))
            }
            Err(f) => Err(f),
        }
    }
}
