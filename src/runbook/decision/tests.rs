//! Decisions, each from a journal of a few entries.

use chrono::{DateTime, Utc};

use super::*;
use crate::model::Digest;
use crate::providers::{Facts, FailureClass};
use crate::runbook::engine::stage::{facts, failover};
use crate::runbook::record::{Entry, Outcome, Record};

fn state(plan: &Plan, records: Vec<Record>) -> State {
    let began = Record::RunBegan { run: facts("r1"), plan: Digest::of(b"") };
    let entry = |(number, record)| Entry {
        number: number as u64,
        at: DateTime::<Utc>::UNIX_EPOCH,
        fence: 1,
        previous: Digest::of(b""),
        record,
    };
    let entries: Vec<Entry> =
        std::iter::once(began).chain(records).enumerate().map(entry).collect();
    State::replay(plan, &entries).unwrap()
}

fn started(step: &str) -> Record {
    Record::StepStarted { step: step.to_owned(), attempt: 1 }
}

fn done(step: &str) -> Vec<Record> {
    let outcome =
        Outcome::Done { summary: String::new(), facts: Facts::new(), warnings: Vec::new() };
    vec![started(step), Record::StepEnded { step: step.to_owned(), outcome }]
}

fn failed(step: &str, class: FailureClass) -> Vec<Record> {
    let outcome = Outcome::Failed { class, error: "e".to_owned(), hint: None };
    vec![started(step), Record::StepEnded { step: step.to_owned(), outcome }]
}

fn resumed() -> Record {
    Record::RunResumed { operator: "bob".to_owned() }
}

fn next(plan: &Plan, records: Vec<Record>, live: &[&str], wish: &Wish) -> String {
    let live = live.iter().map(|&s| s.to_owned()).collect();
    match decide(plan, &state(plan, records), &live, wish) {
        Move::Start(steps) => {
            let steps: Vec<&str> = steps.iter().map(|s| s.id.as_str()).collect();
            format!("start {}", steps.join(" "))
        }
        Move::Undo(step) => format!("undo {}", step.id),
        Move::End(ending) => ending.as_str().to_owned(),
        other => format!("{other:?}").split([' ', '{']).next().unwrap().to_lowercase(),
    }
}

fn till_promote() -> Vec<Record> {
    [done("freeze"), done("fence"), done("scale")].concat()
}

#[test]
fn steps_whose_needs_are_met_start_together() {
    let plan = failover();
    let go = Wish::GoOn;
    assert_eq!(next(&plan, vec![], &[], &go), "start freeze");
    assert_eq!(next(&plan, done("freeze"), &[], &go), "start fence scale");
    assert_eq!(next(&plan, done("freeze"), &["fence"], &go), "start scale");
    assert_eq!(next(&plan, done("freeze"), &["fence", "scale"], &go), "wait");
    assert_eq!(next(&plan, till_promote(), &[], &go), "start promote");
    let all = [till_promote(), done("promote"), done("swap"), done("tell")].concat();
    assert_eq!(next(&plan, all, &[], &go), "succeeded");
}

#[test]
fn a_step_without_an_end_is_taken_up_again() {
    let plan = failover();
    let crashed = [done("freeze"), vec![started("fence")]].concat();
    assert_eq!(next(&plan, crashed, &[], &Wish::GoOn), "start fence scale");
}

#[test]
fn a_failure_stops_aborts_or_is_passed_over() {
    use FailureClass::{Permanent, Unknown};
    let mut plan = failover();
    let go = Wish::GoOn;
    let broken = [done("freeze"), failed("scale", Permanent)].concat();
    assert_eq!(next(&plan, broken.clone(), &["fence"], &go), "wait");
    assert_eq!(next(&plan, broken.clone(), &[], &go), "stopped");
    let again = [broken.clone(), vec![resumed()]].concat();
    assert_eq!(next(&plan, again, &[], &go), "start fence scale");
    plan.steps[2].on_failure = OnFailure::Abort;
    assert_eq!(next(&plan, broken.clone(), &["fence"], &go), "wait");
    assert_eq!(next(&plan, broken.clone(), &[], &go), "abort");
    let aborting = Record::AbortBegan { by: "x".to_owned(), why: "y".to_owned() };
    let aborting = [broken, vec![aborting]].concat();
    assert_eq!(next(&plan, aborting, &[], &go), "undo scale");
    plan.steps[2].on_failure = OnFailure::Continue;
    let passed = [done("freeze"), done("fence"), failed("scale", Permanent)].concat();
    assert_eq!(next(&plan, passed, &[], &go), "start promote");
    plan.steps[4].on_failure = OnFailure::Abort;
    let late = [till_promote(), done("promote"), failed("swap", Permanent)].concat();
    assert_eq!(next(&plan, late, &[], &go), "stopped");
    let last = [till_promote(), done("promote"), done("swap"), failed("tell", Unknown)].concat();
    assert_eq!(next(&plan, last, &[], &go), "succeeded_with_failures");
}

#[test]
fn the_way_back_ends_where_promotion_may_have_happened() {
    use FailureClass::{Permanent, Transient, Unknown};
    let plan = failover();
    let abort = Wish::Abort { by: "ann".to_owned(), why: "no".to_owned() };
    let at = |records: Vec<Record>| next(&plan, [till_promote(), records].concat(), &[], &abort);
    assert_eq!(at(vec![]), "abort");
    assert_eq!(at(failed("promote", Permanent)), "abort");
    assert_eq!(at(failed("promote", Transient)), "abort");
    assert_eq!(at([failed("promote", Permanent), vec![resumed()]].concat()), "abort");
    assert_eq!(at(failed("promote", Unknown)), "nowayback");
    assert_eq!(at(vec![started("promote")]), "nowayback");
    assert_eq!(at(done("promote")), "nowayback");
    assert_eq!(next(&plan, till_promote(), &["promote"], &abort), "wait");
}

#[test]
fn a_pause_starts_nothing_and_waits_for_what_is_under_way() {
    let plan = failover();
    let pause = Wish::Pause { by: "ann".to_owned() };
    assert_eq!(next(&plan, done("freeze"), &["fence"], &pause), "wait");
    assert_eq!(next(&plan, done("freeze"), &[], &pause), "pause");
    let all = [till_promote(), done("promote"), done("swap"), done("tell")].concat();
    assert_eq!(next(&plan, all, &[], &pause), "succeeded");
}

#[test]
fn entries_that_cannot_follow_are_refused() {
    let plan = failover();
    let began = Record::RunBegan { run: facts("r1"), plan: Digest::of(b"") };
    let ended = Record::RunEnded { ending: Ending::Succeeded };
    let refused = |records: Vec<Record>| {
        let entry = |(number, record)| Entry {
            number: number as u64,
            at: DateTime::<Utc>::UNIX_EPOCH,
            fence: 1,
            previous: Digest::of(b""),
            record,
        };
        let entries: Vec<Entry> =
            std::iter::once(began.clone()).chain(records).enumerate().map(entry).collect();
        State::replay(&plan, &entries).is_err()
    };
    assert!(!refused(vec![]) && refused(vec![began.clone()]));
    assert!(refused([done("freeze"), done("freeze")].concat()));
    assert!(refused(done("freeze")[1..].to_vec()), "an end without a beginning");
    assert!(refused(done("other")));
    assert!(refused([vec![ended.clone()], done("freeze")].concat()));
    assert!(!refused([vec![ended, resumed()], done("freeze")].concat()));
}
