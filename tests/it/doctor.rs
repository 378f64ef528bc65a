//! `drctl doctor`, `init`, `man` and `completions` as an operator meets them.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{self, Folder, Owner, PgBouncer, PoolMode, Postgres, Ran, Version, folder};

/// A home with a `drctl.toml` for `url` and two file stores in it.
fn home_of(url: &str) -> Folder {
    let home = folder("doctor");
    let stores = ["east", "west"].map(|s| format!("file://{}", home.join(s).display()));
    write_config(home.path(), url, &stores, "");
    home
}

fn write_config(home: &Path, url: &str, stores: &[String; 2], more_of_stores: &str) {
    let [east, west] = stores;
    let text = format!(
        "[project]\nname = \"petforce\"\n\
         [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
         [store.east]\nurl = \"{east}\"\nregion = \"us-east-1\"\n{more_of_stores}\n\
         [store.west]\nurl = \"{west}\"\nregion = \"us-west-2\"\n{more_of_stores}\n\
         [database.petforce]\nurl = \"\"\"{url}\"\"\"\nstores = [\"east\", \"west\"]\n"
    );
    std::fs::write(home.join("drctl.toml"), text).unwrap();
    std::fs::set_permissions(home.join("drctl.toml"), PermissionsExt::from_mode(0o640)).unwrap();
}

fn doctor(home: &Path) -> Command {
    let mut command = lab::drctl(home);
    command.args(["doctor", "--json"]);
    command
}

/// The texts of the findings of one severity, each with its hint.
fn found(ran: &Ran, severity: &str) -> Vec<String> {
    let result = ran.result();
    let all = result["findings"].as_array().unwrap().iter();
    all.filter(|f| f["severity"] == severity)
        .map(|f| format!("{}: {} -> {}", text(&f["subject"]), text(&f["what"]), text(&f["hint"])))
        .collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("")
}

#[track_caller]
fn has(found: &[String], pieces: &[&str]) {
    let one = found.iter().any(|line| pieces.iter().all(|piece| line.contains(piece)));
    assert!(one, "nothing with {pieces:?} in {found:#?}");
}

#[test]
fn a_healthy_setup_is_ready_and_no_probe_is_left() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    server.load_petforce(&db, 100);
    server.psql(&db, "SELECT lo_from_bytea(0, 'x')");
    let (east, west) = (lab::shared_moto_east(), lab::shared_moto_west());
    let (near, far) = (east.fresh_bucket("doctor"), west.fresh_bucket("doctor"));
    let home = folder("doctor");
    let stores = [format!("s3://{near}/dr"), format!("s3://{far}/dr")];
    write_config(home.path(), &server.url(&db), &stores, "path_style = true\nendpoint = \"@\"");
    let config = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    let config = config.replacen('@', &east.endpoint(), 1).replacen('@', &west.endpoint(), 1);
    std::fs::write(home.join("drctl.toml"), config).unwrap();

    let ran = lab::run(&mut doctor(home.path())).expect(0);
    assert_eq!(found(&ran, "critical"), [""; 0]);
    has(
        &found(&ran, "warning"),
        &["database petforce", "no snapshot yet", "drctl snapshot petforce"],
    );
    let ok = found(&ran, "ok");
    has(&ok, &["config", "us-east-1 (primary)", "us-west-2 (standby)"]);
    has(&ok, &["database petforce", "PostgreSQL 15"]);
    has(&ok, &["database petforce", "pg_dump 15"]);
    has(&ok, &["database petforce", "all large objects (1)"]);
    has(&ok, &["database petforce", "unchanged ranges need not be read again"]);
    for store in ["store east", "store west"] {
        has(&ok, &[store, "honours conditional writes"]);
        has(&ok, &[store, "clock", "agree"]);
    }
    // moto keeps checksums and compares none: a store that does not keep its word.
    has(&found(&ran, "warning"), &["store east", "do not have the SHA-256 that was promised"]);
    assert_eq!(east.keys(&near, ""), [""; 0]);
    assert_eq!(west.keys(&far, ""), [""; 0]);

    lab::run(lab::drctl(home.path()).args(["snapshot", "petforce"])).expect(0);
    let ran = lab::run(&mut doctor(home.path())).expect(0);
    has(&found(&ran, "ok"), &["the newest snapshot", "0 min old"]);
    assert!(!found(&ran, "warning").iter().any(|w| w.contains("snapshot")));

    let plain = lab::run(lab::drctl(home.path()).args(["doctor", "petforce"])).expect(0);
    let last = plain.stdout.lines().last().unwrap();
    assert!(last.starts_with("0 critical, "), "{last}");
}

