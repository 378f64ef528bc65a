//! The commented configuration that `drctl init` writes.

use std::io::Write as _;
use std::path::Path;

use crate::error::{Attempt as _, Error, Kind, Result};

/// Which stores the written configuration names.
#[derive(Debug, Clone, Copy)]
pub enum Form<'p> {
    /// Two S3 buckets, one in each region, to be filled in.
    S3,
    /// Two folders below an absolute one, so that nothing but a PostgreSQL URL is needed.
    Local { dir: &'p Path },
}

/// The text of a `drctl.toml` for a project and database called `name`, with every accepted key
/// explained. It is valid as it stands. `Kind::Usage` if the folder's name cannot be written in it.
pub fn template(form: Form<'_>, name: &str) -> Result<String> {
    let (east, west, note) = match form {
        Form::S3 => (
            quoted(&format!("s3://{name}-dr-use1/dr")),
            quoted(&format!("s3://{name}-dr-usw2/dr")),
            S3_NOTE,
        ),
        Form::Local { dir } => {
            let dir = dir.to_str().filter(|dir| dir.starts_with('/')).ok_or_else(|| {
                let what = format!("put stores below `{}`", dir.display());
                Error::new(Kind::Usage, what).hint("name an absolute folder in UTF-8")
            })?;
            let dir = dir.trim_end_matches('/');
            let url = |store| quoted(&format!("file://{dir}/{store}"));
            (url("east"), url("west"), LOCAL_NOTE)
        }
    };
    Ok(TEXT
        .replace("@NOTE@", note)
        .replace("@NAME@", name)
        .replace("@EAST@", &east)
        .replace("@WEST@", &west))
}

/// A TOML string that means exactly `text`.
fn quoted(text: &str) -> String {
    toml::Value::String(text.replace("${", "$${")).to_string()
}

/// Writes a new file; one that is there stays as it is and is `Kind::Usage`.
pub fn write_new(path: &Path, text: &str) -> Result<()> {
    let mut file = match std::fs::File::create_new(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(Error::new(Kind::Usage, format!("`{}` exists already", path.display()))
                .hint("it was left as it is; write to another place with `--config PATH`"));
        }
        Err(e) => {
            return Err(
                Error::new(Kind::Failed, format!("write `{}`", path.display())).caused_by(e)
            );
        }
    };
    file.write_all(text.as_bytes())
        .and_then(|()| file.sync_all())
        .attempt(Kind::Failed, || format!("write `{}`", path.display()))
}

const S3_NOTE: &str = "\
# Create one bucket in each region, change the two urls to them, and give AWS credentials in the
# usual ways (environment, profile, or the role of the machine).
";

const LOCAL_NOTE: &str = "\
# Two folders stand in for the buckets of two regions. They are on one machine, so they protect
# against mistakes, not against losing it: before you rely on this, change the urls to
# \"s3://bucket/prefix\" in two regions.
";

const TEXT: &str = r#"# drctl.toml: what to protect and where to keep it.
#
# Lines without `#` are in force; those with `# key = …` show other keys. Where a comment names a
# default, that is what holds without the line. docs/configuration.md has the details.
#
# Any string may hold `${VARIABLE}` from the environment (`$${` gives a literal `${`). Urls of
# databases, access keys and signing keys may also be "file:/path", and are then read from there.
# Check this file and all it names with `drctl doctor`.

[project]
# Written into every snapshot.
name = "@NAME@"

[regions]
# Where the service runs, and where it goes when that region is lost.
primary = "us-east-1"
standby = "us-west-2"

# Stores: places for snapshots. Have one in each region.
@NOTE@[store.east]
# "s3://bucket/prefix" or "file:///absolute/folder".
url = @EAST@
# The region that the store is in.
region = "us-east-1"
# How long a store that does not answer is tried before work goes on without it (default: 2min).
# patience = "2min"

