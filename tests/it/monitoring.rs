//! Metrics and what is built on them, against the real programs: promtool, Prometheus, CloudWatch
//! as the SDK speaks to it, a DogStatsD socket, and the textfile of the built binary.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Utc;
use drctl::config::Config;
use drctl::model::{Family, Unit};
use drctl::providers::aws::{self, Clients};
use drctl::providers::dogstatsd;
use drctl::report::metrics::{
    Ended, VerifyOutcome, catalogue, of_command, openmetrics, prometheus,
};
use rustix::process::Signal;

use crate::home::Home;
use crate::lab::{self, Answer, Receiver, shared_pg15, tool};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/monitoring").join(name)
}

#[track_caller]
fn promtool(args: &[&str], input: &str) -> String {
    let mut child = Command::new(tool("PROMTOOL"))
        .args(args)
        .current_dir(docs(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "promtool {args:?}: {said}");
    said
}

/// Every metric there is, with one value each.
fn everything() -> Vec<Family> {
    let mut all = catalogue();
    for (value, family) in all.iter_mut().enumerate() {
        family.add(&[("database", "pet \"force\"\\\n")], Some(value as f64 + 0.5));
    }
    all
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    let text = prometheus(&everything()).unwrap();
    let said = promtool(&["check", "metrics"], &text);
    assert_eq!(said, "", "{text}");
}

#[test]
fn the_alert_rules_hold_what_they_promise() {
    let said = promtool(&["check", "rules", "alerts.yml"], "");
    assert!(said.contains("SUCCESS"), "{said}");
    let said = promtool(&["test", "rules", "alerts_test.yml"], "");
    assert!(said.contains("SUCCESS"), "{said}");
    // Each rule has a test.
    let rules = std::fs::read_to_string(docs("alerts.yml")).unwrap();
    let tests = std::fs::read_to_string(docs("alerts_test.yml")).unwrap();
    let page = include_str!("../../docs/monitoring.md");
    let names: Vec<_> =
        rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    assert!(names.len() > 10, "{names:?}");
    for name in names {
        let fires = tests.split("alertname: ").any(|piece| {
            piece
                .strip_prefix(name)
                .is_some_and(|rest| rest.trim_start().starts_with("exp_alerts:\n"))
        });
        assert!(fires, "no test in which {name} fires");
        assert!(page.contains(&format!("`{name}`")), "docs/monitoring.md lacks {name}");
    }
}

/// What in a text looks like a metric of drctl.
fn named(text: &str) -> BTreeSet<String> {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let found = text.match_indices("drctl_").filter(|(at, _)| !text[..*at].ends_with(part));
    found.map(|(at, _)| text[at..].chars().take_while(|c| part(*c)).collect()).collect()
}

#[test]
fn the_dashboard_and_the_rules_ask_for_metrics_that_there_are() {
    let exported: BTreeSet<String> = catalogue().iter().map(Family::full_name).collect();
    let dashboard = std::fs::read_to_string(docs("dashboard.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&dashboard).unwrap();
    let panels = json["panels"].as_array().unwrap();
    assert!(panels.len() > 10);
    for text in [dashboard, std::fs::read_to_string(docs("alerts.yml")).unwrap()] {
        let asked = named(&text);
        assert!(asked.len() > 10, "{asked:?}");
        let unknown: Vec<_> = asked.difference(&exported).collect();
        assert!(unknown.is_empty(), "{unknown:?}");
    }
    // Every expression is one that Prometheus can read.
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().unwrap());
    let rules: String = targets
        .enumerate()
        .map(|(n, target)| format!("  - record: p{n}\n    expr: {}\n", target["expr"]))
        .collect();
    let folder = lab::folder("rules");
    let file = folder.join("dashboard.yml");
    std::fs::write(&file, format!("groups:\n- name: dashboard\n  rules:\n{rules}")).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()], "");
}

/// A Prometheus that scrapes one address every second; ends on drop.
struct Scraper {
    child: std::process::Child,
    port: u16,
    _folder: lab::Folder,
}

