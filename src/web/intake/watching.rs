//! Watching open incidents: what another runner left unprepared, what an epoch has overtaken, and
//! whether the policy says to begin.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::watch;

use super::policy::{Decision, Evidence, decide};
use super::preparing::{look, plans, shell};
use super::{Begun, Incident, Intake, incident};
use crate::config::AutoPolicy;
use crate::error::Result;
use crate::model::{Alert, Learned, Level, Severity};
use crate::providers::Mode;
use crate::runbook::journal::{self, Copies};
use crate::runbook::preflight;
use crate::store::epoch;

/// How often open incidents are looked at.
const EVERY: Duration = Duration::from_secs(10);
/// Who opened an incident prepares it; after so long somebody else does.
const ALONE: TimeDelta = TimeDelta::minutes(2);

impl Intake {
    /// Looks again and again until `stop` says true.
    pub async fn watch(self: Arc<Self>, mut stop: watch::Receiver<bool>) {
        loop {
            tokio::select! {
                _ = stop.wait_for(|stop| *stop) => return,
                () = tokio::time::sleep(EVERY) => {}
            }
            if let Err(e) = self.look_once(Utc::now()).await {
                self.say(Level::Warning, format!("incidents: {}", e.one_line()));
            }
        }
    }

    /// One look at every open incident.
    pub async fn look_once(&self, now: DateTime<Utc>) -> Result<()> {
        let control = &self.world.control;
        let open = incident::open(&**control).await?;
        if open.is_empty() {
            return Ok(());
        }
        let holds = epoch::read(&**control).await?.map_or(0, |epoch| epoch.number);
        for found in open {
            if found.epoch != holds {
                let why = format!("epoch {holds} has overtaken it");
                if incident::close(&**control, &found.id, &why, now).await? {
                    self.say(Level::Info, format!("incident {} is over: {why}", found.id));
                    self.tell_over(&found.id, now).await;
                }
                continue;
            }
            if found.prepared.is_none() && now - found.opened > ALONE {
                self.prepare(&found.id).await;
            }
            if let Some(policy) = self.world.config.failover.auto.clone() {
                self.consider(&policy, &found, now).await?;
            }
        }
        Ok(())
    }

    async fn consider(
        &self,
        policy: &AutoPolicy,
        found: &Incident,
        now: DateTime<Utc>,
    ) -> Result<()> {
        // What costs nothing first: servers are looked at only when all else holds.
        let blank = self.evidence(found, now, Vec::new()).await;
        let servers = "no database with two servers";
        if let Decision::Refuse(reasons) = decide(policy, &blank)
            && reasons.iter().any(|reason| !reason.starts_with(servers))
        {
            self.say(
                Level::Info,
                format!("incident {}: not by itself: {}", found.id, reasons.join("; ")),
            );
            return Ok(());
        }
        let plans = plans(&self.world, &found.runbook).await?;
        let Some(plan) = plans.iter().find(|plan| plan.mode == Mode::Forced) else { return Ok(()) };
        let looks = look(&self.world, plan, now).await;
        let databases = looks.into_iter().map(|look| look.database).collect();
        let evidence = self.evidence(found, now, databases).await;
        if let Decision::Refuse(reasons) = decide(policy, &evidence) {
            self.say(
                Level::Info,
                format!("incident {}: not by itself: {}", found.id, reasons.join("; ")),
            );
            return Ok(());
        }
        let Some(prepared) = &found.prepared else { return Ok(()) };
        let args = automatic(&prepared.args, policy);
        let begun = Begun { at: now, by: self.by.clone(), command: shell(&args) };
        // From here on nobody else begins it, whatever becomes of this process.
        if !incident::claim(&*self.world.control, &found.id, &begun).await? {
            return Ok(());
        }
        let alert = Alert {
            key: format!("incident/{}/begun", found.id),
            severity: Severity::Critical,
            summary: format!("incident {}: drctl BEGINS THE FAILOVER BY ITSELF", found.id),
            detail: format!(
                "every condition of `auto` in [failover] holds.\n{}\nhow it goes: drctl runs show \
                 latest\nto stop it before the point of no return: drctl abort latest\n",
                begun.command
            ),
            at: now,
            resolved: false,
        };
        self.say(Level::Warning, alert.summary.clone());
        self.alerts.alert(alert).await;
        self.starter.start(&found.id, &args).await
    }

    async fn evidence<'e>(
        &'e self,
        found: &'e Incident,
        now: DateTime<Utc>,
        databases: Vec<super::policy::Database>,
    ) -> Evidence<'e> {
        let world = &self.world;
        let control = &world.control;
        let epoch = epoch::read(&**control).await;
        let active = match &epoch {
            Ok(Some(epoch)) => Some(epoch.region.clone()),
            Ok(None) => Some(world.config.regions.primary.clone()),
            Err(_) => None,
        };
        let plans = plans(world, &found.runbook).await;
        let forced = plans.map(|all| all.into_iter().find(|plan| plan.mode == Mode::Forced));
        let leaves_active = match (&forced, active) {
            (Ok(Some(plan)), Some(active)) => {
                Learned::Known(plan.from == active && plan.to != active)
            }
            (Ok(_), _) => Learned::Unknown("the active region cannot be read".to_owned()),
            (Err(e), _) => Learned::Unknown(e.one_line()),
        };
        let preflight = match (&forced, preflight::last(&**control, &found.runbook).await) {
            (Ok(Some(plan)), Ok(last)) => {
                let age = world.config.failover.preflight_max_age;
                let digest = plan.runbook_digest;
                let judged = preflight::judge(last.as_ref(), &found.runbook, digest, age, now);
                Learned::Known(judged.err().map(|e| e.one_line()))
            }
            (_, Err(e)) => Learned::Unknown(e.one_line()),
            _ => Learned::Unknown("no plan can be made".to_owned()),
        };
        let copies = Copies { control: Arc::clone(control), local: Arc::clone(control) };
        let open_runs = match journal::list(&copies).await {
            Err(e) => Learned::Unknown(e.one_line()),
            Ok(all) => match all.control_away {
                Some(why) => Learned::Unknown(why),
                // One that cannot be read may be open.
                None => Learned::Known(
                    all.runs.iter().filter(|run| run.is_open()).count() + all.unreadable.len(),
                ),
            },
        };
        Evidence {
            incident: found,
            now,
            runbook: &world.config.failover.runbook,
            epoch: epoch.map(|epoch| epoch.map_or(0, |epoch| epoch.number)).into(),
            leaves_active,
            open_runs,
            preflight,
            databases,
        }
    }
}

/// The prepared command with what the policy has agreed to in the place of what a person would.
fn automatic(prepared: &[String], policy: &AutoPolicy) -> Vec<String> {
    let mut args = Vec::new();
    let mut given = prepared.iter();
    while let Some(arg) = given.next() {
        if arg == "--accept-loss" {
            given.next();
            continue;
        }
        args.push(arg.clone());
    }
    let most = format!("{}s", policy.max_loss.as_secs());
    args.extend(["--accept-loss", &most, "--as", "drctl-auto"].map(str::to_owned));
    let unfenced = "--accept-unfenced";
    if policy.accept_unfenced && !args.iter().any(|arg| arg == unfenced) {
        args.push(unfenced.to_owned());
    }
    args
}
