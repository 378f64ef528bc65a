//! The report of a period as Markdown, and the sentences that the page shares with it.

use super::{Ended, PeriodReport, Snapshots};
use crate::integrity::audit::chain;
use crate::model::Learned;
use crate::report::markdown::{cell, plain};
use crate::report::words::{bytes, moment, span};

/// Findings listed before the rest is counted: the JSON has all of them.
const LISTED: usize = 200;

pub fn markdown(report: &PeriodReport) -> String {
    let mut text = format!(
        "# Recoverability of {}\n\nFrom {} to {}, by {}, with {}.\n\n| question | answer |\n| --- | --- |\n",
        plain(&report.project),
        moment(report.since),
        moment(report.made),
        plain(&report.operator),
        report.program
    );
    for (question, answer) in answers(report) {
        text.push_str(&format!("| {question} | {} |\n", cell(&answer)));
    }
    for known in &report.snapshots {
        match known {
            Learned::Unknown(why) => {
                text.push_str(&format!("\n## Snapshots\n\nUNKNOWN: {}\n", plain(why)))
            }
            Learned::Known(s) => {
                text.push_str(&format!(
                    "\n## Snapshots of {}\n\n{}\n",
                    plain(&s.database),
                    taken(s)
                ));
                for hole in &s.holes {
                    text.push_str(&format!("- missing: {}\n", chain::in_words(hole)));
                }
                for (store, why) in &s.unreachable {
                    text.push_str(&format!("- store {store} could not be asked: {}\n", plain(why)));
                }
            }
        }
    }
    text.push_str("\n## Drills\n\n| when | drill | of | recovery | result |\n| --- | --- | --- | ---: | --- |\n");
    for drill in report.drills.known().into_iter().flatten() {
        text.push_str(&format!(
            "| {} | {} | {} | {} | {} |\n",
            moment(drill.began),
            cell(&drill.rehearsal),
            cell(&drill.subject),
            drill.recovery_seconds.map_or_else(String::new, span),
            cell(&drill.said)
        ));
    }
    text.push_str("\n## Runs\n\n| when | run | runbook | recovery | ended |\n| --- | --- | --- | ---: | --- |\n");
    for run in report.failovers.known().into_iter().flatten() {
        text.push_str(&format!(
            "| {} | `{}` | {} | {} | {} |\n",
            moment(run.began),
            run.run,
            cell(&run.runbook),
            run.recovery_seconds.map_or_else(String::new, span),
            run.ending.as_deref().unwrap_or("NOT ENDED")
        ));
    }
    text.push_str("\n## Audits\n\n| when | audit | depth | checked | result |\n| --- | --- | --- | ---: | --- |\n");
    for audit in report.audits.known().into_iter().flatten() {
        text.push_str(&format!(
            "| {} | `{}` | {} | {} | {} |\n",
            moment(audit.began),
            audit.audit,
            audit.depth,
            bytes(audit.checked_bytes),
            audit.standing
        ));
    }
    text.push_str("\n## Findings and how they ended\n\n");
    if report.troubles.is_empty() {
        text.push_str("None.\n");
    }
    for trouble in troubles(report).take(LISTED) {
        text.push_str(&format!("- {}\n", plain(&trouble)));
    }
    let more = report.troubles.len().saturating_sub(LISTED);
    if more > 0 {
        text.push_str(&format!("- … and {more} more\n"));
    }
    for (what, why) in &report.unread {
        text.push_str(&format!("\nNOT READ: {}: {}\n", plain(what), plain(why)));
    }
    text
}

pub(super) fn taken(s: &Snapshots) -> String {
    let longest = s.longest_seconds.map_or_else(String::new, |longest| {
        format!("; the longest time without one was {}", span(longest))
    });
    format!(
        "{} taken, {} of them complete in every store; {} missed{longest}.",
        s.taken, s.everywhere, s.missed
    )
}

