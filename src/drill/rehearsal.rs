//! A restore drill from its choice to its account.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::account::{
    Account, Chosen, FORMAT, Failure, Objectives, Rehearsal, ScratchFacts, Teardown,
};
use super::choice::{Choice, choose};
use super::clock::{Clock, recovery};
use super::embedded::Embedded;
use super::guard::{self, Production};
use super::history::{self, line, regressions};
use super::judgement::judge;
use super::lent;
use super::record::{Began, Records, Scratch};
use super::scratch::{Applications, Ground, Grounds};
use super::staging;
use super::teardown::tear_down;
use super::work::{Material, Progress, carry_out};
use crate::config::{DatabaseConfig, DrillConfig};
use crate::error::{Error, Kind, Result};
use crate::integrity::seal::Keys;
use crate::integrity::shelf::{self, Shelf};
use crate::model::{DrillId, Event, Sink};
use crate::store::{Holder, ObjectStore};

/// One restore drill.
pub struct Request {
    pub id: DrillId,
    pub project: String,
    pub config: DatabaseConfig,
    pub drill: DrillConfig,
    pub objectives: crate::config::Objectives,
    /// Where snapshots are read from, nearest first.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// Where the records and the report of the drill go.
    pub record_stores: Vec<Arc<dyn ObjectStore>>,
    pub shelf: Shelf,
    pub keys: Keys,
    pub choice: Choice,
    pub ground: Ground,
    pub grounds: Grounds,
    /// What is made for the drill stays.
    pub keep: bool,
    pub holder: Holder,
    /// This machine's records.
    pub folder: PathBuf,
    pub production: Vec<Production>,
    pub applications: Option<Arc<dyn Applications>>,
    pub now: DateTime<Utc>,
    pub random: u32,
    pub sink: Arc<dyn Sink>,
}

impl Request {
    pub fn records(&self) -> Records {
        Records {
            stores: self.record_stores.clone(),
            folder: self.folder.clone(),
            sink: Arc::clone(&self.sink),
        }
    }

    fn scratch(&self) -> Result<Scratch> {
        Ok(match &self.ground {
            Ground::Embedded { place, .. } => Scratch::Embedded {
                host: self.holder.host.clone(),
                folder: Embedded::folder(place.as_deref(), &self.id),
            },
            Ground::Server { target } => {
                Scratch::Database { target: target.clone(), name: staging::name(&self.id) }
            }
            Ground::Lent { lender: name } => {
                let lender = self.grounds.lender(name)?;
                Scratch::Instance {
                    lender: name.clone(),
                    region: lender.region().to_owned(),
                    name: lender.instance(&self.id),
                }
            }
        })
    }
}

/// Carries a drill out. An error: it was refused before anything was done. Else the account tells how
/// it ended, also where it failed or `stop` came true, which gives the reason.
pub async fn restore(request: &Request, stop: impl Future<Output = Error>) -> Result<Account> {
    let sink = &*request.sink;
    sink.emit(Event::Started {
        command: "drill".to_owned(),
        database: request.config.name.clone(),
        id: Some(request.id.to_string()),
        at: request.now,
    });
    let clock = Clock::start(sink);
    let records = request.records();
    let scratch = request.scratch()?;
    let mut progress = Progress::default();
    let material = match clock.phase("choose", true, material(request)).await {
        Ok(material) => material,
        // There is no such thing; that is no drill that failed.
        Err(e) if e.kind() == Kind::Usage => return Err(e),
        Err(e) => {
            let teardown = Teardown::Clean { removed: Vec::new() };
            return Ok(account(request, &scratch, &clock, None, progress, Some(e), teardown).await);
        }
    };
    match &request.ground {
        Ground::Embedded { .. } => {}
        Ground::Server { target } => {
            let info = request.grounds.target(target)?;
            let session = staging::beside(info).await?;
            let manifest = &material.manifest;
            let judged = guard::check(&session, info, &request.production, manifest).await;
            session.close().await;
            progress.warnings.extend(judged?);
        }
        Ground::Lent { lender } => {
            let lender = request.grounds.lender(lender)?;
            lent::judge(request, lender, &material.manifest).await?;
        }
    }
    let began = Began {
        id: request.id.clone(),
        rehearsal: Rehearsal::Restore,
        subject: request.config.name.clone(),
        at: request.now,
        holder: request.holder.clone(),
        scratch: scratch.clone(),
        keep: request.keep,
    };
    records.begin(&began).await?;
    let limit = request.drill.timeout;
    let ended = {
        let work = carry_out(request, &material, &records, &clock, &mut progress);
        tokio::select! {
            ended = tokio::time::timeout(limit, work) => ended.unwrap_or_else(|_| {
                let limit = humantime::format_duration(limit);
                Err(Error::new(Kind::Failed, format!("the drill took longer than {limit}"))
                    .hint("`timeout` in [drill] sets the limit"))
            }),
            stopped = stop => Err(stopped),
        }
    };
    let failure = ended.err();
    let phase = failure.as_ref().map(|_| clock.fail());
    let teardown =
        clock.phase("tear down", false, tear_down(request, began, &records, &mut progress)).await;
    let failure = failure.map(|e| (e, phase.unwrap_or_default()));
    Ok(told(request, &scratch, &clock, Some(&material), progress, failure, teardown).await)
}

