//! A plan for the eyes of somebody who never saw it, at night, on 80 columns.

use std::time::Duration;

use super::wrapping::{hung, wrapped};
use crate::model::Span;
use crate::providers::{Leaning, Mode, Plane};
use crate::runbook::plan::{Plan, PlannedStep};
use crate::runbook::sheet::{OnFailure, Who};

const WIDTH: usize = 80;
/// Names of steps that are longer push their effect to the right.
const LONGEST_ID: usize = 18;

/// The whole plan. `loss` says what is known of the loss so far, in a line or several.
pub fn text(plan: &Plan, loss: Option<&str>) -> String {
    let mut text = heading(plan, loss);
    text.push('\n');
    text.push_str(&steps(plan));
    text.push('\n');
    text.push_str(&way_back(plan));
    let leaning = leaning(plan);
    if !leaning.is_empty() {
        text.push('\n');
        text.push_str(&leaning);
    }
    text
}

fn heading(plan: &Plan, loss: Option<&str>) -> String {
    let mut text = wrapped(&plan.title, WIDTH, "");
    let mut row = |name: &str, value: &str| {
        text.push_str(&hung(&format!("  {name:<8}"), value, WIDTH));
    };
    row("Runbook", &format!("{}, {} mode", plan.runbook, plan.mode.as_str()));
    match plan.from == plan.to {
        true => row("Where", &format!("in {}, which stays the active region", plan.to)),
        false => row("Where", &format!("from {} to {}", plan.from, plan.to)),
    }
    row("Means", &meaning(plan));
    row("Loss", &loss.map_or_else(|| expected_loss(plan), str::to_owned));
    let budget = plan.budget();
    let (total, rto) = (whole(budget.total), whole(plan.rto.0));
    let spare = plan.rto.0.checked_sub(budget.total);
    let verdict = match spare {
        Some(spare) => format!("{} to spare", whole(spare)),
        None => format!("{} TOO MUCH", whole(budget.total - plan.rto.0)),
    };
    row("Time", &format!("at most {total} of the RTO of {rto}: {verdict}"));
    let longest: Vec<_> = budget.critical.iter().map(|i| plan.steps[*i].id.as_str()).collect();
    row("", &format!("longest path: {}", longest.join(" → ")));
    let changes = plan.steps.iter().filter(|s| s.description.changes).count();
    let people = plan.steps.iter().filter(|s| waits_for_people(s)).count();
    let people = match people {
        0 => String::new(),
        1 => ", 1 waits for a person".to_owned(),
        n => format!(", {n} wait for a person"),
    };
    row("Steps", &format!("{}; {changes} change something (*){people}", plan.steps.len()));
    text
}

fn meaning(plan: &Plan) -> String {
    let (from, to) = (&plan.from, &plan.to);
    match (plan.mode, from == to) {
        (_, true) => format!("the service is repaired where it runs, in {to}"),
        (Mode::Graceful, false) => format!(
            "{from} still works: it is asked to stop taking writes, and {to} takes over when it has \
             everything"
        ),
        (Mode::Forced, false) => {
            format!("{from} is taken to be lost: {to} takes over with what it has received")
        }
    }
}

fn expected_loss(plan: &Plan) -> String {
    let assess = plan.steps.iter().find(|s| s.uses == "loss.assess");
    let objective = whole(plan.rpo.0);
    match (plan.mode, plan.from == plan.to, assess) {
        (_, true, _) => {
            format!("what was written since the snapshot that is chosen; the RPO is {objective}")
        }
        (Mode::Graceful, ..) => "none: no write is taken while the sides change".to_owned(),
        (Mode::Forced, _, Some(step)) => format!(
            "writes that {} never received; step `{}` says how much, against the RPO of {objective}",
            plan.to, step.id
        ),
        (Mode::Forced, _, None) => {
            format!("UNKNOWN: writes that {} never received; no step assesses it", plan.to)
        }
    }
}

/// The steps in the order in which they may start; those under one number run at the same time.
fn steps(plan: &Plan) -> String {
    let mut text = wrapped(
        "Steps under one number run at the same time. On the right: the longest each may take.",
        WIDTH,
        "",
    );
    let budget = plan.budget();
    let longest = plan.steps.iter().map(|s| s.id.chars().count()).max().unwrap_or(0);
    let id_width = longest.min(LONGEST_ID);
    for (number, stage) in plan.stages().iter().enumerate() {
        for (place, i) in stage.iter().enumerate() {
            let step = &plan.steps[*i];
            // Later ones change nothing about it.
            if plan.point_of_no_return().is_some_and(|point| point.id == step.id) {
                text.push_str(&rule("POINT OF NO RETURN: from here on only forward"));
            }
            let number = match place {
                0 => format!("{:>3}", number + 1),
                _ => "   ".to_owned(),
            };
            let star = if step.description.changes { '*' } else { ' ' };
            let head = format!("{number} {star}{:<id_width$}  ", step.id);
            let time = whole(step.longest());
            let critical = if budget.critical.contains(i) { "!" } else { " " };
            text.push_str(&row(&head, &step.description.effect, &format!("{time}{critical}")));
            for note in notes(plan, step) {
                let indent = " ".repeat(head.chars().count());
                text.push_str(&hung(&format!("{indent}- "), &note, WIDTH - 9));
            }
        }
    }
    text.push_str("    ! on the longest path\n");
    text
}

