//! `drctl repair`.

use std::io::{IsTerminal as _, Write as _};
use std::sync::Arc;

use chrono::Utc;
use serde_json::{Value, json};

use super::args::Cli;
use super::audit_args::Repair;
use super::render::{Done, bytes, plural};
use super::{interrupt, screen};
use crate::app::{self, App};
use crate::error::{Error, Kind, Result};
use crate::integrity::verify::Verdict;
use crate::snapshot::repair::{self, Act, RepairPlan, RepairReport, RepairRequest};

/// Objects that are listed before the rest is counted.
const LISTED: usize = 20;

pub async fn run(cli: &Cli, args: &Repair) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let sink = screen::sink(cli.json);
    let (mut text, mut databases) = (String::new(), Vec::new());
    let mut code = 0;
    for name in app.databases(args.database.as_deref())? {
        let config = app.config.database(&name)?;
        let request = RepairRequest {
            database: name.clone(),
            stores: app.stores_of(config).await?,
            depth: args.depth,
            jobs: args.jobs.unwrap_or(config.jobs).max(1),
            keys: app.keys()?,
            sink: Arc::clone(&sink),
            now: Utc::now(),
            random: app::random()?,
        };
        let plan = repair::plan(&request).await?;
        let shown = planned(&name, &plan);
        let mut report = None;
        if !args.dry_run && !plan.is_empty() {
            if !args.yes {
                ask(&shown).await?;
            }
            // As for prune, which must not remove meanwhile what is being mended.
            let there = app.in_standby(&request.stores);
            let purpose = format!("repair snapshots of {name}");
            let lease = app.lease(&there, &format!("prune-{name}"), &purpose).await?;
            let guard = || lease.check();
            let applied = tokio::select! {
                applied = repair::apply(&request, &plan, &guard) => applied,
                stopped = super::stopped() => Err(stopped),
            };
            lease.release().await?;
            report = Some(applied?);
        }
        text.push_str(&shown);
        if let Some(report) = &report {
            text.push_str(&applied_text(&name, report));
        }
        code = worse(code, code_of(&plan, report.as_ref()));
        databases.push(fields(&name, &plan, report.as_ref()));
    }
    let fields = json!({ "dry_run": args.dry_run, "databases": databases });
    Ok(Done::with(code, text, fields))
}

/// Damage goes before what could not be looked at.
fn worse(one: u8, other: u8) -> u8 {
    match (one, other) {
        (3, _) | (_, 3) => 3,
        (one, other) => one.max(other),
    }
}

fn code_of(plan: &RepairPlan, report: Option<&RepairReport>) -> u8 {
    let verdict = match report {
        Some(report) => report.verdict(),
        None if !plan.mends.is_empty() || !plan.absent.is_empty() => Verdict::Damaged,
        None if !plan.unread.is_empty() => Verdict::Unverified,
        None => Verdict::Intact,
    };
    match verdict {
        Verdict::Intact => 0,
        Verdict::Unverified => Kind::Unverified.exit_code(),
        Verdict::Damaged => Kind::Damaged.exit_code(),
    }
}

fn planned(name: &str, plan: &RepairPlan) -> String {
    if plan.mends.is_empty() && plan.absent.is_empty() {
        let mut text = format!("{name}: nothing to repair.\n");
        if !plan.unread.is_empty() {
            let count = plural(plan.unread.len() as u64, "object");
            text.push_str(&format!("{count} could NOT be looked at: nothing is known of them.\n"));
        }
        return text;
    }
    let mut text = format!(
        "{name}: {} to mend ({}), {} to copy, {} that no store has as promised.\n",
        plural(plan.mendable() as u64, "object"),
        bytes(plan.bytes()),
        plural(plan.absent.len() as u64, "snapshot"),
        plan.lost(),
    );
    for mend in plan.mends.iter().take(LISTED) {
        let what = match &mend.act {
            Act::Bring { from } => format!("missing; bring it from `{from}`"),
            Act::Replace { from } => format!("damaged; keep it aside, write it from `{from}`"),
            Act::Lost { why } => format!("LOST: {why}"),
        };
        let tables = match mend.tables.is_empty() {
            true => String::new(),
            false => format!(" ({})", mend.tables.join(", ")),
        };
        text.push_str(&format!("  store {}: {what}{tables}\n      {}\n", mend.store, mend.key));
    }
    if plan.mends.len() > LISTED {
        text.push_str(&format!("  … and {} more\n", plan.mends.len() - LISTED));
    }
    for absent in plan.absent.iter().take(LISTED) {
        text.push_str(&format!(
            "  store {}: lacks snapshot {}; copy it from `{}`\n",
            absent.store, absent.snapshot, absent.from
        ));
    }
    if plan.lost() > 0 {
        text.push_str(&format!(
            "What is lost stays lost: `drctl list {name}` shows which snapshots are whole elsewhere, and \
             `drctl snapshot {name} --full` makes one that rests on none of it.\n"
        ));
    }
    text
}

fn applied_text(name: &str, report: &RepairReport) -> String {
    let mut text = format!(
        "Mended {} ({}), copied {}.\n",
        plural(report.mended.len() as u64, "object"),
        bytes(report.mended.iter().map(|m| m.bytes).sum()),
        plural(report.copies.len() as u64, "snapshot"),
    );
    let aside = report.mended.iter().filter(|m| m.aside.is_some()).count();
    if aside > 0 {
        text.push_str(&format!(
            "{} kept aside under quarantine/: remove them when nobody asks for them any more.\n",
            plural(aside as u64, "damaged object")
        ));
    }
    for (store, key, why) in &report.failed {
        text.push_str(&format!("  FAILED: store {store}: {key}: {why}\n"));
    }
    text.push_str(&match report.verdict() {
        Verdict::Intact => format!("{name} is as promised now, in every store.\n"),
        Verdict::Unverified => {
            "Not everything could be looked at afterwards: NOT proven.\n".to_owned()
        }
        Verdict::Damaged => {
            format!("Something is STILL missing or damaged: drctl verify {name} --snapshot all\n")
        }
    });
    text
}

fn fields(name: &str, plan: &RepairPlan, report: Option<&RepairReport>) -> Value {
    json!({
        "database": name, "plan": plan, "bytes": plan.bytes(), "lost": plan.lost(),
        "report": report, "verdict": report.map(RepairReport::verdict),
    })
}

/// Shows the plan and asks.
async fn ask(plan: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::new(Kind::Usage, "repair: nobody can be asked here")
            .hint("`--yes`, after a look with `--dry-run`"));
    }
    let mut out = std::io::stderr();
    let _ = write!(out, "{plan}\nRepair? Type yes: ");
    let _ = out.flush();
    match interrupt::line().await.trim() {
        "yes" => Ok(()),
        _ => Err(Error::new(Kind::Usage, "not repaired").hint("nothing was changed")),
    }
}
