//! `drctl drill`.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::Cli;
use super::drill_account::told;
use super::drill_args::{Drill, DrillCommand, Restore};
use super::drill_failover;
use super::render::{self, Done, span};
use super::screen;
use crate::app::{App, Drilled, RestoreDrill};
use crate::drill::account::{Outcome, schema};
use crate::drill::history::{self, Known};
use crate::drill::{Choice, REPORT};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::DrillId;
use crate::store::ObjectStore;

pub async fn run(cli: &Cli, args: &Drill) -> Result<Done> {
    if let DrillCommand::Schema = args.command {
        let text = format!("{:#}\n", schema());
        return Ok(Done::well(text, json!({ "schema": schema() })));
    }
    if let DrillCommand::Failover(args) = &args.command {
        return drill_failover::run(cli, args).await;
    }
    let app = App::load(cli.config.as_deref())?;
    match &args.command {
        DrillCommand::Restore(args) => restore(&app, cli, args).await,
        DrillCommand::List { limit } => list(&app, *limit).await,
        DrillCommand::Show { drill } => {
            let (stores, id) = found(&app, drill).await?;
            show(&app, &stores, &id).await
        }
        DrillCommand::Report { drill, out } => {
            let (stores, id) = found(&app, drill).await?;
            report(&app, &stores, &id, out).await
        }
        DrillCommand::Clear { drill } => {
            let removed = app.clear_drill(drill, screen::sink(cli.json)).await?;
            let text = match removed.is_empty() {
                true => "There was nothing left of it.\n".to_owned(),
                false => format!("Removed: {}\n", removed.join(", ")),
            };
            Ok(Done::well(text, json!({ "removed": removed })))
        }
        DrillCommand::Schema | DrillCommand::Failover(_) => {
            Err(Error::new(Kind::Bug, "the command was carried out before"))
        }
    }
}

async fn restore(app: &App, cli: &Cli, args: &Restore) -> Result<Done> {
    let database = match &args.database {
        Some(name) => name.clone(),
        None => {
            let all: Vec<&str> = app.config.database_names().collect();
            match all.as_slice() {
                [one] => (*one).to_owned(),
                several => {
                    return Err(Error::new(Kind::Usage, "of which database?")
                        .hint(format!("name one of {}", several.join(", "))));
                }
            }
        }
    };
    let asked = RestoreDrill {
        database,
        choice: Choice::parse(&args.snapshot),
        store: args.store.clone(),
        into: args.into.clone(),
        keep: args.keep,
    };
    let drilled = app.restore_drill(&asked, screen::sink(cli.json), super::stopped()).await?;
    Ok(done(&drilled))
}

pub(super) fn done(drilled: &Drilled) -> Done {
    let account = &drilled.account;
    let mut text = told(account);
    for (store, why) in &drilled.unreported {
        text.push_str(&format!("Store `{store}` has no report of it: {why}\n"));
    }
    text.push_str(&format!("Report: drctl drill report {} --out DIR\n", account.id));
    let fields = json!({ "drill": account, "unreported": drilled.unreported.iter().map(
        |(store, error)| json!({ "store": store, "error": error })).collect::<Vec<_>>() });
    Done::with(account.outcome.exit_code(), text, fields)
}

async fn list(app: &App, limit: usize) -> Result<Done> {
    let stores = app.every_store().await;
    let (ids, away) = history::ids(&stores).await;
    let drills = history::newest(&stores, &app.keys()?, &ids, limit).await;
    let (mut rows, mut fields, mut unread) = (Vec::new(), Vec::new(), false);
    for (id, known) in &drills {
        let (subject, ended, more, outcome) = match known {
            Known::Ended(a) => (
                format!("{} {}", a.rehearsal.as_str(), a.subject),
                a.outcome.as_str().to_owned(),
                match a.objectives.recovery_seconds {
                    Some(seconds) => format!("recovery {}", span(seconds)),
                    None => a.said.clone(),
                },
                json!(a.outcome),
            ),
            Known::Cleared(b, c) => (
                format!("{} {}", b.rehearsal.as_str(), b.subject),
                "BROKEN OFF".to_owned(),
                format!("cleared away by {}", c.by),
                json!("broken_off"),
            ),
            Known::Open(b) => (
                format!("{} {}", b.rehearsal.as_str(), b.subject),
                "open".to_owned(),
                format!("under way, or killed: {}", b.holder),
                json!("open"),
            ),
            Known::Unreadable(why) => {
                unread = true;
                (String::new(), "NOT READABLE".to_owned(), why.clone(), json!("unreadable"))
            }
        };
        rows.push(vec![id.to_string(), subject.clone(), ended, more.clone()]);
        fields.push(match known {
            Known::Ended(a) => json!({ "id": id, "rehearsal": a.rehearsal, "subject": a.subject,
                "outcome": a.outcome, "began": a.began,
                "recovery_seconds": a.objectives.recovery_seconds }),
            _ => json!({ "id": id, "outcome": outcome, "said": more }),
        });
    }
    let mut text = render::columns(&rows, &[]);
    if rows.is_empty() {
        text.push_str("no drills yet\n");
    }
    for (store, why) in &away {
        text.push_str(&format!(
            "Store `{store}` cannot be asked, so drills may be missing: {why}\n"
        ));
    }
    let code = match unread || !away.is_empty() {
        true => Kind::Unverified.exit_code(),
        false => 0,
    };
    Ok(Done::with(code, text, json!({ "drills": fields })))
}

