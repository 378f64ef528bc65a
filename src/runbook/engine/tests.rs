//! Runs on a stage: order, failures, crashes, aborts, approvals, leases, and two operators at once.

use std::sync::Arc;
use std::time::Duration;

use super::opening;
use super::stage::*;
use crate::error::Kind;
use crate::model::{Event, Span};
use crate::providers::FailureClass;
use crate::runbook::decision::Wish;
use crate::runbook::journal;
use crate::runbook::record::{Ending, Record};
use crate::runbook::sheet::{OnFailure, Who};
use crate::runbook::state::Standing;
use crate::store::approval::{self, Approval};
use crate::store::fault::{Fault, FaultyStore, Op};
use crate::store::{Class, MemoryStore, ObjectStore, lease};

const RUN: &str = "r20261124T100000Z-00000a";

fn operator() -> (Stage, Operator) {
    let stage = Stage::default();
    let operator = Operator::new(&stage, Arc::new(MemoryStore::new("west")));
    (stage, operator)
}

#[tokio::test]
async fn steps_follow_their_needs_and_run_together_where_they_may() {
    let (stage, mut ann) = operator();
    ann.takes = Duration::from_millis(30);
    let left = ann.begin(&failover(), RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Succeeded));
    {
        let scene = stage.scene();
        let order: Vec<&str> = scene.begun.iter().map(|(step, _)| step.as_str()).collect();
        assert_eq!(order, ["freeze", "fence", "scale", "promote", "swap", "tell"]);
        let most = scene.begun.iter().map(|(_, under_way)| *under_way).max();
        assert_eq!(most, Some(2), "`fence` and `scale` overlap, and nothing else");
        assert!(scene.made.values().all(|made| *made == 1));
        assert_eq!(scene.saw["promote"], ["fence", "freeze", "scale"]);
    }
    let loaded = journal::load(&ann.copies, RUN).await.unwrap();
    assert_eq!(loaded.state.ended, Some(Ending::Succeeded));
    assert_eq!(loaded.entries.len(), 2 + 2 * 6);
    assert!(journal::verify(&ann.copies, RUN).await.unwrap().is_intact());
    assert_eq!(ann.resume(RUN).await.unwrap_err().kind(), Kind::Usage);
}

#[tokio::test]
async fn a_failure_is_observed_before_anything_is_tried_again() {
    let (stage, ann) = operator();
    stage.slips("freeze", &[Slip::AnswerLost]);
    stage.slips("fence", &[Slip::Before, Slip::Before, Slip::AnswerLost]);
    stage.slips("scale", &[Slip::Before]);
    let left = ann.begin(&failover(), RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Succeeded));
    assert!(stage.scene().made.values().all(|made| *made == 1), "no effect twice");
    let attempts = |step: &str| left.state.steps[step].attempts;
    assert_eq!((attempts("freeze"), attempts("fence"), attempts("scale")), (1, 3, 2));
    assert_eq!(stage.scene().observed, 5);
}

#[tokio::test]
async fn a_step_that_hangs_is_cut_off_and_looked_for() {
    let (stage, ann) = operator();
    let mut plan = failover();
    for step in &mut plan.steps {
        step.timeout = Span(Duration::from_millis(200));
    }
    stage.slips("freeze", &[Slip::HangsAfter]);
    stage.slips("scale", &[Slip::Hangs]);
    let left = ann.begin(&plan, RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Stopped));
    assert!(matches!(left.state.standing("freeze"), Standing::Done { .. }));
    assert_eq!(*left.state.standing("scale"), Standing::Failed { class: FailureClass::Transient });
    assert!(matches!(left.state.standing("fence"), Standing::Done { .. }), "it was under way");
    assert_eq!(stage.made("promote"), 0);
    // What failed is looked for and tried again; what is done is left alone.
    let left = ann.resume(RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Succeeded));
    assert!(stage.scene().made.values().all(|made| *made == 1));
}