async fn material(request: &Request) -> Result<Material> {
    let shelved =
        choose(&request.shelf, &request.choice, request.drill.window, request.now, request.random)?;
    let name = &request.config.name;
    let (store, manifest) = shelf::manifest(&request.stores, &request.keys, name, shelved).await?;
    let cipher = request.keys.cipher(&manifest)?;
    Ok(Material { manifest, cipher, stores: request.stores.clone(), store })
}

async fn account(
    request: &Request,
    scratch: &Scratch,
    clock: &Clock<'_>,
    material: Option<&Material>,
    progress: Progress,
    failure: Option<Error>,
    teardown: Teardown,
) -> Account {
    let failure = failure.map(|e| (e, clock.fail()));
    told(request, scratch, clock, material, progress, failure, teardown).await
}

async fn told(
    request: &Request,
    scratch: &Scratch,
    clock: &Clock<'_>,
    material: Option<&Material>,
    progress: Progress,
    failure: Option<(Error, String)>,
    teardown: Teardown,
) -> Account {
    let seconds = clock.now();
    let phases = clock.done();
    let manifest = material.map(|m| &m.manifest);
    let chosen = material.map(|m| Chosen {
        id: m.manifest.id.to_string(),
        generation: m.manifest.generation.to_string(),
        how: request.choice.as_str().to_owned(),
        taken: m.manifest.taken,
        store: m.store.name().to_owned(),
        source_version: m.manifest.source.version.clone(),
        tables: m.manifest.totals.tables,
        rows: m.manifest.totals.rows,
        raw_bytes: m.manifest.totals.raw_bytes,
        stored_bytes: m.manifest.totals.stored_bytes,
    });
    let objectives = objectives(request, &phases, progress.recovered);
    let kind = failure.as_ref().map(|(e, _)| e.kind());
    let failure = failure.map(|(e, phase)| Failure {
        phase,
        error: e.one_line(),
        hint: e.advice().map(str::to_owned),
    });
    let (outcome, said) =
        judge(Rehearsal::Restore, failure.as_ref().zip(kind), &progress.checks, &objectives);
    let name = &request.config.name;
    let earlier =
        history::earlier(&request.record_stores, &request.keys, Rehearsal::Restore, name).await;
    let raw_bytes = manifest.map_or(0, |m| m.totals.raw_bytes);
    let regressions = regressions(&phases, Some(raw_bytes), scratch.kind(), &earlier);
    Account {
        format: FORMAT,
        id: request.id.to_string(),
        rehearsal: Rehearsal::Restore,
        project: request.project.clone(),
        subject: name.clone(),
        outcome,
        said,
        began: request.now,
        seconds,
        operator: format!("{} on {}", request.holder.user, request.holder.host),
        program: concat!("drctl ", env!("CARGO_PKG_VERSION")).to_owned(),
        snapshot: chosen,
        failover: None,
        scratch: ScratchFacts {
            kind: scratch.kind().to_owned(),
            place: scratch.place(),
            server_version: progress.server_version,
            role_stubs: progress.role_stubs,
        },
        objectives,
        phases,
        checks: progress.checks,
        allowed: progress.allowed,
        warnings: progress.warnings,
        regressions,
        history: earlier.iter().map(line).collect(),
        failure,
        teardown,
    }
}

/// The objectives against what was measured. The RPO is kept by the newest snapshot, so a drill of an
/// older one says nothing about it.
fn objectives(request: &Request, phases: &[super::account::Phase], recovered: bool) -> Objectives {
    let rto_seconds = request.objectives.rto.as_secs_f64();
    let rpo_seconds = request.objectives.rpo.as_secs_f64();
    let recovery_seconds = recovered.then(|| recovery(phases));
    let age = request
        .shelf
        .latest()
        .map(|newest| ((request.now - newest.taken()).num_milliseconds() as f64 / 1000.0).max(0.0));
    Objectives {
        rto_seconds,
        rpo_seconds,
        recovery_seconds,
        rto_kept: recovery_seconds.map(|seconds| seconds <= rto_seconds),
        loss_seconds: age,
        rpo_kept: age
            .filter(|_| request.choice == Choice::Latest)
            .map(|seconds| seconds <= rpo_seconds),
    }
}
