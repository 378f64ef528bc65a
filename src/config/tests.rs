//! The loader as its users meet it: whole files in, configurations or problems out.

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

use super::load::locate;
use super::{Config, Secret, Sse, StoreUrl, keys};
use crate::error::{Error, Kind};

const GOOD: &str = r#"
[project]
name = "petforce"
[regions]
primary = "us-east-1"
standby = "us-west-2"
[store.east]
url = "s3://petforce-dr-use1/dr"
region = "us-east-1"
sse = "aws:kms"
object_lock = "30d"
[store.west]
url = "file:///srv/west"
region = "us-west-2"
[database.petforce]
url = "${PETFORCE_DATABASE_URL}"
stores = ["east", "west"]
part_size = "16MiB"
keep = { daily = 3 }
cache_dir = "cache"
[database.other]
url = "host=db password=${OTHER_PASSWORD}"
stores = ["west"]
[target.scratch]
url = "postgres://localhost/scratch"
"#;

const SECRET: &str = "postgres://app:correct-horse@db.example.com/petforce";

fn env(name: &str) -> Option<String> {
    (name == "PETFORCE_DATABASE_URL").then(|| SECRET.to_owned())
}

fn parse(text: &str) -> Result<Config, Error> {
    Config::parse(text, Path::new("./drctl.toml"), &env)
}

fn refusal(text: &str) -> String {
    let e = parse(text).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    e.what().to_owned()
}

#[test]
fn a_good_file_means_what_it_says() {
    let config = parse(GOOD).unwrap();
    assert_eq!(config.project, "petforce");
    let east = config.store("east").unwrap();
    assert_eq!(east.sse, Some(Sse::Kms { key: None }));
    assert_eq!(east.object_lock.map(|d| d.as_secs()), Some(30 * 86_400));
    let west = StoreUrl::File { dir: "/srv/west".into() };
    assert_eq!(config.store("west").unwrap().url, west);
    let database = config.database("petforce").unwrap();
    assert_eq!(database.url.expose().unwrap(), SECRET);
    assert_eq!((database.part_size, database.jobs), (16 << 20, 4));
    assert_eq!((database.keep.daily, database.keep.hourly), (3, 48));
    assert_eq!(database.cache_dir.as_deref(), Some(Path::new("./cache")));
    assert_eq!(config.database_names().collect::<Vec<_>>(), ["petforce", "other"]);
    assert_eq!(config.warnings, Vec::<String>::new());
}

#[test]
fn a_missing_variable_stops_only_what_needs_it() {
    let config = parse(GOOD).unwrap();
    assert!(config.database("petforce").unwrap().url.expose().is_ok());
    let e = config.database("other").unwrap().url.expose().unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    let reason = "drctl.toml:22: `url`: environment variable `OTHER_PASSWORD` is not set";
    assert_eq!(e.what(), reason);
    let [one] = config.unresolved.as_slice() else { panic!("{:?}", config.unresolved) };
    assert_eq!((one.table.as_str(), one.reason.as_str()), ("database.other", reason));

    let moved = GOOD.replace("file:///srv/west", "file://${NOWHERE}/west");
    let config = parse(&moved).unwrap();
    assert!(config.store("east").is_ok());
    assert_eq!(config.store_names().collect::<Vec<_>>(), ["east", "west"]);
    let e = config.store("west").unwrap_err();
    insta::assert_snapshot!(
        e.one_line(),
        @"store `west` cannot be used here: drctl.toml:13: `url`: environment variable `NOWHERE` is not set"
    );
    // What a variable holds is checked too, and not repeated.
    let bad = |name: &str| match name {
        "NOWHERE" => Some("hunter2".to_owned()),
        _ => env(name),
    };
    let config = Config::parse(&moved, Path::new("drctl.toml"), &bad).unwrap();
    let text = config.store("west").unwrap_err().one_line();
    assert!(text.contains("three slashes") && !text.contains("hunter2"), "{text}");
}

