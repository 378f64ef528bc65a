//! Each action where all goes well, applied twice, and refused where it would do harm.

use drctl::providers::{FailureClass, Mode, Standing};
use serde_json::{Value, json};

use super::pair::{Pair, block, east, west};
use crate::lab::{Postgres, Version};

#[test]
fn a_graceful_switch_loses_nothing_and_closes_the_old_primary_to_everybody() {
    let mut pair = Pair::start(Mode::Graceful);
    let ready = pair.preflight("postgres.fence", east());
    assert!(ready.iter().all(|c| c.standing == Standing::Ready), "{ready:#?}");
    assert!(pair.undone("postgres.fence", east()).contains("open"));
    let client = Client::begin(&pair.primary);

    let fenced = pair.step("fence", "postgres.fence", east());
    assert_eq!(fenced.facts["fenced"], true);
    assert_eq!(fenced.facts["ended"], 1, "{}", fenced.summary);
    assert!(fenced.summary.contains("which the standby has"), "{}", fenced.summary);
    assert!(client.has_ended());
    // A superuser, the owner, in a new session.
    let refused = pair.primary.try_psql("pets", "SELECT 1").unwrap_err();
    assert!(refused.contains("not currently accepting connections"), "{refused}");
    let again = pair.step("fence", "postgres.fence", east());
    assert_eq!(again.facts["ended"], 0);
    pair.done("postgres.fence", east());

    let drained = pair.step("drain", "postgres.drain", west());
    assert_eq!(drained.facts["old_timeline"], 1);
    pair.done("postgres.drain", west());
    assert!(pair.undone("postgres.promote", west()).contains("in recovery"));
    let promoted = pair.step("promote", "postgres.promote", west());
    assert_eq!(promoted.facts["new_timeline"], 2);
    assert_eq!(
        (&promoted.facts["lost_seconds"], &promoted.facts["lost_bytes"]),
        (&json!(0.0), &json!(0))
    );
    assert_eq!(promoted.facts["ended_at"], again.facts["last_lsn"]);
    assert_eq!(promoted.warnings, [""; 0]);
    // The fence came along in the catalogue, and was lifted there.
    pair.standby.psql("pets", "INSERT INTO pet (name) VALUES ('max')");
    let facts = pair.done("postgres.promote", west());
    assert_eq!(facts["new_timeline"], 2);
    let again = pair.step("promote", "postgres.promote", west());
    assert_eq!(again.facts["new_timeline"], 2);
    assert_eq!(pair.standby.psql("pets", "SELECT count(*) FROM pet"), "3");

    let checked = pair.step("check", "postgres.check_primary", west());
    assert_eq!((checked.facts["sequences"].as_u64(), checked.warnings.len()), (Some(1), 0));
    let schemas =
        pair.standby.psql("pets", "SELECT count(*) FROM pg_namespace WHERE nspname ~ 'drctl'");
    assert_eq!(schemas, "0");

    // The old one is shut out for good, and stays so over a restart.
    let shut = pair.step("quarantine", "postgres.quarantine", east());
    assert_eq!(shut.facts["quarantined"], true);
    pair.done("postgres.quarantine", east());
    pair.step("quarantine", "postgres.quarantine", east());
    pair.primary.restart();
    pair.primary.try_psql("pets", "SELECT 1").unwrap_err();
    assert_eq!(pair.primary.psql("postgres", "SHOW default_transaction_read_only"), "on");
    pair.done("postgres.quarantine", east());
}

#[test]
fn an_abort_opens_the_primary_again() {
    let mut pair = Pair::start(Mode::Graceful);
    pair.step("fence", "postgres.fence", east());
    let fence = pair.action("postgres.fence", &east());
    for _ in 0..2 {
        block(async { fence.compensate(&pair.context(30.0)).await }).unwrap();
        pair.primary.psql("pets", "INSERT INTO pet (name) VALUES ('max')");
    }
    assert!(pair.undone("postgres.fence", east()).contains("open"));
    // Whoever promotes after all finds a primary that is not fenced: the graceful way is barred.
    pair.facts.clear();
    let failure = pair.fails("postgres.drain", west());
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.error.one_line().contains("no step before it fenced"));
}

