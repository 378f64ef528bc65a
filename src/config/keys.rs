//! Every key that is accepted. The template and docs/configuration.md are tested against this.

pub(super) const PROJECT: &[&str] = &["name"];
pub(super) const REGIONS: &[&str] = &["primary", "standby"];
pub(super) const STORE: &[&str] = &[
    "url",
    "region",
    "patience",
    "endpoint",
    "path_style",
    "sse",
    "kms_key",
    "object_lock",
    "storage_class",
    "aws_profile",
    "access_key_id",
    "secret_access_key",
];
pub(super) const DATABASE: &[&str] = &[
    "url",
    "stores",
    "jobs",
    "cache_dir",
    "exclude_schemas",
    "exclude_tables",
    "exclude_table_data",
    "part_size",
    "zstd_level",
    "change_detection",
    "full_every",
    "keep",
    "lock_timeout",
    "deadline",
    "profile",
    "format",
    "stable_types",
    "pg_bin",
    "server",
    "drill",
];
pub(super) const KEEP: &[&str] = &["hourly", "daily", "weekly", "monthly"];
pub(super) const SERVER: &[&str] = &["url", "rds_instance"];
pub(super) const TARGET: &[&str] = &["url"];
pub(super) const DATABASE_DRILL: &[&str] = &["assert", "app"];
pub(super) const APP: &[&str] = &["command", "url", "env", "dir", "timeout"];
pub(super) const DRILL: &[&str] =
    &["target", "window", "folder", "user", "pg_bin", "without_extensions", "timeout"];
pub(super) const OBJECTIVES: &[&str] = &["rto", "rpo"];
pub(super) const FAILOVER: &[&str] = &["runbook", "runbooks", "store", "preflight_max_age"];
pub(super) const AWS: &[&str] = &["endpoint", "profile", "access_key_id", "secret_access_key"];
pub(super) const CHANNEL: &[&str] = &["kind", "url", "routing_key", "secret", "from", "to"];
pub(super) const SIGNING: &[&str] = &["key", "trusted_keys"];

/// The tables of the file with their keys.
pub(super) const TABLES: &[(&str, &[&str])] = &[
    ("project", PROJECT),
    ("regions", REGIONS),
    ("store", STORE),
    ("database", DATABASE),
    ("target", TARGET),
    ("signing", SIGNING),
    ("objectives", OBJECTIVES),
    ("failover", FAILOVER),
    ("drill", DRILL),
    ("aws", AWS),
    ("channel", CHANNEL),
    ("vars", &[]),
];

/// The names of the tables.
pub(super) fn top() -> Vec<&'static str> {
    TABLES.iter().map(|(name, _)| *name).collect()
}

/// The table that `key` belongs to, where it was written in another.
pub(super) fn home_of(key: &str) -> Option<String> {
    let (table, _) = TABLES.iter().find(|(_, keys)| keys.contains(&key))?;
    Some(match *table {
        "store" | "database" | "target" | "aws" | "channel" => format!("[{table}.NAME]"),
        _ => format!("[{table}]"),
    })
}
