//! What earlier steps left, in the arguments of later ones.

use std::sync::Arc;

use super::stage::*;
use crate::runbook::plan::PlannedStep;
use crate::runbook::record::Ending;
use crate::runbook::state::Standing;
use crate::store::MemoryStore;

const RUN: &str = "r20261124T100000Z-00000b";

fn operator() -> Operator {
    Operator::new(&Stage::default(), Arc::new(MemoryStore::new("west")))
}

/// A step that says what others left.
fn echo(id: &str, needs: &[&str], text: &str) -> PlannedStep {
    let with = serde_json::json!({ "argv": ["printf", "%s", text], "dir": "/" });
    PlannedStep {
        uses: "command.run".to_owned(),
        with: serde_json::from_value(with).unwrap(),
        ..step(id, needs)
    }
}

#[tokio::test]
async fn every_action_has_what_earlier_steps_left_in_its_arguments() {
    let ann = operator();
    let steps = vec![
        step("a", &[]),
        echo("b", &["a"], "made by ${steps.a.made}"),
        echo("c", &["b"], "${steps.b.stdout}, ${steps.b.exit_status}"),
    ];
    let left = ann.begin(&plan(steps), RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Succeeded));
    let Standing::Done { facts } = &left.state.steps["c"].standing else { panic!("c is not done") };
    assert_eq!(facts["stdout"], "made by a, 0");
}

#[tokio::test]
async fn what_no_step_left_fails_the_step_that_asks_before_it_does_anything() {
    let ann = operator();
    let plan = plan(vec![step("a", &[]), echo("b", &["a"], "${steps.a.gone}")]);
    let left = ann.begin(&plan, RUN).await.unwrap();
    assert_eq!(left.ending, Some(Ending::Stopped));
    let state = &left.state.steps["b"];
    assert_eq!(state.attempts, 0, "nothing was begun");
    let said = state.outcome.as_ref().unwrap().in_words();
    assert_eq!(said, "fill in ${steps.a.gone}: step `a` left no `gone`; it left: made");
}
