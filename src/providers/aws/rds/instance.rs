//! The RDS instance that a database has in a region, and what its states mean.

use std::fmt;

use aws_sdk_rds::types::DbInstance;

use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::providers::aws::failure::Call;
use crate::providers::{Context, Description, Failure, Plane};

/// Which instance is meant.
#[derive(Debug, Clone)]
pub(super) struct Instance {
    pub database: String,
    pub region: String,
    pub id: String,
    /// The instance of the primary region, of which a replica must be one; `None`: not configured.
    pub source: Option<String>,
    /// Where that one is.
    pub source_region: String,
}

impl fmt::Display for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RDS instance `{}` in {}", self.id, self.region)
    }
}

impl Instance {
    /// The instance of `database` in `region`, as the configuration has it.
    pub fn of(config: &Config, database: &str, region: &str) -> Result<Self> {
        let servers = &config.database(database)?.servers;
        let id = |region: &str| servers.get(region).and_then(|s| s.rds_instance.clone());
        let Some(own) = id(region) else {
            return Err(Error::new(
                Kind::Usage,
                format!("database `{database}` has no RDS instance in {region}"),
            )
            .hint(format!("name it: `rds_instance` in [database.{database}.server.{region}]")));
        };
        // The primary region's, or the other one's when the regions have changed roles.
        let primary = &config.regions.primary;
        let other = servers.keys().find(|other| *other != region);
        let from = if primary == region { other } else { Some(primary) };
        let source_region = from.cloned().unwrap_or_default();
        let source = id(&source_region);
        let (database, region) = (database.to_owned(), region.to_owned());
        Ok(Self { database, region, id: own, source, source_region })
    }

    pub fn leaning(&self, description: Description) -> Description {
        description.leans_on(&*self.region, Plane::Control, "the control plane of RDS")
    }

    /// The instance as RDS tells it.
    pub async fn look(&self, cx: &Context<'_>) -> Result<DbInstance, Failure> {
        look(cx, &self.region, &self.id).await
    }

    /// Where it stands on its way from replica to a database of its own.
    pub fn stage(&self, instance: &DbInstance) -> Stage {
        let source = instance.read_replica_source_db_instance_identifier();
        stage(instance.db_instance_status(), source, self.source.as_deref())
    }
}

/// The instance `id` in `region` as RDS tells it.
pub(super) async fn look(cx: &Context<'_>, region: &str, id: &str) -> Result<DbInstance, Failure> {
    let what = format!("look at RDS instance `{id}` in {region}");
    let call = Call::reads("rds:DescribeDBInstances", &*what);
    let reach = cx.world.aws.at(region).await?;
    let request = reach.rds().describe_db_instances().db_instance_identifier(id);
    let answer = request.send().await.map_err(|e| call.failed(e))?;
    answer.db_instances.unwrap_or_default().into_iter().next().ok_or_else(|| {
        Failure::permanent(Error::new(Kind::Failed, what).caused_by("RDS knows no such instance"))
    })
}

/// Where a replica stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Stage {
    /// It has no source: a database of its own.
    Standalone,
    /// A replica that may be promoted now.
    Promotable,
    /// It will be something else by itself; with its status.
    Busy(String),
    /// It will not, without somebody; says why.
    Refused(String),
}

/// Statuses: Amazon RDS User Guide, "Viewing Amazon RDS DB instance status". A replica is promoted
/// from `available`; not in `backing-up` (Amazon RDS API Reference, PromoteReadReplica), which ends
/// by itself.
fn stage(status: Option<&str>, source: Option<&str>, expected: Option<&str>) -> Stage {
    let Some(source) = source.filter(|source| !source.is_empty()) else {
        return Stage::Standalone;
    };
    if let Some(expected) = expected
        && !names(source, expected)
    {
        return Stage::Refused(format!("it is a replica of `{source}`, not of `{expected}`"));
    }
    match status.unwrap_or("unknown") {
        "available" | "storage-optimization" => Stage::Promotable,
        status if is_stuck(status) => Stage::Refused(format!("its status is `{status}`")),
        status => Stage::Busy(status.to_owned()),
    }
}

/// Whether an instance of this status will not be available again by itself.
pub(super) fn is_stuck(status: &str) -> bool {
    let known = [
        "stopped",
        "stopping",
        "failed",
        "deleting",
        "restore-error",
        "inaccessible-encryption-credentials",
        "inaccessible-encryption-credentials-recoverable",
        "storage-full",
        "insufficient-capacity",
    ];
    known.contains(&status) || status.starts_with("incompatible-")
}

/// Whether the source that RDS names is that instance: by its name, or by its ARN where it is in
/// another region (`arn:aws:rds:us-east-1:123456789012:db:petforce`). Names are lower case.
fn names(source: &str, instance: &str) -> bool {
    let name = |text: &str| text.rsplit(':').next().unwrap_or(text).to_lowercase();
    match instance.starts_with("arn:") {
        true => source.eq_ignore_ascii_case(instance),
        false => name(source) == name(instance),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARN: &str = "arn:aws:rds:us-east-1:123456789012:db:petforce-east";

    #[test]
    fn a_replica_goes_through_its_documented_states() {
        let at = |status, source| stage(Some(status), source, Some("petforce-east"));
        assert_eq!(at("available", Some(ARN)), Stage::Promotable);
        assert_eq!(at("backing-up", Some(ARN)), Stage::Busy("backing-up".into()));
        assert_eq!(at("modifying", Some(ARN)), Stage::Busy("modifying".into()));
        assert_eq!(at("rebooting", Some(ARN)), Stage::Busy("rebooting".into()));
        assert_eq!(at("available", None), Stage::Standalone);
        assert_eq!(at("rebooting", None), Stage::Standalone);
        assert!(matches!(at("stopped", Some(ARN)), Stage::Refused(_)));
        assert!(matches!(at("incompatible-network", Some(ARN)), Stage::Refused(_)));
    }

    #[test]
    fn a_replica_of_something_else_is_refused_by_name() {
        let refused = stage(Some("available"), Some(ARN), Some("billing"));
        let Stage::Refused(why) = refused else { panic!("{refused:?}") };
        assert!(why.contains(ARN) && why.contains("billing"), "{why}");
        assert_eq!(stage(Some("available"), Some("Petforce"), Some("petforce")), Stage::Promotable);
        assert_eq!(stage(Some("available"), Some(ARN), Some(ARN)), Stage::Promotable);
        assert_eq!(stage(Some("available"), Some(ARN), None), Stage::Promotable);
    }
}
