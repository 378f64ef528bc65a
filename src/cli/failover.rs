//! `drctl failover` and `drctl run`: from a runbook to its end.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::json;

use super::args::Cli;
use super::carrying::{self, carry_on, operator};
use super::foreseeing;
use super::interrupt;
use super::plan_view;
use super::render::Done;
use super::run_args::{Failover, How, Run};
use super::wrapping::{hung, wrapped};
use crate::app::{self, App};
use crate::error::{Error, Kind, Result};
use crate::model::{Level, RunId};
use crate::providers::{RunFacts, World};
use crate::runbook::engine::opening::{self, TIME_TO_LIVE};
use crate::runbook::journal::{self, Copies};
use crate::runbook::plan::Plan;
use crate::runbook::{self, Circumstances, plan, preflight};
use crate::store::epoch;

/// How long the control store may take to answer before a run is confirmed.
const HASTE: Duration = Duration::from_secs(15);

pub async fn failover(cli: &Cli, args: &Failover) -> Result<Done> {
    begin(cli, args.runbook.as_deref(), &args.how).await
}

pub async fn run(cli: &Cli, args: &Run) -> Result<Done> {
    begin(cli, Some(&args.runbook), &args.how).await
}

async fn begin(cli: &Cli, named: Option<&str>, how: &How) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let world = app.world().await?;
    let name = named.unwrap_or(&app.config.failover.runbook);
    let now = Utc::now();
    let id = RunId::new(now, app::random()?).to_string();
    let (active, guessed) = active(&app, &world, how).await?;
    let circumstances =
        Circumstances { active: active.clone(), run: id.clone(), reason: how.reason.clone() };
    let book = runbook::load(&app.config, name, &circumstances)?;
    let mode = how.mode.unwrap_or(book.usual_mode());
    let plan = plan::make(&book, &app.config, mode, &circumstances)?;
    foreseeing::accepted(how)?;
    if how.dry_run {
        let seen = foreseeing::foresee(&world, &plan).await?;
        let mut text = plan_view::text(&plan, foreseeing::in_words(&seen.loss).as_deref());
        if let Some(guessed) = guessed.or_else(|| elsewhere(&plan, &active)) {
            text.push_str(&wrapped(&format!("\nWARNING: {guessed}"), 80, "  "));
        }
        if let Some(wait) = seen.will_wait(&plan, how) {
            text.push('\n');
            text.push_str(&hung("Unfenced     ", &wait, 80));
        }
        let fields = json!({ "dry_run": true, "plan": plan, "expected_loss": seen.loss });
        return Ok(Done::well(text, fields));
    }
    if let Some(given) = how.confirm.as_deref().filter(|given| *given != plan.to) {
        let what = match plan.from == plan.to {
            true => format!("--confirm {given}: this runbook works in {}", plan.to),
            false => format!("--confirm {given}: this runbook makes {} the active region", plan.to),
        };
        let guessed = guessed.map(|guessed| format!("; {guessed}")).unwrap_or_default();
        return Err(Error::new(Kind::Usage, what)
            .hint(format!("nothing was begun; `--dry-run` shows what would be done{guessed}")));
    }
    let copies = app.journals().await?;
    let sink = carrying::sink(cli.json);
    let elsewhere = elsewhere(&plan, &active).filter(|_| guessed.is_none());
    if let Some(guessed) = guessed {
        sink.notice(Level::Warning, guessed);
    }
    let (fit, loss) = tokio::join!(
        fit(&app, &world, &copies, &plan, elsewhere, how, now),
        foreseeing::foresee(&world, &plan)
    );
    let (warnings, seen) = (fit?, loss?);
    let wait = seen.will_wait(&plan, how);
    let loss = seen.loss;
    for warning in warnings.into_iter().chain(wait) {
        sink.notice(Level::Warning, warning);
    }
    let words = foreseeing::in_words(&loss);
    match (&how.confirm, &words) {
        (None, _) => show(&plan, words.as_deref())?,
        (Some(_), Some(words)) => sink.notice(Level::Info, format!("loss to expect of {words}")),
        (Some(_), None) => {}
    }
    let agreed = foreseeing::agree(&plan, &loss, how).await?;
    if how.confirm.is_none() {
        ask(&plan).await?;
    }
    let by = operator(how.name.as_deref());
    let run = RunFacts {
        reason: how.reason.clone(),
        accepted_loss: agreed.or_else(|| how.accept_loss.clone()),
        expected_loss: loss,
        accept_unfenced: how.accept_unfenced,
        primary_is_broken: how.primary_is_broken.clone(),
        ..plan.run_facts(&id, &by, Utc::now())
    };
    let mut holder = app::holder(opening::purpose(&id));
    if let Some(name) = &how.name {
        name.trim().clone_into(&mut holder.user);
    }
    let hold = opening::hold(&copies.control, holder, TIME_TO_LIVE, how.local_journal).await?;
    let opened = opening::begin(copies, plan, run, hold, Utc::now()).await?;
    let wish = runbook::decision::Wish::GoOn;
    let (plan, left) = carry_on(&app, &world, opened, &by, wish, sink).await?;
    Ok(carrying::done(&plan, &left, false))
}

