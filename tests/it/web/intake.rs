//! Alerts as their senders post them: proven, counted, kept once, and a failover prepared.

use std::path::Path;
use std::process::Command;

use chrono::{SecondsFormat, Utc};
use serde_json::{Value, json};

use super::{TOKEN, Web};
use crate::home::Home;
use crate::lab::{Answer, Receiver, run, tool};

const TOPIC: &str = "arn:aws:sns:us-west-2:123456789012:dr-alarms";

const RUNBOOK: &str = "title = \"Region failure\"\nrto = \"5m\"\n\
    [[step]]\nid = \"freeze\"\nuses = \"command.run\"\ntimeout = \"20s\"\n\
    [step.with]\nargv = [\"touch\", \"begun\"]\nidempotent = true\neffect = \"freeze\"\n";

fn home(more: &str) -> Home {
    let home = Home::local("host=nowhere.invalid", more);
    std::fs::create_dir(home.folder.join("runbooks")).unwrap();
    std::fs::write(home.folder.join("runbooks/region-failover.toml"), RUNBOOK).unwrap();
    home
}

fn now() -> String {
    Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn alert(status: &str, name: &str, began: &str) -> String {
    let ended = if status == "resolved" { now() } else { "0001-01-01T00:00:00Z".to_owned() };
    json!({
        "version": "4", "groupKey": "{}:{}", "status": status, "receiver": "drctl",
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {}, "externalURL": "",
        "alerts": [{
            "status": status, "labels": { "alertname": name, "severity": "critical" },
            "annotations": { "summary": "the primary does not answer" },
            "startsAt": began, "endsAt": ended, "generatorURL": "", "fingerprint": "1a30ba71cca2921f",
        }],
    })
    .to_string()
}

#[test]
fn an_alert_that_counts_has_a_failover_prepared_and_none_begun() {
    let told = Receiver::start();
    let home = home(&format!(
        "[channel.hook]\nkind = \"webhook\"\nurl = \"{}\"\n\
         [intake.prom]\nkind = \"alertmanager\"\nsecret = \"{TOKEN}\"\n\
         match = {{ alertname = \"Primary*\", severity = \"critical\" }}\n",
        told.url("/hook")
    ));
    let web = Web::start(&home);
    let bearer = format!("Bearer {TOKEN}");
    let post = |body: &str| web.ask("POST", "/intake/prom", &[("Authorization", &bearer)], body);
    let began = now();
    let body = alert("firing", "PrimaryDown", &began);
    assert_eq!(web.ask("POST", "/intake/prom", &[], &body).status, 401);
    assert_eq!(
        web.ask("POST", "/intake/prom", &[("Authorization", "Bearer x")], &body).status,
        401
    );
    assert_eq!(post("{}").status, 400);
    assert_eq!(post(&"x".repeat((512 << 10) + 1)).status, 413);
    let other = post(&alert("firing", "DiskFull", &began));
    assert_eq!(other.status, 202);
    assert!(other.text().contains("does not count"), "{}", other.text());
    assert!(home.west.keys_with("incident").is_empty(), "{:?}", home.west.keys());

    let opened = post(&body);
    assert!(opened.text().contains("opened incident region-failover-e0-1"), "{}", opened.text());
    // The same again, as senders do, and from a recording.
    let again = post(&body);
    assert!(again.text().contains("was known in incident"), "{}", again.text());
    let prepared = |state: &Value| state["incidents"]["known"][0]["prepared"].is_object();
    let state = web.until("prepared plan", prepared);
    let incident = &state["incidents"]["known"][0];
    let command = incident["prepared"]["command"].as_str().unwrap();
    assert!(
        command.starts_with(
            "drctl failover --runbook region-failover --mode forced --confirm us-west-2"
        ),
        "{command}"
    );
    assert!(web.get("/").text().contains("drctl failover --runbook region-failover"));
    let said = || told.requests().iter().map(|r| r.json().to_string()).collect::<String>();
    web.until("told channel", |_| said().contains("drctl failover --runbook region-failover"));
    assert_eq!(home.west.keys_with("incident").len(), 3, "{:?}", home.west.keys());

    let over = post(&alert("resolved", "PrimaryDown", &began));
    assert!(over.text().contains("which is over"), "{}", over.text());
    web.until("end of the incident", |state| state["incidents"]["known"] == json!([]));
    assert!(!home.folder.join("begun").exists());
    assert!(home.west.keys_with("runs/").is_empty());

    // The command that was told is one that works, with the preflight that was kept.
    let args: Vec<&str> = command.split(" --reason ").next().unwrap().split(' ').skip(1).collect();
    home.run(&args, 0);
    assert!(home.folder.join("begun").exists());
    assert!(!web.said().contains(TOKEN) && !home.said().contains(TOKEN));
}

/// What signs in the place of SNS.
struct Signer<'h> {
    dir: &'h Path,
}

