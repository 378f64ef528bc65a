//! Snapshots in runbooks: taken, restored beside, put in place, and the last good one found.

use drctl::providers::{FailureClass, Mode, Standing};
use serde_json::{Value, json};

use super::pair::{Pair, block, east};

fn take(pair: &Pair, step: &'static str) -> drctl::providers::Applied {
    let action = pair.action("snapshot.take", &json!({"database": "pets", "in": "us-east-1"}));
    let mut cx = pair.context(120.0);
    cx.step = step;
    block(async { action.apply(&cx).await }).unwrap_or_else(|f| panic!("{}", f.error.one_line()))
}

fn good() -> Value {
    json!([{"name": "no pet is gone", "query": "SELECT count(*) FROM pet", "at_least": 2}])
}

#[test]
fn from_corruption_back_to_the_last_good_snapshot() {
    let mut pair = Pair::start(Mode::Graceful);
    let first = take(&pair, "one");
    // Taken again by the same step, it is the same snapshot.
    assert_eq!(take(&pair, "one").facts["snapshot"], first.facts["snapshot"]);
    assert_eq!(first.facts["stores"], json!(["east", "west"]));
    pair.primary.psql("pets", "DELETE FROM pet");
    let bad = take(&pair, "two");
    assert_ne!(bad.facts["snapshot"], first.facts["snapshot"]);
    take(&pair, "three");

    let find = json!({"database": "pets", "in": "us-east-1", "checks": good()});
    let checks = pair.preflight("snapshot.find_good", find.clone());
    assert!(checks.iter().all(|c| c.standing == Standing::Ready), "{checks:#?}");
    let found = pair.step("find-good", "snapshot.find_good", find);
    assert_eq!(found.facts["snapshot"], first.facts["snapshot"]);
    let passed = found.facts["passed_over"].as_array().unwrap();
    assert!(passed.len() == 2 && passed[0].as_str().unwrap().contains("at least 2"), "{passed:?}");
    let scratch = "SELECT count(*) FROM pg_database WHERE datname ~ 'drctl'";
    assert_eq!(pair.primary.psql("postgres", scratch), "0");

    let restore = json!({
        "database": "pets", "in": "us-east-1", "snapshot": "${steps.find-good.snapshot}", "as": "pets_restored",
    });
    assert!(pair.undone("snapshot.restore", restore.clone()).contains("no database"));
    let restored = pair.step("restore", "snapshot.restore", restore.clone());
    assert!(restored.summary.contains("every one proven"), "{}", restored.summary);
    pair.done("snapshot.restore", restore.clone());
    let again = pair.step("restore", "snapshot.restore", restore.clone());
    assert!(again.summary.contains("already"), "{}", again.summary);
    let asked = json!({
        "database": "pets", "in": "us-east-1", "name": "${steps.restore.name}", "checks": good(),
    });
    pair.step("ask", "verify.sql", asked);

    let swap = json!({
        "database": "pets", "in": "us-east-1", "restored": "${steps.restore.name}", "keep_as": "pets_bad",
    });
    pair.step("fence", "postgres.fence", east());
    assert!(pair.undone("snapshot.swap", swap.clone()).contains("as before"));
    pair.step("swap", "snapshot.swap", swap.clone());
    assert_eq!(pair.primary.psql("pets", "SELECT count(*) FROM pet"), "2");
    pair.primary.psql("pets", "INSERT INTO pet (name) VALUES ('max')");
    pair.primary.try_psql("pets_bad", "SELECT 1").unwrap_err();
    pair.done("snapshot.swap", swap.clone());
    pair.step("swap", "snapshot.swap", swap.clone());
    assert_eq!(pair.primary.psql("pets", "SELECT count(*) FROM pet"), "3");

    let action = pair.action("snapshot.swap", &swap);
    for _ in 0..2 {
        block(async { action.compensate(&pair.context(60.0)).await }).unwrap();
        assert_eq!(pair.primary.psql("pets", "SELECT count(*) FROM pet"), "0");
        assert_eq!(pair.primary.psql("pets_restored", "SELECT count(*) FROM pet"), "3");
    }
    // By now it is another database than the snapshot, and is not taken for it.
    let failure = pair.fails("snapshot.restore", restore);
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(
        failure.error.one_line().contains("it is not snapshot"),
        "{}",
        failure.error.one_line()
    );
}

#[test]
fn what_is_damaged_or_wrong_is_passed_over_and_told() {
    let pair = Pair::start(Mode::Graceful);
    take(&pair, "one");
    let newest = take(&pair, "two");
    let id = newest.facts["snapshot"].as_str().unwrap();
    for store in ["east", "west"] {
        let lost = find(&pair.home.join(store), id);
        std::fs::write(lost.join("manifest.json"), "{}").unwrap();
    }
    let with = json!({"database": "pets", "in": "us-east-1", "checks": good()});
    let found = block(pair.apply("snapshot.find_good", with)).unwrap();
    assert_ne!(found.facts["snapshot"].as_str().unwrap(), id);
    assert_eq!(found.facts["passed_over"].as_array().unwrap().len(), 1);

    let never = json!([{"query": "SELECT count(*) FROM pet", "at_least": 100}]);
    let with = json!({"database": "pets", "in": "us-east-1", "checks": never});
    let failure = pair.fails("snapshot.find_good", with);
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(failure.error.one_line().contains("no good snapshot of `pets` among 2 of 2"));
    let failure = pair.fails(
        "snapshot.restore",
        json!({"database": "pets", "in": "us-east-1", "snapshot": "2020", "as": "x"}),
    );
    assert!(failure.error.one_line().contains("there is no snapshot `2020`"));
    let failure = pair.fails(
        "snapshot.restore",
        json!({"database": "pets", "in": "us-east-1", "snapshot": "${steps.none.snapshot}", "as": "x"}),
    );
    assert!(failure.error.one_line().contains("step `none` has not ended"));
    // Onto a standby nothing can be restored.
    let failure = pair.fails(
        "snapshot.restore",
        json!({"database": "pets", "in": "us-west-2", "snapshot": "latest", "as": "x"}),
    );
    assert_eq!(failure.class, FailureClass::Permanent, "{}", failure.error.one_line());
}

/// The folder of that name below `dir`.
fn find(dir: &std::path::Path, name: &str) -> std::path::PathBuf {
    let mut open = vec![dir.to_owned()];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).unwrap().flatten() {
            match (entry.file_name() == name, entry.path().is_dir()) {
                (true, true) => return entry.path(),
                (false, true) => open.push(entry.path()),
                _ => {}
            }
        }
    }
    panic!("no {name}");
}
