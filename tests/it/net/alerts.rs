//! Alerts against real receivers: told once however many runners see them, told to the others where a
//! channel fails, and closed where they were opened.

use std::path::Path;
use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use drctl::config::Config;
use drctl::model::{Alert, Severity};
use drctl::providers::notify::{Alerting, Told, Wanted, try_channels};
use drctl::store::fault::{Fault, FaultyStore, Op};
use drctl::store::{Class, MemoryStore, ObjectStore};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::lab::{Alertmanager, Answer, Mail, Received, Receiver, Tls};

const BASE: &str = r#"
    project = { name = "petforce" }
    regions = { primary = "us-east-1", standby = "us-west-2" }
    [store.west]
    url = "file:///nowhere"
    region = "us-west-2"
    [database.petforce]
    url = "postgresql://drctl@db.petforce.test/petforce"
    stores = ["west"]
"#;

fn parse(more: &str) -> Arc<Config> {
    let text = format!("{BASE}{more}");
    Arc::new(Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap())
}

fn alerting(config: &Arc<Config>, store: Arc<dyn ObjectStore>, by: &str) -> Alerting {
    Alerting::trusting(Vec::new(), Arc::clone(config), Some(store), by).unwrap()
}

fn memory() -> Arc<dyn ObjectStore> {
    Arc::new(MemoryStore::new("west"))
}

fn now() -> DateTime<Utc> {
    Utc::now()
}

fn alert(severity: Severity) -> Alert {
    Alert {
        key: "rpo/petforce/west".to_owned(),
        severity,
        summary: "petforce in west: the newest snapshot is 65 min old".to_owned(),
        detail: "the objective is 1 h\nrun `drctl snapshot petforce`".to_owned(),
        at: now(),
        resolved: false,
    }
}

fn over() -> Alert {
    Alert { resolved: true, ..alert(Severity::Info) }
}

/// One channel of each kind that is spoken to by HTTP, each at a receiver of its own.
struct Receivers {
    pager: Receiver,
    team: Receiver,
    hook: Receiver,
    events: Receiver,
}

impl Receivers {
    fn start() -> Self {
        let [pager, team, hook, events] = std::array::from_fn(|_| Receiver::start());
        Self { pager, team, hook, events }
    }

    fn config(&self) -> String {
        format!(
            r#"
            [channel.pager]
            kind = "pagerduty"
            routing_key = "sesame-of-pagerduty-000000000000"
            url = "{}"
            [channel.team]
            kind = "slack"
            url = "{}"
            [channel.hook]
            kind = "webhook"
            url = "{}"
            [channel.events]
            kind = "datadog"
            api_key = "sesame-of-datadog"
            url = "{}"
            "#,
            self.pager.url("/v2/enqueue"),
            self.team.url("/services/T1/B1/sesame-of-slack"),
            self.hook.url("/in?token=sesame-of-url"),
            self.events.url("/api/v1/events"),
        )
    }
}

fn names(told: &Told) -> Vec<&str> {
    let mut names: Vec<_> = told.told.iter().map(|(_, channel)| channel.as_str()).collect();
    names.sort_unstable();
    names
}

fn bodies(receiver: &Receiver) -> Vec<serde_json::Value> {
    receiver.requests().iter().map(Received::json).collect()
}

