//! `drctl restore`.

use std::time::Instant;

use serde_json::{Value, json};

use super::args::{Cli, MissingRoles, Restore};
use super::render::{self, Done, bytes, count, plural, span};
use super::screen;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::integrity::shelf;
use crate::model::Level;
use crate::postgres::Conninfo;
use crate::restore::{self, Allow, Course, Proof, RestorePlan, RestoreRequest, Restored, Roles};

/// Tables that a plan lists before the rest is counted.
const LISTED: usize = 30;

pub async fn run(cli: &Cli, args: &Restore) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let begun = Instant::now();
    let request = request(&app, cli, args).await?;
    if args.dry_run {
        return Ok(plan(&restore::plan(&request).await?));
    }
    let restored = restore::restore(&request).await?;
    Ok(done(&restored, begun.elapsed().as_secs_f64()))
}

async fn request(app: &App, cli: &Cli, args: &Restore) -> Result<RestoreRequest> {
    let config = app.config.database(&args.database)?;
    let keys = app.keys()?;
    let sink = screen::sink(cli.json);
    let stores = app.stores_named(config, args.store.as_deref()).await?;
    let (stores, shelf) = app.at_hand(stores, &keys, &config.name, &*sink).await?;
    let shelved = shelf.resolve(&args.snapshot)?;
    for newer in shelf.newer_than(&shelved.id).filter(|_| args.snapshot == "latest") {
        let whys = newer.troubles().join("; ");
        let what = format!("snapshot {} is newer and is passed over: {whys}", newer.id);
        sink.notice(Level::Warning, what);
    }
    let (_, manifest) = shelf::manifest(&stores, &keys, &config.name, shelved).await?;
    let target = match app.config.target_names().any(|t| t == args.to) {
        true => Conninfo::parse(&app.config.target(&args.to)?.url)
            .map_err(|e| e.during(format!("use target `{}`", args.to)))?,
        false if looks_like_conninfo(&args.to) => {
            Conninfo::parse(&crate::config::Secret::new(args.to.clone()))
                .map_err(|e| e.during("use what --to gives"))?
        }
        false => return Err(no_target(app, &args.to)),
    };
    let protected = app
        .config
        .database_names()
        // One whose secret is not to be had cannot be compared; a target that it names would need
        // that secret as well.
        .filter_map(|name| {
            let url = &app.config.database(name).ok()?.url;
            Some((name.to_owned(), Conninfo::parse(url).ok()?))
        })
        .collect();
    Ok(RestoreRequest {
        cipher: keys.cipher(&manifest)?,
        manifest,
        stores,
        target,
        tables: args.table.clone(),
        create: args.create,
        replace: args.replace,
        roles: match args.roles {
            MissingRoles::Refuse => Roles::Refuse,
            MissingRoles::Create => Roles::Create,
            MissingRoles::Skip => Roles::Skip,
        },
        allow: Allow::default(),
        jobs: args.jobs.unwrap_or(config.jobs).max(1),
        pg_bin: config.pg_bin.clone(),
        profile: config.profile,
        protected,
        analyze: args.analyze,
        sink,
    })
}

fn no_target(app: &App, name: &str) -> Error {
    let Err(e) = app.config.target(name) else {
        return Error::new(Kind::Bug, format!("target `{name}` is and is not there"));
    };
    // It names the nearest target, if one is near.
    let known: Vec<&str> = app.config.target_names().collect();
    let there = match known.as_slice() {
        [] => format!("add a [target.{name}] table to the configuration"),
        known => format!("its targets are {}", known.join(", ")),
    };
    e.hint(format!("{there}; or give a connection string: postgresql://ROLE@HOST/DATABASE"))
}

fn looks_like_conninfo(text: &str) -> bool {
    text.contains("://") || text.contains('=')
}

