//! `human.approve`: who may agree, and what happens when nobody does.

use std::time::Duration;

use chrono::Utc;
use drctl::providers::{FailureClass, Observed};
use drctl::store::approval::{self, Approval};
use serde_json::json;

use super::scene::{LONG, Scene};

async fn approve(scene: &Scene, by: &str) {
    let approval = Approval {
        run: scene.run.id.clone(),
        step: "step".to_owned(),
        by: by.to_owned(),
        at: Utc::now(),
        reason: Some("looks right".to_owned()),
    };
    approval::give(scene.world.control.as_ref(), &approval).await.unwrap();
}

#[tokio::test]
async fn it_waits_for_somebody_else() {
    let scene = Scene::new("");
    let action = scene.action("human.approve", json!({ "message": "lose 3 minutes of writes" }));
    assert!(matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::NotDone(_)));
    let cx = scene.cx(LONG);
    let approving = async {
        let told = scene.hear(|w| w.contains("lose 3 minutes of writes")).await;
        assert!(told.ends_with(&format!("drctl approve {} step", scene.run.id)), "{told}");
        approve(&scene, "bob on laptop").await;
    };
    let (applied, ()) = tokio::join!(action.apply(&cx), approving);
    let applied = applied.unwrap();
    assert_eq!(applied.summary, "bob on laptop approved: lose 3 minutes of writes");
    assert_eq!(applied.facts["by"], "bob on laptop");
    assert_eq!(applied.facts["reason"], "looks right");
    let Observed::Done(facts) = action.observe(&scene.cx(LONG)).await.unwrap() else { panic!() };
    assert_eq!(facts, applied.facts);
}

#[tokio::test]
async fn nobody_approves_himself_where_a_second_person_is_asked_for() {
    for by in ["Ann on another-machine", "carol on ops-2"] {
        let mut scene = Scene::new("");
        // Who resumed the run carries it out as well.
        scene.run.operators = vec![scene.run.operator.clone(), "carol on laptop".to_owned()];
        approve(&scene, by).await;
        refused(&scene).await;
    }
}

async fn refused(scene: &Scene) {
    let second = scene.action("human.approve", json!({ "message": "go" }));
    let failure = second.apply(&scene.cx(LONG)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    assert!(
        failure.error.one_line().contains("who is an operator of this run"),
        "{:?}",
        failure.error
    );
    assert!(second.observe(&scene.cx(LONG)).await.is_err());
    let anybody = scene.action("human.approve", json!({ "message": "go", "who": "operator" }));
    anybody.apply(&scene.cx(LONG)).await.unwrap();
}

#[tokio::test]
async fn an_approval_that_never_comes_fails_the_step_with_the_next_move() {
    let scene = Scene::new("");
    let action = scene.action("human.approve", json!({ "message": "go" }));
    let failure = action.apply(&scene.cx(Duration::from_secs(1))).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    let hint = failure.error.advice().unwrap();
    assert!(hint.contains(&format!("drctl approve {} step", scene.run.id)), "{hint}");
}