# The other keys of a store are for s3:// stores.
# "s3-replication": S3 itself copies the snapshots of another store here (default: "drctl").
# copy = "drctl"
# Another service that speaks S3 (default: AWS).
# endpoint = "https://s3.example.com"
# Put the bucket in the path rather than in the host name (default: false).
# path_style = true
# Encryption by the store: "AES256" or "aws:kms" (default: as the bucket is set up).
# sse = "aws:kms"
# The KMS key, with sse = "aws:kms" (default: the account's own key for S3).
# kms_key = "arn:aws:kms:us-east-1:111122223333:key/example"
# Nobody can remove an object for so long after it was written. The bucket needs Object Lock, and
# it should be longer than `full_every` below (default: no lock).
# object_lock = "30d"
# The storage class of parts (default: the bucket's).
# storage_class = "STANDARD_IA"
# A profile of ~/.aws/config (default: the usual chain of AWS credentials).
# aws_profile = "dr"
# Or keys given here, by reference.
# access_key_id = "${DR_ACCESS_KEY_ID}"
# secret_access_key = "file:/run/secrets/dr-secret-access-key"

[store.west]
url = @WEST@
region = "us-west-2"

[database.@NAME@]
# A URI or key=value pairs, as psql takes them. The role only needs to read the tables.
url = "${DATABASE_URL}"
# Each snapshot goes to all of these. The first is asked first when something is read back.
stores = ["east", "west"]

# Connections that read or load rows at once (default: 4).
# jobs = 4
# A folder that keeps parts written lately, to save downloads, and the keys of encrypted generations
# (default: none).
# cache_dir = "/var/cache/drctl"
# What not to take, with `*` and `?`: whole schemas, whole tables, or only the rows of tables
# (default: everything is taken).
# exclude_schemas = ["scratch_*"]
# exclude_tables = ["public.tmp_*"]
# exclude_table_data = ["public.sessions"]
# How much of a table one part covers: a power of two from 1MiB to 256MiB (default: 8MiB). Changing
# it stores everything anew.
# part_size = "8MiB"
# Compression from 1 (fast) to 19 (small) (default: 1).
# zstd_level = 1
# "xmin": ask the server which ranges changed and read only those. "read": read everything, every
# time (default: "xmin").
# change_detection = "xmin"
# When to start over with a full snapshot (default: "7d").
# full_every = "7d"
# Snapshots to keep: the newest of each of so many hours, days, weeks and months
# (default: as shown).
# keep = { hourly = 48, daily = 14, weekly = 8, monthly = 12 }
# How long a snapshot waits for a table that somebody has locked (default: "30s").
# lock_timeout = "30s"
# A snapshot that takes longer than this fails, so that the next one can run (default: "50min").
# deadline = "50min"
# Leave out what the provider owns: "supabase" or "rds" (default: none).
# profile = "supabase"
# How rows are written: "text", which psql can read, or "binary" (default: "text").
# format = "text"
# Types of extensions whose values look the same whatever the settings, so that "xmin" may trust
# them (default: built-in types and enums only).
# stable_types = ["public.citext"]
# The folder of pg_dump and pg_restore (default: PATH and the usual places, the newest that fits).
# pg_bin = "/usr/lib/postgresql/17/bin"

# For `drctl status` and `drctl failover`: the database's server in each region, with a role that may
# promote it, end its sessions and alter the database.
# [database.@NAME@.server.us-east-1]
# url = "${ADMIN_URL_EAST}"
# The RDS instance that it is (default: a server of your own).
# rds_instance = "@NAME@-use1"
# [database.@NAME@.server.us-west-2]
# url = "${ADMIN_URL_WEST}"

# What drills ask of the restored database: statements that must give true, and an application that
# must serve (default: neither).
# [database.@NAME@.drill.assert]
# some_rows = "SELECT count(*) > 0 FROM pets"
# [database.@NAME@.drill.app]
# command = ["./app", "--port", "8080"]
# url = "http://127.0.0.1:8080/health"

# A place to restore to, for `drctl restore @NAME@ --to scratch`.
# [target.scratch]
# url = "${SCRATCH_DATABASE_URL}"

# Sign each snapshot with an Ed25519 key and trust only snapshots that are signed (default: neither).
#   openssl genpkey -algorithm ed25519 -out drctl.key && openssl pkey -in drctl.key -pubout -out drctl.pub
# [signing]
# key = "file:/etc/drctl/drctl.key"
# trusted_keys = ["file:/etc/drctl/drctl.pub"]