#[test]
fn wrong_targets_are_refused() {
    let pair = Pair::start(Mode::Forced);
    let mut other = Pair::start(Mode::Forced);
    let refused = |pair: &Pair, name: &str, with: Value, why: &str| {
        let failure = pair.fails(name, with);
        let line = failure.error.one_line();
        assert!(line.contains(why) && failure.class == FailureClass::Permanent, "{line}");
    };
    // A primary is no standby, and a standby no primary.
    refused(&pair, "postgres.fence", west(), "it is a standby");
    refused(&pair, "postgres.promote", east(), "nothing tells that it was a standby");
    refused(&pair, "postgres.drain", east(), "not a standby");
    refused(&pair, "postgres.check_primary", west(), "still in recovery");
    refused(&pair, "postgres.quarantine", east(), "is a standby, so this is the primary");
    // A standby of another primary.
    other.reached_by(&pair.primary.url("pets"), &other.standby.url("pets"));
    refused(&other, "postgres.fence", east(), "no copy of the primary");
    let fence = other.action("postgres.fence", &east());
    block(async { fence.compensate(&other.context(30.0)).await }).unwrap();
    other.run.accepted_loss = Some("unknown".to_owned());
    let loss = json!({"database": "pets", "from": "us-east-1", "to": "us-west-2"});
    let seen = other.step("loss", "loss.assess", loss);
    assert_eq!(seen.facts["predicted_bytes"], "unknown", "{}", seen.summary);
    refused(&other, "postgres.promote", west(), "no copy of the primary");
    assert_eq!(other.standby.psql("postgres", "SELECT pg_is_in_recovery()"), "t");
    let checks = other.preflight("postgres.promote", west());
    let found = checks.iter().find(|c| c.standing == Standing::NotReady).unwrap();
    assert!(found.found.contains("no copy of it"), "{checks:#?}");
}

#[test]
fn the_loss_is_told_before_and_measured_after() {
    let mut pair = Pair::start(Mode::Forced);
    let with = || json!({"database": "pets", "from": "us-east-1", "to": "us-west-2"});
    let seen = pair.step("loss", "loss.assess", with());
    assert_eq!(seen.facts["predicted_bytes"], 0, "{}", seen.summary);
    pair.standby.stop();
    pair.primary.psql("pets", "INSERT INTO pet (name) SELECT 'x' FROM generate_series(1, 1000)");
    pair.primary.kill9();
    pair.standby.start_again();
    let seen = pair.step("loss", "loss.assess", with());
    assert_eq!(seen.facts["predicted_bytes"], "unknown");
    assert!(seen.facts["predicted_seconds"].as_f64().unwrap() > 0.0, "{}", seen.summary);

    pair.run.accepted_loss = Some("1ms".to_owned());
    let failure = pair.fails("loss.assess", with());
    assert!(failure.error.one_line().contains("more than the accepted 1ms"));
    pair.run.accepted_loss = Some("1MiB".to_owned());
    let failure = pair.fails("loss.assess", with());
    assert!(failure.error.advice().unwrap().contains("--accept-loss"));

    pair.run.accepted_loss = Some("10m".to_owned());
    pair.run.accept_unfenced = true;
    pair.step("loss", "loss.assess", with());
    let unfenced = pair.step("fence", "postgres.fence", east());
    assert_eq!(unfenced.facts["unfenced"], true);
    assert!(unfenced.warnings[0].contains("UNFENCED"), "{:?}", unfenced.warnings);
    pair.step("drain", "postgres.drain", west());
    let promoted = pair.step("promote", "postgres.promote", west());
    assert_eq!(promoted.facts["lost_bytes"], "unknown");
    assert!(promoted.facts["lost_seconds"].as_f64().unwrap() > 0.0);
    // The old primary comes back with what was lost, and it can be told to the byte.
    pair.primary.start_again();
    let shut = pair.step("quarantine", "postgres.quarantine", east());
    assert!(shut.facts["lost_bytes_exactly"].as_u64().unwrap() > 10_000, "{:?}", shut.facts);
    pair.primary.try_psql("pets", "SELECT 1").unwrap_err();
}

#[test]
fn without_samples_the_loss_is_unknown_and_gated() {
    let mut pair = Pair::start(Mode::Forced);
    pair.primary.kill9();
    let with = json!({"database": "pets", "from": "us-east-1", "to": "us-west-2"});
    let failure = pair.fails("loss.assess", with.clone());
    assert!(failure.error.one_line().contains("is unknown"), "{}", failure.error.one_line());
    let hint = failure.error.advice().unwrap();
    assert!(hint.starts_with("to go on with it: --accept-loss unknown; or "), "{hint}");
    pair.run.accepted_loss = Some("unknown".to_owned());
    let seen = pair.step("loss", "loss.assess", with);
    assert_eq!(
        (&seen.facts["predicted_seconds"], &seen.facts["predicted_bytes"]),
        (&json!("unknown"), &json!("unknown"))
    );
}

