//! What the instance of a drill is to be: what the configuration says, and for the rest what its
//! template has.

use aws_sdk_rds::types::DbInstance;

use crate::config::RdsDrillConfig;
use crate::drill::Wish;
use crate::error::{Error, Kind, Result};

/// The least that RDS gives to PostgreSQL on gp2 and gp3, in GiB (Amazon RDS API Reference,
/// CreateDBInstance, AllocatedStorage).
const LEAST: u64 = 20;
/// What a server needs besides what it holds: its own catalogues, its WAL, and room to sort.
const OVERHEAD: u64 = 3 << 30;
/// From so many GiB on, gp3 takes figures for IOPS and throughput, and below it refuses them (Amazon
/// RDS User Guide, "gp3 storage").
const GP3_FIGURES: i32 = 400;

/// The arguments of CreateDBInstance that differ from drill to drill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blueprint {
    pub class: String,
    pub engine_version: String,
    pub major: u32,
    pub storage: i32,
    pub storage_type: Option<String>,
    pub iops: Option<i32>,
    pub throughput: Option<i32>,
    pub kms_key: Option<String>,
    pub subnet_group: Option<String>,
    pub security_groups: Vec<String>,
    pub parameter_group: Option<String>,
    pub public: bool,
    pub port: Option<i32>,
    pub ca: Option<String>,
}

/// Refuses what RDS or the restore would refuse only after money was spent.
pub fn draw(
    config: &RdsDrillConfig,
    template: Option<&DbInstance>,
    wish: &Wish,
) -> Result<Blueprint> {
    let refused = |why: String, hint: &str| {
        let what = format!("make an RDS instance in {} for a drill", config.region);
        Err(Error::new(Kind::Usage, what).caused_by(why).hint(hint))
    };
    let text = |own: &Option<String>, of: fn(&DbInstance) -> Option<&str>| {
        own.clone().or_else(|| Some(of(template?)?.to_owned()))
    };
    let engine = template.and_then(DbInstance::engine).unwrap_or("postgres");
    if engine != "postgres" {
        let why = format!("its template runs `{engine}`");
        return refused(why, "name an instance of RDS for PostgreSQL as `template`");
    }
    let Some(class) = text(&config.class, DbInstance::db_instance_class) else {
        return refused("its class is not known".into(), "set `class` in [drill.rds.NAME]");
    };
    let Some(engine_version) = text(&config.engine_version, DbInstance::engine_version) else {
        let hint = "set `engine_version` in [drill.rds.NAME]";
        return refused("its version is not known".into(), hint);
    };
    let Some(major_version) = major(&engine_version).filter(|major| *major >= wish.major) else {
        let why = format!(
            "it would run PostgreSQL {engine_version}, and the snapshot is of {}",
            wish.major
        );
        return refused(
            why,
            "set `engine_version` in [drill.rds.NAME] to that version or a later one",
        );
    };
    let own_type = config.storage_type.is_some();
    let storage_type = text(&config.storage_type, DbInstance::storage_type);
    let storage = storage(config, template, wish);
    let figures = match storage_type.as_deref() {
        _ if own_type => false,
        Some("gp3") => storage >= GP3_FIGURES,
        Some(kind) => kind.starts_with("io"),
        None => false,
    };
    let mut security_groups = config.security_groups.clone();
    if security_groups.is_empty() {
        let groups = template.iter().flat_map(|t| t.vpc_security_groups());
        security_groups.extend(groups.filter_map(|g| Some(g.vpc_security_group_id()?.to_owned())));
    }
    // A parameter group is for one major version.
    let same_major = template
        .and_then(DbInstance::engine_version)
        .is_some_and(|version| major(version) == major(&engine_version));
    let parameter_group = config.parameter_group.clone().or_else(|| {
        let group = template.filter(|_| same_major)?.db_parameter_groups().first()?;
        Some(group.db_parameter_group_name()?.to_owned())
    });
    Ok(Blueprint {
        class,
        engine_version,
        major: major_version,
        storage,
        storage_type,
        iops: template.filter(|_| figures).and_then(DbInstance::iops),
        throughput: template.filter(|_| figures).and_then(DbInstance::storage_throughput),
        kms_key: text(&config.kms_key, DbInstance::kms_key_id),
        subnet_group: text(&config.subnet_group, |t| t.db_subnet_group()?.db_subnet_group_name()),
        security_groups,
        parameter_group,
        public: template.and_then(DbInstance::publicly_accessible).unwrap_or(false),
        port: template.and_then(|t| t.endpoint()?.port()),
        ca: template.and_then(DbInstance::ca_certificate_identifier).map(str::to_owned),
    })
}

