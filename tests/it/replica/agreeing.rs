//! What steps ask people for while they run, and what looks leave behind: nothing.

use chrono::Utc;
use drctl::providers::postgres::samples;
use drctl::providers::{FailureClass, Mode, Standing};
use drctl::store::approval::{self, Approval};
use serde_json::{Value, json};

use super::pair::{Pair, block, east};

fn loss() -> Value {
    json!({"database": "pets", "from": "us-east-1", "to": "us-west-2"})
}

/// Somebody agrees to the step of the pair's context.
fn agree(pair: &Pair, by: &str) {
    let approval = Approval {
        run: pair.run.id.clone(),
        step: "step".to_owned(),
        by: by.to_owned(),
        at: Utc::now(),
        reason: None,
    };
    block(approval::give(&*pair.world.control, &approval)).unwrap();
}

#[test]
fn a_loss_that_is_unknown_and_a_fence_that_fails_take_somebodys_word() {
    let pair = Pair::start(Mode::Forced);
    pair.primary.kill9();
    let failure = block(pair.apply_within(2.0, "loss.assess", loss())).unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    let hint = failure.error.advice().unwrap();
    let command = format!("drctl approve {} step", pair.run.id);
    assert!(hint.contains("--accept-loss unknown") && hint.contains(&command), "{hint}");
    let heard = pair.heard.0.lock().unwrap().join("\n");
    assert!(heard.contains("somebody to agree: to lose of"), "{heard}");
    let failure = block(pair.apply_within(2.0, "postgres.fence", east())).unwrap_err();
    let hint = failure.error.advice().unwrap();
    assert!(hint.contains("second person") && hint.contains(&command), "{hint}");

    // The operator may agree to a loss, and not to an open primary.
    agree(&pair, "ann on another-machine");
    let agreed = block(pair.apply("loss.assess", loss())).unwrap();
    assert_eq!(agreed.facts["accepted_by"], "ann on another-machine");
    assert_eq!(agreed.facts["predicted_seconds"], "unknown");
    let refused = block(pair.apply("postgres.fence", east())).unwrap_err();
    assert!(refused.error.one_line().contains("who is an operator"), "{:?}", refused.error);
}

#[test]
fn a_second_person_lets_a_run_go_on_with_an_old_primary_that_is_unfenced() {
    let pair = Pair::start(Mode::Forced);
    pair.primary.kill9();
    agree(&pair, "bob on laptop");
    let fenced = block(pair.apply("postgres.fence", east())).unwrap();
    assert_eq!(fenced.facts["unfenced"], true);
    assert!(fenced.summary.contains("UNFENCED, accepted by bob on laptop"), "{}", fenced.summary);
}

#[test]
fn a_preflight_tells_the_lag_and_leaves_nothing_behind() {
    let pair = Pair::start(Mode::Forced);
    let kept = || block(samples::read(&*pair.world.control, "pets")).unwrap().len();
    let checks = pair.preflight("loss.assess", loss());
    assert_eq!(checks.len(), 1, "{checks:#?}");
    let checks = pair.preflight("postgres.fence", east());
    let lag = checks.iter().find(|c| c.what.starts_with("replication lag of")).unwrap();
    assert_eq!(lag.standing, Standing::Ready, "{lag:?}");
    assert_eq!(kept(), 0, "a look writes nothing");
    block(pair.apply_within(2.0, "loss.assess", loss())).unwrap();
    assert_eq!(kept(), 1, "a run keeps what it saw");

    // Behind, and since longer than may be lost.
    let mut pair = pair;
    pair.primary.psql("pets", "INSERT INTO pet (name) VALUES ('seen')");
    pair.standby.catch_up(&pair.primary);
    pair.standby.psql("postgres", "SELECT pg_wal_replay_pause()");
    pair.primary.psql("pets", "INSERT INTO pet (name) VALUES ('late')");
    pair.run.rpo = Some("1ms".parse().unwrap());
    let lag = || {
        let checks = pair.preflight("postgres.fence", east());
        checks.into_iter().find(|c| c.what.starts_with("replication lag of")).unwrap()
    };
    let begun = std::time::Instant::now();
    let late = loop {
        let lag = lag();
        if lag.standing == Standing::NotReady {
            break lag;
        }
        assert!(begun.elapsed().as_secs() < 20, "{lag:?}");
        std::thread::sleep(std::time::Duration::from_millis(20));
    };
    assert!(late.found.contains("MORE than the RPO of 1ms"), "{late:?}");
}