impl<'h> Signer<'h> {
    fn make(dir: &'h Path, name: &str) -> Self {
        let (key, cert) = (dir.join(format!("{name}.key")), dir.join(format!("{name}.crt")));
        let mut openssl = Command::new(tool("OPENSSL"));
        openssl.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj"]);
        openssl.arg("/CN=sns.amazonaws.com").arg("-keyout").arg(key).arg("-out").arg(cert);
        run(&mut openssl).expect(0);
        Self { dir }
    }

    fn pem(&self, name: &str) -> String {
        std::fs::read_to_string(self.dir.join(format!("{name}.crt"))).unwrap()
    }

    /// The message with its signature, as AWS documents how it is made.
    fn signed(&self, name: &str, mut message: Value) -> String {
        let fields: &[&str] = match message["Type"].as_str().unwrap() {
            "Notification" => &["Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type"],
            _ => {
                &["Message", "MessageId", "SubscribeURL", "Timestamp", "Token", "TopicArn", "Type"]
            }
        };
        let text: String = fields
            .iter()
            .filter_map(|field| Some(format!("{field}\n{}\n", message[*field].as_str()?)))
            .collect();
        std::fs::write(self.dir.join("text"), text).unwrap();
        let digest = if message["SignatureVersion"] == "2" { "-sha256" } else { "-sha1" };
        let mut openssl = Command::new(tool("OPENSSL"));
        openssl.current_dir(self.dir).args(["dgst", digest, "-sign", &format!("{name}.key")]);
        openssl.args(["-out", "signature", "text"]);
        run(&mut openssl).expect(0);
        let mut base64 = Command::new(tool("OPENSSL"));
        base64.current_dir(self.dir).args(["base64", "-A", "-in", "signature"]);
        message["Signature"] = run(&mut base64).expect(0).stdout.trim().into();
        message.to_string()
    }
}

fn notification(version: &str, url: &str, state: &str) -> Value {
    let alarm = json!({
        "AlarmName": "petforce-use1-down", "AWSAccountId": "123456789012",
        "AlarmArn": "arn:aws:cloudwatch:us-west-2:123456789012:alarm:petforce-use1-down",
        "NewStateValue": state, "NewStateReason": "Threshold Crossed\nby far",
        "StateChangeTime": Utc::now().format("%Y-%m-%dT%H:%M:%S%.3f+0000").to_string(),
        "Region": "US West (Oregon)", "OldStateValue": "OK",
    });
    json!({
        "Type": "Notification", "MessageId": "22b80b92-fdea-4c2c-8f9d-bdfb0c7bf324",
        "TopicArn": TOPIC, "Subject": "ALARM: \"petforce\"", "Message": alarm.to_string(),
        "Timestamp": now(), "SignatureVersion": version, "SigningCertURL": url,
        "UnsubscribeURL": "https://sns.us-west-2.amazonaws.com/?Action=Unsubscribe",
    })
}

#[test]
fn alarms_are_believed_when_sns_signed_them() {
    let sns = Receiver::start();
    let home = home(&format!(
        "[aws.us-west-2]\nendpoint = \"http://{}\"\n\
         [intake.alarms]\nkind = \"sns\"\ntopics = [\"{TOPIC}\"]\nmatch = {{ alarm = \"petforce-*\" }}\n",
        sns.address()
    ));
    let signer = Signer::make(home.folder.path(), "sns");
    Signer::make(home.folder.path(), "stranger");
    sns.answers(Answer::says(200, signer.pem("sns")));
    let cert = sns.url("/SimpleNotificationService-f3ecfb72.pem");
    let web = Web::start(&home);
    let post = |body: &str| web.ask("POST", "/intake/alarms", &[], body);

    // A subscription to the topic is agreed to; to no other.
    let confirm = |topic: &str| {
        let message = json!({
            "Type": "SubscriptionConfirmation", "MessageId": "165545c9-2a5c-472c-8df2-7ff2be2b3b1b",
            "Token": "2336412f37", "TopicArn": topic, "Message": "You have chosen to subscribe",
            "SubscribeURL": sns.url("/?Action=ConfirmSubscription&Token=2336412f37"),
            "Timestamp": now(), "SignatureVersion": "1", "SigningCertURL": cert,
        });
        post(&signer.signed("sns", message))
    };
    assert_eq!(confirm("arn:aws:sns:us-west-2:123456789012:another").status, 401);
    assert!(sns.requests().is_empty());
    assert_eq!(confirm(TOPIC).status, 202);
    assert!(sns.requests().iter().any(|r| r.path.contains("ConfirmSubscription")));

    // Not signed by SNS, not as it was signed, a certificate of elsewhere, a recording.
    let good = notification("2", &cert, "ALARM");
    let refuses = |body: &str, why: &str| {
        let refused = post(body);
        assert_eq!(refused.status, 401, "{why}: {}", refused.text());
        assert!(refused.text().contains(why), "{why}: {}", refused.text());
    };
    refuses(&signer.signed("stranger", good.clone()), "signature is not that of its certificate");
    let changed = signer.signed("sns", good.clone()).replace("petforce-use1", "petforce-use9");
    refuses(&changed, "signature is not that of its certificate");
    for url in [
        "https://sns.us-west-2.amazonaws.com.evil.example/x.pem",
        "https://evil.example/SimpleNotificationService-x.pem",
        "not a url",
    ] {
        let mut elsewhere = good.clone();
        elsewhere["SigningCertURL"] = url.into();
        refuses(&signer.signed("sns", elsewhere), "its SigningCertURL");
    }
    let mut old = good.clone();
    old["Timestamp"] = "2026-01-01T00:00:00.000Z".into();
    refuses(&signer.signed("sns", old), "that is not now");
    assert!(home.west.keys_with("incident").is_empty());

    let opened = post(&signer.signed("sns", good));
    assert!(opened.text().contains("opened incident region-failover-e0-1"), "{}", opened.text());
    // Nothing is known: what lasts goes on.
    let unsure = post(&signer.signed("sns", notification("1", &cert, "INSUFFICIENT_DATA")));
    assert_eq!((unsure.status, unsure.text().as_str()), (202, "nothing to do\n"));
    let over = post(&signer.signed("sns", notification("1", &cert, "OK")));
    assert!(over.text().contains("which is over"), "{}", over.text());
}