fn plan(plan: &RestorePlan) -> Done {
    let course = match plan.course {
        Course::InPlace => "which is there and must be empty",
        Course::Create => "which is made",
        Course::Replace => "which is dropped once the restored one is proven",
    };
    let mut text = format!(
        "Would restore snapshot {} (shows {}, from PostgreSQL {}) into {}, {course}.\n\
         Server: PostgreSQL {}; program: {}.\n\
         {} with {} rows, {} of rows; {}, {}, {}.\n",
        plan.snapshot,
        plan.taken.format("%Y-%m-%d %H:%M:%S UTC"),
        plan.source_version,
        plan.target,
        plan.target_version,
        plan.program,
        plural(plan.tables.len() as u64, "table"),
        count(plan.rows),
        bytes(plan.raw_bytes),
        plural(plan.sequences, "sequence"),
        plural(plan.large_objects, "large object"),
        plural(plan.materialized_views.len() as u64, "materialized view"),
    );
    let rows: Vec<Vec<String>> = plan
        .tables
        .iter()
        .take(LISTED)
        .map(|t| vec![format!("  {}", t.name), count(t.rows), bytes(t.raw_bytes)])
        .collect();
    text.push_str(&render::columns(&rows, &[1, 2]));
    if plan.tables.len() > LISTED {
        text.push_str(&format!("  … and {} more\n", plan.tables.len() - LISTED));
    }
    if !plan.missing_roles.is_empty() {
        let roles = plan.missing_roles.join(", ");
        text.push_str(&format!("Roles that the target does not have: {roles}\n"));
    }
    for gap in &plan.extensions {
        let there = gap
            .available
            .as_deref()
            .map_or("is not available".to_owned(), |v| format!("would be installed as {v}"));
        text.push_str(&format!("Extension {} {}: {there} on the target\n", gap.name, gap.version));
    }
    if !plan.provided_schemas.is_empty() {
        let schemas = plan.provided_schemas.join(", ");
        text.push_str(&format!("Schemas whose definitions the provider has made: {schemas}\n"));
    }
    for warning in &plan.warnings {
        text.push_str(&format!("Warning: {warning}\n"));
    }
    for refusal in &plan.refusals {
        text.push_str(&format!(
            "It would be REFUSED: {}\n  Hint: {}\n",
            refusal.what, refusal.hint
        ));
    }
    let code = if plan.refusals.is_empty() { 0 } else { Kind::Failed.exit_code() };
    let mut fields = serde_json::to_value(plan).unwrap_or(Value::Null);
    fields["dry_run"] = json!(true);
    Done::with(code, text, fields)
}

fn done(restored: &Restored, seconds: f64) -> Done {
    let mut text = format!(
        "Restored snapshot {} into {}: {} with {} rows, {} of rows, in {}.\n",
        restored.snapshot,
        restored.target,
        plural(restored.tables, "table"),
        count(restored.rows),
        bytes(restored.raw_bytes),
        span(seconds),
    );
    let phases: Vec<String> =
        restored.phases.iter().map(|(name, s)| format!("{name} {}", span(*s))).collect();
    text.push_str(&format!("  {}\n", phases.join(", ")));
    for skipped in &restored.skipped {
        text.push_str(&format!("  left as it is: {}: {}\n", skipped.what, skipped.reason));
    }
    let (proof, differences, code) = match &restored.proof {
        Proof::Equal => {
            text.push_str(
                "Proof: every table read back, row by row EQUAL to what was snapshotted.\n",
            );
            ("equal", json!([]), 0)
        }
        Proof::Different(differences) => {
            text.push_str("Proof: DIFFERENT from what was snapshotted:\n");
            for d in differences {
                text.push_str(&format!(
                    "  {}: expected {}, found {}\n",
                    d.what, d.expected, d.found
                ));
            }
            ("different", json!(differences), Kind::Damaged.exit_code())
        }
    };
    for advice in &restored.advice {
        text.push_str(&format!("Note: {advice}.\n"));
    }
    let fields = json!({
        "snapshot": restored.snapshot,
        "target": restored.target,
        "tables": restored.tables,
        "rows": restored.rows,
        "raw_bytes": restored.raw_bytes,
        "proof": proof,
        "differences": differences,
        "phases": restored.phases.iter().map(|(name, s)| json!({"name": name, "seconds": s})).collect::<Vec<_>>(),
        "skipped": restored.skipped,
        "advice": restored.advice,
        "seconds": seconds,
    });
    Done::with(code, text, fields)
}