#[tokio::test]
async fn what_cannot_be_found_out_stops_the_run_and_says_so() {
    let (stage, ann) = operator();
    stage.slips("promote", &[Slip::AnswerLost]);
    stage.scene().blind.insert("promote".to_owned(), 1000);
    let left = ann.begin(&failover(), RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Stopped));
    assert_eq!(*left.state.standing("promote"), Standing::Failed { class: FailureClass::Unknown });
    let told = left.state.steps["promote"].outcome.as_ref().unwrap().in_words();
    assert!(told.contains("cannot be found out") && told.contains("answer was lost"), "{told}");
    assert!(left.state.is_past_return(&failover()), "it may have happened");
    stage.scene().blind.clear();
    let left = ann.resume(RUN).await.unwrap();
    assert_eq!((left.ending, stage.made("promote")), (Some(Ending::Succeeded), 1));
}

#[tokio::test]
async fn on_failure_decides() {
    let (stage, ann) = operator();
    stage.slips("tell", &[Slip::Refused]);
    let left = ann.begin(&failover(), RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::SucceededWithFailures));

    let (stage, ann) = operator();
    let mut plan = failover();
    plan.steps[2].on_failure = OnFailure::Abort;
    plan.steps[2].retries = 0;
    stage.slips("scale", &[Slip::Refused]);
    let left = ann.begin(&plan, RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Aborted));
    // `scale` was begun, so it is undone too; in the reverse of the order of beginning.
    assert_eq!(stage.scene().undone, ["scale", "fence", "freeze"]);
    assert_eq!(*left.state.standing("swap"), Standing::Skipped);
    assert!(stage.scene().in_place.is_empty());

    // Past the point of no return it means `stop`.
    let (stage, ann) = operator();
    plan.steps[2].on_failure = OnFailure::Stop;
    plan.steps[4].on_failure = OnFailure::Abort;
    stage.slips("swap", &[Slip::Refused]);
    let left = ann.begin(&plan, RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Stopped));
    assert!(stage.scene().undone.is_empty());
}

#[tokio::test]
async fn an_undo_that_fails_leaves_the_abort_incomplete_until_it_is_resumed() {
    let (stage, ann) = operator();
    let mut plan = failover();
    plan.steps[2].on_failure = OnFailure::Abort;
    stage.slips("scale", &[Slip::Refused]);
    stage.slips("undo", &[Slip::Before; 3]);
    let left = ann.begin(&plan, RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::AbortIncomplete));
    assert_eq!(stage.scene().undone, ["fence", "freeze"]);
    let left = ann.resume(RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Aborted));
    assert_eq!(stage.scene().undone, ["fence", "freeze", "scale"]);
}

#[tokio::test]
async fn an_operator_may_pause_and_abort_but_not_past_the_point_of_no_return() {
    let (stage, ann) = operator();
    ann.wish.send_replace(Wish::Pause { by: "ann".to_owned() });
    let left = ann.begin(&failover(), RUN).await.unwrap();
    assert_eq!((left.ending, left.state.paused, stage.made("freeze")), (None, true, 0));
    ann.wish.send_replace(Wish::GoOn);
    stage.slips("promote", &[Slip::Refused]);
    assert_eq!(ann.resume(RUN).await.unwrap().ending, Some(Ending::Stopped));
    ann.wish.send_replace(Wish::Abort { by: "ann".to_owned(), why: "drill".to_owned() });
    let left = ann.resume(RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Aborted), "`promote` was refused: there is a way back");
    assert_eq!(stage.made("promote"), 0);
    assert!(stage.scene().in_place.is_empty());

    let (stage, ann) = operator();
    stage.slips("swap", &[Slip::Refused]);
    ann.begin(&failover(), RUN).await.unwrap();
    ann.wish.send_replace(Wish::Abort { by: "ann".to_owned(), why: "drill".to_owned() });
    let left = ann.resume(RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Succeeded), "only forward");
    assert!(left.state.notes.iter().any(|note| note.contains("point of no return")));
}

