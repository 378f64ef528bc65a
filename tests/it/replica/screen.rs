//! `drctl status` of real servers, in time whoever hangs.

use drctl::providers::{Mode, postgres::samples};
use drctl::store::FileStore;

use super::faults::Stuck;
use super::pair::{Pair, block};
use crate::lab::{self, Ran};

fn status(pair: &Pair, more: &[&str]) -> Ran {
    let mut command = lab::drctl(pair.home.path());
    command.env("XDG_STATE_HOME", pair.home.join("state"));
    lab::run(command.arg("status").args(more))
}

fn control(pair: &Pair) -> FileStore {
    FileStore::new("west", "us-west-2", &pair.home.join("west"))
}

#[test]
fn it_tells_what_lacks_until_nothing_does() {
    let pair = Pair::start(Mode::Graceful);
    for store in ["east", "west"] {
        std::fs::create_dir(pair.home.join(store)).unwrap();
    }
    let ran = status(&pair, &["--json"]).expect(1);
    let result = ran.result();
    let reasons = result["reasons"].to_string();
    assert!(reasons.contains("east has no snapshot of pets"), "{reasons}");
    assert!(reasons.contains("region-failover had no preflight yet"), "{reasons}");
    assert!(!reasons.contains("primary of"), "{reasons}");
    let standby = &result["status"]["databases"][0]["servers"][1];
    assert_eq!((&standby["bytes_behind"], &standby["seconds_behind"]), (&0.into(), &0.0.into()));
    assert_eq!(block(samples::read(&control(&pair), "pets")).unwrap().len(), 1);

    lab::run(lab::drctl(pair.home.path()).args(["snapshot", "pets"])).expect(0);
    let preflight = format!(
        "{{\"at\": \"{}\", \"by\": \"ann\", \"checks\": [{{\"standing\": \"ready\", \"what\": \"x\"}}]}}",
        chrono::Utc::now().to_rfc3339()
    );
    let folder = pair.home.join("west/state");
    std::fs::write(folder.join("preflight-region-failover.json"), preflight).unwrap();
    let ran = status(&pair, &[]).expect(0);
    assert!(ran.stdout.ends_with("\nready\n"), "{}", ran.stdout);
    assert!(ran.stdout.contains("streaming, 0 B and 0 s behind"), "{}", ran.stdout);
}

#[test]
fn a_region_that_hangs_does_not_hold_it_up() {
    let pair = Pair::start(Mode::Graceful);
    lab::run(lab::drctl(pair.home.path()).args(["snapshot", "pets"])).expect(0);
    let (_east, _west) = (Stuck::now(&pair.primary), Stuck::now(&pair.standby));
    let begun = std::time::Instant::now();
    let ran = status(&pair, &["--timeout", "500ms"]).expect(1);
    // A hang would last for ever; the limits add up to a few seconds.
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
    assert!(
        ran.stdout.contains("the primary of pets in us-east-1 does not answer"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.contains("unknown"), "{}", ran.stdout);
    for line in ran.stdout.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
}

#[test]
fn the_roles_are_those_that_the_servers_have() {
    let pair = Pair::start(Mode::Graceful);
    pair.standby.promote();
    let ran = status(&pair, &[]).expect(1);
    let text = ran.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains("us-west-2 PRIMARY, timeline 2"), "{text}");
    assert!(text.contains("pets in us-west-2 is a second primary"), "{text}");
}
