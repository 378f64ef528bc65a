//! `drctl audit`.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use serde_json::{Value, json};

use super::args::Cli;
use super::audit_args::{Audit, AuditCommand};
use super::render::{self, Done, bytes, count, plural, span};
use super::run_args::ReportFormat;
use super::screen;
use crate::app::{self, App};
use crate::error::{Attempt as _, Kind, Result};
use crate::integrity::audit::{Check, Standing, chain};
use crate::integrity::verify::Sample;
use crate::report::audit::{self, AuditReport, Stored, finding_in_words};
use crate::store::ObjectStore;

/// Findings that are listed before the rest is counted.
const LISTED: usize = 20;

pub async fn run(cli: &Cli, args: &Audit) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    match &args.command {
        None => make(cli, &app, args).await,
        Some(AuditCommand::List) => list(&app).await,
        Some(AuditCommand::Show { audit }) => {
            let report = read(&app, audit).await?;
            let text = shown(&report);
            Ok(Done::with(code(&report), text, fields(&report)))
        }
        Some(AuditCommand::Report { audit, format, out }) => {
            let report = read(&app, audit).await?;
            write(&report, *format, out.as_deref())
        }
    }
}

async fn make(cli: &Cli, app: &App, args: &Audit) -> Result<Done> {
    let now = Utc::now();
    let mut request = app.audit_request(args.database.as_deref(), args.store.as_deref()).await?;
    request.depth = args.depth;
    if let Some(share) = args.sample {
        request.sample = Sample { share, seed: u64::from(app::random()?) };
    }
    let ago = |time| TimeDelta::from_std(time).unwrap_or(TimeDelta::days(36_500));
    request.since = args.since.map(|since| now - ago(since));
    request.budget = args.budget;
    request.shard = args.shard;
    request.within = ago(args.within);
    request.afresh = args.afresh;
    request.sink = screen::sink(cli.json);
    request.now = now;
    if let Some(jobs) = args.jobs {
        request.subjects.iter_mut().for_each(|subject| subject.jobs = jobs);
    }
    let auditor = app.auditor(now).await?;
    let mut report = audit::run(&app.config, &request, auditor, Utc::now).await?;
    let stored = audit::store(&mut report, &request.stores, &app.keys()?).await?;
    Ok(made(&report, &stored))
}

fn code(report: &AuditReport) -> u8 {
    match report.standing {
        Standing::Passed | Standing::NotApplicable => 0,
        Standing::Unverified => Kind::Unverified.exit_code(),
        Standing::Failed => Kind::Damaged.exit_code(),
    }
}

fn fields(report: &AuditReport) -> Value {
    json!({ "report": report })
}

fn made(report: &AuditReport, stored: &Stored) -> Done {
    let mut text = shown(report);
    if !stored.stores.is_empty() {
        text.push_str(&format!(
            "Report {} is kept in {}. As a page: drctl audit report {} --out DIR\n",
            report.audit,
            stored.stores.join(" and "),
            report.audit
        ));
    }
    for (store, why) in &stored.failed {
        text.push_str(&format!("NOT kept in store `{store}`: {why}\n"));
    }
    let code = match (code(report), stored.stores.is_empty()) {
        (0 | 4, true) => Kind::Storage.exit_code(),
        (code, _) => code,
    };
    let mut fields = fields(report);
    fields["stored"] = json!(stored.stores);
    fields["not_stored"] = json!(stored.failed);
    Done::with(code, text, fields)
}

fn line(check: &Check) -> Vec<String> {
    let place = [&check.database, &check.store];
    let place: Vec<&str> = place.into_iter().flatten().map(String::as_str).collect();
    vec![
        format!("  {}", check.standing),
        check.aspect.to_string(),
        place.join(" "),
        check.said.clone(),
    ]
}