/// The questions of an auditor, each with its answer in a sentence.
pub(super) fn answers(report: &PeriodReport) -> Vec<(&'static str, String)> {
    let unknown = |why: &str| format!("UNKNOWN: {why}");
    let rpo = span(report.rpo_seconds as f64);
    let kept: Vec<String> = report
        .snapshots
        .iter()
        .map(|known| match known {
            Learned::Unknown(why) => unknown(why),
            Learned::Known(s) => {
                let is = match s.rpo_kept() {
                    Some(true) => "kept",
                    Some(false) => "NOT KEPT",
                    None => "UNKNOWN, for a store could not be asked",
                };
                format!("{}: {is} ({} taken, {} missed)", s.database, s.taken, s.missed)
            }
        })
        .collect();
    let drills = match &report.drills {
        Learned::Unknown(why) => unknown(why),
        Learned::Known(drills) if drills.is_empty() => "none was made".to_owned(),
        Learned::Known(drills) => {
            format!("{} of {} passed", drills.iter().filter(|d| d.passed).count(), drills.len())
        }
    };
    let mut times: Vec<f64> = report.recoveries().collect();
    times.sort_by(f64::total_cmp);
    let rto = span(report.rto_seconds as f64);
    let recovery = match times.as_slice() {
        [] => format!("none was measured; the RTO is {rto}"),
        [.., longest] => format!(
            "{} measured, median {}, longest {}: {}",
            times.len(),
            span(times[times.len() / 2]),
            span(*longest),
            match *longest <= report.rto_seconds as f64 {
                true => format!("within the RTO of {rto}"),
                false => format!("the RTO of {rto} was MISSED"),
            }
        ),
    };
    let audits = match &report.audits {
        Learned::Unknown(why) => unknown(why),
        Learned::Known(audits) if audits.is_empty() => "none was made".to_owned(),
        Learned::Known(audits) => format!("{} made", audits.len()),
    };
    let (bytes_held, read, overdue) = report
        .coverage
        .iter()
        .fold((0, 0, 0), |sum, c| (sum.0 + c.bytes, sum.1 + c.read_bytes, sum.2 + c.overdue_bytes));
    let coverage = match bytes_held {
        0 => "UNKNOWN: no audit tells".to_owned(),
        held => format!(
            "{:.1} % of {} was read and undone; {:.1} % is overdue",
            read as f64 * 100.0 / held as f64,
            bytes(held),
            overdue as f64 * 100.0 / held as f64
        ),
    };
    let open = report.open_troubles();
    let findings = format!("{}, of which {open} are still open", report.troubles.len());
    vec![
        ("Was there always a snapshot within the RPO?", format!("RPO {rpo}. {}", kept.join("; "))),
        ("Were restores and failovers rehearsed?", drills),
        ("How long does recovery take?", recovery),
        ("Were the copies audited?", audits),
        ("Was everything read?", coverage),
        ("What was found, and how did it end?", findings),
        (
            "What could not be read for this report?",
            match report.is_whole() {
                true => "nothing".to_owned(),
                false => format!(
                    "{} things, named below: this report is NOT whole",
                    report.unread.len().max(1)
                ),
            },
        ),
    ]
}

/// One line for each finding, the open ones first.
pub(super) fn troubles(report: &PeriodReport) -> impl Iterator<Item = String> + '_ {
    let mut all: Vec<_> = report.troubles.iter().collect();
    all.sort_by_key(|trouble| (trouble.ended != Ended::Open, trouble.first));
    all.into_iter().map(|t| {
        let places = [
            ("store", &t.store),
            ("database", &t.database),
            ("table", &t.table),
            ("object", &t.object),
        ];
        let places: String = places
            .iter()
            .filter_map(|(what, name)| {
                name.as_ref().filter(|n| !n.is_empty()).map(|n| format!(", {what} {n}"))
            })
            .collect();
        let end = match t.gone {
            Some(gone) => format!("gone by {}", moment(gone)),
            None => "OPEN".to_owned(),
        };
        format!(
            "{end}: {}{places}: {} (first seen {}, last {})",
            t.what,
            t.said,
            moment(t.first),
            moment(t.last)
        )
    })
}
