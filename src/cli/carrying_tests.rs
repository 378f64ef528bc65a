//! How a run was left, as it is told.

use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::carrying::done;
use crate::config::Config;
use crate::model::Digest;
use crate::providers::{Facts, FailureClass, Mode, RunFacts};
use crate::runbook::engine::Left;
use crate::runbook::plan::Plan;
use crate::runbook::record::{Ending, Entry, Outcome, Record};
use crate::runbook::sheet::Runbook;
use crate::runbook::state::State;
use crate::runbook::{Circumstances, plan};

const RUNBOOK: &str = r#"
title = "Region failure: us-east-1 to us-west-2"
rto = "15m"
[[step]]
id = "fence"
uses = "human.approve"
with = { message = "fence" }
timeout = "1m"
[[step]]
id = "promote"
uses = "epoch.activate"
with = { region = "us-west-2" }
needs = ["fence"]
timeout = "1m"
point_of_no_return = true
[[step]]
id = "quarantine"
uses = "human.approve"
with = { message = "quarantine" }
needs = ["promote"]
timeout = "1m"
on_failure = "continue"
"#;

fn config() -> Config {
    let text = "[project]\nname = \"petforce\"\n\
        [regions]\nprimary = \"us-east-1\"\nstandby = \"us-west-2\"\n\
        [store.west]\nurl = \"file:///nowhere/x\"\nregion = \"us-west-2\"\n\
        [database.petforce]\nurl = \"host=127.0.0.1 dbname=x\"\nstores = [\"west\"]\n";
    Config::parse(text, Path::new("drctl.toml"), &|_| None).unwrap()
}

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::UNIX_EPOCH + TimeDelta::seconds(seconds)
}

/// The screen after these records, each ten seconds after the one before.
fn screen(records: Vec<Record>, ending: Option<Ending>) -> (String, u8) {
    let config = config();
    let book = Runbook::parse(RUNBOOK, Path::new("region-failover.toml"), &config).unwrap();
    let plan: Plan =
        plan::make(&book, &config, Mode::Forced, &Circumstances::of_a_look(&config)).unwrap();
    let run = RunFacts {
        id: "r20261124T100000Z-3f9a1c".to_owned(),
        runbook: "region-failover".to_owned(),
        mode: Mode::Forced,
        from: "us-east-1".to_owned(),
        to: "us-west-2".to_owned(),
        confirmed: at(0),
        operator: "ann on ops-1".to_owned(),
        operators: Vec::new(),
        reason: None,
        accepted_loss: None,
        rpo: None,
        expected_loss: Vec::new(),
        accept_unfenced: false,
        primary_is_broken: None,
        drill: false,
        fence: 1,
    };
    let began = Record::RunBegan { run, plan: Digest::of(b"plan") };
    let end = ending.map(|ending| Record::RunEnded { ending });
    let entries: Vec<Entry> = std::iter::once(began)
        .chain(records)
        .chain(end)
        .zip(0..)
        .map(|(record, number)| Entry {
            number,
            at: at(i64::try_from(number).unwrap() * 10),
            fence: 1,
            previous: Digest::of(b""),
            record,
        })
        .collect();
    let state = State::replay(&plan, &entries).unwrap();
    let left = done(&plan, &Left { ending, state, local_only: false }, false);
    (left.text, left.code)
}

fn well(step: &str, summary: &str, warnings: &[&str]) -> [Record; 2] {
    let warnings = warnings.iter().map(|w| (*w).to_owned()).collect();
    let outcome = Outcome::Done { summary: summary.to_owned(), facts: Facts::new(), warnings };
    [
        Record::StepStarted { step: step.to_owned(), attempt: 1 },
        Record::StepEnded { step: step.to_owned(), outcome },
    ]
}

fn badly(step: &str, error: &str, hint: &str) -> [Record; 2] {
    let outcome = Outcome::Failed {
        class: FailureClass::Permanent,
        error: error.to_owned(),
        hint: Some(hint.to_owned()),
    };
    [
        Record::StepStarted { step: step.to_owned(), attempt: 1 },
        Record::StepEnded { step: step.to_owned(), outcome },
    ]
}

#[test]
fn a_run_that_stopped_says_why_and_what_to_type() {
    let why = "fence `petforce` in us-east-1: it cannot be fenced, so it may come back";
    let records = badly("fence", why, "stop it for good by other means");
    let (text, code) = screen(records.to_vec(), Some(Ending::Stopped));
    assert_eq!(code, 1);
    insta::assert_snapshot!(text, @r"
    STOPPED: a step failed and holds the run up.
    30.0 s since it was confirmed, of an RTO of 15m.
      fence failed: fence `petforce` in us-east-1: it cannot be fenced, so it may come back
        -> stop it for good by other means
    To go on: drctl resume r20261124T100000Z-3f9a1c
    To undo:  drctl abort r20261124T100000Z-3f9a1c
    ");
}

#[test]
fn a_run_that_left_something_to_do_says_what() {
    let unfenced = "the old primary of `petforce` in us-east-1 is UNFENCED";
    let away = "quarantine `petforce` in us-east-1: it did not come back within 15s: NOT SHUT OUT";
    let left = "quarantine us-east-1 when it comes back: keep its server from starting and \
                everything from writing to it until then";
    let mut records = well("fence", "it is UNFENCED", &[unfenced]).to_vec();
    records.extend(well("promote", "epoch 2: us-west-2 is active", &[]));
    records.extend(badly("quarantine", away, left));
    let (text, code) = screen(records, Some(Ending::SucceededWithFailures));
    assert_eq!(code, 6);
    insta::assert_snapshot!(text, @r"
    Done, but not everything went well: Region failure: us-east-1 to us-west-2.
    1 min 10 s since it was confirmed, of an RTO of 15m.
      fence: the old primary of `petforce` in us-east-1 is UNFENCED
      quarantine failed: quarantine `petforce` in us-east-1: it did not come back within 15s: NOT SHUT OUT
        -> left to do: quarantine us-east-1 when it comes back: keep its server from
           starting and everything from writing to it until then
    The report: drctl runs report r20261124T100000Z-3f9a1c
    ");
}

#[test]
fn a_run_that_was_paused_past_the_point_of_no_return_has_one_way() {
    let mut records = well("fence", "fenced", &[]).to_vec();
    records.extend(well("promote", "epoch 2: us-west-2 is active", &[]));
    records.push(Record::RunPaused { by: "ann on ops-1".to_owned() });
    let (text, code) = screen(records, None);
    assert_eq!(code, 1);
    insta::assert_snapshot!(text, @r"
    Paused: nothing is under way.
    50.0 s since it was confirmed, of an RTO of 15m.
    To go on: drctl resume r20261124T100000Z-3f9a1c
    The point of no return is passed (or may be): there is no way back.
    ");
}