fn shown(report: &AuditReport) -> String {
    let took = (report.ended - report.began).as_seconds_f64();
    let mut text = format!(
        "{}: {} of {} ({}) checked at depth {}, in {}.\n",
        report.project,
        count(report.checked_objects()),
        plural(report.databases.iter().map(|d| d.objects).sum(), "object"),
        bytes(report.checked_bytes()),
        report.terms.depth,
        span(took),
    );
    let vouched: u64 = report.databases.iter().map(|d| d.vouched_objects).sum();
    if vouched > 0 {
        text.push_str(&format!(
            "{} of them are as they were when their checksums were compared, by the store's listing.\n",
            count(vouched)
        ));
    }
    if let Some((chosen, total)) = report.chosen {
        text.push_str(&format!("This time: {} of {}.\n", bytes(chosen), bytes(total)));
    }
    let mut rows = Vec::new();
    for standing in
        [Standing::Passed, Standing::NotApplicable, Standing::Unverified, Standing::Failed]
    {
        rows.extend(report.checks_that(standing).map(line));
    }
    text.push_str(&render::columns(&rows, &[]));
    for database in &report.databases {
        for hole in &database.holes {
            text.push_str(&format!(
                "  missing, {}: {}\n",
                database.database,
                chain::in_words(hole)
            ));
        }
    }
    for finding in report.findings.iter().take(LISTED) {
        text.push_str(&format!("  {}\n", finding_in_words(finding)));
    }
    let more = report.findings.len().saturating_sub(LISTED) as u64 + report.more_findings;
    if more > 0 {
        text.push_str(&format!("  … and {} more: --json lists all\n", count(more)));
    }
    let mut told: Vec<&str> = Vec::new();
    for check in [Standing::Failed, Standing::Unverified].map(|s| report.checks_that(s)) {
        for hint in check.filter_map(|check| check.hint.as_deref()) {
            if !told.contains(&hint) {
                text.push_str(&format!("Next: {hint}\n"));
                told.push(hint);
            }
        }
    }
    text.push_str(match report.standing {
        Standing::Passed | Standing::NotApplicable => "All is well.\n",
        Standing::Unverified => {
            "Nothing is known to be wrong, but not everything could be looked at: NOT proven.\n"
        }
        Standing::Failed => "NOT all is well: see the checks that failed.\n",
    });
    text
}

/// Every store of the configuration that can be opened, given up soon.
async fn stores(app: &App) -> Vec<Arc<dyn ObjectStore>> {
    let mut stores = Vec::new();
    for name in app.config.store_names() {
        if let Ok(store) = app.store_in_haste(name).await {
            stores.push(store);
        }
    }
    stores
}

async fn read(app: &App, given: &str) -> Result<AuditReport> {
    let stores = stores(app).await;
    let id = audit::find(&stores, given).await?;
    audit::read(&stores, &app.keys()?, &id).await
}

async fn list(app: &App) -> Result<Done> {
    let all = audit::list(&stores(app).await, &app.keys()?).await?;
    if all.is_empty() {
        let text = "no audits yet: make one with `drctl audit`\n".to_owned();
        return Ok(Done::well(text, json!({ "audits": [] })));
    }
    let mut rows = Vec::new();
    let mut told = Vec::new();
    let mut unread = false;
    for kept in &all {
        match &kept.report {
            Ok(report) => {
                rows.push(vec![
                    report.audit.to_string(),
                    report.terms.depth.to_string(),
                    report.terms.databases.join(","),
                    bytes(report.checked_bytes()),
                    report.operator.clone(),
                    report.standing.to_string(),
                ]);
                told.push(json!({
                    "audit": report.audit, "began": report.began, "depth": report.terms.depth,
                    "databases": report.terms.databases, "stores": report.terms.stores,
                    "checked_bytes": report.checked_bytes(), "operator": report.operator,
                    "standing": report.standing, "store": kept.store,
                }));
            }
            Err(e) => {
                unread = true;
                rows.push(vec![kept.audit.to_string(), format!("NOT READABLE: {}", e.one_line())]);
                told.push(
                    json!({ "audit": kept.audit, "store": kept.store, "error": e.one_line() }),
                );
            }
        }
    }
    let code = if unread { Kind::Unverified.exit_code() } else { 0 };
    Ok(Done::with(code, render::columns(&rows, &[3]), json!({ "audits": told })))
}

fn write(
    report: &AuditReport,
    format: ReportFormat,
    out: Option<&std::path::Path>,
) -> Result<Done> {
    let json = || {
        serde_json::to_string_pretty(report)
            .attempt(Kind::Bug, || "write a report as JSON".to_owned())
    };
    let Some(dir) = out else {
        let text = match format {
            ReportFormat::Markdown => audit::markdown(report),
            ReportFormat::Html => audit::html(report),
            ReportFormat::Json => json()? + "\n",
        };
        return Ok(Done::well(text, fields(report)));
    };
    let mut written = Vec::new();
    let forms =
        [("html", audit::html(report)), ("md", audit::markdown(report)), ("json", json()? + "\n")];
    std::fs::create_dir_all(dir)
        .attempt(Kind::Failed, || format!("make the folder {}", dir.display()))?;
    for (ending, text) in forms {
        let path = dir.join(format!("{}.{ending}", report.audit));
        std::fs::write(&path, text)
            .attempt(Kind::Failed, || format!("write {}", path.display()))?;
        written.push(path.display().to_string());
    }
    let text = written.iter().map(|path| format!("wrote {path}\n")).collect();
    Ok(Done::well(text, json!({ "files": written })))
}
