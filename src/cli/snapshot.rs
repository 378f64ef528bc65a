//! `drctl snapshot`.

use std::time::Instant;

use serde_json::json;

use super::args::{Cli, Snapshot};
use super::measured::Measured;
use super::render::{self, Done, bytes, count, plural, span};
use super::screen;
use crate::app::{self, App};
use crate::error::{Error, Kind, Result};
use crate::model::Level;
use crate::report::metrics::{SnapshotOutcome, StoreBytes};
use crate::snapshot::{self, Outcome, Preview};

pub async fn run(cli: &Cli, args: &Snapshot) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let begun = Instant::now();
    if args.dry_run {
        let sink = screen::sink(cli.json);
        let request = app.snapshot_request(&args.database, args.full, sink).await?;
        return Ok(preview(&args.database, &snapshot::dry_run(&request).await?));
    }
    // A name that is a slip leaves no trace in the metrics.
    app.config.database(&args.database)?;
    let outcome = take(cli, args, &app).await;
    let taken = outcome.as_ref().ok().map(|outcome| measured(&app, outcome));
    let outcome = outcome.map(|outcome| done(&outcome, begun.elapsed().as_secs_f64()));
    let database = args.database.as_str();
    Measured { app: &app, command: "snapshot", database, begun, json: cli.json }
        .keep(&outcome, taken, None);
    outcome
}

fn measured(app: &App, outcome: &Outcome) -> SnapshotOutcome {
    let totals = &outcome.manifest.totals;
    let region = |name: &str| app.config.store(name).map(|s| s.region.clone()).unwrap_or_default();
    SnapshotOutcome {
        taken: outcome.manifest.taken,
        rows: totals.rows,
        raw_bytes: totals.raw_bytes,
        stored_bytes: totals.stored_bytes,
        stores: outcome
            .stores
            .iter()
            .map(|store| StoreBytes {
                store: store.name.clone(),
                region: region(&store.name),
                complete: store.complete,
                new_bytes: store.new_bytes,
            })
            .collect(),
    }
}

async fn take(cli: &Cli, args: &Snapshot, app: &App) -> Result<Outcome> {
    let sink = screen::sink(cli.json);
    let request = app.snapshot_request(&args.database, args.full, sink).await?;
    let purpose = format!("take a snapshot of {}", args.database);
    let name = app::snapshot_lease(&args.database);
    let lease = app.lease(&request.stores, &name, &purpose).await?;
    let deadline = request.config.deadline;
    let outcome = tokio::select! {
        outcome = tokio::time::timeout(deadline, snapshot::take(&request)) => outcome.map_err(|_| {
            let limit = humantime::format_duration(deadline);
            let what = format!("snapshot of `{}` took longer than {limit}", args.database);
            Error::new(Kind::Failed, what)
                .hint("parts that arrived are reused by the next run; raise `deadline` or `jobs`")
        }),
        stopped = super::stopped() => Err(stopped),
    };
    // Two at once would be wasteful, not harmful, so a lease that was lost or cannot be given back
    // does not undo the snapshot.
    if let Err(e) = lease.release().await {
        request.sink.notice(Level::Warning, e.one_line());
    }
    outcome?
}

fn done(outcome: &Outcome, seconds: f64) -> Done {
    let manifest = &outcome.manifest;
    let totals = &manifest.totals;
    let missing = outcome.stores.iter().filter(|s| !s.complete).count();
    let mut text = format!(
        "Snapshot {} of `{}` shows {}.\n\
         {} with {} rows: {} of rows, {} stored, {} of it new ({} of {}), in {}.\n",
        manifest.id,
        manifest.database,
        manifest.taken.format("%Y-%m-%d %H:%M:%S UTC"),
        plural(totals.tables, "table"),
        count(totals.rows),
        bytes(totals.raw_bytes),
        bytes(totals.stored_bytes),
        bytes(totals.new_bytes),
        count(totals.new_parts),
        plural(totals.parts, "part"),
        span(seconds),
    );
    for store in &outcome.stores {
        match &store.error {
            None => text.push_str(&format!(
                "  {}: complete, {} written\n",
                store.name,
                bytes(store.new_bytes)
            )),
            Some(e) => text.push_str(&format!("  {}: NOT complete: {e}\n", store.name)),
        }
    }
    if missing > 0 {
        text.push_str(&format!(
            "The next snapshot fills the gap, or now: \
             drctl copy {} --from STORE --to STORE --snapshot {}\n",
            manifest.database, manifest.id
        ));
    }
    let fields = json!({
        "id": manifest.id,
        "database": manifest.database,
        "generation": manifest.generation,
        "taken": manifest.taken,
        "stores": outcome.stores,
        "tables": totals.tables,
        "rows": totals.rows,
        "raw_bytes": totals.raw_bytes,
        "stored_bytes": totals.stored_bytes,
        "new_bytes": totals.new_bytes,
        "parts": totals.parts,
        "new_parts": totals.new_parts,
        "seconds": seconds,
    });
    let code = if missing > 0 { Kind::Partial.exit_code() } else { 0 };
    Done::with(code, text, fields)
}

fn preview(database: &str, preview: &Preview) -> Done {
    let mut text = match &preview.generation {
        Ok(generation) => format!("Would go on in generation {generation} of `{database}`.\n"),
        Err(reason) => format!("Would begin a new generation of `{database}`: {reason}.\n"),
    };
    let total: u64 = preview.tables.iter().map(|(_, bytes, _)| bytes).sum();
    let probed = preview.tables.iter().filter(|(.., probed)| *probed).count() as u64;
    text.push_str(&format!(
        "{} of about {}, {} of them probed for change instead of read; {}, {}.\n",
        plural(preview.tables.len() as u64, "table"),
        bytes(total),
        count(probed),
        plural(preview.sequences as u64, "sequence"),
        plural(preview.materialized_views as u64, "materialized view"),
    ));
    let rows: Vec<Vec<String>> = preview
        .tables
        .iter()
        .map(|(name, size, probed)| {
            let how = if *probed { "probe" } else { "read" };
            vec![format!("  {name}"), bytes(*size), how.to_owned()]
        })
        .collect();
    text.push_str(&render::columns(&rows, &[1]));
    if !preview.left_out.is_empty() {
        text.push_str("Left out:\n");
        for line in &preview.left_out {
            text.push_str(&format!("  {}: {}\n", line.what, line.reason));
        }
    }
    for line in &preview.broken {
        text.push_str(&format!("Warning: {line}\n"));
    }
    for (store, why) in &preview.lost {
        text.push_str(&format!("Store `{store}` cannot be used: {why}\n"));
    }
    let fields = json!({
        "dry_run": true,
        "database": database,
        "generation": preview.generation.as_ref().ok(),
        "tables": preview.tables.iter().map(|(name, size, probed)| json!({
            "table": name.to_string(), "bytes": size, "probed": probed,
        })).collect::<Vec<_>>(),
        "left_out": preview.left_out,
        "warnings": preview.broken,
        "lost_stores": preview.lost.iter().map(|(store, error)| json!({
            "name": store, "error": error,
        })).collect::<Vec<_>>(),
    });
    Done::well(text, fields)
}
