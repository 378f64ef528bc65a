//! The values of a checked configuration, with their defaults.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::{RowFormat, Severity};

use super::Secret;
use super::drills::DrillConfig;
use super::encryption::EncryptionConfig;
use super::job::{JobConfig, RunnerConfig};
use super::lookup::Section;
use super::web::{AutoPolicy, IntakeConfig, WebConfig};

/// A whole checked configuration. Stores, databases and targets are reached by name, since one
/// whose references are not resolved exists, and must be missed loudly.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    pub project: String,
    pub regions: Regions,
    pub(super) stores: Vec<Section<StoreConfig>>,
    pub(super) databases: Vec<Section<DatabaseConfig>>,
    pub(super) targets: Vec<Section<TargetConfig>>,
    pub objectives: Objectives,
    pub failover: FailoverConfig,
    pub drill: DrillConfig,
    pub(super) aws: Vec<Section<AwsConfig>>,
    pub(super) channels: Vec<Section<ChannelConfig>>,
    /// None: nothing is served.
    pub web: Option<WebConfig>,
    pub(super) intakes: Vec<Section<IntakeConfig>>,
    /// In the order of the file.
    pub jobs: Vec<JobConfig>,
    pub runner: RunnerConfig,
    pub(super) routes: Vec<Section<RouteConfig>>,
    pub alerts: AlertsConfig,
    pub metrics: MetricsConfig,
    /// What runbooks reach as `${vars.NAME}`: strings, numbers, truth values and arrays of strings.
    pub vars: BTreeMap<String, serde_json::Value>,
    /// Ed25519 private key (PKCS#8 PEM) with which manifests are signed.
    pub signing_key: Option<Secret>,
    pub(super) trusted_keys: Result<Vec<String>, Vec<String>>,
    pub encryption: EncryptionConfig,
    /// Every reference that could not be resolved, in the order of the file. What needs the value
    /// fails with the same reason; all else works.
    pub unresolved: Vec<Unresolved>,
    /// What works but may not be what was meant, with file and line.
    pub warnings: Vec<String>,
}

/// A reference that has no value here and now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unresolved {
    /// `database.petforce`, `store.west`, `target.scratch`, `signing` or `encryption`.
    pub table: String,
    /// With file and line; names the variable or file, never a value.
    pub reason: String,
}

#[derive(Debug, Clone)]
pub struct Regions {
    pub primary: String,
    pub standby: Option<String>,
}

/// Where a store's objects lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreUrl {
    /// `s3://bucket/prefix`; the prefix has no slash at either end and may be empty.
    S3 { bucket: String, prefix: String },
    /// `file:///dir`.
    File { dir: PathBuf },
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::S3 { bucket, prefix } if prefix.is_empty() => write!(f, "s3://{bucket}"),
            Self::S3 { bucket, prefix } => write!(f, "s3://{bucket}/{prefix}"),
            Self::File { dir } => write!(f, "file://{}", dir.display()),
        }
    }
}

/// Server-side encryption of an S3 store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sse {
    Aes256,
    Kms { key: Option<String> },
}

#[derive(Debug, Clone)]
pub struct StoreConfig {
    pub name: String,
    pub url: StoreUrl,
    pub region: String,
    /// How long a store that does not answer is tried.
    pub patience: Duration,
    /// Whether S3 itself copies what this store has from another one of the same snapshots; drctl then
    /// writes none there, and looks whether they arrive.
    pub is_replica: bool,
    /// For S3-compatible stores and for tests; none: the region's AWS endpoint.
    pub endpoint: Option<String>,
    pub path_style: bool,
    pub sse: Option<Sse>,
    /// Retention in compliance with S3 Object Lock (governance mode) from the moment of the put.
    pub object_lock: Option<Duration>,
    /// `STANDARD_IA` and the like, for parts.
    pub storage_class: Option<String>,
    /// A profile of the AWS configuration files; none: the default credential chain.
    pub aws_profile: Option<String>,
    pub access_key_id: Option<Secret>,
    pub secret_access_key: Option<Secret>,
}