/// The region that is active by the epoch; where that cannot be read and need not be, a guess, and
/// why it is one.
async fn active(app: &App, world: &World, how: &How) -> Result<(String, Option<String>)> {
    let read = tokio::time::timeout(HASTE, epoch::read(&*world.control)).await;
    let read = read.unwrap_or_else(|_| {
        let what = format!("read the epoch in store `{}`: no answer", world.control.name());
        Err(Error::new(Kind::Storage, what))
    });
    match read {
        Ok(Some(epoch)) => Ok((epoch.region, None)),
        Ok(None) => Ok((app.config.regions.primary.clone(), None)),
        // A look needs no store, and neither does who was told to do without.
        Err(e) if e.kind() == Kind::Storage && (how.dry_run || how.local_journal) => {
            let primary = app.config.regions.primary.clone();
            let why = e.one_line();
            let text = format!(
                "which region is active is not known ({why}): {primary} is taken to be, as configured"
            );
            Ok((primary, Some(text)))
        }
        Err(e) => Err(e.during("find out which region is active").hint(
            "`drctl doctor` tests the stores; to go on without the control store: `--local-journal`",
        )),
    }
}

/// That the service is not where the runbook takes it from.
fn elsewhere(plan: &Plan, active: &str) -> Option<String> {
    let (book, from) = (&plan.runbook, &plan.from);
    let text = || format!("runbook `{book}` starts from {from}, and {active} is the active region");
    (from != active).then(text)
}

fn refused(elsewhere: &str) -> Error {
    Error::new(Kind::Unverified, format!("begin a run: {elsewhere}")).hint(
        "`drctl runbook list` has the one that leads the other way; where a run was left half done \
         and it is right all the same: `--skip-preflight REASON`",
    )
}

/// Whether a run may begin; what should be said where it may although something is not as it should
/// be.
async fn fit(
    app: &App,
    world: &World,
    copies: &Copies,
    plan: &Plan,
    elsewhere: Option<String>,
    how: &How,
    now: DateTime<Utc>,
) -> Result<Vec<String>> {
    let mut warnings = Vec::new();
    let all = tokio::time::timeout(HASTE, journal::list(copies)).await;
    let all = all.unwrap_or_else(|_| Err(Error::new(Kind::Storage, "list the runs: no answer")));
    match all {
        Ok(all) => {
            let open = all.runs.iter().find(|r| r.is_open() && !how.leave_open.contains(&r.run.id));
            if let Some(open) = open {
                let run = &open.run.id;
                let what = format!(
                    "begin a run: run {run} ({}, by {}) has not ended",
                    open.run.runbook, open.run.operator
                );
                return Err(Error::new(Kind::LeaseHeld, what).hint(format!(
                    "`drctl runs show {run}` shows it; `drctl resume {run}` or `drctl abort {run}` \
                     ends it; `--leave-open {run}` begins another all the same"
                )));
            }
            warnings.extend(all.control_away.map(|e| format!("runs may be open elsewhere: {e}")));
        }
        Err(e) if how.local_journal => warnings.push(e.one_line()),
        Err(e) => return Err(e),
    }
    match (elsewhere, &how.skip_preflight) {
        (Some(elsewhere), None) => return Err(refused(&elsewhere)),
        (elsewhere, _) => warnings.extend(elsewhere),
    }
    let judged = match preflight::last(&*world.control, &plan.runbook).await {
        Ok(last) => preflight::judge(
            last.as_ref(),
            &plan.runbook,
            plan.runbook_digest,
            app.config.failover.preflight_max_age,
            now,
        ),
        Err(e) => Err(e),
    };
    match (judged, &how.skip_preflight) {
        (Ok(()), _) => {}
        (Err(e), Some(reason)) => {
            warnings.push(format!("begun without a preflight ({reason}): {}", e.one_line()));
        }
        (Err(e), None) => {
            let next = e.advice().map(|hint| format!("{hint}; or ")).unwrap_or_default();
            let hint = format!("{next}begin without: `--skip-preflight REASON`");
            return Err(Error::new(Kind::Unverified, "begin a run").caused_by(e).hint(hint));
        }
    }
    Ok(warnings)
}

/// Shows the plan to somebody who can be asked.
fn show(plan: &Plan, loss: Option<&str>) -> Result<()> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::new(Kind::Usage, "confirm the run: nobody can be asked here")
            .hint(format!("`--confirm {}`, after a look with `--dry-run`", plan.to)));
    }
    let _ = std::io::stderr().write_all(plan_view::text(plan, loss).as_bytes());
    Ok(())
}

/// Has the region's name typed.
async fn ask(plan: &Plan) -> Result<()> {
    let mut out = std::io::stderr();
    let region = match plan.from == plan.to {
        true => "that is worked on",
        false => "that becomes active",
    };
    let _ = write!(out, "\nTo begin, type the name of the region {region}: ");
    let _ = out.flush();
    let typed = interrupt::line().await;
    match typed.trim() == plan.to {
        true => Ok(()),
        false => Err(Error::new(Kind::Usage, format!("`{}` is not {}", typed.trim(), plan.to))
            .hint("nothing was begun")),
    }
}
