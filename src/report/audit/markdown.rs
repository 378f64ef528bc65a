//! The report of an audit as Markdown: for tickets and auditors.

use super::{AuditReport, Terms};
use crate::integrity::audit::{Check, Standing, chain};
use crate::model::Finding;
use crate::report::markdown::{cell, plain};
use crate::report::words::{bytes, moment, span};

/// Findings listed before the rest is counted: the JSON has all of them.
const LISTED: usize = 200;

pub fn markdown(report: &AuditReport) -> String {
    let mut text = format!("# Audit of {}\n\n", plain(&report.project));
    let took = (report.ended - report.began).as_seconds_f64();
    let rows = [
        ("Result", verdict(report)),
        ("Audit", format!("`{}`", report.audit)),
        ("Made", format!("{}, in {}, by {}", moment(report.began), span(took), report.operator)),
        ("Looked at", scope(report)),
        ("Program", report.program.clone()),
    ];
    text.push_str("| | |\n| --- | --- |\n");
    for (name, value) in rows {
        text.push_str(&format!("| {name} | {} |\n", cell(&value)));
    }
    text.push_str("\n## Checks\n\n| | question | where | seen |\n| --- | --- | --- | --- |\n");
    for check in in_order(report) {
        let hint = check.hint.as_ref().map(|hint| format!(" Next: {hint}")).unwrap_or_default();
        text.push_str(&format!(
            "| {} | {} | {} | {}{} |\n",
            check.standing,
            check.aspect,
            cell(&place(check)),
            cell(&check.said),
            cell(&hint)
        ));
    }
    for database in &report.databases {
        text.push_str(&format!("\n## Database {}\n\n", plain(&database.database)));
        text.push_str(&format!(
            "- {} snapshots, {} objects, of which {} were checked: {}\n",
            database.snapshots,
            database.objects,
            database.checked_objects,
            bytes(database.checked_bytes)
        ));
        for hole in &database.holes {
            text.push_str(&format!("- missing: {}\n", chain::in_words(hole)));
        }
        for (store, ages) in &database.coverage {
            text.push_str(&format!(
                "- store {store}: {} read within a week, {} before that, {} never\n",
                bytes(ages.day + ages.week),
                bytes(ages.month + ages.older),
                bytes(ages.never)
            ));
        }
    }
    text.push_str("\n## Findings\n\n");
    if report.findings.is_empty() {
        text.push_str("None.\n");
    }
    for finding in report.findings.iter().take(LISTED) {
        text.push_str(&format!("- {}\n", plain(&finding_in_words(finding))));
    }
    let more = report.findings.len().saturating_sub(LISTED) as u64 + report.more_findings;
    if more > 0 {
        text.push_str(&format!("- … and {more} more\n"));
    }
    text
}

/// The checks, the worst first, each kind in the order of the questions.
pub(super) fn in_order(report: &AuditReport) -> Vec<&Check> {
    let mut checks: Vec<&Check> = report.checks.iter().collect();
    let rank = |standing| match standing {
        Standing::Failed => 0,
        Standing::Unverified => 1,
        Standing::Passed => 2,
        Standing::NotApplicable => 3,
    };
    checks.sort_by_key(|check| {
        let aspect = super::ASPECTS.iter().position(|a| *a == check.aspect);
        (rank(check.standing), aspect, check.database.clone(), check.store.clone())
    });
    checks
}

pub(super) fn verdict(report: &AuditReport) -> String {
    let count = |standing| report.checks_that(standing).count();
    let (failed, unverified) = (count(Standing::Failed), count(Standing::Unverified));
    let checks = |n: usize| if n == 1 { "1 check".to_owned() } else { format!("{n} checks") };
    match report.standing {
        Standing::Failed if unverified > 0 => {
            format!("{} FAILED, and {unverified} could not be made", checks(failed))
        }
        Standing::Failed => format!("{} FAILED", checks(failed)),
        Standing::Unverified => {
            format!("Nothing is known to be wrong, but {} could not be made", checks(unverified))
        }
        Standing::Passed | Standing::NotApplicable => {
            format!("{} passed, none failed", checks(count(Standing::Passed)))
        }
    }
}

pub(super) fn scope(report: &AuditReport) -> String {
    let Terms { depth, sample, since, budget, shard, stores, databases, .. } = &report.terms;
    let mut text =
        format!("databases {}, stores {}, depth {depth}", databases.join(", "), stores.join(", "));
    if !sample.is_all() {
        text.push_str(&format!(", a sample of {} %", sample.share * 100.0));
    }
    if let Some(since) = since {
        text.push_str(&format!(", snapshots since {}", moment(*since)));
    }
    if let (Some(budget), Some((chosen, total))) = (budget, report.chosen) {
        text.push_str(&format!(
            ", a budget of {}: {} of {} were chosen",
            bytes(*budget),
            bytes(chosen),
            bytes(total)
        ));
    }
    if let Some(shard) = shard {
        text.push_str(&format!(", worker {} of {}", shard.number, shard.of));
    }
    text
}

/// `petforce, store west`.
pub(super) fn place(check: &Check) -> String {
    let store = check.store.as_ref().map(|store| format!("store {store}"));
    let parts: Vec<String> = check.database.iter().cloned().chain(store).collect();
    parts.join(", ")
}

/// One line for a finding.
pub fn finding_in_words(f: &Finding) -> String {
    let mut text = format!("{}: store {}", f.kind, f.store);
    let (snapshot, table) = (&f.snapshot, &f.table);
    for (what, value) in [("snapshot", snapshot), ("table", table), ("object", &f.part)] {
        if let Some(value) = value {
            text.push_str(&format!(", {what} {value}"));
        }
    }
    format!("{text}: {}", f.detail)
}