impl StoreConfig {
    /// A store with everything else at its default.
    pub fn new(name: impl Into<String>, url: StoreUrl, region: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            url,
            region: region.into(),
            patience: Duration::from_mins(2),
            is_replica: false,
            endpoint: None,
            path_style: false,
            sse: None,
            object_lock: None,
            storage_class: None,
            aws_profile: None,
            access_key_id: None,
            secret_access_key: None,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ChangeDetection {
    /// Ranges whose row versions are all older than the previous snapshot are not read.
    #[default]
    Xmin,
    /// Everything is read.
    Read,
}

/// How many snapshots to keep: the newest of each of so many hours, days, ISO weeks and months.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keep {
    pub hourly: u32,
    pub daily: u32,
    pub weekly: u32,
    pub monthly: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self { hourly: 48, daily: 14, weekly: 8, monthly: 12 }
    }
}

/// A provider that owns some of the schemas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    Supabase,
    Rds,
}

#[derive(Debug, Clone)]
pub struct DatabaseConfig {
    pub name: String,
    /// URI or key=value conninfo.
    pub url: Secret,
    /// Names of stores, nearest first.
    pub stores: Vec<String>,
    /// Connections that read (or load) rows. Default 4.
    pub jobs: usize,
    /// Holds parts read or written lately, so that bases need no download.
    pub cache_dir: Option<PathBuf>,
    /// Patterns (`*` and `?`) of schemas that are not taken at all.
    pub exclude_schemas: Vec<String>,
    /// Patterns of `schema.table` that are not taken at all.
    pub exclude_tables: Vec<String>,
    /// Patterns of `schema.table` whose definition is taken and rows are not.
    pub exclude_table_data: Vec<String>,
    /// Bytes of heap in a range; a part is cut at twice this. Default 8 MiB.
    pub part_size: u64,
    /// Default 1.
    pub zstd_level: i32,
    pub change_detection: ChangeDetection,
    /// A new generation starts this long after the last one did. Default 7 days.
    pub full_every: Duration,
    pub keep: Keep,
    /// How long a snapshot waits for table locks. Default 30 s.
    pub lock_timeout: Duration,
    /// A snapshot that takes longer fails. Default 50 minutes.
    pub deadline: Duration,
    pub profile: Option<Profile>,
    pub row_format: RowFormat,
    /// Types besides the built-in ones whose text depends on their bytes alone.
    pub stable_types: Vec<String>,
    /// Folder of pg_dump and pg_restore; none: PATH and the usual places.
    pub pg_bin: Option<PathBuf>,
    /// The database's servers by region, for status and failover; empty where none are configured.
    pub servers: BTreeMap<String, ServerConfig>,
    /// What drills ask of the restored database besides what they always do.
    pub drill: DatabaseDrill,
}

impl DatabaseConfig {
    /// A database with everything else at its default.
    pub fn new(name: impl Into<String>, url: Secret, stores: Vec<String>) -> Self {
        Self {
            name: name.into(),
            url,
            stores,
            jobs: 4,
            cache_dir: None,
            exclude_schemas: Vec::new(),
            exclude_tables: Vec::new(),
            exclude_table_data: Vec::new(),
            part_size: 8 << 20,
            zstd_level: 1,
            change_detection: ChangeDetection::default(),
            full_every: Duration::from_hours(7 * 24),
            keep: Keep::default(),
            lock_timeout: Duration::from_secs(30),
            deadline: Duration::from_mins(50),
            profile: None,
            row_format: RowFormat::default(),
            stable_types: Vec::new(),
            pg_bin: None,
            servers: BTreeMap::new(),
            drill: DatabaseDrill::default(),
        }
    }
}

/// `[database.NAME.drill]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DatabaseDrill {
    /// Statements by name, in the order of the file; each gives one row that is true.
    pub assertions: Vec<(String, String)>,
    pub app: Option<AppConfig>,
}

/// An application that a drill starts on the restored database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppConfig {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// Answers with a status from 200 to 299 once the application serves.
    pub url: String,
    pub env: BTreeMap<String, String>,
    /// The folder to run in. Default: that of the configuration.
    pub dir: PathBuf,
    /// How long it may take to serve. Default 1 minute.
    pub timeout: Duration,
}

/// A named place to restore to.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    pub name: String,
    pub url: Secret,
}

/// The database's server in one region.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    pub region: String,
    /// Conninfo of a role that may do there what runbooks do: promote, end sessions, alter the
    /// database.
    pub url: Secret,
    /// The RDS instance that it is, where it is one.
    pub rds_instance: Option<String>,
}

/// How soon, and with how much lost, the service must be back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objectives {
    /// Recovery time objective. Default 15 minutes.
    pub rto: Duration,
    /// Recovery point objective. Default 1 hour.
    pub rpo: Duration,
}