/// A line with a column on the right, which stands in the first line.
fn row(head: &str, middle: &str, right: &str) -> String {
    let block = hung(head, middle, WIDTH - 9);
    let mut lines = block.lines();
    let mut text = String::new();
    if let Some(first) = lines.next() {
        let gap = WIDTH.saturating_sub(first.chars().count());
        text.push_str(format!("{first}{right:>gap$}").trim_end());
        text.push('\n');
    }
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text
}

fn rule(words: &str) -> String {
    let rest = WIDTH.saturating_sub(words.chars().count() + 6);
    format!("──── {words} {}\n", "─".repeat(rest))
}

fn waits_for_people(step: &PlannedStep) -> bool {
    step.approve.is_some() || step.uses == "human.approve"
}

fn notes(plan: &Plan, step: &PlannedStep) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(approve) = &step.approve {
        let who = match approve.who {
            Who::Operator => "somebody",
            Who::SecondPerson => "a second person",
        };
        notes.push(format!("waits up to {} until {who} approves", whole(approve.timeout.0)));
    }
    for leaning in leans_on_from(plan, step) {
        notes.push(leans(plan, leaning));
    }
    match step.on_failure {
        OnFailure::Stop => {}
        OnFailure::Continue => notes.push("if it fails, the run goes on".to_owned()),
        OnFailure::Abort => notes.push("if it fails, what was done is undone".to_owned()),
    }
    notes
}

fn leans_on_from<'p>(plan: &Plan, step: &'p PlannedStep) -> Vec<&'p Leaning> {
    // Where nothing moves, no region is taken to be lost.
    let away = plan.from != plan.to;
    step.description.leans_on.iter().filter(|l| away && l.region == plan.from).collect()
}

fn leans(plan: &Plan, leaning: &Leaning) -> String {
    let Leaning { region, what, optional, plane } = leaning;
    let kind = if *plane == Plane::Control && !what.contains("control plane") {
        "the control plane of "
    } else {
        ""
    };
    match (optional, plan.mode) {
        (true, _) => format!("asks {kind}{what} in {region}; goes on without"),
        (false, Mode::Graceful) => format!("needs {kind}{what} in {region}"),
        (false, Mode::Forced) => {
            format!("NEEDS {kind}{what} in {region}: fails if that is lost too")
        }
    }
}

/// What of the plan fails together with the region that it leaves.
fn leaning(plan: &Plan) -> String {
    if plan.mode == Mode::Graceful || plan.from == plan.to {
        return String::new();
    }
    let mut firm: Vec<&str> = Vec::new();
    for step in &plan.steps {
        if leans_on_from(plan, step).iter().any(|l| !l.optional) {
            firm.push(&step.id);
        }
    }
    match firm.is_empty() {
        true => hung("Lost region  ", &format!("no step needs {}.", plan.from), WIDTH),
        false => hung(
            "Lost region  ",
            &format!("{} need{} something in {}.", firm.join(", "), s(firm.len()), plan.from),
            WIDTH,
        ),
    }
}

fn s(count: usize) -> &'static str {
    if count == 1 { "s" } else { "" }
}

/// How to stop it, and what that leaves.
fn way_back(plan: &Plan) -> String {
    let point = plan.point_of_no_return();
    let mut text = String::new();
    let until = match point {
        Some(step) => {
            format!("Until `{}` begins, `drctl abort RUN` undoes what was done.", step.id)
        }
        None => "`drctl abort RUN` undoes what was done, at any time.".to_owned(),
    };
    text.push_str(&hung("Way back     ", &until, WIDTH));
    let indent = " ".repeat(13);
    let before = plan.steps.iter().take_while(|s| !s.point_of_no_return);
    for step in before {
        if let Some(compensation) = &step.description.compensation {
            text.push_str(&hung(&format!("{indent}{}: ", step.id), compensation, WIDTH));
        }
    }
    if point.is_some() {
        let after = "After it there is only forward: `drctl resume RUN` goes on after any failure.";
        text.push_str(&hung(&indent, after, WIDTH));
    }
    text
}

/// Whole seconds with units: `1m 30s`.
fn whole(duration: Duration) -> String {
    Span::from_secs(duration.as_secs()).to_string()
}