impl Scraper {
    fn start(target: u16) -> Self {
        let folder = lab::folder("prometheus");
        let rules = docs("alerts.yml");
        let config = format!(
            "global:\n  scrape_interval: 1s\n  evaluation_interval: 1s\nrule_files: ['{}']\n\
             scrape_configs:\n- job_name: drctl\n  static_configs:\n  - targets: ['127.0.0.1:{target}']\n",
            rules.display()
        );
        std::fs::write(folder.join("prometheus.yml"), config).unwrap();
        let port = lab::free_port();
        let child = Command::new(tool("PROMETHEUS"))
            .arg(format!("--config.file={}", folder.join("prometheus.yml").display()))
            .arg(format!("--storage.tsdb.path={}", folder.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .spawn()
            .unwrap();
        Self { child, port, _folder: folder }
    }

    async fn ask(&self, question: &str) -> Option<serde_json::Value> {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], self.port));
        let path = format!("/api/v1/query?query={question}");
        let answer =
            lab::request_within(Duration::from_secs(5), address, "GET", &path).await.ok()?;
        let json: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
        let found = json["data"]["result"].as_array()?;
        found.first().cloned()
    }
}

impl Drop for Scraper {
    fn drop(&mut self) {
        let _ = rustix::process::kill_process(
            rustix::process::Pid::from_child(&self.child),
            Signal::KILL,
        );
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_takes_what_is_exposed() {
    let exposed = Receiver::start();
    let text = openmetrics(&everything()).unwrap();
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let answer = Answer::Says {
        status: 200,
        headers: vec![("content-type".to_owned(), kind.to_owned())],
        body: text,
    };
    exposed.answers(answer);
    let scraper = Scraper::start(exposed.port());
    let end = Instant::now() + Duration::from_secs(60);
    let found = loop {
        if let Some(found) = scraper.ask("drctl_replica_lag_bytes").await {
            break found;
        }
        assert!(Instant::now() < end, "nothing was scraped");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    assert_eq!(found["metric"]["database"], "pet \"force\"\\\n");
    let up = scraper.ask("up").await.unwrap();
    assert_eq!(up["value"][1], "1");
    let count = scraper.ask("count(%7B__name__%3D~%22drctl_.%2B%22%7D)").await.unwrap();
    assert_eq!(count["value"][1], catalogue().len().to_string());
}

fn config(more: &str) -> Arc<Config> {
    let text = format!(
        "[project]\nname = \"petforce\"\n[regions]\nprimary = \"us-east-1\"\n\
         standby = \"us-west-2\"\n[store.s]\nurl = \"file:///nowhere/x\"\nregion = \"us-west-2\"\n\
         [database.petforce]\nurl = \"host=127.0.0.1 dbname=x\"\nstores = [\"s\"]\n{more}"
    );
    Arc::new(Config::parse(&text, Path::new("drctl.toml"), &|_| None).unwrap())
}

/// Against a receiver: moto knows only the older protocol of CloudWatch, which the SDK no longer
/// speaks. Small bodies are CBOR, in which texts stand as they are; large ones are compressed.
#[tokio::test]
async fn cloudwatch_is_sent_every_value_with_its_unit() {
    let server = Receiver::start();
    server.answers(Answer::says(200, "").header("smithy-protocol", "rpc-v2-cbor"));
    let config = config(&format!(
        "[aws.us-west-2]\nendpoint = \"{}\"\naccess_key_id = \"test\"\n\
         secret_access_key = \"test\"\n",
        server.url("")
    ));
    let clients = Clients::new(config);
    let ages = |count: usize| {
        let mut ages = Family::new("drctl_snapshot_age", Unit::Seconds, "");
        for n in 0..count {
            ages.add(&[("database", &format!("db-{n}")), ("empty", "")], Some(1.5));
        }
        [ages]
    };
    let send = async |count: usize| {
        let now = Utc::now();
        aws::put_metrics(&clients, "us-west-2", "drctl", "petforce", &ages(count), now).await
    };
    send(2).await.unwrap();
    let requests = server.requests();
    assert_eq!(requests.len(), 1);
    assert!(requests[0].path.ends_with("/operation/PutMetricData"), "{}", requests[0].path);
    let body = &requests[0].body;
    for text in ["drctl_snapshot_age_seconds", "Seconds", "project", "petforce", "db-0", "db-1"] {
        assert!(body.contains(text), "{text} is not in {body}");
    }
    assert!(!body.contains("empty"), "a dimension without a value is refused: {body}");
    // More than one request takes.
    send(1100).await.unwrap();
    assert_eq!(server.requests().len(), 3);
    server.answers(Answer::says(403, "").header("smithy-protocol", "rpc-v2-cbor"));
    let refused = send(1).await.unwrap_err();
    assert!(refused.error.one_line().contains("CloudWatch in us-west-2"), "{:?}", refused.error);
}

#[tokio::test]
async fn a_dogstatsd_agent_gets_gauges_with_tags() {
    let agent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let ended = Ended {
        command: "verify",
        database: "petforce".to_owned(),
        at: Utc::now(),
        seconds: 2.5,
        exit_code: 3,
        snapshot: None,
        verify: Some(VerifyOutcome { checked_objects: 5, checked_bytes: 10, findings: 2 }),
        recovery_seconds: None,
    };
    let address = agent.local_addr().unwrap().to_string();
    dogstatsd::send(&address, "petforce", &of_command(&ended)).await.unwrap();
    let mut buffer = vec![0; 65536];
    let received = tokio::time::timeout(Duration::from_secs(10), agent.recv(&mut buffer));
    let size = received.await.unwrap().unwrap();
    let text = std::str::from_utf8(&buffer[..size]).unwrap();
    let line = "drctl.command_verify_findings:2|g|#project:petforce,database:petforce";
    assert!(text.lines().any(|l| l == line), "{text}");
}

#[test]
fn commands_keep_how_they_ended_in_the_textfile() {
    let server = shared_pg15();
    let db = server.fresh_db("measured");
    server.psql(&db, "CREATE TABLE t AS SELECT g AS id FROM generate_series(1, 10) g");
    let more = "[metrics]\ntextfile = \"drctl.prom\"\n";
    let url = format!("{}?sslmode=disable", server.url(&db));
    let home = Home::local(&url, more);
    home.snapshot();
    home.run(&["verify"], 0);
    let read = || std::fs::read_to_string(home.folder.join("drctl.prom")).unwrap();
    let text = read();
    assert_eq!(promtool(&["check", "metrics"], &text), "");
    for line in [
        "drctl_command_snapshot_rows{database=\"petforce\"} 10.0\n",
        "drctl_command_last_exit_code{command=\"verify\",database=\"petforce\"} 0.0\n",
        "drctl_command_verify_findings{database=\"petforce\"} 0.0\n",
        "drctl_command_snapshot_taken_timestamp_seconds{database=\"petforce\",store=\"west\",region=\"us-west-2\"} ",
    ] {
        assert!(text.contains(line), "{line} is not in\n{text}");
    }
    // The database goes away: the failure shows, and the last success stays.
    home.write(&url.replace(&db, "nowhere"), more);
    let failed = home.run(&["snapshot", "petforce"], 1);
    assert!(!failed.stderr.contains("metrics"), "{}", failed.stderr);
    let after = read();
    let success = |text: &str| {
        let begins = "drctl_command_last_success_timestamp_seconds{command=\"snapshot\"";
        text.lines().find(|line| line.starts_with(begins)).unwrap().to_owned()
    };
    assert_eq!(success(&after), success(&text));
    let failed = "drctl_command_last_exit_code{command=\"snapshot\",database=\"petforce\"} 1.0\n";
    assert!(after.contains(failed), "{after}");
    // A place that cannot be written is told, and changes no outcome.
    home.write(&url, "[metrics]\ntextfile = \"no/such/folder.prom\"\n");
    let told = home.run(&["snapshot", "petforce"], 0);
    assert!(told.stderr.contains("warning: write metrics to"), "{}", told.stderr);
}