async fn found(app: &App, text: &str) -> Result<(Vec<Arc<dyn ObjectStore>>, DrillId)> {
    let stores = app.every_store().await;
    let (ids, away) = history::ids(&stores).await;
    let id = history::resolve(&ids, text).map_err(|e| match away.first() {
        Some((store, why)) => e.during(format!("store `{store}` could not be asked: {why}")),
        None => e,
    })?;
    Ok((stores, id))
}

async fn show(app: &App, stores: &[Arc<dyn ObjectStore>], id: &DrillId) -> Result<Done> {
    match history::read(stores, &app.keys()?, id).await {
        Known::Ended(account) => {
            let fields: Value = json!({ "drill": *account });
            Ok(Done::well(told(&account), fields))
        }
        Known::Cleared(began, cleared) => {
            let text = format!(
                "Drill {id} of `{}`: BROKEN OFF without a word.\n  begun {} by {}\n  cleared away \
                 {} by {}: {}\n",
                began.subject,
                began.at.format("%Y-%m-%d %H:%M:%S UTC"),
                began.holder,
                cleared.at.format("%Y-%m-%d %H:%M:%S UTC"),
                cleared.by,
                match cleared.removed.is_empty() {
                    true => "nothing was left".to_owned(),
                    false => cleared.removed.join(", "),
                },
            );
            let fields = json!({ "began": began, "cleared": cleared });
            Ok(Done::with(Outcome::Failed.exit_code(), text, fields))
        }
        Known::Open(began) => {
            let text = format!(
                "Drill {id} of `{}`: under way, or killed.\n  begun {} by {}\n  uses {}\n  if it \
                 was killed, the next drill clears it away, or: drctl drill clear {id}\n",
                began.subject,
                began.at.format("%Y-%m-%d %H:%M:%S UTC"),
                began.holder,
                began.scratch.place(),
            );
            Ok(Done::with(Kind::Unverified.exit_code(), text, json!({ "began": began })))
        }
        Known::Unreadable(why) => {
            Err(Error::new(Kind::Damaged, format!("read the report of drill {id}")).caused_by(why))
        }
    }
}

/// Each file from the first store that has it as it was sealed.
async fn report(
    app: &App,
    stores: &[Arc<dyn ObjectStore>],
    id: &DrillId,
    out: &Path,
) -> Result<Done> {
    let proof = app.keys()?;
    let mut trouble = None;
    for store in stores {
        match proven(&**store, id, &proof).await {
            Ok(Some(files)) => {
                std::fs::create_dir_all(out)
                    .attempt(Kind::Failed, || format!("make {}", out.display()))?;
                let (mut text, mut written) = (String::new(), Vec::new());
                for (name, bytes) in files {
                    let path = out.join(name);
                    std::fs::write(&path, bytes)
                        .attempt(Kind::Failed, || format!("write {}", path.display()))?;
                    text.push_str(&format!("{}\n", path.display()));
                    written.push(path.display().to_string());
                }
                return Ok(Done::well(text, json!({ "files": written })));
            }
            Ok(None) => {}
            Err(e) => trouble = Some(e),
        }
    }
    Err(trouble.unwrap_or_else(|| {
        Error::new(Kind::Failed, format!("no store has a report of drill {id}"))
            .hint(format!("`drctl drill show {id}` tells how it stands"))
    }))
}

type Files = Vec<(String, bytes::Bytes)>;

async fn proven(
    store: &dyn ObjectStore,
    id: &DrillId,
    proof: &crate::integrity::seal::Keys,
) -> Result<Option<Files>> {
    let Some(sealed) = history::get(store, id, REPORT).await? else { return Ok(None) };
    let document = history::open(&sealed, proof)?;
    let mut files = Vec::new();
    for name in document.files.keys() {
        let bytes = history::get(store, id, name).await?.ok_or_else(|| {
            Error::new(Kind::Damaged, format!("store `{}` lacks {name}", store.name()))
        })?;
        history::must_be_sealed(&document, name, &bytes)?;
        files.push((name.clone(), bytes));
    }
    files.push((REPORT.to_owned(), sealed));
    Ok(Some(files))
}
