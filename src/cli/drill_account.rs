//! The account of a drill, in words for a terminal.

use super::render::{self, bytes, count, plural, span};
use crate::drill::account::{Account, Rehearsal, Teardown};

/// A drill for people.
pub fn told(account: &Account) -> String {
    let head = account.outcome.as_str().to_uppercase();
    let mut text = format!(
        "{} drill {} of `{}`: {head}: {}.\n",
        match account.rehearsal {
            Rehearsal::Restore => "Restore",
            Rehearsal::Failover => "Failover",
        },
        account.id,
        account.subject,
        account.said.trim_end_matches('.'),
    );
    if let Some(hint) = account.failure.as_ref().and_then(|f| f.hint.as_ref()) {
        text.push_str(&format!("  Hint: {hint}\n"));
    }
    if let Some(s) = &account.snapshot {
        text.push_str(&format!(
            "  snapshot {} ({}) shows {}: {} with {} rows, {} of rows, read from `{}`\n",
            s.id,
            s.how,
            s.taken.format("%Y-%m-%d %H:%M:%S UTC"),
            plural(s.tables, "table"),
            count(s.rows),
            bytes(s.raw_bytes),
            s.store,
        ));
    }
    if let Some(f) = &account.failover {
        text.push_str(&format!(
            "  run {} ({}, {} to {}): {}; the fault was `{}`\n",
            f.run,
            f.mode,
            f.from,
            f.to,
            f.ending.as_deref().unwrap_or("not ended"),
            f.fault
        ));
    }
    let version = account.scratch.server_version.as_deref();
    let version = version.map(|v| format!(", PostgreSQL {v}")).unwrap_or_default();
    text.push_str(&format!("  in {}{version}\n", account.scratch.place));
    let o = &account.objectives;
    let kept = |kept: Option<bool>| match kept {
        Some(true) => "kept",
        Some(false) => "MISSED",
        None => "not judged",
    };
    let figure = |value: Option<f64>| value.map_or_else(|| "none".to_owned(), span);
    let (rto, rpo) = (span(o.rto_seconds), span(o.rpo_seconds));
    let recovery = figure(o.recovery_seconds);
    text.push_str(&format!("  recovery time {recovery} (RTO {rto}: {}); ", kept(o.rto_kept)));
    text.push_str(&match (account.rehearsal, o.loss_seconds) {
        (Rehearsal::Restore, loss) => format!("newest snapshot {} old", figure(loss)),
        (Rehearsal::Failover, Some(loss)) => format!("lost {} of writes at most", span(loss)),
        (Rehearsal::Failover, None) => "what was lost is UNKNOWN".to_owned(),
    });
    text.push_str(&format!(" (RPO {rpo}: {})\n", kept(o.rpo_kept)));
    let rows: Vec<Vec<String>> = account
        .checks
        .iter()
        .map(|c| vec![format!("  {}", c.name), c.standing.as_str().to_owned(), c.said.clone()])
        .collect();
    text.push_str(&render::columns(&rows, &[]));
    for check in account.checks.iter().filter(|c| !c.details.is_empty()) {
        for detail in &check.details {
            text.push_str(&format!("    {}: {detail}\n", check.name));
        }
    }
    let phases: Vec<String> = account
        .phases
        .iter()
        .filter(|p| !p.name.starts_with("step "))
        .map(|p| format!("{} {}", p.name, span(p.seconds)))
        .collect();
    text.push_str(&format!("  {}\n", phases.join(", ")));
    for r in &account.regressions {
        text.push_str(&format!(
            "  SLOWER: {} took {}, usually {} ({} drills)\n",
            r.phase,
            span(r.seconds),
            span(r.usual_seconds),
            r.drills
        ));
    }
    if !account.scratch.role_stubs.is_empty() {
        let stubs = account.scratch.role_stubs.join(", ");
        text.push_str(&format!("  role stubs made: {stubs}\n"));
    }
    for passed in &account.allowed {
        text.push_str(&format!("  passed over: {}: {}\n", passed.what, passed.reason));
    }
    for warning in &account.warnings {
        text.push_str(&format!("  note: {warning}\n"));
    }
    text.push_str(&match &account.teardown {
        Teardown::Clean { removed } if removed.is_empty() => "  nothing was made\n".to_owned(),
        Teardown::Clean { removed } => format!("  removed: {}\n", removed.join(", ")),
        Teardown::Kept { reach, remove } => {
            format!("  kept: {reach}\n  remove it: {remove}\n")
        }
        Teardown::Left { what, why } => format!("  LEFT BEHIND: {what}: {why}\n"),
    });
    text
}
