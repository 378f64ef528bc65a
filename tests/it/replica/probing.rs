//! `probe.quorum` against primaries that answer, are gone, hang, or only refuse.

use std::io::{Read, Write};
use std::net::TcpListener;

use drctl::providers::{FailureClass, Mode};
use serde_json::{Value, json};

use super::faults::Stuck;
use super::pair::{Pair, block};

/// Answers every request with this status.
fn endpoint(status: u16) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            let _ = stream.read(&mut head);
            let answer =
                format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    format!("http://127.0.0.1:{port}/health/ready?token=secret")
}

fn quorum(health: &[&str]) -> Value {
    json!({
        "database": "pets", "in": "us-east-1", "health": health,
        "window": "200ms", "limit": "1s",
    })
}

#[test]
fn a_primary_that_answers_is_not_down() {
    let mut pair = Pair::start(Mode::Forced);
    let dead = endpoint(503);
    let failure = pair.fails("probe.quorum", quorum(&[&dead, &dead]));
    assert_eq!(failure.class, FailureClass::Permanent);
    let line = failure.error.one_line();
    assert!(line.contains("SQL to us-east-1: up (it answers as a primary)"), "{line}");
    assert!(line.contains("down (status 503)") && !line.contains("secret"), "{line}");
    assert!(failure.error.advice().unwrap().contains("--mode graceful"));

    pair.run.primary_is_broken = Some("the disk is full".to_owned());
    let applied = block(pair.apply("probe.quorum", quorum(&[]))).unwrap();
    assert!(applied.warnings[0].contains("said to be broken: the disk is full"));
    pair.run.mode = Mode::Graceful;
    block(pair.apply("probe.quorum", quorum(&[&dead]))).unwrap();

    // A server that refuses this role is there as well.
    pair.run.mode = Mode::Forced;
    pair.run.primary_is_broken = None;
    let nobody = pair.primary.url("pets").replace("postgres@", "nobody@");
    pair.reached_by(&nobody, &pair.standby.url("pets"));
    let failure = pair.fails("probe.quorum", quorum(&[]));
    assert!(failure.error.one_line().contains("it answers, with a refusal"));
}

#[test]
fn a_primary_that_is_gone_is_seen_by_enough() {
    let mut pair = Pair::start(Mode::Forced);
    pair.primary.kill9();
    pair.until_cut_off();
    let (dead, page) = (endpoint(503), endpoint(200));
    let applied = block(pair.apply("probe.quorum", quorum(&[&dead]))).unwrap();
    assert_eq!((&applied.facts["down"], &applied.facts["need"]), (&json!(3), &json!(2)));
    let applied = block(pair.apply("probe.quorum", quorum(&[&page]))).unwrap();
    assert_eq!((&applied.facts["down"], &applied.facts["up"]), (&json!(2), &json!(1)));
    let mut all = quorum(&[&page]);
    all["need"] = json!(3);
    let failure = pair.fails("probe.quorum", all);
    assert_eq!(failure.class, FailureClass::Transient);
    assert!(failure.error.advice().unwrap().contains("unknown is not down"));
    // Wrong addresses say nothing.
    let moved = endpoint(404);
    let mut unsure = quorum(&[&moved]);
    unsure["need"] = json!(3);
    assert!(pair.fails("probe.quorum", unsure).error.one_line().contains("unknown (status 404)"));

    pair.run.mode = Mode::Graceful;
    let failure = pair.fails("probe.quorum", quorum(&[&dead]));
    assert!(failure.error.advice().unwrap().contains("--mode forced"));
    // Where nothing at all is reached it may be this machine that is cut off.
    pair.run.mode = Mode::Forced;
    pair.standby.kill9();
    let failure = pair.fails("probe.quorum", quorum(&[&dead]));
    assert!(failure.error.one_line().contains("not certain"), "{}", failure.error.one_line());
}

#[test]
fn a_primary_that_hangs_counts_as_down_once_its_standby_hears_nothing() {
    let pair = Pair::start(Mode::Forced);
    let _stuck = Stuck::now(&pair.primary);
    // Its walsender may still feed the standby: that it is down is not certain.
    let failure = pair.fails("probe.quorum", quorum(&[]));
    assert!(
        failure.error.one_line().contains("SQL to us-east-1: down (connect"),
        "{}",
        failure.error.one_line()
    );
    pair.standby.set("primary_conninfo = ''");
    pair.until_cut_off();
    let applied = block(pair.apply("probe.quorum", quorum(&[]))).unwrap();
    assert_eq!(applied.facts["down"], 2);
}
