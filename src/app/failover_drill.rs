//! Failover drills: a region of staging or of a lab is really broken, a runbook answers it, and what
//! clients saw is measured.
//!
//! The order of things: what killed drills left is cleared away, as regions that are broken answer no
//! question; the regions are proven to be none of production's; the lease of the regions' runs is taken; a
//! record is written; only then is anything broken. However the drill ends, the region is mended, and
//! what came of it is told.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;

use super::drill::Drilled;
use super::rehearsing::{self, Course};
use super::staging::Staging;
use super::watching::Watch;
use super::{App, ending, give_back, holder, random};
use crate::drill::account::Rehearsal;
use crate::drill::{Began, Clock, Records, Rehearsed, Scratch, account_of, history};
use crate::error::{Error, Kind, Result};
use crate::model::{Event, Level, RunId, Sink};
use crate::providers::RunFacts;
use crate::runbook::engine::opening::{self, TIME_TO_LIVE};
use crate::runbook::journal::{self, Copies};
use crate::runbook::plan::Plan;
use crate::store::epoch;

/// How long the control store may take to say what is open and which region is active.
const HASTE: Duration = Duration::from_secs(15);

/// What a failover drill is asked to do.
#[derive(Debug, Clone, Default)]
pub struct FailoverDrill {
    /// None: as `[drill.failover]` says.
    pub runbook: Option<String>,
    /// The folder of a lab that is up; none: staging.
    pub lab: Option<std::path::PathBuf>,
    /// Stands in the report of the run.
    pub reason: Option<String>,
}

impl App {
    /// Proves that the drill would touch nothing of production, and gives its plan and what could not
    /// be compared. Begins nothing.
    pub async fn foresee_failover_drill(
        &self,
        asked: &FailoverDrill,
    ) -> Result<(Plan, Vec<String>)> {
        let staging = self.staging(asked.lab.as_deref())?;
        let plan = staging.plan(asked.runbook.as_deref(), "r00000000T000000Z-000000", "a drill")?;
        let uncompared = staging.isolated(self, &plan).await?;
        Ok((plan, uncompared))
    }

    /// Carries a failover drill out, and puts its report into the stores of this configuration.
    /// `stop` ends it early: the region is mended all the same.
    pub async fn failover_drill(
        &self,
        asked: &FailoverDrill,
        sink: Arc<dyn Sink>,
        stop: impl Future<Output = Error>,
    ) -> Result<Drilled> {
        let staging = self.staging(asked.lab.as_deref())?;
        let clock = Clock::start(&*sink);
        let now = Utc::now();
        let run = RunId::new(now, random()?).to_string();
        let reason = asked.reason.as_deref().unwrap_or("a failover drill");
        let plan = staging.plan(asked.runbook.as_deref(), &run, reason)?;
        let stores = self.every_store().await;
        let holder = holder(format!("rehearse the failover by {}", plan.runbook));
        let lease = self.drill_lease(&stores, Rehearsal::Failover, &plan.runbook, &holder).await?;
        let id = self.next_drill(&stores).await?;
        let records = Records { stores, folder: self.drills_folder()?, sink: Arc::clone(&sink) };
        let mut grounds = self.grounds();
        grounds.regions = Some(Arc::new(ending::Regions {
            production: self.clone(),
            drill: staging.drill.clone(),
            fault: Arc::clone(&staging.fault),
            is_lab: staging.is_lab,
        }));
        self.sweep(&records, &grounds, lease.name(), &holder.to_string()).await;
        let began = Began {
            id: id.clone(),
            rehearsal: Rehearsal::Failover,
            subject: plan.runbook.clone(),
            at: now,
            holder: holder.clone(),
            scratch: Scratch::Regions {
                host: holder.host.clone(),
                config: staging.fault.config.clone(),
                run: run.clone(),
            },
            keep: false,
        };
        let carried = async {
            let isolated = staging.isolated(self, &plan);
            let uncompared = clock.phase("isolation", false, isolated).await?;
            sink.emit(Event::Started {
                command: "drill".to_owned(),
                database: plan.runbook.clone(),
                id: Some(id.to_string()),
                at: now,
            });
            let facts = facts(&plan, &run, reason);
            let world = staging.app.world().await?;
            let watch = Watch::new(&staging, &world, &plan, &facts)?;
            let copies = staging.app.journals().await?;
            fit(&staging, &copies, &plan).await?;
            watch.before().await?;
            // Before the fault: two drills must not break the same regions, nor one a run in them.
            let hold = super::holder(opening::purpose(&run));
            let hold = opening::hold(&copies.control, hold, TIME_TO_LIVE, false).await?;
            if let Err(e) = records.begin(&began).await {
                give_back(hold.lease, &*sink).await;
                return Err(e);
            }
            let mut course = Course::new(uncompared);
            let stop = async {
                tokio::select! {
                    stopped = stop => stopped,
                    lost = lease.lost() => lost,
                }
            };
            let scene = rehearsing::Scene {
                staging: &staging,
                world: &world,
                watch: &watch,
                copies,
                plan: &plan,
                facts: &facts,
                clock: &clock,
                sink: Arc::clone(&sink),
                drill: id.as_str(),
            };
            rehearsing::carry_out(scene, hold, &mut course, stop).await;
            Ok::<_, Error>(course.rehearsed(&clock, &watch, &plan, &facts))
        };
        let carried = carried.await;
        let drilled = match carried {
            Ok(mut found) => {
                let earlier = history::earlier(
                    &records.stores,
                    &self.keys()?,
                    Rehearsal::Failover,
                    &plan.runbook,
                )
                .await;
                found.facts.fault = staging.fault.shown();
                let rehearsed = Rehearsed {
                    id: id.clone(),
                    project: self.config.project.clone(),
                    subject: plan.runbook.clone(),
                    began: now,
                    seconds: clock.now(),
                    holder,
                    scratch: began.scratch.clone(),
                    objectives: self.config.objectives,
                    found,
                };
                self.reported(account_of(rehearsed, &earlier), &id, &records).await
            }
            Err(e) => Err(e),
        };
        if let Err(e) = lease.release().await {
            sink.notice(Level::Warning, e.one_line());
        }
        drilled
    }
}

