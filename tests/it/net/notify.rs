//! Notifications by HTTP: what arrives, that repeats can be told, and that no failure of a channel
//! is one of the run.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use drctl::error::Kind;
use drctl::providers::notify::{channels, two_ways};
use drctl::providers::{Applied, Arguments, Observed, Standing};
use serde_json::{Value, json};

use super::scene::{LONG, Scene};
use crate::lab::{self, Answer, Receiver, free_port};

/// A channel of every kind that is spoken to by HTTP, all at one receiver.
fn configured(receiver: &Receiver) -> String {
    format!(
        r#"
        [channel.team]
        kind = "slack"
        url = "{}"
        [channel.oncall]
        kind = "pagerduty"
        routing_key = "sesame-of-pagerduty-000000000000"
        url = "{}"
        [channel.hook]
        kind = "webhook"
        url = "{}"
        secret = "whsec_c2VzYW1lLW9mLWhvb2s="
        "#,
        receiver.url("/services/T1/B1/sesame-of-slack"),
        receiver.url("/v2/enqueue"),
        receiver.url("/in?token=sesame-of-url"),
    )
}

async fn tell(scene: &Scene, uses: &str, with: Value) -> Applied {
    scene.action(uses, with).apply(&scene.cx(LONG)).await.unwrap()
}

#[tokio::test]
async fn every_channel_says_what_happened_and_where_the_run_stands() {
    let receiver = Receiver::start();
    let mut scene = Scene::new(&configured(&receiver));
    let epoch = json!({ "epoch": 5, "region": "us-west-2" });
    scene.facts.insert("activate".to_owned(), epoch.as_object().unwrap().clone());
    let with = json!({ "text": "us-west-2 serves\nall checks passed", "severity": "critical", "next": "watch errors" });
    let applied = tell(&scene, "notify.all", with).await;
    assert_eq!(applied.summary, "told team, oncall, hook");
    assert_eq!(applied.warnings, Vec::<String>::new());
    assert_eq!(applied.facts["message"], "20261124-0300-ab12.step");

    let requests = receiver.requests();
    let to = |path: &str| requests.iter().find(|r| r.path.starts_with(path)).unwrap();
    let slack = to("/services/T1/B1/sesame-of-slack").json();
    let text = slack["text"].as_str().unwrap();
    assert!(
        text.starts_with(
            "*petforce, us-east-1 to us-west-2: us-west-2 serves*\nall checks passed\n"
        ),
        "{text}"
    );
    for line in [
        "• run: 20261124-0300-ab12\n",
        "• step: step\n",
        "• epoch: 5\n",
        "• next: watch errors\n",
        " of 15m\n",
    ] {
        assert!(text.contains(line), "{line} is not in {text}");
    }
    let event = to("/v2/enqueue").json();
    assert_eq!(event["routing_key"], "sesame-of-pagerduty-000000000000");
    assert_eq!(event["dedup_key"], "drctl.petforce.20261124-0300-ab12.region-failover");
    assert_eq!(event["payload"]["severity"], "critical");
    assert_eq!(event["payload"]["custom_details"]["region"], "us-east-1 to us-west-2");
    let hook = to("/in?token=sesame-of-url").json();
    assert_eq!(hook["type"], "drctl.notification");
    assert_eq!((&hook["data"]["epoch"], &hook["data"]["drill"]), (&json!(5), &json!(false)));
    assert_eq!(hook["data"]["next"], "watch errors");
    assert!(requests.iter().all(|r| r.header("content-type") == Some("application/json")));
}

#[tokio::test]
async fn repeats_and_resolutions_carry_the_same_keys() {
    let receiver = Receiver::start();
    let scene = Scene::new(&configured(&receiver));
    let open = json!({ "text": "down", "severity": "critical", "key": "outage" });
    // As after a crash: nobody can say whether the first one came.
    tell(&scene, "notify.pagerduty", open.clone()).await;
    let action = scene.action("notify.pagerduty", open);
    assert!(matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::NotDone(_)));
    action.apply(&scene.cx(LONG)).await.unwrap();
    tell(&scene, "notify.pagerduty", json!({ "text": "up", "key": "outage", "resolve": true }))
        .await;
    let events: Vec<_> = receiver.requests().iter().map(|r| r.json()).collect();
    let of = |name: &str| events.iter().map(|e| e[name].as_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(of("event_action"), ["trigger", "trigger", "resolve"]);
    assert_eq!(of("dedup_key"), ["drctl.petforce.20261124-0300-ab12.outage"; 3]);

    tell(&scene, "notify.webhook", json!({ "text": "down" })).await;
    tell(&scene, "notify.webhook", json!({ "text": "down" })).await;
    let requests = receiver.requests();
    let ids: BTreeSet<_> = requests.iter().filter_map(|r| r.header("webhook-id")).collect();
    assert_eq!(ids, BTreeSet::from(["20261124-0300-ab12.step"]));
}

