//! `[drill]`: what drills restore to, and how failovers are rehearsed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// How drills work.
#[derive(Debug, Clone)]
pub struct DrillConfig {
    /// The target on whose server drills restore, or the name in `rds` of the instance that they
    /// make; none: a server that drctl starts itself.
    pub target: Option<String>,
    /// How old a snapshot that a drill chooses may be. Default 30 days.
    pub window: Duration,
    /// Where drctl's own server has its files; none: the system's temporary folder.
    pub folder: Option<PathBuf>,
    /// The user that drctl's own server runs as where drctl runs as root. Default `postgres`.
    pub user: String,
    /// The folder of `postgres` and `initdb`; none: PATH and the usual places.
    pub pg_bin: Option<PathBuf>,
    /// Extensions that the scratch server need not have, besides those known to hold no data.
    pub without_extensions: Vec<String>,
    /// A drill that takes longer has failed. Default 4 hours.
    pub timeout: Duration,
    /// RDS instances that drills make, by name.
    pub rds: BTreeMap<String, RdsDrillConfig>,
    /// None: failovers are drilled in labs only.
    pub failover: Option<FailoverDrillConfig>,
}

/// `[drill.rds.NAME]`: an RDS instance that is made for a drill and deleted. What is none is taken
/// from the template.
#[derive(Debug, Clone)]
pub struct RdsDrillConfig {
    pub region: String,
    /// The identifier of an instance whose settings are taken; only read.
    pub template: Option<String>,
    pub class: Option<String>,
    pub engine_version: Option<String>,
    /// GiB at the least; a drill takes more where the rows need more.
    pub storage: Option<u32>,
    pub storage_type: Option<String>,
    /// None, without a template: the account's key for RDS.
    pub kms_key: Option<String>,
    pub subnet_group: Option<String>,
    /// Empty: those of the template, else the default of the network.
    pub security_groups: Vec<String>,
    pub parameter_group: Option<String>,
    /// The master user. Default `drctl_drill`.
    pub user: String,
    /// The certificates by which the server must prove itself; none: it need not.
    pub sslrootcert: Option<PathBuf>,
    /// As libpq knows it. Default `verify-full` with `sslrootcert`, else `require`.
    pub sslmode: String,
    /// How long RDS may take until the server answers. Default 30 minutes.
    pub create_timeout: Duration,
}

/// `[drill.failover]`: how failovers are rehearsed in staging.
#[derive(Debug, Clone)]
pub struct FailoverDrillConfig {
    /// The configuration of the staging regions; none: that which holds this table is a lab's.
    pub config: Option<PathBuf>,
    /// None: the runbook that `[failover]` of the staging configuration names.
    pub runbook: Option<String>,
    /// Whether the primary is taken for lost. Default: it is.
    pub graceful: bool,
    /// The program that breaks the region, and the one that mends it; no shell.
    pub fault: Vec<String>,
    pub heal: Vec<String>,
    /// Where programs run: the folder of the configuration.
    pub dir: PathBuf,
    /// Answers with 200 while clients are served.
    pub url: Option<String>,
    /// The DNS server that is asked for the host of `url`; none: as this machine does.
    pub resolver: Option<String>,
    /// Gives one row that is true, in the database of the region that is active afterwards.
    pub sql: Option<String>,
    /// The database of `sql`; none: the only one.
    pub database: Option<String>,
    /// How long clients must be served without a break, after the run too. Default 10 s.
    pub hold: Duration,
    /// A drill that takes longer has failed. Default 1 hour.
    pub timeout: Duration,
}

impl Default for DrillConfig {
    fn default() -> Self {
        Self {
            target: None,
            window: Duration::from_hours(30 * 24),
            folder: None,
            user: "postgres".to_owned(),
            pg_bin: None,
            without_extensions: Vec::new(),
            timeout: Duration::from_hours(4),
            rds: BTreeMap::new(),
            failover: None,
        }
    }
}
