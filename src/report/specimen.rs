//! A run made up for tests: forced, with an unfenced primary and a channel that did not answer.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::model::{Digest, Span};
use crate::providers::postgres::loss::Prediction;
use crate::providers::{Arguments, Description, ExpectedLoss, FailureClass, Mode, RunFacts};
use crate::runbook::plan::{Plan, PlannedStep};
use crate::runbook::record::{Ending, Entry, Outcome, Record};
use crate::runbook::sheet::OnFailure;

fn at(seconds: f64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_790_000_000, 0).unwrap()
        + TimeDelta::milliseconds((seconds * 1000.0) as i64)
}

fn step(id: &str, uses: &str, effect: &str, needs: &[&str], seconds: u64) -> PlannedStep {
    PlannedStep {
        id: id.to_owned(),
        uses: uses.to_owned(),
        with: Arguments::default(),
        needs: needs.iter().map(|n| (*n).to_owned()).collect(),
        timeout: Span::from_secs(seconds),
        retries: 0,
        on_failure: OnFailure::Stop,
        approve: None,
        point_of_no_return: uses.ends_with("promote"),
        description: Description::changes(effect),
    }
}

pub(crate) fn plan() -> Plan {
    let mut tell = step("tell", "notify.all", "tell everybody", &["swap"], 15);
    tell.on_failure = OnFailure::Continue;
    let mut quarantine =
        step("quarantine", "postgres.quarantine", "keep the old primary shut", &["swap"], 30);
    quarantine.on_failure = OnFailure::Continue;
    Plan {
        runbook: "region-failover".to_owned(),
        title: "Region failure: us-east-1 to us-west-2".to_owned(),
        runbook_digest: Digest::of(b"text"),
        mode: Mode::Forced,
        from: "us-east-1".to_owned(),
        to: "us-west-2".to_owned(),
        rto: Span::from_secs(900),
        rpo: Span::from_secs(3600),
        steps: vec![
            step("detect", "probe.quorum", "find out whether the primary is down", &[], 20),
            step("loss", "loss.assess", "tell how much would be lost", &["detect"], 120),
            step("scale", "ecs.scale", "give `web` 4 tasks in us-west-2", &["loss"], 180),
            step("fence", "postgres.fence", "fence `petforce` in us-east-1", &["loss"], 60),
            step("promote", "postgres.promote", "promote `petforce` in us-west-2", &["fence"], 90),
            step(
                "swap",
                "route53.swap",
                "point app.petforce.example to us-west-2",
                &["promote"],
                30,
            ),
            tell,
            quarantine,
        ],
    }
}

pub(crate) fn entries() -> Vec<Entry> {
    let run = RunFacts {
        id: "20260921T142640Z-3f9a1c".to_owned(),
        runbook: "region-failover".to_owned(),
        mode: Mode::Forced,
        from: "us-east-1".to_owned(),
        to: "us-west-2".to_owned(),
        confirmed: at(0.0),
        operator: "ann on ops-1".to_owned(),
        operators: Vec::new(),
        reason: Some("us-east-1 <does> not answer".to_owned()),
        accepted_loss: Some("5m".to_owned()),
        rpo: None,
        expected_loss: vec![ExpectedLoss {
            database: "petforce".to_owned(),
            prediction: Prediction {
                seconds: Some(11.0),
                bytes: None,
                bytes_at_least: 0,
                safe_until: None,
                basis: "the last sample of the primary".to_owned(),
            },
        }],
        accept_unfenced: true,
        primary_is_broken: None,
        drill: false,
        fence: 1,
    };
    let done = |summary: &str, facts: Value, warnings: &[&str]| Outcome::Done {
        summary: summary.to_owned(),
        facts: facts.as_object().cloned().unwrap_or_default(),
        warnings: warnings.iter().map(|w| (*w).to_owned()).collect(),
    };
    let failed = Outcome::Failed {
        class: FailureClass::Transient,
        error: "connect to petforce in us-east-1: timed out".to_owned(),
        hint: Some("run `drctl runs show` when it is back".to_owned()),
    };
    let steps = [
        ("detect", 0.2, 3.1, done("3 of 3 see it down", json!({}), &[])),
        (
            "loss",
            3.2,
            4.0,
            done(
                "at most 12 s of writes",
                json!({"database": "petforce", "predicted_seconds": 12.0,
                    "predicted_bytes": "unknown", "basis": "the last sample of the primary"}),
                &[],
            ),
        ),
        (
            "fence",
            4.1,
            64.0,
            done(
                "the primary could not be reached",
                json!({"database": "petforce", "region": "us-east-1", "unfenced": true}),
                &["primary UNFENCED"],
            ),
        ),
        ("scale", 4.1, 150.0, done("4 of 4 tasks run", json!({}), &[])),
        (
            "promote",
            64.2,
            67.5,
            done(
                "left recovery on timeline 2 after 3.1 s",
                json!({"database": "petforce", "lost_seconds": 9.5, "lost_bytes": 81920,
                    "loss_basis": "the last sample of the primary"}),
                &[],
            ),
        ),
        ("swap", 151.0, 153.0, done("app.petforce.example says us-west-2", json!({}), &[])),
        (
            "tell",
            153.1,
            163.0,
            done(
                "told 1 of 2",
                json!({"untold": [{"channel": "team", "why": "no answer within 10 s"}]}),
                &[],
            ),
        ),
        ("quarantine", 153.1, 183.0, failed),
    ];
    let mut records: Vec<(f64, Record)> =
        vec![(0.0, Record::RunBegan { run, plan: Digest::of(b"plan") })];
    for (step, began, ended, outcome) in steps {
        let step = step.to_owned();
        records.push((began, Record::StepStarted { step: step.clone(), attempt: 1 }));
        records.push((ended, Record::StepEnded { step, outcome }));
    }
    let approved = Record::StepApproved {
        step: "fence".to_owned(),
        by: "ben on ops-2".to_owned(),
        approved: at(50.0),
        object: Digest::of(b"approval"),
    };
    records.push((50.0, approved));
    records.push((183.1, Record::RunEnded { ending: Ending::SucceededWithFailures }));
    records.sort_by(|a, b| a.0.total_cmp(&b.0));
    records
        .into_iter()
        .enumerate()
        .map(|(number, (seconds, record))| Entry {
            number: number as u64,
            at: at(seconds),
            fence: 1,
            previous: Digest::of(b""),
            record,
        })
        .collect()
}