# Encrypt snapshots before they leave this machine (default: not). `age-keygen -o recovery.key` makes
# a key and prints its recipient; the machine that takes snapshots needs the recipients alone, and
# what restores, drills or verifies contents the `identity` of one of them.
# [encryption]
# recipients = ["age1…"]
# identity = "file:/etc/drctl/recovery.key"

# How soon, and with how much lost, the service must be back (default: as shown).
# [objectives]
# rto = "15min"
# rpo = "1h"

# [failover]
# The runbook of `drctl failover`, and the folder of runbooks (default: as shown).
# runbook = "region-failover"
# runbooks = "runbooks"
# The store of runs, their lease and the epoch (default: the first one in the standby region).
# store = "west"
# A run refuses to start on a preflight older than this (default: "24h").
# preflight_max_age = "24h"
# Let drctl begin that runbook by itself, only when all of this holds (default: never).
# auto = { quorum = 2, for = "3min", epoch = 0, max_loss = "30s", accept_unfenced = true }

# [drill]
# The target on whose server drills restore, or the name of an RDS instance below (default: a server
# that drctl starts itself).
# target = "scratch"
# How old a snapshot that a drill chooses may be (default: "30d").
# window = "30d"
# Where drctl's own server has its files (default: the system's temporary folder).
# folder = "/var/tmp"
# The user that it runs as where drctl runs as root (default: "postgres").
# user = "postgres"
# The folder of postgres and initdb (default: PATH and the usual places).
# pg_bin = "/usr/lib/postgresql/17/bin"
# Extensions that the scratch server need not have (default: those known to hold no data).
# without_extensions = ["pg_cron"]
# A drill that takes longer has failed (default: "4h").
# timeout = "4h"
# An RDS instance that `drctl drill restore --into rds` makes, with the settings of an instance that is
# there, and deletes again. What stands here goes before the template's (default: as the template).
# [drill.rds.rds]
# region = "us-west-2"
# template = "@NAME@-usw2"
# class = "db.t4g.medium"
# engine_version = "17.4"
# GiB at the least; more is taken where the rows need more.
# storage = 20
# storage_type = "gp3"
# kms_key = "alias/drills"
# subnet_group = "drills"
# security_groups = ["sg-0123456789abcdef0"]
# parameter_group = "default.postgres17"
# Its master user, whose password is made for each drill (default: "drctl_drill").
# user = "drctl_drill"
# The certificates of RDS, and how they are used (default: encrypted and not proven, "require").
# sslrootcert = "/etc/drctl/rds-bundle.pem"
# sslmode = "verify-full"
# How long RDS may take (default: "30min").
# create_timeout = "30min"
# Failovers rehearsed in staging: its configuration, and the programs that break its region and mend it.
# [drill.failover]
# config = "staging/drctl.toml"
# fault = ["staging/region", "break"]
# heal = ["staging/region", "mend"]
# The runbook (default: that of [failover] in the staging configuration), and its mode.
# runbook = "region-failover"
# mode = "forced"
# What proves that clients are served: an address, and a statement that gives true (default: the
# steps of the runbook).
# url = "https://app.staging.example.com/health/ready"
# resolver = "192.0.2.53"
# sql = "SELECT count(*) > 0 FROM orders"
# database = "@NAME@"
# So long without a break (default: "10s").
# hold = "10s"
# A drill that takes longer has failed (default: "1h").
# timeout = "1h"

# How to reach AWS in a region, or, as [aws.global], Route 53; only where the usual chain of
# credentials does not do.
# [aws.us-west-2]
# endpoint = "https://aws.example.com"
# profile = "dr"
# access_key_id = "${DR_ACCESS_KEY_ID}"
# secret_access_key = "file:/run/secrets/dr-secret-access-key"