/// The run of a drill. Nobody stands beside it who could agree to a loss or to a primary that cannot
/// be fenced, so that both are agreed to: nothing of production is touched.
fn facts(plan: &Plan, run: &str, reason: &str) -> RunFacts {
    RunFacts {
        reason: Some(reason.to_owned()),
        accepted_loss: Some("unknown".to_owned()),
        accept_unfenced: true,
        drill: true,
        ..plan.run_facts(run, &super::operator(), Utc::now())
    }
}

/// Whether the regions stand as a drill needs them: no run is open, and the service is where the
/// runbook takes it from.
async fn fit(staging: &Staging, copies: &Copies, plan: &Plan) -> Result<()> {
    let place = staging.app.config.path.display();
    let late = |what: &str| {
        Error::new(Kind::Storage, format!("{what} in store `{}`: no answer", copies.control.name()))
    };
    let asked = async {
        tokio::join!(
            tokio::time::timeout(HASTE, journal::list(copies)),
            tokio::time::timeout(HASTE, epoch::read(&*copies.control))
        )
    };
    let (runs, epoch) = asked.await;
    let runs = runs.map_err(|_| late("list the runs"))??;
    if let Some(open) = runs.runs.iter().find(|run| run.is_open()) {
        let run = &open.run.id;
        let what = format!("begin a failover drill: run {run} of {place} has not ended");
        return Err(Error::new(Kind::LeaseHeld, what).hint(format!(
            "end it with `drctl --config {place} abort {run}`, or `resume {run}` where there is no way \
             back any more, and bring the service back to {} (failback)",
            plan.from
        )));
    }
    let epoch = epoch.map_err(|_| late("read the epoch"))??;
    let active = epoch.map_or_else(|| staging.app.config.regions.primary.clone(), |e| e.region);
    if active != plan.from {
        let what = format!(
            "begin a failover drill: runbook `{}` starts from {}, and {active} is the active region \
             of {place}",
            plan.runbook, plan.from
        );
        return Err(Error::new(Kind::Unverified, what).hint(format!(
            "bring the service back first: `drctl --config {place} run failback`; `heal` in \
             [drill.failover] may do so after each drill"
        )));
    }
    Ok(())
}