#[test]
fn every_problem_is_told_at_once() {
    let text = refusal(
        r#"
colour = "red"
[project]
name = "pet force"
[regions]
primary = "us-east-1"
standby = "us-east-1"
[store.east]
url = "s3://petforce-dr-use1/dr"
regoin = "us-east-1"
jobs = 2
storage_class = "GLACIER"
[store.west]
url = "s3://petforce-dr-use1/dr/"
region = "us-west-2"
sse = "aes256"
kms_key = "k"
access_key_id = "AKIA"
[store.disk]
url = "file://var/lib/drctl"
region = "us-west-2"
path_style = "yes"
[database.state]
url = "mysql://root:hunter2@db/x"
stores = ["eats", "west", "west"]
jobs = 0
part_size = "9MiB"
zstd_level = 20
full_every = 7
lock_timeout = "0s"
deadline = "soon"
change_detection = "xmn"
exclude_tables = ["sessions"]
keep = { hourly = 0, daily = 0, weekly = 0, monthly = 0, yearly = 1 }
profile = "heroku"
[target.x]
[signing]
key = "not a key"
trusted_keys = []
"#,
    );
    insta::assert_snapshot!(text, @r#"
    drctl.toml has 28 problems:
    drctl.toml:2: unknown key `colour` at the top of the file; known here: project, regions, store, database, target, signing, encryption, objectives, failover, drill, aws, channel, route, alerts, metrics, web, intake, job, runner, vars
    drctl.toml:4: `name`: must be 1 to 63 ASCII letters, digits, `-`, `_` and `.`
    drctl.toml:7: `standby` is the same region as `primary`
    drctl.toml:10: unknown key `regoin` in [store.east]; did you mean `region`?
    drctl.toml:11: unknown key `jobs` in [store.east]; it belongs to [database.NAME]
    drctl.toml:12: `storage_class`: objects of this class take hours to become readable; a restore could not begin
    drctl.toml:16: `sse` must be one of "aws:kms", "AES256"; did you mean `AES256`?
    drctl.toml:18: `access_key_id` needs `secret_access_key`
    drctl.toml:20: `url`: the folder must be absolute: three slashes, `file:///var/lib/drctl`, since cron does not run where you do
    drctl.toml:22: `path_style` must be true or false, not a string
    drctl.toml:23: `state` cannot name a database: drctl keeps its own objects there
    drctl.toml:24: `url`: must be a URI such as `postgresql://user@host/database`, or `key=value` pairs
    drctl.toml:25: there is no [store.eats]; did you mean `east`?
    drctl.toml:25: store `west` is named twice
    drctl.toml:26: `jobs` must be from 1 to 64
    drctl.toml:27: `part_size` must be a power of two from 1MiB to 256MiB
    drctl.toml:28: `zstd_level` must be from 1 to 19
    drctl.toml:29: `full_every` needs a unit: "7s", "7min", "7d"
    drctl.toml:30: `lock_timeout`: must be from 1ms to 1d
    drctl.toml:31: `deadline`: must be a duration such as "30s", "50min" or "7d"
    drctl.toml:32: `change_detection` must be one of "xmin", "read"; did you mean `xmin`?
    drctl.toml:33: `exclude_tables`: write `schema.sessions` (or `*.sessions`)
    drctl.toml:34: unknown key `yearly` in [database.state.keep]; known here: hourly, daily, weekly, monthly
    drctl.toml:34: `keep` keeps nothing
    drctl.toml:35: `profile` must be one of "supabase", "rds"
    drctl.toml:36: [target.x] lacks `url`
    drctl.toml:38: `key`: is not an Ed25519 private key in PKCS#8 PEM, as `openssl genpkey -algorithm ed25519` writes it
    drctl.toml:39: `trusted_keys` is empty; leave it out
    "#);
}

#[test]
fn syntax_errors_have_their_line_and_quote_nothing() {
    let text = refusal("[project]\nname = \"x\"\n[project]\npassword = hunter2\n[regions\n");
    insta::assert_snapshot!(text, @r#"
    drctl.toml has 3 problems:
    drctl.toml:3: not TOML: duplicate key
    drctl.toml:4: not TOML: string values must be quoted, expected literal string
    drctl.toml:5: not TOML: unclosed table, expected `]`
    "#);
}

#[test]
fn an_empty_file_is_told_what_it_needs() {
    insta::assert_snapshot!(refusal(""), @r#"
    drctl.toml has 4 problems:
    drctl.toml: there is no [project] with a `name`
    drctl.toml: there is no [regions] with a `primary`
    drctl.toml: there is no [store.NAME]
    drctl.toml: there is no [database.NAME]
    "#);
}

#[test]
fn names_that_are_not_there_get_a_suggestion() {
    let config = parse(GOOD).unwrap();
    let e = config.database("petfroce").unwrap_err();
    insta::assert_snapshot!(e.one_line(), @"no database `petfroce` in drctl.toml; did you mean `petforce`?");
    let e = config.store("moon").unwrap_err();
    assert_eq!(e.advice(), Some("it has east, west"));
    assert!(config.target("scratch").is_ok());
}

#[test]
fn no_secret_is_ever_shown() {
    let literal = GOOD.replace("password=${OTHER_PASSWORD}", "password=correct-horse")
        + "[store.third]\nurl = \"s3://third-bucket\"\nregion = \"us-west-2\"\n\
           access_key_id = \"AKIAcorrect-horse\"\nsecret_access_key = \"correct-horse\"\n";
    let config = parse(&literal).unwrap();
    let shown = format!("{config:?} {config:#?} {}", config.database("petforce").unwrap().url);
    assert!(!shown.contains("correct-horse"), "{shown}");
    assert_eq!(format!("{:?}", Secret::new("correct-horse")), "***");

    for broken in [
        "url = \"mysql://app:correct-horse@db/x\"",
        "url = \"correct-horse\"",
        "url = \"postgres://app:${correct-horse@db/x\"",
        "url = \"postgres://app:correct-horse@db/x",
        "url = [\"correct-horse\"]",
    ] {
        let text = GOOD.replace("url = \"${PETFORCE_DATABASE_URL}\"", broken);
        let e = parse(&text).unwrap_err();
        assert!(!format!("{e:?}").contains("correct-horse"), "{broken}: {e:?}");
    }
}

#[test]
fn what_is_probably_not_meant_is_a_warning() {
    let text = GOOD
        .replace("standby = \"us-west-2\"", "standby = \"eu-west-1\"")
        .replace("object_lock = \"30d\"", "object_lock = \"3d\"\nendpoint = \"http://minio:9000\"");
    insta::assert_snapshot!(parse(&text).unwrap().warnings.join("\n"), @r#"
    drctl.toml:7: store `east` has an http:// endpoint: data travels unencrypted
    drctl.toml:13: store `west` is in region `us-west-2`, which is neither `primary` nor `standby` in [regions]
    drctl.toml:16: no store of database `petforce` is in the standby region `eu-west-1`
    drctl.toml:16: `object_lock` of store `east` (3d) is shorter than `full_every` of database `petforce` (7d): parts lose their lock while new snapshots still need them
    drctl.toml:22: no store of database `other` is in the standby region `eu-west-1`
    "#);
    let one_region = GOOD.replace("stores = [\"east\", \"west\"]", "stores = [\"east\"]");
    insta::assert_snapshot!(parse(&one_region).unwrap().warnings.join("\n"), @"drctl.toml:15: every store of database `petforce` is in the primary region `us-east-1`: losing the region loses the snapshots too");
}

#[test]
fn secrets_that_everybody_can_read_are_a_warning() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let mode = |name: &str, mode| {
        let mode = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(dir.path().join(name), mode).unwrap();
    };
    let path = dir.path().join("drctl.toml");
    std::fs::write(dir.path().join("url"), format!("{SECRET}\n")).unwrap();
    std::fs::write(&path, GOOD.replace("${PETFORCE_DATABASE_URL}", "file:url")).unwrap();
    let load = || Config::load(Some(&path), &|_| None).unwrap();

    mode("url", 0o644);
    mode("drctl.toml", 0o644);
    let config = load();
    assert_eq!(config.database("petforce").unwrap().url.expose().unwrap(), SECRET);
    let [warning] = config.warnings.as_slice() else { panic!("{:?}", config.warnings) };
    assert!(warning.contains("drctl.toml:16: `url`: every user"), "{warning}");
    mode("url", 0o640);
    assert_eq!(load().warnings, Vec::<String>::new());

    std::fs::write(&path, GOOD.replace("${OTHER_PASSWORD}", "literal")).unwrap();
    let [warning] = &*load().warnings else { panic!() };
    assert!(warning.contains("drctl.toml: holds a secret"), "{warning}");
    mode("drctl.toml", 0o600);
    assert_eq!(load().warnings, Vec::<String>::new());
}

#[test]
fn keys_that_sign_are_checked_and_a_missing_trusted_key_is_not_no_key() {
    let public = "-----BEGIN PUBLIC KEY-----\n\
                  MCowBQYDK2VwAyEA11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo=\n\
                  -----END PUBLIC KEY-----\n";
    let private = "-----BEGIN PRIVATE KEY-----\n\
                   MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n\
                   -----END PRIVATE KEY-----\n";
    let env = |name: &str| match name {
        "PUBLIC" => Some(public.to_owned()),
        "PRIVATE" => Some(private.to_owned()),
        _ => None,
    };
    let read = |tail: &str| Config::parse(&format!("{GOOD}{tail}"), Path::new("d.toml"), &env);
    let config = read("[signing]\nkey = \"${PRIVATE}\"\ntrusted_keys = [\"${PUBLIC}\"]\n").unwrap();
    assert_eq!(config.trusted_keys().unwrap(), [public]);
    assert_eq!(config.signing_key.unwrap().expose().unwrap(), private);
    let config = read("[signing]\ntrusted_keys = [\"${PUBLIC}\", \"${GONE}\"]\n").unwrap();
    assert!(config.trusted_keys().unwrap_err().what().contains("`GONE` is not set"));
    let config = read("[signing]\nkey = \"${PUBLIC}\"\n").unwrap();
    assert!(config.signing_key.unwrap().expose().is_err());
    assert!(read("").unwrap().trusted_keys().unwrap().is_empty());
}

#[test]
fn recipients_and_identity_are_checked_and_a_private_key_never_shows() {
    use age::secrecy::ExposeSecret as _;
    let [one, two] = [(); 2].map(|()| age::x25519::Identity::generate());
    let private = one.to_string().expose_secret().to_owned();
    let public = one.to_public();
    let env = |name: &str| match name {
        "KEY" => Some(format!("# created: today\n{private}\n")),
        "BAD" => Some("hunter2".to_owned()),
        _ => None,
    };
    let read = |tail: &str| Config::parse(&format!("{GOOD}{tail}"), Path::new("d.toml"), &env);
    let config = read("").unwrap();
    assert!(config.encryption.recipients.is_empty() && config.encryption.identity.is_none());
    let tail = format!(
        "[encryption]\nrecipients = [\"{public}\", \"{}\"]\nidentity = \"${{KEY}}\"\n",
        two.to_public()
    );
    let config = read(&tail).unwrap();
    assert_eq!(config.encryption.recipients.len(), 2);
    let identity = config.encryption.identity.as_ref().unwrap();
    assert!(identity.expose().unwrap().contains(&private));
    let blotted = super::Redaction::of(&config).clean(&format!("it was {private}!"));
    assert!(!blotted.contains(&private), "{blotted}");
    // What cannot be had here fails where it is needed, and tells the line.
    for bad in ["${NONE}", "${BAD}", "file:/nowhere/recovery.key"] {
        let config = read(&format!("[encryption]\nidentity = \"{bad}\"\n")).unwrap();
        let e = config.encryption.identity.unwrap().expose().unwrap_err();
        assert!(e.what().contains("`identity`") && !e.what().contains("hunter2"), "{e:?}");
        assert_eq!(config.unresolved.last().unwrap().table, "encryption");
    }
    let bad =
        format!("[encryption]\nrecipients = [\"{private}\", \"age1x\"]\nidentity = \"hunter2\"\n");
    let said = read(&bad).unwrap_err().what().to_owned();
    assert!(!said.contains(&private) && !said.contains("hunter2"), "{said}");
    for part in
        ["`recipients`: is a private key", "not an age X25519 recipient", "`identity`: is not"]
    {
        assert!(said.contains(part), "{said}");
    }
    let said = read("[encryption]\nrecipients = []\n").unwrap_err().what().to_owned();
    assert!(said.contains("`recipients` is empty"), "{said}");
}

#[test]
fn the_file_is_found_where_the_help_says() {
    let dir = tempfile::tempdir().unwrap();
    let [given, default, named] = ["given", "default", "named"].map(|name| dir.path().join(name));
    let by_env = |name: &str| (name == "DRCTL_CONFIG").then(|| named.display().to_string());
    let found = |given: Option<&Path>| locate(given, &default, &by_env).unwrap();
    assert_eq!(found(None), named);
    std::fs::write(&default, GOOD).unwrap();
    assert_eq!(found(None), default);
    assert_eq!(found(Some(&given)), given);

    std::fs::remove_file(&default).unwrap();
    let e = locate(None, &default, &|_| None).unwrap_err();
    assert!(e.kind() == Kind::Usage && e.advice().unwrap().contains("drctl init"));
    let e = Config::load(Some(&given), &by_env).unwrap_err();
    assert_eq!(e.kind(), Kind::Usage);
    std::fs::write(&given, GOOD).unwrap();
    assert_eq!(Config::load(Some(&given), &by_env).unwrap().path, given);
}

#[test]
fn what_a_variable_holds_is_never_repeated() {
    let leaky = |_: &str| Some("correct-horse".to_owned());
    for (from, to) in [
        ("\"petforce\"\n[regions]", "\"${X} ${X}\"\n[regions]"),
        ("primary = \"us-east-1\"", "primary = \"${X} ${X}\""),
        ("stores = [\"west\"]", "stores = [\"${X}\", \"${X}\"]"),
        ("sse = \"aws:kms\"", "sse = \"${X}\""),
        ("object_lock = \"30d\"", "object_lock = \"${X}\"\nstorage_class = \"${X}\""),
        ("part_size = \"16MiB\"", "part_size = \"${X}\"\nexclude_tables = [\"${X}\"]"),
        ("postgres://localhost/scratch", "file:${X}"),
        ("postgres://localhost/scratch", "file://${X}/y"),
        ("postgres://localhost/scratch", "${X}://y"),
    ] {
        let text = GOOD.replacen(from, to, 1);
        assert_ne!(text, GOOD, "{from}");
        let shown = match Config::parse(&text, Path::new("drctl.toml"), &leaky) {
            Err(e) => format!("{e:?}"),
            Ok(config) => {
                assert!(!config.unresolved.is_empty(), "{to}");
                format!("{:?} {:?}", config.unresolved, config.warnings)
            }
        };
        assert!(!shown.contains("correct-horse"), "{to}: {shown}");
    }
}

proptest! {
    #[test]
    fn a_broken_file_is_refused_with_reasons(
        edits in prop::collection::vec((any::<Index>(), 0..6_usize, any::<Index>()), 1..6),
        noise in "[\\PC\n]{0,12}",
    ) {
        let values = ["\"${GONE}\"", "\"\"", "7", "[]", "{ a = 1 }", "\"${\"", "true"];
        let mut lines: Vec<String> = GOOD.lines().map(str::to_owned).collect();
        for (at, kind, choice) in edits {
            let at = at.index(lines.len());
            let line = lines[at].clone();
            match kind {
                0 if lines.len() > 1 => _ = lines.remove(at),
                1 => lines.insert(at, line),
                2 => lines[at] = line.replace('e', &noise),
                3 => lines.insert(at, noise.clone()),
                _ => if let Some((key, _)) = line.split_once(" = ") {
                    lines[at] = format!("{key} = {}", values[choice.index(values.len())]);
                },
            }
        }
        match parse(&lines.join("\n")) {
            Ok(config) => prop_assert!(config.database_names().count() > 0),
            // Never `Bug`, which would mean: refused without a reason.
            Err(e) => prop_assert!(e.kind() == Kind::Usage && e.what().lines().count() > 1),
        }
    }
}

/// The keys that docs/configuration.md explains below the headings that begin with `heading`.
fn documented(heading: &str) -> Vec<&'static str> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in include_str!("../../docs/configuration.md").lines() {
        if line.starts_with('#') {
            inside = line.starts_with(heading);
        }
        let key = line.strip_prefix("| `").and_then(|rest| rest.split_once('`'));
        found.extend(key.filter(|_| inside).map(|(key, _)| key));
    }
    found
}

#[test]
fn the_documentation_has_every_key_and_no_other() {
    for (table, known) in keys::TABLES {
        let heading = if *table == "job" { "## [[job" } else { &format!("## [{table}") };
        assert_eq!(documented(heading), *known, "[{table}]");
    }
    assert_eq!(documented("### keep"), keys::KEEP);
    assert_eq!(documented("### server"), keys::SERVER);
    assert_eq!(documented("### auto"), keys::AUTO);
    assert_eq!(documented("### [drill.failover]"), keys::DRILL_FAILOVER);
    assert_eq!(documented("### [drill.rds.NAME]"), keys::DRILL_RDS);
}

#[test]
fn what_failover_needs_is_read() {
    let more = r#"
[database.petforce.server.us-east-1]
url = "${PETFORCE_DATABASE_URL}"
rds_instance = "petforce-use1"
[database.petforce.server.us-west-2]
url = "${WEST_URL}"
[objectives]
rto = "10m"
[failover]
runbook = "switchover"
store = "west"
[aws.global]
endpoint = "http://127.0.0.1:5000/"
[channel.oncall]
kind = "pagerduty"
routing_key = "${KEY}"
[channel.mail]
kind = "email"
url = "smtp://mail.example.com:587?tls=required"
from = "drctl@example.com"
to = ["a@example.com", "b@example.com"]
[vars]
zone = "Z1"
tasks = 4
names = ["app", "api"]
"#;
    let config = parse(&format!("{GOOD}{more}")).unwrap();
    let servers = &config.database("petforce").unwrap().servers;
    assert_eq!(servers["us-east-1"].rds_instance.as_deref(), Some("petforce-use1"));
    assert_eq!(servers["us-east-1"].url.expose().unwrap(), SECRET);
    assert!(servers["us-west-2"].url.expose().is_err());
    assert_eq!(config.objectives.rto.as_secs(), 600);
    assert_eq!(config.objectives.rpo.as_secs(), 3600);
    assert_eq!(config.failover.store.as_deref(), Some("west"));
    assert_eq!(config.failover.runbooks, Path::new("./runbooks"));
    let global = config.aws("global").unwrap();
    assert_eq!(global.endpoint.as_deref(), Some("http://127.0.0.1:5000"));
    assert!(config.aws("us-west-2").unwrap().endpoint.is_none());
    assert!(matches!(
        &config.channel("mail").unwrap().kind,
        super::ChannelKind::Email { to, .. } if to.len() == 2
    ));
    assert_eq!(config.vars["tasks"], 4);
    assert_eq!(config.vars["names"], serde_json::json!(["app", "api"]));
}

#[test]
fn mistakes_in_what_failover_needs_are_told() {
    let refused = |more: &str| refusal(&format!("{GOOD}{more}"));
    let channel = refused("[channel.a]\nkind = \"slak\"\nurl = \"https://x\"\n");
    assert!(channel.contains("did you mean `slack`?"), "{channel}");
    let channel = refused("[channel.a]\nkind = \"slack\"\nto = [\"x\"]\n");
    assert!(channel.contains("lacks `url`") && channel.contains("not for channels"), "{channel}");
    let store = refused("[failover]\nstore = \"wets\"\n");
    assert!(store.contains("did you mean `west`?"), "{store}");
    let aws = refused("[aws.us-west-2]\naccess_key_id = \"x\"\n");
    assert!(aws.contains("needs `secret_access_key`"), "{aws}");
    let server = refused("[database.petforce.server.us-east-1]\nrds_instance = \"x\"\n");
    assert!(server.contains("lacks `url`"), "{server}");
    let drill =
        refused("[drill.failover]\nconfig = \"x\"\nfault = []\nresolver = \"x\"\nheel = [\"x\"]\n");
    let rds = "[target.a]\nurl = \"postgres://x@h/d\"\n[drill]\ntarget = \"awz\"\n[drill.rds.aws]\n\
               template = \"t\"\nsslmode = \"verify-full\"\n[drill.rds.a]\nregion = \"us-west-2\"\n\
               class = \"t4g.medium\"\nuser = \"postgres\"\nstorage = 5\n[drill.rds.embedded]\n";
    let rds = refused(rds);
    for told in [
        "did you mean `aws`?",
        "[drill.rds.aws] lacks `region`",
        "needs `sslrootcert`",
        "there is a [target.a] too",
        "[drill.rds.a] lacks `engine_version`, or a `template` that has it",
        "must be an instance class",
        "not `postgres`",
        "`storage` must be from 20 to 65536",
        "`embedded` is the name of drctl's own server",
    ] {
        assert!(rds.contains(told), "{told}: {rds}");
    }
    for told in ["did you mean `heal`?", "`fault` names no program", "only with `url`"] {
        assert!(drill.contains(told), "{told}: {drill}");
    }
}

#[test]
fn what_is_served_and_taken_in_is_read() {
    let more = r#"
[failover]
auto = { quorum = 2, for = "3min", epoch = 4, max_loss = "30s", accept_unfenced = true }
[web]
listen = "[::]:9000"
token = "0123456789abcdef01234567"
cert = "web.crt"
key = "web.key"
[intake.prom]
kind = "alertmanager"
secret = "0123456789abcdef01234567"
match = { alertname = "PrimaryDown" }
[intake.aws]
kind = "sns"
topics = ["arn:aws:sns:us-west-2:111122223333:dr-alarms"]
match = { alarm = "petforce-*" }
mode = "graceful"
"#;
    let config = parse(&format!("{GOOD}{more}")).unwrap();
    let web = config.web.as_ref().unwrap();
    assert_eq!(web.listen.port(), 9000);
    assert_eq!(web.tls.as_ref().unwrap().cert, Path::new("./web.crt"));
    let auto = config.failover.auto.as_ref().unwrap();
    assert_eq!((auto.quorum, auto.held_for.as_secs(), auto.epoch), (2, 180, 4));
    assert_eq!(config.intake_names().collect::<Vec<_>>(), ["prom", "aws"]);
    let aws = config.intake("aws").unwrap();
    assert_eq!((aws.from.as_str(), aws.forced), ("sns", false));
    let shown = format!("{config:?}");
    assert!(!shown.contains("0123456789abcdef"), "{shown}");
    assert!(parse(GOOD).unwrap().failover.auto.is_none());
}

#[test]
fn mistakes_in_what_is_served_and_taken_in_are_told() {
    for (more, why) in [
        ("[web]\ntoken = \"short\"", "at least 24"),
        ("[web]\nlisten = \"8440\"", "an address and a port"),
        ("[web]\nkey = \"x\"", "`key` needs `cert`"),
        ("[web]\nclient_ca = \"x\"", "`client_ca` needs `cert` and `key`"),
        ("[intake.a]\nkind = \"sns\"\nmatch = { a = \"b\" }", "lacks `topics`"),
        ("[intake.a]\nkind = \"pagerduty\"\nmatch = { a = \"b\" }", "lacks `secret`"),
        (
            "[intake.a]\nkind = \"sns\"\ntopics = [\"arn:aws:sqs:x:1:y\"]\nmatch = { a = \"b\" }",
            "is not the ARN of an SNS topic",
        ),
        (
            "[intake.a]\nkind = \"alertmanager\"\nsecret = \"0123456789abcdef01234567\"\nmatch = {}",
            "every alert would count",
        ),
        ("[failover]\nauto = { quorum = 2 }", "lacks `epoch`"),
        (
            "[failover]\nauto = { quorum = 0, for = \"1s\", epoch = 0, max_loss = \"1s\" }",
            "`quorum`",
        ),
    ] {
        let text = refusal(&format!("{GOOD}\n{more}\n"));
        assert!(text.contains(why), "{why}: {text}");
    }
}
