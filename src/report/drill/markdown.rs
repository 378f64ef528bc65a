//! The report of a drill as Markdown.

use super::{fault, loss, recovery, teardown, title, verdict};
use crate::drill::account::Account;
use crate::report::markdown::{list, plain};
use crate::report::words::{bytes, moment, span};

pub fn markdown(account: &Account) -> String {
    let mut text = format!("# {}\n\n**{}**\n\n", plain(&title(account)), plain(&verdict(account)));
    let mut rows = vec![
        ("Drill", format!("`{}`", account.id)),
        ("Began", format!("{}, took {}", moment(account.began), span(account.seconds))),
        ("By", account.operator.clone()),
        ("Recovery time", recovery(&account.objectives)),
        ("Data loss", loss(account)),
    ];
    if let Some(s) = &account.snapshot {
        let age = span((account.began - s.taken).num_seconds() as f64);
        rows.push((
            "Snapshot",
            format!("`{}` ({}), shows {}, {age} old", s.id, s.how, moment(s.taken)),
        ));
        rows.push((
            "Holds",
            format!(
                "{} tables, {} rows, {} of rows, {} stored; PostgreSQL {}",
                s.tables,
                s.rows,
                bytes(s.raw_bytes),
                bytes(s.stored_bytes),
                s.source_version
            ),
        ));
        rows.push(("Read from", format!("store {}", s.store)));
    }
    if let Some(f) = &account.failover {
        rows.push(("Fault", fault(f)));
        let ending = f.ending.as_deref().unwrap_or("not ended");
        rows.push(("Run", format!("`{}`, {}, {} to {}: {ending}", f.run, f.mode, f.from, f.to)));
        rows.push(("Lost", f.losses.join("; ")));
    }
    let version = account.scratch.server_version.as_deref();
    let version = version.map(|v| format!(", PostgreSQL {v}")).unwrap_or_default();
    rows.push(("Place", format!("{}{version}", account.scratch.place)));
    rows.push(("Afterwards", teardown(account)));
    text.push_str("| | |\n| --- | --- |\n");
    for (name, value) in rows {
        text.push_str(&format!("| {name} | {} |\n", cell(&value)));
    }
    if let Some(failure) = &account.failure {
        text.push_str(&format!(
            "\n## Why it failed\n\nIn the phase `{}`: {}\n",
            failure.phase,
            plain(&failure.error)
        ));
        if let Some(hint) = &failure.hint {
            text.push_str(&format!("\nNext: {}\n", plain(hint)));
        }
    }
    text.push_str(
        "\n## Checks\n\n| check | | what was found | took |\n| --- | --- | --- | ---: |\n",
    );
    for check in &account.checks {
        let details: String = check.details.iter().map(|d| format!("<br>{}", cell(d))).collect();
        text.push_str(&format!(
            "| {} | {} | {}{details} | {} |\n",
            cell(&check.name),
            check.standing.as_str(),
            cell(&check.said),
            span(check.seconds)
        ));
    }
    text.push_str("\n## Phases\n\n| phase | began | took | counts as recovery |\n");
    text.push_str("| --- | ---: | ---: | --- |\n");
    for phase in &account.phases {
        text.push_str(&format!(
            "| {}{} | {} | {} | {} |\n",
            cell(&phase.name),
            if phase.failed { " **FAILED**" } else { "" },
            span(phase.began),
            span(phase.seconds),
            if phase.recovery { "yes" } else { "" },
        ));
    }
    let slower = account.regressions.iter().map(|r| {
        format!(
            "`{}` took {}, usually {} ({} drills)",
            r.phase,
            span(r.seconds),
            span(r.usual_seconds),
            r.drills
        )
    });
    list(&mut text, "Slower than before", &slower.collect::<Vec<_>>(), "Nothing.");
    let allowed = account.allowed.iter().map(|a| format!("{}: {}", a.what, a.reason));
    list(&mut text, "Differences passed over", &allowed.collect::<Vec<_>>(), "None.");
    let stubs = &account.scratch.role_stubs;
    list(&mut text, "Role stubs", stubs, "None were needed.");
    list(&mut text, "To know", &account.warnings, "Nothing.");
    text.push_str("\n## Earlier drills\n\n");
    if account.history.is_empty() {
        text.push_str("None.\n");
    } else {
        text.push_str("| drill | began | outcome | recovery |\n| --- | --- | --- | ---: |\n");
    }
    for earlier in &account.history {
        text.push_str(&format!(
            "| `{}` | {} | {} | {} |\n",
            earlier.id,
            moment(earlier.began),
            earlier.outcome.as_str(),
            earlier.recovery_seconds.map_or_else(|| "none".to_owned(), span),
        ));
    }
    text.push_str(&format!("\nWritten by {}.\n", account.program));
    text
}

fn cell(text: &str) -> String {
    plain(text).replace('|', "\\|")
}