# Where notifications go; runbooks name channels. Have two that do not depend on each other.
# [channel.oncall]
# kind = "pagerduty"
# routing_key = "${PAGERDUTY_ROUTING_KEY}"
# [channel.team]
# kind = "slack"
# url = "${SLACK_WEBHOOK_URL}"
# [channel.mail]
# kind = "email"
# url = "${SMTP_URL}"
# from = "drctl@example.com"
# to = ["oncall@example.com"]
# [channel.hook]
# kind = "webhook"
# url = "${WEBHOOK_URL}"
# secret = "${WEBHOOK_SECRET}"

# [channel.events]
# kind = "datadog"
# api_key = "${DATADOG_API_KEY}"
# [channel.cluster]
# kind = "alertmanager"
# url = "https://alertmanager.example.com"
# token = "${ALERTMANAGER_TOKEN}"

# Which alerts go to which channels (default: all alerts to all channels). Every route that fits
# counts; an alert that fits none goes to all channels.
# [route.page]
# severity = ["critical"]
# channels = ["oncall", "team", "mail"]
# [route.rest]
# severity = ["info", "warning"]
# keys = ["*"]
# channels = ["team"]

# [alerts]
# Between reminders of a trouble that lasts and that nobody has taken on (default: "4h").
# remind = "4h"

# Where metrics go, besides the runner's /metrics (default: nowhere).
# [metrics]
# textfile = "/var/lib/node_exporter/textfile_collector/drctl.prom"
# cloudwatch_namespace = "drctl"
# cloudwatch_region = "us-west-2"
# dogstatsd = "127.0.0.1:8125"
# every = "1min"

# A page for people, metrics, and the intake of alerts, served by `drctl runner` and `drctl web`
# (default: nothing is served). Beyond loopback it needs a token or certificates.
# [web]
# listen = "127.0.0.1:8440"
# token = "${DRCTL_WEB_TOKEN}"
# public_url = "https://dr.example.com"
# cert = "/etc/drctl/web.crt"
# key = "/etc/drctl/web.key"
# client_ca = "/etc/drctl/readers.crt"

# Alerts that open an incident and have a failover prepared, taken in at /intake/NAME.
# [intake.alertmanager]
# kind = "alertmanager"
# secret = "${ALERTMANAGER_TOKEN}"
# match = { alertname = "PrimaryDown", severity = "critical" }
# The runbook, and whether the primary is taken for lost (default: as `drctl failover`, "forced").
# runbook = "region-failover"
# mode = "forced"
# [intake.cloudwatch]
# kind = "sns"
# topics = ["arn:aws:sns:us-west-2:111122223333:dr-alarms"]
# match = { alarm = "petforce-*-down" }

# What `drctl runner` does by itself, and when: "hourly", or five fields of cron in a time zone. A
# snapshot is as old as the moment that it shows: to stay within an objective of 1 h, take one every
# 30 minutes.
# [[job]]
# run = "snapshot"
# on = "*/30 * * * *"
# Names it in records and alerts (default: what it runs).
# name = "snapshot"
# One database, or "all" (default: "all").
# database = "all"
# Of `on` (default: "UTC").
# time_zone = "Europe/Berlin"
# Begin up to so much later, each database by its own amount (default: "0s").
# jitter = "30s"
# End it when it takes longer (default: "1h" for snapshots, "6h" for others).
# timeout = "1h"
# Turns that nobody ran: "once" runs the last of them, "none" waits for the next (default: "once").
# catch_up = "once"
# More arguments for the command (default: none).
# args = ["--full"]
# Called after each good turn, for a service that misses the calls when they stop (default: none).
# heartbeat = "${HEARTBEAT_URL}"
# [[job]]
# run = "verify"
# on = "15 3 * * *"
# [[job]]
# run = "prune"
# on = "15 5 * * *"
# [runner]
# Jobs that run at the same time (default: 4).
# max_parallel = 4
# How often the servers of each database are looked at, so that a failover knows the primary's last
# position, or "never" (default: "5s").
# sample_every = "5s"
# Warn when a snapshot is as old as this share of the `rpo`, in percent (default: 75).
# rpo_alert = 75
# The name of this runner (default: its host and process).
# name = "runner-west"