#[test]
fn everything_that_a_role_may_not_read_is_named() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    let role = lab::unique("reader");
    server.psql(
        &db,
        &format!(
            "CREATE ROLE {role} LOGIN;
             CREATE SCHEMA hidden; CREATE TABLE hidden.away (n int);
             CREATE TABLE readable (n int); CREATE TABLE secrets (n int);
             CREATE TABLE \"odd Name\" (n int); CREATE TABLE notes (n int);
             CREATE TABLE split (n int) PARTITION BY LIST (n);
             CREATE TABLE split_1 PARTITION OF split FOR VALUES IN (1);
             CREATE SEQUENCE counter; CREATE TABLE later (n int);
             ALTER TABLE notes ENABLE ROW LEVEL SECURITY;
             GRANT SELECT ON readable, notes, split_1, hidden.away TO {role};
             SELECT lo_from_bytea(4711, 'x');"
        ),
    );
    let home = home_of(&server.url(&db).replace("postgres@", &format!("{role}@")));
    let config = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    let config = format!("{config}exclude_table_data = [\"public.later\"]\n");
    std::fs::write(home.join("drctl.toml"), config).unwrap();

    let ran = lab::run(&mut doctor(home.path())).expect(1);
    let critical = found(&ran, "critical");
    let grant = |what: &str| format!("GRANT SELECT ON {what} TO \"{role}\";");
    has(&critical, &["table public.secrets cannot be read", &grant("\"public\".\"secrets\"")]);
    has(&critical, &["odd Name", "cannot be read", &grant("\"public\".\"odd Name\"")]);
    has(&critical, &["sequence public.counter", &grant("SEQUENCE \"public\".\"counter\"")]);
    has(&critical, &["schema hidden", &format!("GRANT USAGE ON SCHEMA \"hidden\" TO \"{role}\";")]);
    has(&critical, &["row-level security hides rows of public.notes", "BYPASSRLS"]);
    has(
        &critical,
        &["table public.split cannot be locked by pg_dump", &grant("\"public\".\"split\"")],
    );
    has(&critical, &["table public.later cannot be locked by pg_dump"]);
    has(&critical, &["1 of 1 large objects", "4711"]);
    has(&critical, &["refused 7 relations in all", "pg_read_all_data"]);
    assert_eq!(critical.len(), 9, "{critical:#?}");

    // What it says is enough.
    server.psql(
        &db,
        &format!(
            "GRANT pg_read_all_data TO {role}; ALTER ROLE {role} BYPASSRLS;
             GRANT SELECT ON LARGE OBJECT 4711 TO {role};"
        ),
    );
    let ran = lab::run(&mut doctor(home.path())).expect(0);
    has(&found(&ran, "ok"), &["can read all: 6 tables and 1 sequence"]);
    lab::run(lab::drctl(home.path()).args(["snapshot", "petforce"])).expect(0);
}

#[test]
fn a_wrong_password_is_told_with_the_stores_checked_all_the_same() {
    let server = Postgres::options(Version::V15).password("right").start();
    let home = home_of(&server.url("postgres").replace(":right@", ":wr0ng@"));
    let ran = lab::run(&mut doctor(home.path())).expect(1);
    let critical = found(&ran, "critical");
    assert_eq!(critical.len(), 1, "{critical:#?}");
    has(&critical, &["database petforce", "password authentication failed"]);
    has(&found(&ran, "ok"), &["store west", "honours conditional writes"]);
    assert!(!ran.stdout.contains("wr0ng"), "{}", ran.stdout);

    let home = home_of(&server.url("nowhere"));
    let ran = lab::run(&mut doctor(home.path())).expect(1);
    has(&found(&ran, "critical"), &["database petforce", "\"nowhere\" does not exist"]);
}