#[tokio::test]
async fn an_incident_is_opened_once_taken_on_and_closed_by_the_same_key() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    let store = memory();
    let one = alerting(&config, Arc::clone(&store), "one");
    let two = alerting(&config, Arc::clone(&store), "two");
    let began = now();
    let all = ["events", "hook", "pager", "team"];
    assert_eq!(names(&one.handle(&[alert(Severity::Warning)], began).await), all);
    // Seen again and again, by both.
    for second in [1, 30, 60] {
        let at = began + TimeDelta::seconds(second);
        for runner in [&one, &two] {
            assert_eq!(runner.handle(&[alert(Severity::Warning)], at).await, Told::default());
        }
    }
    assert_eq!(names(&two.handle(&[alert(Severity::Critical)], began).await), all);
    two.acknowledge("rpo/petforce/west", "ann", began + TimeDelta::seconds(90)).await.unwrap();
    let later = began + TimeDelta::hours(9);
    assert_eq!(one.tend(later).await, Told::default(), "nobody is reminded of what ann took on");
    assert_eq!(names(&one.handle(&[over()], later).await), all);
    assert_eq!(two.handle(&[over()], later + TimeDelta::minutes(1)).await, Told::default());
    assert!(two.open(later).await.unwrap().is_empty());

    let pages = bodies(&receivers.pager);
    let said: Vec<_> = pages.iter().map(|page| page["event_action"].as_str().unwrap()).collect();
    assert_eq!(said, ["trigger", "trigger", "acknowledge", "resolve"]);
    assert!(pages.iter().all(|page| page["dedup_key"] == "drctl.petforce.rpo/petforce/west"));
    assert_eq!(pages[0]["payload"]["severity"], "warning");
    assert_eq!(pages[1]["payload"]["severity"], "critical");
    assert_eq!(pages[1]["payload"]["class"], "alert");
    let events = bodies(&receivers.events);
    let kinds: Vec<_> = events.iter().map(|e| e["alert_type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["warning", "error", "info", "success"]);
    let request = &receivers.events.requests()[0];
    assert_eq!(request.header("dd-api-key"), Some("sesame-of-datadog"));
    let hooks = bodies(&receivers.hook);
    assert_eq!(hooks[0]["type"], "drctl.alert");
    assert_eq!(hooks[2]["data"]["acknowledged_by"], "ann");
    assert_eq!(hooks[3]["data"]["resolved"], true);
    let lines: Vec<_> = bodies(&receivers.team)
        .iter()
        .map(|body| body["text"].as_str().unwrap().lines().next().unwrap().to_owned())
        .collect();
    let subject = "petforce: petforce in west: the newest snapshot is 65 min old*";
    assert_eq!(
        lines,
        [
            format!("*WARNING: {subject}"),
            format!("*now CRITICAL: {subject}"),
            format!("*taken on by ann: {subject}"),
            format!("*resolved: {subject}"),
        ]
    );
}

#[tokio::test]
async fn runners_that_see_it_at_the_same_moment_tell_it_once() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    let store = memory();
    let runners: Vec<_> =
        (0..5).map(|n| alerting(&config, Arc::clone(&store), &format!("runner {n}"))).collect();
    let at = now();
    for _ in 0..3 {
        let raised = runners.iter().map(async |runner| {
            runner.handle(&[alert(Severity::Critical)], at).await;
        });
        futures_util::future::join_all(raised).await;
    }
    assert_eq!(receivers.pager.requests().len(), 1);
    assert_eq!(receivers.team.requests().len(), 1);
    let ended = runners.iter().map(async |runner| {
        runner.handle(&[over()], at + TimeDelta::seconds(1)).await;
    });
    futures_util::future::join_all(ended).await;
    assert_eq!(receivers.pager.requests().len(), 2);
    assert_eq!(receivers.team.requests().len(), 2);
}

#[tokio::test]
async fn routes_say_who_is_told() {
    let receivers = Receivers::start();
    let routes = r#"
        [route.page]
        severity = ["critical"]
        channels = ["pager", "team"]
        [route.rest]
        severity = ["warning", "info"]
        channels = ["team"]
    "#;
    let config = parse(&(receivers.config() + routes));
    let runner = alerting(&config, memory(), "one");
    assert_eq!(names(&runner.handle(&[alert(Severity::Warning)], now()).await), ["team"]);
    assert_eq!(names(&runner.handle(&[alert(Severity::Critical)], now()).await), ["pager", "team"]);
    assert_eq!(receivers.pager.requests().len(), 1);
    assert_eq!(receivers.hook.requests().len(), 0);
}