/// What is configured or the template has, or what the rows need where that is more, in GiB.
fn storage(config: &RdsDrillConfig, template: Option<&DbInstance>, wish: &Wish) -> i32 {
    let wished = config
        .storage
        .map(u64::from)
        .or_else(|| u64::try_from(template?.allocated_storage()?).ok())
        .unwrap_or(LEAST);
    // Rows, indexes and the row headers together take about twice the rows as text.
    let needed = wish.raw_bytes.saturating_mul(2).saturating_add(OVERHEAD).div_ceil(1 << 30);
    i32::try_from(wished.max(needed).max(LEAST)).unwrap_or(i32::MAX)
}

/// `17` of `17.4`.
fn major(version: &str) -> Option<u32> {
    version.split('.').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use aws_sdk_rds::types::{DbParameterGroupStatus, DbSubnetGroup, VpcSecurityGroupMembership};

    use super::*;
    use crate::config::Secret;

    fn config() -> RdsDrillConfig {
        RdsDrillConfig {
            region: "us-west-2".into(),
            template: Some("petforce-usw2".into()),
            class: None,
            engine_version: None,
            storage: None,
            storage_type: None,
            kms_key: None,
            subnet_group: None,
            security_groups: Vec::new(),
            parameter_group: None,
            user: "drctl_drill".into(),
            sslrootcert: None,
            sslmode: "require".into(),
            create_timeout: Duration::from_mins(30),
        }
    }

    fn template() -> DbInstance {
        DbInstance::builder()
            .db_instance_identifier("petforce-usw2")
            .engine("postgres")
            .engine_version("17.4")
            .db_instance_class("db.r6g.xlarge")
            .allocated_storage(100)
            .storage_type("gp3")
            .iops(3000)
            .storage_throughput(125)
            .kms_key_id("arn:key")
            .publicly_accessible(false)
            .multi_az(true)
            .deletion_protection(true)
            .db_subnet_group(DbSubnetGroup::builder().db_subnet_group_name("private").build())
            .vpc_security_groups(
                VpcSecurityGroupMembership::builder().vpc_security_group_id("sg-1").build(),
            )
            .db_parameter_groups(
                DbParameterGroupStatus::builder().db_parameter_group_name("tuned17").build(),
            )
            .build()
    }

    fn wish(major: u32, raw_bytes: u64) -> Wish {
        Wish {
            drill: "d20261122T134512Z-3f9a1c".parse().unwrap(),
            project: "petforce".into(),
            subject: "petforce".into(),
            began: chrono::DateTime::UNIX_EPOCH,
            keep: false,
            major,
            raw_bytes,
            password: Secret::new("x"),
        }
    }

    #[test]
    fn the_template_fills_in_what_is_not_said() {
        let drawn = draw(&config(), Some(&template()), &wish(17, 1 << 20)).unwrap();
        assert_eq!(
            (drawn.class.as_str(), drawn.engine_version.as_str()),
            ("db.r6g.xlarge", "17.4")
        );
        assert_eq!(drawn.subnet_group.as_deref(), Some("private"));
        assert_eq!(drawn.security_groups, ["sg-1"]);
        assert_eq!(drawn.parameter_group.as_deref(), Some("tuned17"));
        assert_eq!((drawn.storage, drawn.iops), (100, None), "gp3 of 100 GiB takes no figures");
        assert!(!drawn.public);
        // 600 GiB of rows need more, of which gp3 takes figures.
        let large = draw(&config(), Some(&template()), &wish(17, 600 << 30)).unwrap();
        assert_eq!((large.storage, large.iops, large.throughput), (1203, Some(3000), Some(125)));

        let own = RdsDrillConfig {
            class: Some("db.t4g.medium".into()),
            engine_version: Some("18.1".into()),
            storage: Some(30),
            storage_type: Some("gp2".into()),
            security_groups: vec!["sg-2".into()],
            ..config()
        };
        let drawn = draw(&own, Some(&template()), &wish(17, 600 << 30)).unwrap();
        assert_eq!((drawn.class.as_str(), drawn.storage), ("db.t4g.medium", 1203));
        assert_eq!((drawn.storage_type.as_deref(), drawn.iops), (Some("gp2"), None));
        assert_eq!(drawn.security_groups, ["sg-2"]);
        assert_eq!(drawn.parameter_group, None, "the template's is for another version");
    }

    #[test]
    fn what_could_not_hold_the_snapshot_is_refused_before_it_costs_anything() {
        let old = draw(&config(), Some(&template()), &wish(18, 0)).unwrap_err();
        assert!(old.one_line().contains("PostgreSQL 17.4"), "{old:?}");
        assert!(old.advice().unwrap().contains("engine_version"));
        let aurora = DbInstance::builder().engine("aurora-postgresql").build();
        let refused = draw(&config(), Some(&aurora), &wish(17, 0)).unwrap_err();
        assert!(refused.one_line().contains("aurora-postgresql"), "{refused:?}");
        assert!(draw(&config(), None, &wish(17, 0)).is_err());
    }
}