#[test]
fn a_store_that_cannot_be_written_is_told_beside_the_one_that_can() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    let home = home_of(&server.url(&db));
    let closed = home.join("east");
    std::fs::create_dir(&closed).unwrap();
    std::fs::set_permissions(&closed, PermissionsExt::from_mode(0o555)).unwrap();
    std::fs::create_dir(home.join("west")).unwrap();
    std::fs::set_permissions(home.join("west"), PermissionsExt::from_mode(0o777)).unwrap();
    // Root may write anywhere, so another user runs it, who may not reach the build's folder.
    let binary = home.join("drctl");
    std::fs::copy(env!("CARGO_BIN_EXE_drctl"), &binary).unwrap();
    std::fs::set_permissions(home.join("drctl.toml"), PermissionsExt::from_mode(0o644)).unwrap();
    let mut command = Command::new(binary);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap()).current_dir(home.path());
    command.env("HOME", home.path()).args(["doctor", "--json"]);
    let ran = lab::run(Owner::of_servers().run(&mut command)).expect(1);
    let critical = found(&ran, "critical");
    assert_eq!(critical.len(), 1, "{critical:#?}");
    has(&critical, &["store east", "ermission denied"]);
    has(&found(&ran, "ok"), &["store west", "honours conditional writes"]);
}

#[test]
fn a_region_that_does_not_answer_costs_no_more_than_the_limit() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    let west = lab::Moto::start("us-west-2");
    west.create_bucket("far");
    let home = folder("doctor");
    let stores = [format!("file://{}", home.join("east").display()), "s3://far/dr".to_owned()];
    write_config(home.path(), &server.url(&db), &stores, "");
    let config = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    let west_keys =
        format!("path_style = true\nendpoint = \"{}\"\n[database.petforce]", west.endpoint());
    std::fs::write(home.join("drctl.toml"), config.replace("[database.petforce]", &west_keys))
        .unwrap();
    west.pause();
    let begun = Instant::now();
    let ran = lab::run(doctor(home.path()).args(["--timeout", "2s"]));
    let took = begun.elapsed();
    west.resume();
    let ran = ran.expect(1);
    has(&found(&ran, "critical"), &["store west", "no answer within 2s"]);
    has(&found(&ran, "ok"), &["store east", "honours conditional writes"]);
    assert!(took < Duration::from_secs(12), "took {took:?}");

    west.kill();
    let ran = lab::run(&mut doctor(home.path())).expect(1);
    has(&found(&ran, "critical"), &["store west", "far"]);
}

#[test]
fn a_pooler_in_transaction_mode_is_critical() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    let pooler = PgBouncer::start(server, PoolMode::Transaction);
    let home = home_of(&pooler.url(&db));
    let ran = lab::run(&mut doctor(home.path())).expect(1);
    has(&found(&ran, "critical"), &["database petforce", "transaction mode", "session"]);
    // Nothing was left on the server's sessions, which others use.
    let mut psql = server.program("psql");
    psql.env_remove("PGHOST").args(["-X", "-A", "-t", "-d", &pooler.url(&db)]);
    let left = lab::run(psql.args(["-c", "SHOW lock_timeout"])).expect(0);
    assert_eq!(left.stdout, "0\n");
}

#[test]
fn a_locked_table_is_named_with_its_holder() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    server.psql(&db, "CREATE TABLE busy (n int)");
    let mut holder = server.program("psql");
    holder.args(["-X", "-q", "-d", &db, "-c", "BEGIN; LOCK TABLE busy; SELECT pg_sleep(60)"]);
    let mut holder = holder.spawn().unwrap();
    let locked = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted
                  AND relation = 'busy'::regclass";
    let begun = Instant::now();
    while server.psql(&db, locked) != "1" {
        assert!(begun.elapsed() < Duration::from_secs(20), "the table was not locked");
        std::thread::sleep(Duration::from_millis(50));
    }
    let home = home_of(&server.url(&db));
    let ran = lab::run(&mut doctor(home.path()));
    holder.kill().unwrap();
    holder.wait().unwrap();
    has(&found(&ran.expect(1), "critical"), &["busy is locked by pid", "postgres"]);
}