#[tokio::test]
async fn a_second_person_approves_and_the_operator_cannot() {
    let mut plan = failover();
    plan.steps[3].approve = Some(approve(Who::SecondPerson, 30));
    let approval = |by: &str| Approval {
        run: RUN.to_owned(),
        step: "promote".to_owned(),
        by: by.to_owned(),
        at: now(),
        reason: None,
    };
    for (by, ending) in [("bob on b", Ending::Succeeded), ("Ann on laptop", Ending::Stopped)] {
        let (stage, ann) = operator();
        let control = Arc::clone(&ann.copies.control);
        let run = ann.begin(&plan, RUN);
        let asked = async {
            while !stage.scene().events.iter().any(|e| matches!(e, Event::StepAsks { .. })) {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
            assert_eq!(stage.made("promote"), 0);
            approval::give(&*control, &approval(by)).await.unwrap()
        };
        let (left, given) = tokio::join!(run, asked);
        let left = left.unwrap();
        assert_eq!(left.ending, Some(ending));
        let loaded = journal::load(&ann.copies, RUN).await.unwrap();
        let approved = loaded.entries.iter().find_map(|e| match &e.record {
            Record::StepApproved { by, object, .. } => Some((by.clone(), *object)),
            _ => None,
        });
        let expected = (ending == Ending::Succeeded).then(|| (by.to_owned(), given.digest));
        assert_eq!(approved, expected);
    }
    let (stage, ann) = operator();
    plan.steps[3].approve = Some(approve(Who::SecondPerson, 0));
    let left = ann.begin(&plan, RUN).await.unwrap();
    assert_eq!((left.ending, stage.made("promote")), (Some(Ending::Stopped), 0));
    let told = left.state.steps["promote"].outcome.as_ref().unwrap().in_words();
    assert!(told.contains("nobody approved"), "{told}");
}

#[tokio::test]
async fn a_second_operator_is_told_who_is_at_work() {
    let (_, ann) = operator();
    let _hold = ann.hold(7, RUN, Duration::from_secs(30)).await.unwrap();
    let e = ann.begin(&failover(), "r20261124T100001Z-00000b").await.unwrap_err();
    assert_eq!(e.kind(), Kind::LeaseHeld);
    for part in ["ann on ops-1 (pid 7)", RUN, "since"] {
        assert!(e.what().contains(part), "{part}: {e}");
    }
    assert!(e.advice().unwrap().contains(&format!("drctl takeover {RUN}")));
    assert!(journal::load(&ann.copies, "r20261124T100001Z-00000b").await.is_err());
}

#[tokio::test]
async fn a_holder_that_loses_its_lease_stops_before_its_next_effect() {
    let (stage, mut ann) = operator();
    ann.takes = Duration::from_millis(100);
    let control = Arc::clone(&ann.copies.control);
    let hold = ann.hold(1, RUN, Duration::from_secs(1)).await.unwrap();
    let plan = plan(
        (0..40)
            .map(|i| {
                let needs = (i > 0).then(|| format!("s{}", i - 1));
                step(&format!("s{i}"), &needs.iter().map(String::as_str).collect::<Vec<_>>())
            })
            .collect(),
    );
    let opened = opening::begin(ann.copies.clone(), plan, facts(RUN), hold, now()).await.unwrap();
    let broken = async {
        while stage.made("s0") == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        lease::break_lease(&*control, opening::LEASE, "eve").await.unwrap();
    };
    let (left, ()) = tokio::join!(ann.carry_on(opened), broken);
    let e = left.unwrap_err();
    assert_eq!(e.kind(), Kind::LeaseHeld);
    assert!(e.what().contains("broken by eve"), "{e}");
    assert!(stage.made("s39") == 0 && stage.scene().under_way() == 0);
}

#[tokio::test]
async fn another_writer_of_the_journal_stops_this_one() {
    let (stage, ann) = operator();
    let key = format!("runs/{RUN}/00000003.json");
    let put = ann.copies.control.put_if(
        &key,
        "theirs".into(),
        crate::model::Digest::of(b"theirs"),
        crate::store::Condition::Absent,
    );
    put.await.unwrap();
    let e = ann.begin(&failover(), RUN).await.unwrap_err();
    assert_eq!(e.kind(), Kind::LeaseHeld);
    assert_eq!((stage.made("freeze"), stage.made("fence")), (1, 0));
}

#[tokio::test]
async fn lost_answers_of_the_journal_are_settled_by_reading() {
    let stage = Stage::default();
    let store = FaultyStore::new(Arc::new(MemoryStore::new("west")));
    for nth in 1..40 {
        store.on(Op::Put, nth * 2 + 1, Fault::FailAfter);
    }
    let ann = Operator::new(&stage, Arc::new(store));
    let left = ann.begin(&failover(), RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Succeeded));
    assert!(journal::verify(&ann.copies, RUN).await.unwrap().is_intact());
}

