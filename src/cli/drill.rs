//! `drctl drill`.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use super::args::Cli;
use super::drill_args::{Drill, DrillCommand, Restore};
use super::render::{self, Done, bytes, count, plural, span};
use super::screen;
use crate::app::{App, Drilled, RestoreDrill};
use crate::drill::account::{Account, Outcome, Teardown, schema};
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
        DrillCommand::Schema => Err(Error::new(Kind::Bug, "the schema was printed before")),
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

fn done(drilled: &Drilled) -> Done {
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

/// A drill for people.
fn told(account: &Account) -> String {
    let head = account.outcome.as_str().to_uppercase();
    let mut text = format!(
        "{} drill {} of `{}`: {head}: {}.\n",
        match account.rehearsal {
            crate::drill::account::Rehearsal::Restore => "Restore",
            crate::drill::account::Rehearsal::Failover => "Failover",
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
    text.push_str(&format!(
        "  recovery time {} (RTO {}: {}); newest snapshot {} old (RPO {}: {})\n",
        figure(o.recovery_seconds),
        span(o.rto_seconds),
        kept(o.rto_kept),
        figure(o.loss_seconds),
        span(o.rpo_seconds),
        kept(o.rpo_kept),
    ));
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
    let phases: Vec<String> =
        account.phases.iter().map(|p| format!("{} {}", p.name, span(p.seconds))).collect();
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
