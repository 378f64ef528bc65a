//! `http.await_ready` against a real HTTP server, with TLS and without, and its faults.

use std::time::Duration;

use drctl::error::Kind;
use drctl::providers::{FailureClass, Observed, Standing};
use serde_json::json;

use super::scene::{LONG, Scene};
use crate::lab::{Answer, Cache, Dns, Receiver, Tls, Zone, free_port};

#[tokio::test]
async fn it_waits_for_good_answers_in_a_row() {
    let (receiver, scene) = (Receiver::start(), Scene::new(""));
    let good = || {
        Answer::says(200, r#"{"ready":true,"region":"us-west-2"}"#).header("x-region", "us-west-2")
    };
    let east =
        Answer::says(200, r#"{"ready":true,"region":"us-east-1"}"#).header("x-region", "us-east-1");
    let answers = [
        Answer::says(503, "starting"),
        good(),
        good(),
        east,
        Answer::Resets,
        good(),
        good(),
        good(),
    ];
    answers.into_iter().for_each(|answer| receiver.next(answer));
    receiver.answers(good());
    let action = scene.action(
        "http.await_ready",
        json!({
            "url": receiver.url("/health/ready"),
            "json": { "/ready": true, "/region": "us-west-2" },
            "headers": { "X-Region": "us-west-2" },
            "contains": "ready",
            "every": "10ms",
        }),
    );
    let applied = action.apply(&scene.cx(LONG)).await.unwrap();
    assert_eq!(applied.facts["asked"], 8);
    assert_eq!(applied.facts["status"], 200);
    assert!(applied.summary.ends_with("3 times in a row"), "{}", applied.summary);
    let waited = scene.waited();
    assert!(waited[0].ends_with("status 503, not 200: starting"), "{waited:#?}");
    assert!(waited[2].ends_with("2 good answers of 3 in a row"), "{waited:#?}");
    assert!(waited[3].contains("header X-Region is `us-east-1`, not `us-west-2`"), "{waited:#?}");
    assert!(waited[4].to_lowercase().contains("reset"), "{waited:#?}");
    // Every request came over a connection of its own, to the path that was asked for.
    assert!(receiver.requests().iter().all(|r| r.path == "/health/ready" && r.method == "GET"));
    assert!(matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::Done(_)));
    receiver.next(good());
    receiver.next(Answer::says(500, ""));
    let Observed::NotDone(why) = action.observe(&scene.cx(LONG)).await.unwrap() else { panic!() };
    assert_eq!(why, "status 500, not 200, with an empty body");
}

#[tokio::test]
async fn a_load_balancer_is_asked_before_dns_leads_there() {
    let tls = Tls::make();
    let (receiver, scene) = (Receiver::start_tls(&tls), Scene::with_tls(&tls, ""));
    // Nobody listens on the port of the URL, so only `connect_to` can lead to an answer.
    let port = free_port();
    let with = json!({
        "url": format!("https://localhost:{port}/health"),
        "connect_to": receiver.address().to_string(),
        "successes": 1,
    });
    scene.action("http.await_ready", with.clone()).apply(&scene.cx(LONG)).await.unwrap();
    let request = receiver.requests().remove(0);
    assert_eq!(request.header("host"), Some(format!("localhost:{port}").as_str()));

    // The certificate is for `localhost`; another name is not believed, whatever the address.
    let mut other = with.clone();
    other["url"] = json!("https://app.petforce.test/health");
    let action = scene.action("http.await_ready", other);
    let failure = action.apply(&scene.cx(Duration::from_millis(700))).await.unwrap_err();
    let text = failure.error.one_line();
    assert!(text.contains("app.petforce.test") && text.contains("not valid for name"), "{text}");
    let checks = action.preflight(&scene.cx(LONG)).await;
    assert_eq!(checks[1].standing, Standing::NotReady, "{checks:#?}");

    // Nor is one of an authority that nobody knows.
    let stranger = Scene::new("");
    let action = stranger.action("http.await_ready", with);
    let failure = action.apply(&stranger.cx(Duration::from_millis(700))).await.unwrap_err();
    assert!(failure.error.one_line().contains("UnknownIssuer"), "{:?}", failure.error);
    assert_eq!(receiver.requests().len(), 1);
}

#[tokio::test]
async fn the_host_may_be_asked_of_a_dns_server_of_ones_own() {
    let (receiver, scene, zone) = (Receiver::start(), Scene::new(""), Zone::new());
    zone.set("app.petforce.test", "A", 60, &["127.0.0.1"]);
    let dns = Dns::resolver(&Cache::of(zone));
    let with = json!({
        "url": format!("http://app.petforce.test:{}/", receiver.port()),
        "resolver": dns.address().to_string(),
        "successes": 1,
    });
    scene.action("http.await_ready", with).apply(&scene.cx(LONG)).await.unwrap();
    assert_eq!(dns.asked(), 1);
    let request = receiver.requests().remove(0);
    let host = format!("app.petforce.test:{}", receiver.port());
    assert_eq!(request.header("host"), Some(host.as_str()));
}

#[tokio::test]
async fn the_last_answer_is_told_and_nothing_secret() {
    let (receiver, scene) = (Receiver::start(), Scene::new(""));
    let url = receiver.url("/health?token=sesame-of-url");
    let url = url.replace("http://", "http://ann:sesame-of-ann@");
    let with = json!({ "url": url, "every": "10ms" });
    let says = format!("cannot log in with sesame-of-db, {} sesame-of-url", "long ".repeat(100));
    for (answer, words) in [
        (Answer::says(503, says), "status 503, not 200: cannot log in with ***, long"),
        (
            Answer::says(302, "").header("location", "http://x.test/?k=sesame-of-db"),
            "status 302 to http://x.test/?…",
        ),
        (Answer::Hangs, "no answer in time"),
        (Answer::Resets, "reset"),
    ] {
        receiver.answers(answer);
        let action = scene.action("http.await_ready", with.clone());
        let failure = action.apply(&scene.cx(Duration::from_secs(1))).await.unwrap_err();
        assert_eq!((failure.class, failure.error.kind()), (FailureClass::Transient, Kind::Failed));
        let mut text = failure.error.one_line();
        assert!(text.contains(words), "{text}");
        assert!(
            text.starts_with(&format!("wait until {}health?… answers", receiver.url("/"))),
            "{text}"
        );
        let checks = action.preflight(&scene.cx(LONG)).await;
        assert_eq!(checks[0].standing, Standing::Warning);
        text.push_str(&format!("{checks:?} {:?} {:?}", scene.waited(), action.describe()));
        assert!(!text.contains("sesame"), "{text}");
    }
    assert!(receiver.requests()[0].header("authorization").is_some());
}

#[tokio::test]
async fn preflight_tells_how_long_the_certificate_is_good() {
    let tls = Tls::make();
    let (receiver, scene) = (Receiver::start_tls(&tls), Scene::with_tls(&tls, ""));
    let action = scene.action("http.await_ready", json!({ "url": receiver.url("/") }));
    let checks = action.preflight(&scene.cx(LONG)).await;
    assert_eq!(checks[0].standing, Standing::Ready, "{checks:#?}");
    // The lab's certificates live for two days.
    assert_eq!(checks[1].standing, Standing::Warning, "{checks:#?}");
    assert!(checks[1].found.starts_with("good for 1 more days, until 2"), "{checks:#?}");
    assert!(checks[1].hint.is_some());

    let url = format!("https://127.0.0.1:{}/", free_port());
    let action = scene.action("http.await_ready", json!({ "url": url }));
    let checks = action.preflight(&scene.cx(LONG)).await;
    let standings: Vec<_> = checks.iter().map(|check| check.standing).collect();
    assert_eq!(standings, [Standing::Warning, Standing::Unproven], "{checks:#?}");
}
