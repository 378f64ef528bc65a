//! Every key that is accepted. The template and docs/configuration.md are tested against this.

pub(super) const PROJECT: &[&str] = &["name"];
pub(super) const REGIONS: &[&str] = &["primary", "standby"];
pub(super) const STORE: &[&str] = &[
    "url",
    "region",
    "patience",
    "copy",
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
pub(super) const DRILL: &[&str] = &[
    "target",
    "window",
    "folder",
    "user",
    "pg_bin",
    "without_extensions",
    "timeout",
    "rds",
    "failover",
];
pub(super) const DRILL_RDS: &[&str] = &[
    "region",
    "template",
    "class",
    "engine_version",
    "storage",
    "storage_type",
    "kms_key",
    "subnet_group",
    "security_groups",
    "parameter_group",
    "user",
    "sslrootcert",
    "sslmode",
    "create_timeout",
];
pub(super) const DRILL_FAILOVER: &[&str] = &[
    "config", "runbook", "mode", "fault", "heal", "url", "resolver", "sql", "database", "hold",
    "timeout",
];
pub(super) const OBJECTIVES: &[&str] = &["rto", "rpo"];
pub(super) const FAILOVER: &[&str] = &["runbook", "runbooks", "store", "preflight_max_age", "auto"];
pub(super) const AUTO: &[&str] = &["quorum", "for", "epoch", "max_loss", "accept_unfenced"];
pub(super) const AWS: &[&str] = &["endpoint", "profile", "access_key_id", "secret_access_key"];
pub(super) const CHANNEL: &[&str] =
    &["kind", "url", "routing_key", "secret", "from", "to", "api_key", "token"];
pub(super) const ROUTE: &[&str] = &["severity", "keys", "channels"];
pub(super) const ALERTS: &[&str] = &["remind"];
pub(super) const METRICS: &[&str] =
    &["textfile", "cloudwatch_namespace", "cloudwatch_region", "dogstatsd", "every"];
pub(super) const WEB: &[&str] = &["listen", "token", "public_url", "cert", "key", "client_ca"];
pub(super) const INTAKE: &[&str] = &["kind", "secret", "topics", "match", "runbook", "mode"];
pub(super) const JOB: &[&str] = &[
    "name",
    "run",
    "database",
    "on",
    "time_zone",
    "jitter",
    "timeout",
    "catch_up",
    "args",
    "heartbeat",
];
pub(super) const RUNNER: &[&str] = &["max_parallel", "sample_every", "rpo_alert", "name"];
pub(super) const SIGNING: &[&str] = &["key", "trusted_keys"];
pub(super) const ENCRYPTION: &[&str] = &["recipients", "identity"];

/// The tables of the file with their keys.
pub(super) const TABLES: &[(&str, &[&str])] = &[
    ("project", PROJECT),
    ("regions", REGIONS),
    ("store", STORE),
    ("database", DATABASE),
    ("target", TARGET),
    ("signing", SIGNING),
    ("encryption", ENCRYPTION),
    ("objectives", OBJECTIVES),
    ("failover", FAILOVER),
    ("drill", DRILL),
    ("aws", AWS),
    ("channel", CHANNEL),
    ("route", ROUTE),
    ("alerts", ALERTS),
    ("metrics", METRICS),
    ("web", WEB),
    ("intake", INTAKE),
    ("job", JOB),
    ("runner", RUNNER),
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
        "store" | "database" | "target" | "aws" | "channel" | "intake" | "route" => {
            format!("[{table}.NAME]")
        }
        "job" => "[[job]]".to_owned(),
        _ => format!("[{table}]"),
    })
}