#[test]
fn an_alert_that_cannot_be_kept_is_not_taken() {
    let home = home(&format!(
        "[intake.prom]\nkind = \"alertmanager\"\nsecret = \"{TOKEN}\"\n\
         match = {{ alertname = \"PrimaryDown\" }}\n"
    ));
    let web = Web::start(&home);
    // The store of the standby region is no folder any more.
    let west = home.folder.join("west");
    let _ = std::fs::remove_dir_all(&west);
    std::fs::write(&west, "").unwrap();
    let bearer = format!("Bearer {TOKEN}");
    let body = alert("firing", "PrimaryDown", &now());
    let refused = web.ask("POST", "/intake/prom", &[("Authorization", &bearer)], &body);
    assert_eq!(refused.status, 503, "{}", refused.text());
    std::fs::remove_file(&west).unwrap();
    let kept = web.ask("POST", "/intake/prom", &[("Authorization", &bearer)], &body);
    assert_eq!(kept.status, 202, "{}", kept.text());
    assert!(kept.text().contains("opened incident"), "{}", kept.text());
}

#[test]
fn an_incident_of_pagerduty_is_believed_when_signed_and_closed_by_hand() {
    let secret = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK";
    let home = home(&format!(
        "[intake.pager]\nkind = \"pagerduty\"\nsecret = \"{secret}\"\nmatch = {{ service = \"PetForce\" }}\n"
    ));
    let web = Web::start(&home);
    let message = |kind: &str, service: &str| {
        let data = json!({
            "id": "PGR0VU2", "type": "incident", "title": "PetForce is down", "urgency": "high",
            "service": { "id": "PF9", "summary": service }, "priority": null,
        });
        json!({ "event": {
            "id": "5ac64822-4adc-4fda-ade0-410becf0de4f", "event_type": kind,
            "resource_type": "incident", "occurred_at": now(), "data": data,
        }})
        .to_string()
    };
    let signature = |secret: &str, body: &str| {
        let path = home.folder.join("body");
        std::fs::write(&path, body).unwrap();
        let mut openssl = Command::new(tool("OPENSSL"));
        openssl.args(["dgst", "-sha256", "-hmac", secret, "-hex", "-r"]).arg(&path);
        let hex = run(&mut openssl).expect(0).stdout;
        format!("v1={},v1={}", "0".repeat(64), hex.split(' ').next().unwrap())
    };
    let post = |body: &str, signature: &str| {
        web.ask("POST", "/intake/pager", &[("X-PagerDuty-Signature", signature)], body)
    };
    let body = message("incident.triggered", "PetForce");
    assert_eq!(post(&body, &signature("another secret", &body)).status, 401);
    let other = message("incident.triggered", "Billing");
    assert!(post(&other, &signature(secret, &other)).text().contains("does not count"));
    let opened = post(&body, &signature(secret, &body));
    assert!(opened.text().contains("opened incident region-failover-e0-1"), "{}", opened.text());
    web.until("prepared plan", |state| state["incidents"]["known"][0]["prepared"].is_object());

    let shown = home.run(&["incidents"], 1).stdout;
    for piece in ["PetForce is down", "drctl failover --runbook region-failover --mode forced"] {
        assert!(shown.contains(piece), "no {piece} in {shown}");
    }
    let near = home.run(&["incidents", "close", "region-failover-e0", "--reason", "x"], 2).stderr;
    assert!(near.contains("is `region-failover-e0-1` meant?"), "{near}");
    let close = ["incidents", "close", "region-failover-e0-1", "--reason", "a rehearsal"];
    home.run(&close, 0);
    assert_eq!(home.json(&["incidents"], 0)["incidents"], json!([]));
    let again = post(&body, &signature(secret, &body));
    assert!(again.text().contains("was known in incident"), "{}", again.text());
    assert_eq!(home.json(&["incidents"], 0)["incidents"], json!([]));
    home.run(&close, 2);
    assert!(!web.said().contains(secret) && !home.said().contains(secret));
}