#[test]
fn a_standby_is_said_to_lack_unlogged_rows() {
    let primary = Postgres::start(Version::V16);
    primary.psql("postgres", "CREATE UNLOGGED TABLE fleeting (n int); CREATE TABLE kept (n int)");
    let standby = Postgres::standby_of(&primary);
    standby.catch_up(&primary);
    let home = home_of(&standby.url("postgres"));
    let config = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    let bin = standby.bin_dir().display().to_string();
    std::fs::write(home.join("drctl.toml"), format!("{config}pg_bin = \"{bin}\"\n")).unwrap();
    let ran = lab::run(&mut doctor(home.path())).expect(0);
    has(&found(&ran, "warning"), &["unlogged", "public.fleeting"]);
    has(&found(&ran, "ok"), &["PostgreSQL 16", "a standby"]);
}

#[test]
fn programs_older_than_the_server_are_critical() {
    let server = lab::shared_pg18();
    let db = server.fresh_db("doctor");
    let home = home_of(&server.url(&db));
    let config = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    let bin = Version::V15.bin_dir().display().to_string();
    std::fs::write(home.join("drctl.toml"), format!("{config}pg_bin = \"{bin}\"\n")).unwrap();
    let ran = lab::run(&mut doctor(home.path())).expect(1);
    has(&found(&ran, "critical"), &["find pg_dump 18 or newer", "pg_dump 15"]);
    has(&found(&ran, "critical"), &["find pg_restore 18 or newer", "postgresql-client-18"]);
}

#[test]
fn init_leads_to_a_first_snapshot() {
    let server = lab::shared_pg15();
    let db = server.fresh_db("doctor");
    server.psql(&db, "CREATE TABLE pets AS SELECT 1 AS n");
    let home = folder("init");
    let run = |args: &[&str]| {
        lab::run(lab::drctl(home.path()).env("DATABASE_URL", server.url(&db)).args(args))
    };
    let said = run(&["init", "--local", "--name", "pets"]).expect(0).stdout;
    assert_eq!(said.lines().count(), 4, "{said}");
    assert!(said.contains("drctl doctor") && said.contains("drctl snapshot pets"), "{said}");
    let before = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    run(&["init", "--local", "--name", "other"]).expect(2);
    assert_eq!(std::fs::read_to_string(home.join("drctl.toml")).unwrap(), before);
    assert!(run(&["doctor"]).expect(0).stdout.contains("it checks SHA-256 checksums"));
    run(&["snapshot", "pets"]).expect(0);
    assert!(home.join("drctl-stores/west/pets").is_dir());
    run(&["init", "--name", "no/name", "--config", "x.toml"]).expect(2);
    assert!(!home.join("x.toml").exists());
    run(&["doctor", "nowhere"]).expect(2);
}

#[test]
fn a_broken_file_is_told_whole() {
    let home = home_of("postgresql://127.0.0.1/x");
    let config = std::fs::read_to_string(home.join("drctl.toml")).unwrap();
    let config = config.replacen("region =", "regoin =", 1);
    std::fs::write(home.join("drctl.toml"), format!("{config}jbos = 4\n")).unwrap();
    let ran = lab::run(&mut doctor(home.path())).expect(2);
    let critical = found(&ran, "critical");
    has(&critical, &["drctl.toml:8", "regoin", "`region`"]);
    has(&critical, &["jbos", "`jobs`"]);
    assert_eq!(ran.result()["ok"], false);
    let home = folder("empty");
    let ran = lab::run(&mut doctor(home.path())).expect(2);
    has(&found(&ran, "critical"), &["there is no ./drctl.toml", "drctl init"]);
}

#[test]
fn shells_and_man_know_every_command() {
    let home = folder("pages");
    for shell in ["bash", "zsh", "fish"] {
        let script =
            lab::run(lab::drctl(home.path()).args(["completions", shell])).expect(0).stdout;
        assert!(script.contains("doctor") && script.contains("snapshot"), "{shell}");
    }
    let page = lab::run(lab::drctl(home.path()).arg("man")).expect(0).stdout;
    assert!(page.contains(".TH drctl 1"), "{page}");
    let ran = lab::run(lab::drctl(home.path()).args(["man", "--out", "man1", "--json"])).expect(0);
    for file in ran.result()["files"].as_array().unwrap() {
        let page = std::fs::read_to_string(home.join(file.as_str().unwrap())).unwrap();
        assert!(page.contains(".SH NAME"), "{file}");
    }
    assert!(home.join("man1/drctl-doctor.1").is_file());
}
