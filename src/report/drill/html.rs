//! The report of a drill as one HTML page, which needs nothing else: no script, no other file.

use maud::{Markup, html as page};

use super::{drawing, fault, loss, recovery, teardown, title, verdict};
use crate::drill::account::{Account, Check, Outcome, Standing, Teardown};
use crate::report::STYLE;
use crate::report::document::{document, list, marked};
use crate::report::words::{bytes, moment, span};

pub fn html(account: &Account) -> String {
    let class = match account.outcome {
        Outcome::Passed => "verdict good",
        Outcome::Unverified => "verdict fair",
        Outcome::Failed | Outcome::Different => "verdict bad",
    };
    let body = page! {
        header {
            p .kind { "drctl " (account.rehearsal.as_str()) " drill · " (account.project) }
            h1 { (title(account)) }
            p class=(class) { (verdict(account)) }
        }
        main {
            (figures(account))
            @if let Some(failure) = &account.failure {
                section .warn {
                    h2 { "Why it failed" }
                    p { "In the phase " b { (failure.phase) } ": " (marked(&failure.error)) }
                    @if let Some(hint) = &failure.hint { p .hint { "→ " (marked(hint)) } }
                }
            }
            @if !account.regressions.is_empty() {
                section .warn {
                    h2 { "Slower than before" }
                    ul { @for r in &account.regressions {
                        li { b { (r.phase) } " took " (span(r.seconds)) ", usually "
                            (span(r.usual_seconds)) " (" (r.drills) " drills)" }
                    } }
                }
            }
            section {
                h2 { "Checks" }
                @if account.checks.is_empty() { p .none { "It did not come to any." } }
                @for check in &account.checks { (check_of(check)) }
            }
            section {
                h2 { "Phases" }
                div .drawing { (drawing::phases(account)) }
                p .legend {
                    span .key.done {} "counts as recovery " span .key.other {} "work of the drill "
                    span .key.failed {} "failed"
                }
            }
            section {
                h2 { "Recovery time, drill after drill" }
                div .drawing { (drawing::trend(account)) }
                p .legend { span .key.done {} "passed " span .key.failed {} "not passed" }
            }
            (list("Differences passed over, by the allow-list",
                &account.allowed.iter().map(|a| format!("{}: {}", a.what, a.reason)).collect::<Vec<_>>(),
                "None.", None))
            div .pair {
                (list("Role stubs made", &account.scratch.role_stubs, "None were needed.", None))
                (list("To know", &account.warnings, "Nothing.", None))
            }
        }
        footer {
            p { "Drill " code { (account.id) } " by " (account.operator) ", written by "
                (account.program) ". The sealed report beside this page holds its SHA-256: "
                code { "drctl drill report " (account.id) " --out DIR" } " proves both." }
        }
    };
    document(&format!("{} · {}", title(account), account.id), &page! {}, &[STYLE], &body)
}

fn figures(account: &Account) -> Markup {
    let o = &account.objectives;
    let none = || "none".to_owned();
    let checks = account.checks.len();
    let well = account
        .checks
        .iter()
        .filter(|c| !matches!(c.standing, Standing::Failed | Standing::Unknown))
        .count();
    let left = !matches!(account.teardown, Teardown::Clean { .. });
    page! {
        section .figures {
            div .bad[o.rto_kept != Some(true)] { b { (o.recovery_seconds.map_or_else(none, span)) }
                span { "recovery time" } small { (recovery(o)) } }
            div .bad[o.rpo_kept == Some(false)] {
                b { (o.loss_seconds.map_or_else(|| "UNKNOWN".to_owned(), span)) }
                span { @if account.failover.is_some() { "lost at most" } @else { "would be lost" } } small { (loss(account)) } }
            div .bad[well < checks || checks == 0] { b { (well) " of " (checks) } span { "checks without fault" }
                @if let Some(s) = &account.snapshot { small { (s.rows) " rows in " (s.tables) " tables" } } }
        }
        dl {
            dt { "Began" } dd { (moment(account.began)) ", took " (span(account.seconds)) }
            @if let Some(s) = &account.snapshot {
                dt { "Snapshot" } dd { code { (s.id) } " (" (s.how) "), shows " (moment(s.taken)) ", "
                    (span((account.began - s.taken).num_seconds() as f64)) " old" }
                dt { "Holds" } dd { (bytes(s.raw_bytes)) " of rows, " (bytes(s.stored_bytes))
                    " stored; from PostgreSQL " (s.source_version) ", read from store " (s.store) }
            }
            @if let Some(f) = &account.failover {
                dt { "Fault" } dd { (marked(&fault(f))) }
                dt { "Run" } dd { code { (f.run) } ", " (f.mode) ", " (f.from) " to " (f.to) ": "
                    (f.ending.as_deref().unwrap_or("not ended")) }
                @if !f.losses.is_empty() { dt { "Lost" } dd { (marked(&f.losses.join("; "))) } }
            }
            dt { "Place" } dd { (marked(&account.scratch.place))
                @if let Some(v) = &account.scratch.server_version { ", PostgreSQL " (v) } }
            dt { "Afterwards" } dd .left[left] { (marked(&teardown(account))) }
        }
    }
}

fn check_of(check: &Check) -> Markup {
    let class = match check.standing {
        Standing::Passed => "done",
        Standing::Noted => "undone",
        Standing::Failed | Standing::Unknown => "failed",
        Standing::Skipped => "not",
    };
    page! {
        article class=(class) {
            h3 { (check.name) " " span .standing { (check.standing.as_str()) } }
            p { (marked(&check.said)) " " span .times { (span(check.seconds)) } }
            @if !check.details.is_empty() { ul { @for d in &check.details { li { (marked(d)) } } } }
        }
    }
}
