//! `drctl runs report`: what came of a run, for people and programs.

use std::path::Path;

use serde_json::json;

use super::render::Done;
use super::run_args::ReportFormat;
use crate::error::{Attempt, Error, Kind, Result};
use crate::report;
use crate::runbook::journal::Loaded;

pub fn run(loaded: &Loaded, format: ReportFormat, out: Option<&Path>) -> Result<Done> {
    let id = &loaded.state.run.id;
    let report = report::make(&loaded.plan, &loaded.entries).ok_or_else(|| {
        Error::new(Kind::Damaged, format!("report run {id}: its journal has no beginning"))
            .hint(format!("`drctl runs verify {id}` tells what is wrong with it"))
    })?;
    let value = serde_json::to_value(&report)
        .attempt(Kind::Bug, || format!("write the report of run {id} as JSON"))?;
    let pretty = format!("{value:#}\n");
    let Some(dir) = out else {
        let text = match format {
            ReportFormat::Markdown => report::markdown(&report),
            ReportFormat::Html => report::html(&report),
            ReportFormat::Json => pretty,
        };
        return Ok(Done::well(text, json!({ "report": value })));
    };
    std::fs::create_dir_all(dir).attempt(Kind::Failed, || format!("make {}", dir.display()))?;
    let mut written = Vec::new();
    for (ending, text) in
        [("html", report::html(&report)), ("md", report::markdown(&report)), ("json", pretty)]
    {
        let path = dir.join(format!("{id}.{ending}"));
        std::fs::write(&path, text)
            .attempt(Kind::Failed, || format!("write {}", path.display()))?;
        written.push(path.display().to_string());
    }
    let text = written.iter().map(|path| format!("{path}\n")).collect();
    Ok(Done::well(text, json!({ "report": value, "files": written })))
}