#[tokio::test]
async fn without_a_journal_nothing_runs_and_locally_only_when_told() {
    for (local_alone, broken_local) in [(false, false), (true, false), (true, true)] {
        let stage = Stage::default();
        let memory = Arc::new(MemoryStore::new("west"));
        let store = FaultyStore::new(memory.clone());
        let mut ann = Operator::new(&stage, Arc::new(store.clone()));
        ann.local_alone = local_alone;
        let local = FaultyStore::new(Arc::new(MemoryStore::new("local")));
        if broken_local {
            local.always(Op::Put, Fault::Fail(Class::Permanent));
        }
        ann.copies.local = Arc::new(local);
        store.always(Op::Put, Fault::Fail(Class::Transient));
        let begun = ann.begin(&failover(), RUN).await;
        if !local_alone || broken_local {
            let e = begun.unwrap_err();
            assert_eq!(e.kind(), Kind::Storage, "{e:?}");
            assert!(stage.scene().made.is_empty());
            continue;
        }
        let left = begun.unwrap();
        assert!(left.local_only && left.ending == Some(Ending::Succeeded));
        let loud = |e: &Event| matches!(e, Event::Notice { message, .. } if message.contains("LOCAL ONLY"));
        assert!(stage.scene().events.iter().any(loud));
        assert!(memory.list_dirs("runs/").await.unwrap().is_empty());
        store.heal();
        let loaded = journal::load(&ann.copies, RUN).await.unwrap();
        let mut journal =
            journal::Journal::go_on(ann.copies.clone(), &loaded, false).await.unwrap();
        assert!(!journal.is_local_only() && !journal.news().is_empty());
        assert!(journal::verify(&ann.copies, RUN).await.unwrap().flaws.is_empty());
    }
}

#[tokio::test]
async fn a_store_that_goes_away_half_way_stops_the_run_or_is_caught_up_later() {
    for local_alone in [false, true] {
        let stage = Stage::default();
        let memory = Arc::new(MemoryStore::new("west"));
        let store = FaultyStore::new(memory.clone());
        let mut ann = Operator::new(&stage, Arc::new(store.clone()));
        ann.local_alone = local_alone;
        let hold = ann.hold(1, RUN, Duration::from_secs(30)).await.unwrap();
        let opened = opening::begin(ann.copies.clone(), failover(), facts(RUN), hold, now()).await;
        for nth in 1..200 {
            store.on(Op::Put, store.count(Op::Put) + 4 + nth, Fault::Fail(Class::Transient));
        }
        let left = ann.carry_on(opened.unwrap()).await;
        match local_alone {
            false => {
                let e = left.unwrap_err();
                assert_eq!(e.kind(), Kind::Storage);
                assert!(e.advice().unwrap().contains("--local-journal"), "{e:?}");
                assert_eq!(stage.made("promote"), 0);
            }
            true => assert_eq!(left.unwrap().ending, Some(Ending::Succeeded)),
        }
        store.heal();
        let _ = lease::break_lease(&*memory, opening::LEASE, "test").await.unwrap();
        let again = ann.resume(RUN).await;
        assert_eq!(again.is_err(), local_alone, "it had ended");
        assert!(stage.scene().made.values().all(|made| *made == 1));
    }
}
