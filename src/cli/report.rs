//! `drctl report`.

use std::sync::Arc;

use chrono::{TimeDelta, Utc};
use serde_json::json;

use super::args::Cli;
use super::audit_args::Report;
use super::render::Done;
use super::run_args::ReportFormat;
use crate::app::{self, App};
use crate::error::{Attempt as _, Kind, Result};
use crate::integrity::seal;
use crate::report::period::{self, Sources};

pub async fn run(cli: &Cli, args: &Report) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let now = Utc::now();
    let (mut stores, mut away) = (Vec::new(), Vec::new());
    for name in app.config.store_names() {
        match app.store_in_haste(name).await {
            Ok(store) => stores.push(store),
            Err(e) => away.push((name.to_owned(), e.one_line())),
        }
    }
    let keys = app.keys()?;
    let sources = Sources {
        config: Arc::clone(&app.config),
        keys: keys.clone(),
        stores,
        away,
        journals: app.auditor(now).await?.journals,
        operator: app::operator(),
    };
    let ago = TimeDelta::from_std(args.since).unwrap_or(TimeDelta::days(36_500));
    let report = period::gather(sources, now - ago, now).await;
    // Proven as a manifest is: by its last line.
    let json = seal::seal_document(&report, &keys)?;
    let code = if report.is_whole() { 0 } else { Kind::Unverified.exit_code() };
    let Some(dir) = &args.out else {
        let text = match args.format {
            ReportFormat::Markdown => period::markdown(&report),
            ReportFormat::Html => period::html(&report),
            ReportFormat::Json => String::from_utf8_lossy(&json).into_owned(),
        };
        return Ok(Done::with(code, text, json!({ "report": report })));
    };
    std::fs::create_dir_all(dir)
        .attempt(Kind::Failed, || format!("make the folder {}", dir.display()))?;
    let mut written = Vec::new();
    let (html, markdown) = (period::html(&report), period::markdown(&report));
    for (name, bytes) in [
        ("report.html", html.as_bytes()),
        ("report.md", markdown.as_bytes()),
        ("report.json", &json[..]),
    ] {
        let path = dir.join(name);
        std::fs::write(&path, bytes)
            .attempt(Kind::Failed, || format!("write {}", path.display()))?;
        written.push(path.display().to_string());
    }
    let mut text: String = written.iter().map(|path| format!("{path}\n")).collect();
    if code != 0 {
        text.push_str("Not everything could be read: the report says what.\n");
    }
    Ok(Done::with(code, text, json!({ "report": report, "files": written })))
}