#[tokio::test]
async fn a_channel_that_fails_is_told_of_through_the_others_and_gets_it_later() {
    let receivers = Receivers::start();
    // Critical alerts go to the pager alone.
    let route = "[route.page]\nchannels = [\"pager\"]\n";
    let config = parse(&(receivers.config() + route));
    let store = memory();
    let runner = alerting(&config, Arc::clone(&store), "one");
    receivers.pager.answers(Answer::says(403, "invalid key sesame-of-pagerduty-000000000000"));
    let at = now();
    let told = runner.handle(&[alert(Severity::Critical)], at).await;
    assert_eq!(names(&told), ["events", "hook", "team"], "the others, though no route leads there");
    assert_eq!(told.untold.len(), 1, "{told:?}");
    let text = bodies(&receivers.team)[0]["text"].as_str().unwrap().to_owned();
    for words in [
        "*CRITICAL: petforce: channel `pager` (pagerduty) takes no messages*",
        "status 403: invalid key ***",
        "not told there: petforce in west: the newest snapshot is 65 min old",
    ] {
        assert!(text.contains(words), "{words} is not in {text}");
    }
    assert!(!text.contains("sesame"), "{text}");
    // Another process takes over, and the channel is well again.
    receivers.pager.answers(Answer::says(202, r#"{"status":"success"}"#));
    let two = alerting(&config, store, "two");
    assert_eq!(two.tend(at + TimeDelta::seconds(5)).await, Told::default(), "too soon");
    let told = two.tend(at + TimeDelta::minutes(2)).await;
    assert_eq!(names(&told), ["events", "hook", "pager", "team"]);
    let text = bodies(&receivers.team)[1]["text"].as_str().unwrap().to_owned();
    assert!(
        text.starts_with("*resolved: petforce: channel `pager` takes messages again"),
        "{text}"
    );
    let open = two.open(at).await.unwrap();
    assert_eq!(open.len(), 1, "{open:#?}");
    assert_eq!(open[0].told.keys().collect::<Vec<_>>(), ["pager"]);
}

#[tokio::test]
async fn a_server_that_asks_for_time_gets_it() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    let runner = alerting(&config, memory(), "one");
    receivers.team.next(Answer::says(429, "slow down").header("retry-after", "1"));
    receivers.pager.answers(Answer::says(429, "").header("retry-after", "300"));
    receivers.hook.next(Answer::says(500, "oops"));
    let at = now();
    let began = std::time::Instant::now();
    let told = runner.handle(&[alert(Severity::Warning)], at).await;
    assert!(began.elapsed().as_secs_f64() >= 1.0, "{:?}", began.elapsed());
    assert!(told.told.contains(&("rpo/petforce/west".to_owned(), "team".to_owned())), "{told:?}");
    let opened = |r: &&Received| r.body.contains("WARNING: petforce: petforce in west");
    assert_eq!(receivers.team.requests().iter().filter(opened).count(), 2);
    // Five minutes are not waited for; the rest goes on, and it is left alone for so long.
    assert_eq!(receivers.pager.requests().len(), 1);
    runner.tend(at + TimeDelta::minutes(4)).await;
    assert_eq!(receivers.pager.requests().len(), 1);
    receivers.pager.answers(Answer::says(202, ""));
    let told = runner.tend(at + TimeDelta::minutes(6)).await;
    assert!(told.told.iter().any(|(_, channel)| channel == "pager"), "{told:?}");
}

#[tokio::test]
async fn a_receiver_that_hangs_holds_up_no_other() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    let runner = alerting(&config, memory(), "one");
    receivers.pager.answers(Answer::Hangs);
    let told = runner.handle(&[alert(Severity::Critical)], now()).await;
    let first: Vec<_> =
        told.told.iter().filter(|(key, _)| key == "rpo/petforce/west").map(|(_, c)| c).collect();
    assert_eq!(first.len(), 3, "{told:?}");
    assert!(
        told.untold
            .iter()
            .any(|(_, channel, why)| channel == "pager" && why == "no answer in time")
    );
}

#[tokio::test]
async fn without_the_store_people_are_told_all_the_same_and_it_catches_up() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    let store = Arc::new(FaultyStore::new(memory()));
    let runner = alerting(&config, Arc::clone(&store) as Arc<dyn ObjectStore>, "one");
    let at = now();
    store.always(Op::Get, Fault::Fail(Class::Transient));
    store.always(Op::Put, Fault::Fail(Class::Transient));
    let told = runner.handle(&[alert(Severity::Critical)], at).await;
    assert_eq!(names(&told).len(), 4);
    assert!(told.unkept.is_some());
    let again = runner.handle(&[alert(Severity::Critical)], at + TimeDelta::seconds(40)).await;
    assert!(again.told.is_empty(), "folded in this process: {again:?}");
    store.heal();
    assert_eq!(runner.tend(at + TimeDelta::seconds(80)).await, Told::default());
    let other = alerting(&config, store, "two");
    assert_eq!(other.open(at).await.unwrap()[0].told.len(), 4);
    let at = at + TimeDelta::seconds(120);
    assert_eq!(other.handle(&[alert(Severity::Critical)], at).await, Told::default());
}

#[tokio::test]
async fn a_write_whose_answer_is_lost_loses_no_message_and_doubles_none() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    for nth in 1..=2 {
        let store = Arc::new(FaultyStore::new(memory()));
        let runner = alerting(&config, Arc::clone(&store) as Arc<dyn ObjectStore>, "one");
        let before = receivers.team.requests().len();
        store.on(Op::Put, nth, Fault::FailAfter);
        let told = runner.handle(&[alert(Severity::Critical)], now()).await;
        assert_eq!((names(&told).len(), told.unkept), (4, None), "put {nth}");
        assert_eq!(receivers.team.requests().len(), before + 1, "put {nth}");
    }
}