#[test]
fn sequences_behind_their_columns_are_found_and_moved_on() {
    let pair = Pair::start(Mode::Forced);
    let server = &pair.standby;
    pair.primary.psql(
        "pets",
        "INSERT INTO pet VALUES (500, 'far');
         CREATE SEQUENCE down INCREMENT -1; CREATE TABLE low (n int DEFAULT nextval('down'));
         INSERT INTO low VALUES (-7);
         CREATE TABLE fine (n int GENERATED ALWAYS AS IDENTITY); INSERT INTO fine DEFAULT VALUES;
         CREATE TABLE \"Odd Name\" (\"N n\" smallserial)",
    );
    server.catch_up(&pair.primary);
    block(pair.apply("postgres.promote", west()))
        .unwrap_or_else(|f| panic!("{}", f.error.one_line()));
    let failure = pair.fails("postgres.check_primary", west());
    let line = failure.error.one_line();
    assert!(
        line.contains("public.pet_id_seq is at") && line.contains("public.pet.id at 500"),
        "{line}"
    );
    assert!(line.contains("public.down is at -1, public.low.n at -7"), "{line}");
    assert!(!line.contains("fine") && !line.contains("Odd"), "{line}");
    let with = json!({"database": "pets", "in": "us-west-2", "fix_sequences": true});
    let fixed = block(pair.apply("postgres.check_primary", with.clone())).unwrap();
    assert_eq!(fixed.facts["sequences_moved_on"].as_array().unwrap().len(), 2);
    assert_eq!(server.psql("pets", "INSERT INTO pet (name) VALUES ('y') RETURNING id"), "501");
    assert_eq!(server.psql("pets", "INSERT INTO low DEFAULT VALUES RETURNING n"), "-8");
    let again = block(pair.apply("postgres.check_primary", with)).unwrap();
    assert_eq!(again.facts["sequences_moved_on"], json!([]));
}

#[test]
fn a_primary_that_takes_no_writes_is_found_out() {
    let pair = Pair::start(Mode::Forced);
    let slot = "SELECT pg_create_logical_replication_slot('debezium', 'test_decoding')";
    pair.primary.psql("pets", slot);
    let mut pair = pair;
    pair.step("fence", "postgres.fence", east());
    let promoted = pair.step("promote", "postgres.promote", west());
    assert_eq!(promoted.facts["lost_bytes"], 0);
    let checked = pair.step("check", "postgres.check_primary", west());
    let warned = checked.warnings.join("\n");
    assert!(
        warned.contains("logical slot debezium (test_decoding) did not come along"),
        "{warned}"
    );

    pair.standby.set("synchronous_standby_names = 'gone'");
    let failure = block(pair.apply_within(9.0, "postgres.check_primary", west())).unwrap_err();
    assert!(failure.error.advice().unwrap().contains("synchronous_standby_names"));
    pair.standby.psql("postgres", "ALTER SYSTEM RESET synchronous_standby_names");
    pair.standby.set("default_transaction_read_only = on");
    let failure = pair.fails("postgres.check_primary", west());
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.error.advice().unwrap().contains("read-only"), "{}", failure.error.one_line());
}

#[test]
fn the_operators_own_questions_are_asked() {
    let pair = Pair::start(Mode::Forced);
    let with = |checks: Value| json!({"database": "pets", "in": "us-west-2", "checks": checks});
    let good = json!([
        {"name": "pets are there", "query": "SELECT count(*) FROM pet", "at_least": 2},
        {"query": "SELECT name FROM pet WHERE id = 1", "expected": "rex"},
    ]);
    block(pair.apply("verify.sql", with(good))).unwrap();
    let bad = json!([
        {"name": "many pets", "query": "SELECT count(*) FROM pet", "at_least": 100},
        {"query": "SELECT name FROM pet", "expected": "rex"},
        {"query": "SELECT nothing FROM pet", "expected": 1},
        {"query": "SELECT 1", "expected": 1},
    ]);
    let failure = pair.fails("verify.sql", with(bad));
    let line = failure.error.one_line();
    for part in ["3 of 4", "many pets: at least 100 is expected, and it is 2", "2 rows", "column"] {
        assert!(line.contains(part), "{line}");
    }
    // It cannot change anything, on a primary either.
    let writes = json!({"database": "pets", "in": "us-east-1", "checks": [
        {"query": "DELETE FROM pet RETURNING 1", "expected": 1}]});
    let failure = pair.fails("verify.sql", writes);
    assert!(failure.error.one_line().contains("read-only transaction"));
}

#[test]
fn promotion_works_on_every_version() {
    for version in [Version::V16, Version::V18] {
        let mut pair = Pair::of(Postgres::options(version), Mode::Graceful);
        pair.step("fence", "postgres.fence", east());
        pair.step("drain", "postgres.drain", west());
        let promoted = pair.step("promote", "postgres.promote", west());
        assert_eq!(
            (&promoted.facts["new_timeline"], &promoted.facts["lost_bytes"]),
            (&json!(2), &json!(0))
        );
        pair.done("postgres.promote", west());
        pair.step("check", "postgres.check_primary", west());
        pair.step("quarantine", "postgres.quarantine", east());
    }
}

/// Somebody in the database, in a transaction.
struct Client(std::process::Child);

impl Client {
    fn begin(server: &Postgres) -> Self {
        use std::process::Stdio;
        let mut command = server.program("psql");
        command.args(["-X", "-q", "-d", "pets", "-c", "BEGIN", "-c", "SELECT pg_sleep(300)"]);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let there =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'pets' AND query ~ '300'";
        while server.psql("postgres", there) != "1" {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        Self(child)
    }

    fn has_ended(mut self) -> bool {
        !self.0.wait().unwrap().success()
    }
}
