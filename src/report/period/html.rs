//! The report of a period as one HTML page, which needs nothing else.

use maud::{Markup, html as page};

use super::PeriodReport;
use super::document::{answers, taken, troubles};
use crate::integrity::audit::{Standing, chain};
use crate::model::Learned;
use crate::report::STYLE;
use crate::report::audit::{STYLE as MORE_STYLE, calendar};
use crate::report::document::document;
use crate::report::words::{bytes, moment, span};

pub fn html(report: &PeriodReport) -> String {
    let bad = report.open_troubles() > 0
        || report.snapshots.iter().any(|s| s.known().is_some_and(|s| s.rpo_kept() == Some(false)))
        || report.drills.known().is_some_and(|drills| drills.iter().any(|d| !d.passed));
    let class = match (bad, report.is_whole()) {
        (true, _) => "bad",
        (false, false) => "fair",
        (false, true) => "good",
    };
    let said = match class {
        "bad" => "Not everything was as it had to be",
        "fair" => "Nothing is known to be wrong, but not everything could be read",
        _ => "Everything was as it had to be",
    };
    let body = page! {
        header {
            p .kind { "drctl report" }
            h1 { "Recoverability of " (report.project) }
            p class=(format!("verdict {class}")) { (said) }
        }
        main {
            section {
                p { "From " (moment(report.since)) " to " (moment(report.made)) }
                table { @for (question, answer) in answers(report) {
                    tr { th { (question) } td { (answer) } }
                } }
            }
            @for known in &report.snapshots { (snapshots(known)) }
            (drills(report))
            (audits(report))
            section class=(if report.open_troubles() > 0 { "warn" } else { "" }) {
                h2 { "Findings and how they ended" }
                @if report.troubles.is_empty() { p .none { "None." } }
                ul { @for line in troubles(report).take(500) { li { (line) } } }
            }
            @if !report.unread.is_empty() {
                section .warn {
                    h2 { "Could not be read" }
                    ul { @for (what, why) in &report.unread { li { (what) ": " (why) } } }
                }
            }
        }
        footer { p { "Made by " (report.operator) " with " (report.program) " at " (moment(report.made))
            ". The JSON beside it is sealed, and signed where a key is configured." } }
    };
    document(
        &format!("Recoverability of {}", report.project),
        &page! {},
        &[STYLE, MORE_STYLE],
        &body,
    )
}

fn snapshots(known: &Learned<super::Snapshots>) -> Markup {
    page! {
        section {
            @match known {
                Learned::Unknown(why) => { h2 { "Snapshots" } p { "UNKNOWN: " (why) } }
                Learned::Known(s) => {
                    h2 { "Snapshots of " (s.database) }
                    p { (taken(s)) }
                    @if !s.days.is_empty() { div .drawing { (calendar(&s.days)) } }
                    p .legend {
                        span .key.whole {} "complete in every store "
                        span .key.partly {} "not in every store "
                        span .key.damaged {} "damaged "
                        span .key.missed {} "missing. Hours are UTC."
                    }
                    @for hole in &s.holes { p { "Missing: " (chain::in_words(hole)) } }
                    @for (store, why) in &s.unreachable { p { "Store " (store) " could not be asked: " (why) } }
                }
            }
        }
    }
}

fn drills(report: &PeriodReport) -> Markup {
    page! {
        section {
            h2 { "Drills" }
            @match &report.drills {
                Learned::Unknown(why) => { p { "UNKNOWN: " (why) } }
                Learned::Known(drills) if drills.is_empty() => { p .none { "None." } }
                Learned::Known(drills) => {
                    table { @for drill in drills { tr {
                        td class=(if drill.passed { "passed" } else { "failed" }) { (if drill.passed { "passed" } else { "FAILED" }) }
                        td { (moment(drill.began)) }
                        td { (drill.rehearsal) " of " (drill.subject) }
                        td { @if let Some(seconds) = drill.recovery_seconds { (span(seconds)) } }
                        td { (drill.said) }
                    } } }
                }
            }
        }
        section {
            h2 { "Runs" }
            @match &report.failovers {
                Learned::Unknown(why) => { p { "UNKNOWN: " (why) } }
                Learned::Known(runs) if runs.is_empty() => { p .none { "None." } }
                Learned::Known(runs) => {
                    table { @for run in runs { tr {
                        td { (moment(run.began)) }
                        td { code { (run.run) } }
                        td { (run.runbook) }
                        td { @if let Some(seconds) = run.recovery_seconds { (span(seconds)) } }
                        td { (run.ending.as_deref().unwrap_or("NOT ENDED")) }
                    } } }
                }
            }
        }
    }
}

fn audits(report: &PeriodReport) -> Markup {
    let class = |standing| match standing {
        Standing::Failed => "failed",
        Standing::Unverified => "unverified",
        _ => "passed",
    };
    page! {
        section {
            h2 { "Audits" }
            @match &report.audits {
                Learned::Unknown(why) => { p { "UNKNOWN: " (why) } }
                Learned::Known(audits) if audits.is_empty() => { p .none { "None." } }
                Learned::Known(audits) => {
                    table { @for audit in audits { tr {
                        td class=(class(audit.standing)) { (audit.standing) }
                        td { (moment(audit.began)) }
                        td { code { (audit.audit) } }
                        td { (audit.depth) }
                        td { (bytes(audit.checked_bytes)) }
                    } } }
                }
            }
        }
    }
}