#[tokio::test]
async fn a_process_that_died_after_it_said_it_would_tell_is_stood_in_for() {
    let receivers = Receivers::start();
    let config = parse(&receivers.config());
    let store = Arc::new(FaultyStore::new(memory()));
    let one = alerting(&config, Arc::clone(&store) as Arc<dyn ObjectStore>, "one");
    receivers.pager.answers(Answer::Hangs);
    receivers.team.answers(Answer::Hangs);
    receivers.hook.answers(Answer::Hangs);
    receivers.events.answers(Answer::Hangs);
    let at = now();
    let alerts = [alert(Severity::Critical)];
    // It dies while it sends.
    let cut =
        tokio::time::timeout(std::time::Duration::from_secs(2), one.handle(&alerts, at)).await;
    assert!(cut.is_err());
    drop(one);
    for receiver in [&receivers.pager, &receivers.team, &receivers.hook, &receivers.events] {
        receiver.answers(Answer::says(200, "ok"));
    }
    let two = alerting(&config, store, "two");
    assert!(two.tend(at + TimeDelta::seconds(30)).await.told.is_empty(), "it may still live");
    let told = two.tend(at + TimeDelta::seconds(100)).await;
    assert_eq!(names(&told).len(), 4);
    // Receivers that look at the id fold the two.
    let ids: std::collections::BTreeSet<_> = receivers
        .hook
        .requests()
        .iter()
        .filter_map(|r| r.header("webhook-id").map(str::to_owned))
        .collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
}

#[tokio::test]
async fn a_real_alertmanager_shows_what_is_open_and_no_longer_what_is_over() {
    let server = Alertmanager::start();
    let channel =
        format!("[channel.cluster]\nkind = \"alertmanager\"\nurl = \"{}\"\n", server.url());
    let config = parse(&channel);
    let runner = alerting(&config, memory(), "runner on ops-1");
    let at = now();
    let told = runner.handle(&[alert(Severity::Warning)], at).await;
    assert_eq!(names(&told), ["cluster"], "{told:?}");
    let shown = server.alerts();
    assert_eq!(shown.len(), 1, "{shown:#?}");
    let labels = &shown[0]["labels"];
    assert_eq!(labels["alertname"], "drctl_rpo");
    assert_eq!(labels["key"], "rpo/petforce/west");
    assert_eq!(labels["severity"], "warning");
    assert_eq!(shown[0]["annotations"]["description"], alert(Severity::Warning).detail);
    // To it, the same alert under another severity is another one: the first must end.
    runner.handle(&[alert(Severity::Critical)], at).await;
    let shown = server.alerts();
    assert_eq!(shown.len(), 1, "{shown:#?}");
    assert_eq!(shown[0]["labels"]["severity"], "critical");
    // It is repeated, for an Alertmanager that starts anew knows nothing.
    let told = runner.tend(at + TimeDelta::minutes(6)).await;
    assert_eq!(names(&told), ["cluster"]);
    runner.handle(&[over()], now()).await;
    assert!(server.alerts().is_empty(), "{:#?}", server.alerts());
}

#[tokio::test]
async fn a_test_goes_along_every_route_and_tells_what_arrived() {
    let tls = Tls::make();
    let mail = Mail::options().smtps(&tls).login("drctl", "sesame").start();
    let server = Alertmanager::start();
    let receivers = Receivers::start();
    receivers.pager.answers(Answer::says(202, r#"{"status":"success"}"#));
    receivers.hook.answers(Answer::says(410, "gone: sesame-of-url"));
    let more = format!(
        r#"
        [channel.mail]
        kind = "email"
        url = "smtps://drctl:sesame@localhost:{}"
        from = "drctl@petforce.test"
        to = ["oncall@petforce.test"]
        [channel.cluster]
        kind = "alertmanager"
        url = "{}"
        [route.page]
        severity = ["critical"]
        channels = ["pager", "mail", "cluster"]
        [route.rpo]
        keys = ["rpo/*"]
        severity = ["info"]
        channels = ["hook"]
        [route.rest]
        severity = ["warning", "info"]
        channels = ["team"]
        "#,
        mail.port(),
        server.url()
    );
    let config = parse(&(receivers.config() + &more));
    let authority = CertificateDer::from_pem_file(tls.ca()).unwrap();
    let runner = Alerting::trusting(vec![authority], config, None, "ann").unwrap();
    let trials = try_channels(&runner, &Wanted::default(), now()).await;
    let shown: Vec<String> = trials
        .iter()
        .map(|t| format!("{} [{}] {} {}", t.channel, t.severities.join(" "), t.taken, t.said))
        .collect();
    assert_eq!(
        shown,
        [
            "pager [critical] true status 202: {\"status\":\"success\"}",
            "team [info warning] true status 200: ok",
            "hook [info] false status 410: gone: ***",
            "mail [critical] true 250 kept",
            "cluster [critical] true status 200, and shows the alert",
        ]
    );
    assert!(mail.mails()[0].contains("Subject: TEST critical: petforce: a test of `mail`"));
    assert_eq!(server.alerts()[0]["labels"]["alertname"], "drctl_test");
    let wanted = Wanted { channel: Some("pager".to_owned()), resolve: true, severity: None };
    let over = try_channels(&runner, &wanted, now()).await;
    assert_eq!(over.len(), 1);
    let pages = bodies(&receivers.pager);
    assert_eq!(pages[1]["event_action"], "resolve");
    assert_eq!(pages[0]["dedup_key"], pages[1]["dedup_key"]);
}
