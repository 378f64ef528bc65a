//! The report of a run as Markdown: for tickets and post-mortems.

use super::run::RunReport;
use super::words::{self, moment, span};

pub fn markdown(report: &RunReport) -> String {
    let mut text = format!("# {}\n\n", plain(&report.title));
    let mut rows = vec![
        ("Ended", words::ending(report.ending).to_owned()),
        ("Recovery time", recovery(report)),
        ("Run", format!("`{}`", report.run.id)),
        ("Runbook", format!("{}, {} mode", report.runbook, report.mode.as_str())),
        ("Regions", regions(report)),
        ("Confirmed", format!("{}, by {}", moment(report.run.confirmed), report.run.operator)),
    ];
    if let Some(reason) = &report.run.reason {
        rows.push(("Reason", reason.clone()));
    }
    if let Some(why) = &report.run.primary_is_broken {
        rows.push(("Primary broken", why.clone()));
    }
    rows.push(("Operators", report.operators.join(", ")));
    text.push_str("| | |\n| --- | --- |\n");
    for (name, value) in rows {
        text.push_str(&format!("| {name} | {} |\n", cell(&value)));
    }
    if report.run.drill {
        text.push_str("\n**This was a drill.**\n");
    }
    list(&mut text, "What needs attention", &report.attention, "Nothing.");
    list(&mut text, "Left to do", &report.left_to_do, "Nothing.");
    text.push_str("\n## Data loss\n\n");
    for line in losses(report) {
        text.push_str(&format!("- {}\n", plain(&line)));
    }
    list(&mut text, "Not told", &report.untold, "Everybody was told.");
    list(&mut text, "Approvals", &approvals(report), "None were asked for.");
    text.push_str("\n## Steps\n\nSeconds since confirmation.\n\n");
    text.push_str("| step | | begun | took | limit | what came of it |\n");
    text.push_str("| --- | --- | ---: | ---: | ---: | --- |\n");
    for step in &report.steps {
        let number = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.1}"));
        let took = step.began.zip(step.ended).map(|(began, ended)| ended - began);
        text.push_str(&format!(
            "| {} | {} | {} | {} | {:.0} | {} |\n",
            cell(&step.id),
            step.standing.as_str(),
            number(step.began),
            number(took),
            step.limit_seconds,
            cell(&step.said),
        ));
        if step.point_of_no_return {
            text.push_str("| | *point of no return* | | | | |\n");
        }
    }
    let events: Vec<_> =
        report.events.iter().map(|(at, what)| format!("{}: {what}", span(*at))).collect();
    list(&mut text, "Other events", &events, "None.");
    text
}

/// `3 min 20 s of the RTO of 15 min`.
pub(super) fn recovery(report: &RunReport) -> String {
    let rto = span(report.rto_seconds);
    match (report.recovered_seconds, report.within_rto) {
        (Some(seconds), Some(true)) => format!("{}, within the RTO of {rto}", span(seconds)),
        (Some(seconds), _) => format!("{}: the RTO of {rto} was MISSED", span(seconds)),
        (None, Some(false)) => format!("not recovered; the RTO of {rto} was MISSED"),
        (None, _) => format!("not recovered after {} of the RTO of {rto}", span(report.seconds)),
    }
}

pub(super) fn regions(report: &RunReport) -> String {
    match report.from == report.to {
        true => format!("in {}", report.to),
        false => format!("from {} to {}", report.from, report.to),
    }
}

/// Predicted and measured, database by database.
pub(super) fn losses(report: &RunReport) -> Vec<String> {
    let mut lines = Vec::new();
    for loss in &report.losses {
        let name = loss.database.as_deref().unwrap_or("the database");
        let known = [
            ("predicted before it was confirmed", &loss.expected),
            ("predicted", &loss.predicted),
            ("measured", &loss.measured),
        ];
        for (when, amount) in known {
            let Some(amount) = amount else { continue };
            let basis = amount.basis.as_ref().map(|b| format!(" ({b})")).unwrap_or_default();
            lines.push(format!("{name}, {when}: {}{basis}", amount.in_words()));
        }
    }
    if lines.is_empty() {
        lines.push("UNKNOWN: no step of this run has measured it".to_owned());
    }
    if let Some(accepted) = &report.run.accepted_loss {
        lines.push(format!("accepted beforehand: {accepted}"));
    }
    lines.push(format!("objective (RPO): {}", span(report.rpo_seconds)));
    lines
}

pub(super) fn approvals(report: &RunReport) -> Vec<String> {
    let approvals = report.approvals.iter();
    let mut lines: Vec<_> =
        approvals.map(|a| format!("`{}` by {}, {}", a.step, a.by, moment(a.at))).collect();
    if report.run.accept_unfenced {
        lines.push(format!("an unfenced primary, by {} (--accept-unfenced)", report.run.operator));
    }
    lines
}

pub(super) fn list(text: &mut String, title: &str, items: &[String], none: &str) {
    text.push_str(&format!("\n## {title}\n\n"));
    if items.is_empty() {
        text.push_str(&format!("{none}\n"));
    }
    for item in items {
        text.push_str(&format!("- {}\n", plain(item)));
    }
}

/// On one line, with what Markdown would take for HTML made harmless.
pub(super) fn plain(text: &str) -> String {
    text.replace('\n', " ").replace('<', "&lt;")
}

pub(super) fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}