/// With the program that docs/notifications.md gives to receivers.
#[tokio::test]
async fn a_receiver_can_tell_who_signed() {
    let receiver = Receiver::start();
    let scene = Scene::new(&configured(&receiver));
    tell(&scene, "notify.webhook", json!({ "text": "dön <&>" })).await;
    let request = receiver.requests().remove(0);
    let docs = include_str!("../../../docs/notifications.md");
    let program =
        docs.split("```python\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let verified = |secret: &str, body: &str, age: i64| {
        let python = lab::tool("MOTO_SERVER").with_file_name("python");
        let header = |name: &str| request.header(name).unwrap().to_owned();
        let at = header("webhook-timestamp").parse::<i64>().unwrap() - age;
        let mut child = Command::new(python)
            .args(["-c", program])
            .args([secret, &header("webhook-id"), &at.to_string(), &header("webhook-signature")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
        String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap().trim().to_owned()
    };
    let secret = "whsec_c2VzYW1lLW9mLWhvb2s=";
    assert_eq!(verified(secret, &request.body, 0), "genuine");
    assert_eq!(verified("whsec_b3RoZXI=", &request.body, 0), "forged");
    assert_eq!(verified(secret, &request.body.replace("dön", "don"), 0), "forged");
    assert_eq!(verified(secret, &request.body, 600), "too old");
}

#[tokio::test]
async fn a_drill_is_marked_everywhere() {
    let receiver = Receiver::start();
    let mut scene = Scene::new(&configured(&receiver));
    scene.run.drill = true;
    tell(&scene, "notify.all", json!({ "text": "down" })).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 3);
    for request in requests {
        assert!(request.body.contains("DRILL: petforce"), "{}", request.body);
    }
}

#[tokio::test]
async fn what_may_help_is_tried_again_and_what_cannot_is_not() {
    let receiver = Receiver::start();
    let scene = Scene::new(&configured(&receiver));
    for passing in [Answer::says(500, "rollup_error"), Answer::says(429, ""), Answer::Resets] {
        receiver.next(passing);
        let applied = tell(&scene, "notify.slack", json!({ "text": "down" })).await;
        assert_eq!(applied.summary, "told team");
        assert_eq!(applied.warnings, Vec::<String>::new());
    }
    let before = receiver.requests().len();
    receiver.next(Answer::says(404, "no_service"));
    let applied = tell(&scene, "notify.slack", json!({ "text": "down" })).await;
    assert_eq!(applied.summary, "nobody was told");
    let told =
        "not sent to `team`: \"petforce, us-east-1 to us-west-2: down\": status 404: no_service";
    assert_eq!(applied.warnings, [told]);
    assert_eq!(applied.facts["untold"][0]["channel"], "team");
    assert_eq!(receiver.requests().len(), before + 1);
}

#[tokio::test]
async fn no_failure_of_a_channel_fails_the_run_or_shows_a_secret() {
    let receiver = Receiver::start();
    let scene = Scene::new(&configured(&receiver));
    let body = |status: u16| {
        let said = "sesame-of-slack and /services/T1/B1/sesame-of-slack and sesame-of-url";
        Answer::says(status, said)
    };
    for (answer, words) in [
        (body(403), "status 403: *** and *** and ***"),
        (body(500), "status 500: ***"),
        (Answer::Hangs, "no answer in time"),
        (Answer::Resets, "reset"),
        (Answer::says(302, "").header("location", "http://other.test/"), "status 302"),
    ] {
        receiver.answers(answer);
        let action = scene.action("notify.all", json!({ "text": "down", "within": "1s" }));
        // Far less than the minute that the step has.
        let cx = scene.cx(LONG);
        let applied = tokio::time::timeout(Duration::from_secs(20), action.apply(&cx));
        let applied = applied.await.expect("bounded by `within`").unwrap();
        assert_eq!(applied.warnings.len(), 3, "{applied:#?}");
        let text = format!("{applied:?} {:?}", action.describe());
        assert!(applied.warnings.iter().all(|w| w.contains(words)), "{text}");
        assert!(!text.contains("sesame"), "{text}");
    }
    // Nobody is there at all, and time is up before it began.
    let config =
        configured(&receiver).replace(&receiver.port().to_string(), &free_port().to_string());
    let scene = Scene::new(&config);
    for limit in [Duration::from_secs(1), Duration::ZERO] {
        let action = scene.action("notify.all", json!({ "text": "down" }));
        let applied = action.apply(&scene.cx(limit)).await.unwrap();
        assert_eq!(applied.warnings.len(), 3);
        let checks = action.preflight(&scene.cx(LONG)).await;
        assert!(checks.iter().all(|check| check.standing == Standing::Warning), "{checks:#?}");
        let text = format!("{applied:?} {checks:?}");
        assert!(!text.contains("sesame"), "{text}");
    }
}

#[tokio::test]
async fn channels_that_cannot_be_used_here_are_told_and_do_not_stop_the_others() {
    let receiver = Receiver::start();
    let config = configured(&receiver)
        + r#"
        [channel.unset]
        kind = "slack"
        url = "${DRCTL_NO_SUCH_VARIABLE}"
        "#;
    let scene = Scene::new(&config);
    let applied = tell(&scene, "notify.all", json!({ "text": "down" })).await;
    assert_eq!(applied.summary, "told team, oncall, hook");
    assert_eq!(applied.warnings.len(), 1);
    assert!(
        applied.warnings[0].contains("`DRCTL_NO_SUCH_VARIABLE` is not set"),
        "{:?}",
        applied.warnings
    );
    // Two of a kind: one must be named.
    let Err(e) = scene.try_action("notify.slack", json!({ "text": "x" })) else { panic!() };
    assert!(e.one_line().contains("say which `channel`: there are team, unset"), "{e:?}");
    tell(&scene, "notify.slack", json!({ "text": "x", "channel": "team" })).await;
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let receiver = Receiver::start();
    let scene = Scene::new(&configured(&receiver));
    for (uses, with, words) in [
        ("notify.slack", json!({ "text": "x", "channel": "teem" }), "did you mean `team`?"),
        ("notify.slack", json!({ "text": "x", "channel": "hook" }), "`hook` is of another kind"),
        ("notify.email", json!({ "text": "x" }), "no channel of this kind"),
        ("notify.all", json!({ "text": "x", "channel": "team" }), "it uses every channel"),
        ("notify.all", json!({ "text": " " }), "`text` is empty"),
        ("notify.all", json!({ "text": "x", "severity": "dire" }), "unknown variant `dire`"),
    ] {
        let Err(e) = scene.try_action(uses, with.clone()) else { panic!("{with} was taken") };
        assert_eq!(e.kind(), Kind::Usage);
        assert!(e.one_line().contains(words), "{}", e.one_line());
    }
}

#[tokio::test]
async fn preflight_says_what_is_not_proven() {
    let receiver = Receiver::start();
    let scene = Scene::new(&configured(&receiver));
    let checks =
        scene.action("notify.all", json!({ "text": "x" })).preflight(&scene.cx(LONG)).await;
    assert_eq!(checks.len(), 3);
    for check in &checks {
        assert_eq!(check.standing, Standing::Unproven, "{checks:#?}");
        assert!(check.found.contains("127.0.0.1 is reachable"), "{checks:#?}");
    }
    assert_eq!(receiver.requests().len(), 0, "nothing is sent to find that out");
    let checks = Scene::new("").action("notify.all", json!({ "text": "x" }));
    let scene = Scene::new("");
    let checks = checks.preflight(&scene.cx(LONG)).await;
    assert_eq!((checks.len(), checks[0].standing), (1, Standing::Warning));
}

#[test]
fn a_run_should_be_told_of_in_two_independent_ways() {
    let receiver = Receiver::start();
    let second = "\n[channel.other]\nkind = \"slack\"\nurl = \"https://hooks.slack.com/x\"\n";
    let scene = Scene::new(&(configured(&receiver) + second));
    let config = &scene.world.config;
    let sent = |uses: &str, with: Value| {
        let arguments: Arguments = serde_json::from_value(with).unwrap();
        channels(uses, &arguments, config)
    };
    let set = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(sent("notify.pagerduty", json!({ "text": "x" })), set(&["oncall"]));
    assert_eq!(
        sent("notify.all", json!({ "text": "x" })),
        set(&["hook", "oncall", "other", "team"])
    );
    assert_eq!(sent("postgres.promote", json!({})), set(&[]));
    for (names, standing) in [
        (set(&[]), Standing::Warning),
        (set(&["team"]), Standing::Warning),
        (set(&["team", "other"]), Standing::Warning),
        (set(&["team", "oncall"]), Standing::Ready),
    ] {
        assert_eq!(two_ways(config, &names).standing, standing, "{names:?}");
    }
}
