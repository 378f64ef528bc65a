//! `drctl drill failover`.

use std::path::Path;

use serde_json::json;

use super::args::Cli;
use super::carrying;
use super::drill::done;
use super::drill_args::Failover;
use super::plan_view;
use super::render::Done;
use crate::app::{App, FailoverDrill};
use crate::error::Result;

pub async fn run(cli: &Cli, args: &Failover) -> Result<Done> {
    let app = load(cli, args.lab.as_deref())?;
    let asked = FailoverDrill {
        runbook: args.runbook.clone(),
        lab: args.lab.clone(),
        reason: args.reason.clone(),
    };
    if args.dry_run {
        let (plan, uncompared) = app.foresee_failover_drill(&asked).await?;
        let mut text = plan_view::text(&plan, None);
        text.push_str("\nIsolation    none of it is production's\n");
        for what in &uncompared {
            text.push_str(&format!("             not compared: {what}\n"));
        }
        let fields = json!({ "dry_run": true, "plan": plan, "uncompared": uncompared });
        return Ok(Done::well(text, fields));
    }
    let drilled = app.failover_drill(&asked, carrying::sink(cli.json), super::stopped()).await?;
    Ok(done(&drilled))
}

/// The configuration that was named; where none is, that of the lab, which then has nothing to be
/// kept apart from.
fn load(cli: &Cli, lab: Option<&Path>) -> Result<App> {
    let named = cli.config.is_some()
        || Path::new("drctl.toml").exists()
        || std::env::var_os("DRCTL_CONFIG").is_some_and(|path| !path.is_empty());
    match lab {
        Some(lab) if !named && lab.join("drctl.toml").exists() => {
            App::load(Some(&lab.join("drctl.toml")))
        }
        _ => App::load(cli.config.as_deref()),
    }
}
