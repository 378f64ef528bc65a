//! The report of an audit as one HTML page, which needs nothing else: no script, no other file.

use maud::{Markup, html as page};

use super::AuditReport;
use super::calendar::{ages, calendar};
use super::markdown::{finding_in_words, in_order, place, scope, verdict};
use crate::integrity::audit::{DatabaseAudit, Standing, chain};
use crate::report::STYLE;
use crate::report::document::document;
use crate::report::words::{bytes, moment, span};

pub(crate) const MORE_STYLE: &str = include_str!("style.css");

/// Findings listed before the rest is counted: the JSON has all of them.
const LISTED: usize = 500;

pub fn html(report: &AuditReport) -> String {
    let class = match report.standing {
        Standing::Passed | Standing::NotApplicable => "good",
        Standing::Unverified => "fair",
        Standing::Failed => "bad",
    };
    let body = page! {
        header {
            p .kind { "drctl audit report" }
            h1 { "Audit of " (report.project) }
            p class=(format!("verdict {class}")) { (verdict(report)) }
        }
        main {
            (figures(report))
            section { h2 { "Checks" } (checks(report)) }
            @for database in &report.databases { (database_of(database)) }
            (findings(report))
        }
        footer {
            p { "Audit " code { (report.audit) } " by " (report.operator) " with " (report.program)
                ", from " (moment(report.began)) " to " (moment(report.ended)) ". Prove it: "
                code { "drctl audit show " (report.audit) } }
        }
    };
    document(
        &format!("Audit of {} · {}", report.project, report.audit),
        &page! {},
        &[STYLE, MORE_STYLE],
        &body,
    )
}

fn figures(report: &AuditReport) -> Markup {
    let count = |standing| report.checks_that(standing).count();
    let (failed, unverified) = (count(Standing::Failed), count(Standing::Unverified));
    let snapshots: u64 = report.databases.iter().map(|d| d.snapshots).sum();
    let missed: u64 = report.databases.iter().flat_map(|d| &d.holes).map(|h| h.missed_count).sum();
    let took = (report.ended - report.began).as_seconds_f64();
    page! {
        section .figures {
            div .bad[failed > 0] {
                b { @if failed > 0 { (failed) " failed" } @else { (count(Standing::Passed)) " passed" } }
                span { @if failed > 0 { (count(Standing::Passed)) " passed" } @else { "none failed" } }
                small { (unverified) " could not be made" }
            }
            div .bad[missed > 0] { b { (snapshots) } span { "snapshots" } small { (missed) " missing" } }
            div { b { (bytes(report.checked_bytes())) } span { "checked" }
                small { (report.checked_objects()) " objects in " (span(took)) } }
        }
        dl {
            dt { "Looked at" } dd { (scope(report)) }
            dt { "Made" } dd { (moment(report.began)) " by " (report.operator) }
        }
    }
}

fn checks(report: &AuditReport) -> Markup {
    let class = |standing| match standing {
        Standing::Failed => "failed",
        Standing::Unverified => "unverified",
        Standing::Passed => "passed",
        Standing::NotApplicable => "not_applicable",
    };
    page! {
        table {
            tr { th {} th { "question" } th { "where" } th { "seen" } }
            @for check in in_order(report) {
                tr {
                    td class=(class(check.standing)) { (check.standing) }
                    td { (check.aspect) }
                    td { (place(check)) }
                    td { (check.said) @if let Some(hint) = &check.hint { small { "→ " (hint) } } }
                }
            }
        }
    }
}

fn database_of(database: &DatabaseAudit) -> Markup {
    page! {
        section {
            h2 { "Database " (database.database) }
            @if !database.days.is_empty() {
                div .drawing { (calendar(&database.days)) }
                p .legend {
                    span .key.whole {} "whole in every store "
                    span .key.partly {} "not proven in every store "
                    span .key.damaged {} "damaged "
                    span .key.missed {} "missing "
                    span .key.never {} "none was due, or it has expired. Hours are UTC."
                }
            }
            @for hole in &database.holes { p { "Missing: " (chain::in_words(hole)) } }
        }
        @if !database.coverage.is_empty() {
            section {
                h2 { "Last read, " (database.database) }
                div .drawing { @for (store, seen) in &database.coverage { (ages(store, seen)) } }
                p .legend {
                    span .key.whole {} "within a day, a week, a month: the paler the longer ago "
                    span .key.partly {} "before that "
                    span .key.never {} "never"
                }
            }
        }
    }
}

fn findings(report: &AuditReport) -> Markup {
    let more = report.findings.len().saturating_sub(LISTED) as u64 + report.more_findings;
    page! {
        section class=(if report.findings.is_empty() { "" } else { "warn" }) {
            h2 { "Findings" }
            @if report.findings.is_empty() { p .none { "None." } } @else {
                ul {
                    @for finding in report.findings.iter().take(LISTED) {
                        li { (finding_in_words(finding)) }
                    }
                    @if more > 0 { li { "… and " (more) " more" } }
                }
            }
        }
    }
}
