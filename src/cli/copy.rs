//! `drctl copy`.

use chrono::Utc;
use serde_json::{Value, json};

use super::args::{Cli, Copy};
use super::render::{self, Done, bytes, count, plural, span};
use super::screen;
use crate::app::{self, App};
use crate::error::{Kind, Result};
use crate::integrity::history::Which;
use crate::integrity::shelf;
use crate::model::FindingKind;
use crate::snapshot::copying::{self, CopyReport, CopyRequest, CopyState};

/// Objects under way at once.
const AT_ONCE: usize = 16;

pub async fn run(cli: &Cli, args: &Copy) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let config = app.config.database(&args.database)?;
    let keys = app.keys()?;
    let (from, to) = (app.store(&args.from).await?, app.store(&args.to).await?);
    let which = match args.snapshot.as_str() {
        "latest" => Which::Latest,
        "all" => Which::All,
        text => {
            let source = [std::sync::Arc::clone(&from)];
            let shelf = shelf::shelf(&source, &keys, &config.name).await?;
            Which::One(shelf.resolve(text)?.id.clone())
        }
    };
    let request = CopyRequest {
        database: config.name.clone(),
        from,
        to,
        which,
        keys,
        jobs: AT_ONCE,
        sink: screen::sink(cli.json),
        now: Utc::now(),
        random: app::random()?,
    };
    let report = match args.dry_run {
        true => copying::plan(&request).await?,
        false => copying::copy(&request).await?,
    };
    Ok(done(&report, args.dry_run))
}

fn done(report: &CopyReport, dry_run: bool) -> Done {
    let verb = if dry_run { "Would copy" } else { "Copied" };
    let mut text = format!(
        "{verb} {}, {}, from `{}` to `{}`, in {}.\n",
        plural(report.objects, "object"),
        bytes(report.bytes),
        report.from,
        report.to,
        span(report.seconds),
    );
    let rows: Vec<Vec<String>> = report
        .snapshots
        .iter()
        .map(|s| {
            let state = match s.state {
                CopyState::Planned => "would be copied",
                CopyState::Copied => "complete",
                CopyState::AlreadyThere => "was complete",
                CopyState::Failed => "NOT copied",
            };
            let (objects, size) = (count(s.objects), bytes(s.bytes));
            vec![format!("  {}", s.snapshot), objects, size, state.to_owned()]
        })
        .collect();
    text.push_str(&render::columns(&rows, &[1, 2]));
    for f in &report.findings {
        let table = f.table.as_ref().map(|t| format!(", table {t}")).unwrap_or_default();
        text.push_str(&format!("  {}: store {}{table}: {}\n", f.kind, f.store, f.detail));
    }
    let unread = |kind| matches!(kind, FindingKind::Unreadable);
    let code = match report.is_complete() {
        true => 0,
        false if !report.findings.is_empty() && report.findings.iter().all(|f| unread(f.kind)) => {
            Kind::Unverified.exit_code()
        }
        false => Kind::Damaged.exit_code(),
    };
    let mut fields = serde_json::to_value(report).unwrap_or(Value::Null);
    fields["dry_run"] = json!(dry_run);
    Done::with(code, text, fields)
}
