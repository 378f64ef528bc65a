//! The values of a checked configuration. Defaults stand in `Default` or beside the loader.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::model::RowFormat;

/// A value that is never shown: `Debug` and `Display` print `***`, and it cannot be serialized.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A whole checked configuration.
#[derive(Debug, Clone)]
pub struct Config {
    pub path: PathBuf,
    pub project: String,
    pub regions: Regions,
    /// In the order of the file.
    pub stores: Vec<StoreConfig>,
    pub databases: Vec<DatabaseConfig>,
    pub targets: Vec<TargetConfig>,
    /// Ed25519 private key (PKCS#8 PEM) with which manifests are signed.
    pub signing_key: Option<Secret>,
    /// Ed25519 public keys (SPKI PEM); where any is given, a manifest must carry a signature by one.
    pub trusted_keys: Vec<String>,
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
}

/// A named place to restore to.
#[derive(Debug, Clone)]
pub struct TargetConfig {
    pub name: String,
    pub url: Secret,
}