# What runbooks reach as ${vars.NAME}: names that differ from team to team.
# [vars]
# zone = "Z0123456789ABC"
"#;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::config::{Config, StoreUrl, keys};

    fn no_env(_: &str) -> Option<String> {
        None
    }

    fn forms() -> [(Form<'static>, String); 2] {
        [Form::S3, Form::Local { dir: Path::new("/srv/dr") }]
            .map(|form| (form, template(form, "petforce").unwrap()))
    }

    /// The template with every `# key = …` and `# [table]` in force.
    fn uncommented(text: &str) -> String {
        let starts_code = |rest: &str| {
            rest.starts_with('[')
                || rest.split_once(" = ").is_some_and(|(key, _)| {
                    key.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                })
        };
        let line = |line: &'_ str| match line.strip_prefix("# ") {
            Some(rest) if starts_code(rest) => rest.to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn it_is_valid_as_it_stands_and_waits_only_for_the_url() {
        for (form, text) in forms() {
            let config = Config::parse(&text, Path::new("drctl.toml"), &no_env).unwrap();
            assert_eq!(config.warnings, Vec::<String>::new(), "{form:?}");
            assert_eq!(config.unresolved.len(), 1, "{form:?}: {:?}", config.unresolved);
            assert_eq!(config.unresolved[0].table, "database.petforce");
            assert_eq!(config.database("petforce").unwrap().stores, ["east", "west"]);
        }
    }

    #[test]
    fn every_accepted_key_is_explained_in_both_forms() {
        for (form, text) in forms() {
            let text = uncommented(&text);
            let tree: toml::Table = text.parse().unwrap();
            for (table, keys) in keys::TABLES {
                let mut found = BTreeSet::new();
                let each = match &tree[*table] {
                    toml::Value::Array(all) => all.iter().collect(),
                    table => vec![table],
                };
                for (key, value) in each.iter().flat_map(|t| t.as_table().unwrap()) {
                    found.insert(key);
                    found.extend(value.as_table().into_iter().flat_map(|named| named.keys()));
                }
                for key in *keys {
                    assert!(found.contains(&(*key).to_owned()), "{form:?}: [{table}] {key}");
                }
            }
        }
    }

    #[test]
    fn what_it_shows_in_comments_is_accepted_and_is_the_default_where_it_says_so() {
        let plain = Config::parse(&forms()[0].1, Path::new("drctl.toml"), &no_env).unwrap();
        // A profile and a key exclude each other.
        let text = uncommented(&forms()[0].1)
            .replace("aws_profile = \"dr\"", "")
            .replace("profile = \"dr\"", "")
            // An example that can be encrypted to would be used, and nobody could open it.
            .replace("recipients = [\"age1…\"]", "");
        let full = Config::parse(&text, Path::new("drctl.toml"), &no_env).unwrap();
        let (plain, full) =
            (plain.database("petforce").unwrap(), full.database("petforce").unwrap());
        assert_eq!(plain.jobs, full.jobs);
        assert_eq!(plain.part_size, full.part_size);
        assert_eq!(plain.zstd_level, full.zstd_level);
        assert_eq!(plain.change_detection, full.change_detection);
        assert_eq!(plain.full_every, full.full_every);
        assert_eq!(plain.keep, full.keep);
        assert_eq!(plain.lock_timeout, full.lock_timeout);
        assert_eq!(plain.deadline, full.deadline);
        assert_eq!(plain.row_format, full.row_format);
        assert_eq!((plain.profile, full.profile.is_some()), (None, true));
    }

    #[test]
    fn an_odd_folder_arrives_unchanged() {
        let dir = Path::new("/srv/a \"b\" \\ ${HOME} é/");
        let text = template(Form::Local { dir }, "x").unwrap();
        let config = Config::parse(&text, Path::new("drctl.toml"), &no_env).unwrap();
        let expected = StoreUrl::File { dir: dir.join("west") };
        assert_eq!(config.store("west").unwrap().url, expected);
        assert!(template(Form::Local { dir: Path::new("relative") }, "x").is_err());
    }

    #[test]
    fn a_file_that_is_there_is_not_overwritten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("drctl.toml");
        write_new(&path, "first").unwrap();
        let e = write_new(&path, "second").unwrap_err();
        assert_eq!(e.kind(), Kind::Usage);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "first");
    }
}
