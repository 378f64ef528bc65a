//! `drctl prune`.

use std::sync::Arc;

use serde_json::json;

use super::args::{Cli, Prune};
use super::render::{Done, bytes, count, plural};
use super::screen;
use crate::app::App;
use crate::error::{Kind, Result};
use crate::integrity::verify::Depth;
use crate::snapshot::prune::{self, PrunePlan, PruneReport, PruneRequest};

pub async fn run(cli: &Cli, args: &Prune) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let sink = screen::sink(cli.json);
    let mut text = String::new();
    let mut databases = Vec::new();
    let mut well = true;
    for name in app.databases(args.database.as_deref())? {
        let config = app.config.database(&name)?;
        let request = PruneRequest {
            database: name.clone(),
            stores: app.stores_of(config).await?,
            keep: config.keep,
            keys: app.keys()?,
            least: Depth::Checksums,
            sink: Arc::clone(&sink),
        };
        let plan = prune::plan(&request).await?;
        text.push_str(&planned(&name, &plan));
        let mut report = PruneReport::default();
        if !args.dry_run && plan.stores.iter().any(|s| !s.plan.remove.is_empty()) {
            // In the standby region: it is the one that must be there when it matters.
            let there = app.in_standby(&request.stores);
            let purpose = format!("remove expired snapshots of {name}");
            let lease = app.lease(&there, &format!("prune-{name}"), &purpose).await?;
            let guard = || lease.check();
            let applied = tokio::select! {
                applied = prune::apply(&request, &plan, &guard) => applied,
                stopped = super::stopped() => Err(stopped),
            };
            lease.release().await?;
            report = applied?;
            text.push_str(&applied_text(&report));
        }
        well &= report.failed.is_empty() && plan.unplanned.is_empty();
        databases.push(fields(&name, &plan, &report));
    }
    let code = if well { 0 } else { Kind::Failed.exit_code() };
    let fields = json!({"dry_run": args.dry_run, "databases": databases});
    Ok(Done::with(code, text, fields))
}

fn planned(name: &str, plan: &PrunePlan) -> String {
    let mut text = String::new();
    for store in &plan.stores {
        let (objects, size) = store.freed();
        text.push_str(&format!(
            "{name} in store `{}`: {} to remove ({}, {}), {} to keep\n",
            store.store,
            plural(store.plan.remove.len() as u64, "generation"),
            plural(objects, "object"),
            bytes(size),
            count(store.plan.keep.len() as u64),
        ));
        for removal in &store.plan.remove {
            let n = plural(removal.snapshots.len() as u64, "snapshot");
            text.push_str(&format!("  remove {} ({n}): {}\n", removal.generation, removal.reason));
        }
        for kept in &store.plan.keep {
            let reasons: Vec<String> = kept.reasons.iter().map(ToString::to_string).collect();
            text.push_str(&format!("  keep   {}: {}\n", kept.generation, reasons.join("; ")));
        }
        for key in &store.foreign {
            text.push_str(&format!("  not drctl's, left alone: {key}\n"));
        }
    }
    for (store, why) in &plan.unplanned {
        let why = why.one_line();
        text.push_str(&format!("{name} in store `{store}`: nothing is removed: {why}\n"));
    }
    text
}

fn applied_text(report: &PruneReport) -> String {
    let mut text = String::new();
    for removed in &report.removed {
        let objects = plural(removed.objects, "object");
        text.push_str(&format!(
            "Removed {} from `{}`: {objects}\n",
            removed.generation, removed.store
        ));
    }
    for (store, generation, why) in &report.spared {
        text.push_str(&format!("Spared {generation} in `{store}`: {why}\n"));
    }
    for (store, generation, e) in &report.failed {
        let why = e.one_line();
        text.push_str(&format!("FAILED to remove {generation} from `{store}`: {why}\n"));
    }
    text
}

fn fields(name: &str, plan: &PrunePlan, report: &PruneReport) -> serde_json::Value {
    json!({
        "database": name,
        "stores": plan.stores.iter().map(|s| json!({
            "store": s.store,
            "remove": s.plan.remove.iter().map(|r| json!({
                "generation": r.generation, "snapshots": r.snapshots, "reason": r.reason.to_string(),
            })).collect::<Vec<_>>(),
            "keep": s.plan.keep.iter().map(|k| json!({
                "generation": k.generation,
                "reasons": k.reasons.iter().map(ToString::to_string).collect::<Vec<_>>(),
            })).collect::<Vec<_>>(),
            "foreign": s.foreign,
        })).collect::<Vec<_>>(),
        "unplanned": plan.unplanned.iter().map(|(store, e)| json!({
            "store": store, "error": e.one_line(),
        })).collect::<Vec<_>>(),
        "removed": report.removed,
        "failed": report.failed.iter().map(|(store, generation, e)| json!({
            "store": store, "generation": generation, "error": e.one_line(),
        })).collect::<Vec<_>>(),
    })
}
