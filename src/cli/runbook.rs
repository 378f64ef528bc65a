//! `drctl runbook`.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::args::Cli;
use super::render::{Done, columns, plural};
use super::runbook_args::{Runbook, RunbookCommand};
use super::wrapping::{hung, wrapped};
use super::{action_help, plan_view};
use crate::app::App;
use crate::config::{Config, nearest};
use crate::error::{Error, Kind, Result};
use crate::providers::{self, Mode};
use crate::runbook::{self, Circumstances, plan};

pub fn run(cli: &Cli, args: &Runbook) -> Result<Done> {
    match &args.command {
        RunbookCommand::Schema => {
            let schema = runbook::schema();
            let text = serde_json::to_string_pretty(&schema)
                .map_err(|e| Error::new(Kind::Bug, "write the schema").caused_by(e))?;
            Ok(Done::well(format!("{text}\n"), json!({ "schema": schema })))
        }
        RunbookCommand::Actions { name } => actions(name.as_deref()),
        RunbookCommand::List => list(&App::load(cli.config.as_deref())?.config),
        RunbookCommand::Check { files } => check(&App::load(cli.config.as_deref())?.config, files),
        RunbookCommand::Show { name, mode } => {
            show(&App::load(cli.config.as_deref())?.config, name, *mode)
        }
    }
}

fn list(config: &Config) -> Result<Done> {
    let names = runbook::names(config)?;
    let folder = config.failover.runbooks.display();
    if names.is_empty() {
        let text = format!("There is no runbook in {folder}.\n");
        return Ok(Done::well(text, json!({ "runbooks": [] })));
    }
    let circumstances = Circumstances::of_a_look(config);
    let (mut rows, mut fields, mut wrong) = (Vec::new(), Vec::new(), 0);
    for name in names {
        let default = name == config.failover.runbook;
        let mark = if default { "* " } else { "  " };
        let (title, steps, error) = match runbook::load(config, &name, &circumstances) {
            Ok(book) => {
                let title = plan::title(&book, config, &circumstances)?;
                (title, Some(book.steps.len()), None)
            }
            Err(e) => {
                wrong += 1;
                let text = format!("CANNOT BE USED: drctl runbook check {}", file(config, &name));
                (text, None, Some(e.one_line()))
            }
        };
        rows.push(vec![
            format!("{mark}{name}"),
            steps.map(|n| plural(n as u64, "step")).unwrap_or_default(),
            title.clone(),
        ]);
        fields.push(json!({
            "name": name, "default": default, "steps": steps,
            "title": error.is_none().then_some(title), "error": error,
        }));
    }
    let mut text = columns(&rows, &[1]);
    text.push_str("* the one of `drctl failover`\n");
    // Another than the default that is wrong is still a runbook that somebody relies on.
    let code = if wrong > 0 { Kind::Usage.exit_code() } else { 0 };
    Ok(Done::with(code, text, json!({ "runbooks": fields })))
}

fn file(config: &Config, name: &str) -> String {
    let path = config.failover.runbooks.join(format!("{name}.toml"));
    path.strip_prefix(".").unwrap_or(&path).display().to_string()
}

fn check(config: &Config, files: &[PathBuf]) -> Result<Done> {
    let (mut text, mut fields, mut wrong) = (String::new(), Vec::new(), 0);
    let circumstances = Circumstances::of_a_look(config);
    for path in files {
        let name = path.to_string_lossy();
        // A bare `x.toml` would be looked for in the configured folder.
        match runbook::read(config, path, &circumstances) {
            Ok(book) => {
                text.push_str(&format!(
                    "{name}: good, {}\n",
                    plural(book.steps.len() as u64, "step")
                ));
                fields.push(json!({ "file": name, "ok": true, "problems": [] }));
            }
            Err(e) => {
                wrong += 1;
                text.push_str(&format!("{}\n", e.what()));
                if let Some(cause) = std::error::Error::source(&e) {
                    text.push_str(&format!("  {cause}\n"));
                }
                let problems: Vec<&str> = match e.what().split_once(":\n") {
                    Some((_, problems)) => problems.lines().collect(),
                    None => vec![e.what()],
                };
                fields.push(json!({ "file": name, "ok": false, "problems": problems }));
            }
        }
    }
    let code = if wrong > 0 { Kind::Usage.exit_code() } else { 0 };
    Ok(Done::with(code, text, json!({ "files": fields })))
}

fn show(config: &Config, name: &str, mode: Option<Mode>) -> Result<Done> {
    let circumstances = Circumstances::of_a_look(config);
    let book = runbook::load(config, name, &circumstances)?;
    let mode = mode.unwrap_or(book.usual_mode());
    let plan = plan::make(&book, config, mode, &circumstances)?;
    let mut text = plan_view::text(&plan, None);
    if let Some(about) = plan::about(&book, config, &circumstances)? {
        text.push_str(&format!("\n{}", wrapped(about.trim(), 80, "")));
    }
    let other = match mode {
        Mode::Graceful => Mode::Forced,
        Mode::Forced => Mode::Graceful,
    };
    if book.steps.iter().any(|s| s.when.is_some()) {
        let hint =
            format!("\nThe other mode: drctl runbook show {name} --mode {}\n", other.as_str());
        text.push_str(&hint);
    }
    let budget = plan.budget();
    let critical: Vec<_> = budget.critical.iter().map(|i| plan.steps[*i].id.as_str()).collect();
    let fields = json!({
        "plan": plan, "total_seconds": budget.total.as_secs(), "critical_path": critical,
    });
    Ok(Done::well(text, fields))
}

fn actions(name: Option<&str>) -> Result<Done> {
    let Some(name) = name else {
        let mut text = String::new();
        let width = providers::kinds().iter().map(|k| k.name.len()).max().unwrap_or(0);
        for kind in providers::kinds() {
            text.push_str(&hung(&format!("{:<width$}  ", kind.name), kind.summary, 80));
        }
        text.push_str("\nThe arguments of one: drctl runbook actions NAME\n");
        let list: Vec<Value> = providers::kinds()
            .iter()
            .map(|k| json!({ "name": k.name, "summary": k.summary, "arguments": k.arguments }))
            .collect();
        return Ok(Done::well(text, json!({ "actions": list })));
    };
    let Some(kind) = providers::find(name) else {
        let error = Error::new(Kind::Usage, format!("there is no action `{name}`"));
        return Err(match nearest(name, providers::kinds().iter().map(|k| k.name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`drctl runbook actions` lists all"),
        });
    };
    let fields = json!({ "name": kind.name, "summary": kind.summary, "arguments": kind.arguments });
    Ok(Done::well(action_help::text(kind), fields))
}
