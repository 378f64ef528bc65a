//! Runs that have not ended: which step is at work, what it waits for, and the clock.

use maud::{Markup, html};

use super::{marked, unknown};
use crate::model::Learned;
use crate::report::words::{moment, span};
use crate::report::{RunReport, StepReport, StepStanding};
use crate::web::view::{OpenRun, View};

pub fn open(view: &View) -> Markup {
    html! {
        @if let Learned::Unknown(why) = &view.status.open_runs {
            section { h2 { "Open runs" } p { (unknown(why)) } }
        }
        @for run in &view.open_runs { (one(view, run)) }
    }
}

fn one(view: &View, run: &OpenRun) -> Markup {
    html! {
        section .run {
            @match &run.report {
                Learned::Unknown(why) => { h2 { "Run " (run.id) } p { (unknown(why)) } }
                Learned::Known(report) => (known(view, run, report)),
            }
        }
    }
}

fn known(view: &View, run: &OpenRun, report: &RunReport) -> Markup {
    let clock = (view.at() - report.run.confirmed).as_seconds_f64().max(0.0);
    let late = clock > report.rto_seconds;
    let done = report.steps.iter().filter(|s| s.standing == StepStanding::Done).count();
    html! {
        h2 { @if report.run.drill { "DRILL: " } (report.title) }
        p .clock.late[late] {
            b { (span(clock)) } " of " (span(report.rto_seconds))
            @if late { " LATE" }
            small { (done) " of " (report.steps.len()) " steps done; last sign " (span((view.at() - report.last).as_seconds_f64())) " ago" }
        }
        @for (step, command) in &run.asks {
            div .ask { p { b { (step) } " waits for approval:" } pre { code { (command) } } }
        }
        ol .steps { @for step in &report.steps { (line(report, step, clock)) } }
        p {
            @if let Some(at) = report.point_of_no_return { "The point of no return was passed at " (span(at)) ". " }
            "Run " code { (run.id) } ", " (report.mode.as_str()) ", " (report.from) " to " (report.to)
            ", confirmed " (moment(report.run.confirmed)) " by " (report.operators.last().unwrap_or(&report.run.operator))
            ". " a href=(format!("/runs/{}", run.id)) { "The whole report" }
        }
    }
}

fn line(report: &RunReport, step: &StepReport, clock: f64) -> Markup {
    let over = report.ending.is_some();
    let (class, word) = match step.standing {
        StepStanding::Open if !over => ("open", "at work"),
        StepStanding::Done => ("done", "done"),
        StepStanding::Failed | StepStanding::UndoFailed | StepStanding::Open => {
            ("failed", step.standing.as_str())
        }
        StepStanding::Undone => ("undone", step.standing.as_str()),
        StepStanding::Skipped | StepStanding::NotBegun => ("not", step.standing.as_str()),
    };
    let took = step.began.map(|began| step.ended.unwrap_or(clock) - began);
    html! {
        li class=(class) {
            span .name { (step.id) } " "
            span .standing { (word) @if let Some(took) = took { ", " (span(took)) } }
            @if step.standing == StepStanding::Open && !over { small { "of " (span(step.limit_seconds)) ": " (marked(&step.effect)) } }
            @if class == "failed" { small { (marked(&step.said)) @if let Some(hint) = &step.hint { " → " (marked(hint)) } } }
            @if step.point_of_no_return { small .return { "point of no return" } }
        }
    }
}
