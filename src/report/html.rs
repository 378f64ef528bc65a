//! The report of a run as one HTML page, which needs nothing else: no script, no other file.

use maud::{Markup, html as page};

use super::STYLE;
use super::document::{document, list, marked};
use super::markdown::{approvals, losses, recovery, regions};
use super::run::{RunReport, StepReport, StepStanding};
use super::timeline::timeline;
use super::words::{self, moment, span};
use crate::runbook::record::Ending;

pub fn html(report: &RunReport) -> String {
    let verdict = verdict(report);
    let body = page! {
        header {
            p .kind { "drctl run report" @if report.run.drill { " · DRILL" } }
            h1 { (report.title) }
            p class=(format!("verdict {verdict}")) { (words::ending(report.ending)) }
        }
        main {
            (figures(report))
            (list("What needs attention", &report.attention, "Nothing.", Some("warn")))
            (list("Left to do", &report.left_to_do, "Nothing.", Some("todo")))
            section {
                h2 { "Timeline" }
                div .drawing { (timeline(report)) }
                p .legend {
                    span .key.done {} "done " span .key.failed {} "failed "
                    span .key.undone {} "undone " span .key.budget {} "time it might have taken"
                }
            }
            (list("Data loss", &losses(report), "", Some("")))
            div .pair {
                (list("Approvals", &approvals(report), "None were asked for.", Some("")))
                (list("Not told", &report.untold, "Everybody was told.", Some("")))
            }
            section {
                h2 { "Steps" }
                @for step in &report.steps { (step_of(step)) }
            }
            @if !report.events.is_empty() {
                section {
                    h2 { "Other events" }
                    ul { @for (at, what) in &report.events {
                        li { span .at { (span(*at)) } " " (what) }
                    } }
                }
            }
        }
        footer {
            p { "Run " code { (report.run.id) } ", runbook " (report.runbook) ", "
                (report.run.mode.as_str()) " mode. Times count from the confirmation at "
                (moment(report.run.confirmed)) "; the journal's last entry is of "
                (moment(report.last)) ". Prove the journal: "
                code { "drctl runs verify " (report.run.id) } }
        }
    };
    document(&format!("{} · {}", report.title, report.run.id), &page! {}, &[STYLE], &body)
}

fn verdict(report: &RunReport) -> &'static str {
    match (report.ending, report.within_rto) {
        (Some(Ending::Succeeded), Some(true)) => "good",
        (Some(Ending::Succeeded | Ending::SucceededWithFailures | Ending::Aborted), _) => "fair",
        _ => "bad",
    }
}

fn figures(report: &RunReport) -> Markup {
    let recovery_time = report.recovered_seconds.map_or_else(|| "not yet".to_owned(), span);
    let missed = report.within_rto == Some(false);
    let measured = report.losses.iter().find_map(|l| l.measured.as_ref());
    let predicted = report.losses.iter().find_map(|l| l.predicted.as_ref().or(l.expected.as_ref()));
    let loss = match (measured, predicted) {
        (Some(amount), _) => (amount.in_words(), "measured"),
        (None, Some(amount)) => (amount.in_words(), "predicted, not measured"),
        (None, None) => ("UNKNOWN".to_owned(), "not measured"),
    };
    let done = report.steps.iter().filter(|s| s.standing == StepStanding::Done).count();
    page! {
        section .figures {
            div .bad[missed] { b { (recovery_time) } span { "recovery time" } small { (recovery(report)) } }
            div { b { (loss.0) } span { "data lost" } small { (loss.1) ", RPO " (span(report.rpo_seconds)) } }
            div { b { (done) " of " (report.steps.len()) } span { "steps done" }
                small { (report.attention.len()) " need attention" } }
        }
        dl {
            dt { "Where" } dd { (regions(report)) }
            dt { "Confirmed" } dd { (moment(report.run.confirmed)) " by " (report.run.operator) }
            @if report.operators.len() > 1 {
                dt { "Operators" } dd { (report.operators.join(", ")) }
            }
            @if let Some(reason) = &report.run.reason { dt { "Reason" } dd { (reason) } }
            @if let Some(why) = &report.run.primary_is_broken {
                dt { "Primary answered, but" } dd { (why) }
            }
        }
    }
}

fn step_of(step: &StepReport) -> Markup {
    let class = match step.standing {
        StepStanding::Done => "done",
        StepStanding::Failed | StepStanding::UndoFailed | StepStanding::Open => "failed",
        StepStanding::Undone => "undone",
        StepStanding::Skipped | StepStanding::NotBegun => "not",
    };
    let took = step.began.zip(step.ended).map(|(began, ended)| ended - began);
    page! {
        @if step.point_of_no_return { p .rule { "point of no return" } }
        article class=(class) {
            h3 { (step.id) " " span .standing { (step.standing.as_str()) } }
            p .times {
                @if let Some(began) = step.began { "at " (span(began)) ", " }
                @if let Some(took) = took { "took " (span(took)) " of " } @else { "limit " }
                (span(step.limit_seconds))
                @if step.tries > 1 { ", " (step.tries) " tries" }
                @if step.critical { ", on the longest path" }
            }
            p { (marked(&step.said)) }
            @if let Some(hint) = &step.hint { p .hint { "→ " (marked(hint)) } }
            @for warning in &step.warnings { p .warning { (marked(warning)) } }
            p .effect { code { (step.uses) } " " (marked(&step.effect)) }
        }
    }
}