impl Default for Objectives {
    fn default() -> Self {
        Self { rto: Duration::from_mins(15), rpo: Duration::from_hours(1) }
    }
}

/// How `drctl failover` works.
#[derive(Debug, Clone)]
pub struct FailoverConfig {
    /// The runbook that is meant when none is named. Default `region-failover`.
    pub runbook: String,
    /// The folder of runbooks. Default `runbooks` beside the configuration.
    pub runbooks: PathBuf,
    /// The store that keeps runs, their lease and the epoch; none: the first one in the standby
    /// region.
    pub store: Option<String>,
    /// A run refuses a preflight that is older. Default 24 hours.
    pub preflight_max_age: Duration,
    /// None: drctl never begins a failover by itself.
    pub auto: Option<AutoPolicy>,
}

/// How to reach AWS in one region, or, as `global`, its global services such as Route 53.
#[derive(Debug, Clone, Default)]
pub struct AwsConfig {
    /// `us-west-2` or `global`.
    pub name: String,
    /// For tests and for services that speak AWS; none: the region's own endpoints.
    pub endpoint: Option<String>,
    /// A profile of the AWS configuration files; none: the default credential chain.
    pub profile: Option<String>,
    pub access_key_id: Option<Secret>,
    pub secret_access_key: Option<Secret>,
}

/// Somewhere to send notifications.
#[derive(Debug, Clone)]
pub struct ChannelConfig {
    pub name: String,
    pub kind: ChannelKind,
}

/// How a channel is spoken to.
#[derive(Debug, Clone)]
pub enum ChannelKind {
    /// A Slack incoming webhook.
    Slack { url: Secret },
    /// PagerDuty Events API v2; `url` replaces its endpoint.
    PagerDuty { routing_key: Secret, url: Option<String> },
    /// `url` is `smtps://user:password@host:465`, or `smtp://…:587?tls=required`.
    Email { url: Secret, from: String, to: Vec<String> },
    /// JSON by POST; with `secret`, signed with HMAC-SHA-256.
    Webhook { url: Secret, secret: Option<Secret> },
    /// Events of DataDog; `url` replaces the address of its Events API.
    DataDog { api_key: Secret, url: Option<String> },
    /// The Alertmanager at `url`, without `/api/v2/…`; `token` goes as a bearer token.
    Alertmanager { url: Secret, token: Option<Secret> },
}

impl ChannelKind {
    /// The word for it, in the configuration and as the end of `notify.…`.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Slack { .. } => "slack",
            Self::PagerDuty { .. } => "pagerduty",
            Self::Email { .. } => "email",
            Self::Webhook { .. } => "webhook",
            Self::DataDog { .. } => "datadog",
            Self::Alertmanager { .. } => "alertmanager",
        }
    }
}

/// Which alerts go to which channels.
#[derive(Debug, Clone)]
pub struct RouteConfig {
    pub name: String,
    /// Alerts of these; empty: of any.
    pub severity: Vec<Severity>,
    /// Patterns (`*` and `?`) of keys of alerts; empty: any.
    pub keys: Vec<String>,
    /// Names of channels. Empty: nobody, which is said by leaving them out on purpose.
    pub channels: Vec<String>,
}

/// How alerts are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AlertsConfig {
    /// Between two reminders of a trouble that lasts and that nobody has taken on. Default 4 hours.
    pub remind: Duration,
}

impl Default for AlertsConfig {
    fn default() -> Self {
        Self { remind: Duration::from_hours(4) }
    }
}

/// Where metrics go, besides `/metrics`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricsConfig {
    /// For the textfile collector of node_exporter.
    pub textfile: Option<PathBuf>,
    /// The namespace in CloudWatch; none: nothing goes there.
    pub cloudwatch_namespace: Option<String>,
    /// Default: the standby region, which must be there when it matters; else the primary.
    pub cloudwatch_region: Option<String>,
    /// `host:port` of a DogStatsD agent.
    pub dogstatsd: Option<String>,
    /// How often the runner sends them. Default 1 minute.
    pub every: Duration,
}

impl Default for MetricsConfig {
    fn default() -> Self {
        Self {
            textfile: None,
            cloudwatch_namespace: None,
            cloudwatch_region: None,
            dogstatsd: None,
            every: Duration::from_mins(1),
        }
    }
}
