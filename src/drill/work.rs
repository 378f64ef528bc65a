//! The work of a restore drill: the place is made while the snapshot is verified, then it is
//! restored, proven and asked.

use std::sync::Arc;

use super::account::{Check, Passed};
use super::allowances::allowances;
use super::checks::{self, Subject};
use super::clock::Clock;
use super::embedded::{Embedded, Programs, User, Wishes};
use super::record::{ROLES, Records, Roles as RoleRecord, json};
use super::rehearsal::Request;
use super::scratch::Ground;
use super::{application, lent, staging};
use crate::error::{Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::history::Which;
use crate::integrity::verified::Verdict;
use crate::integrity::verify::{Depth, Sample, VerifyRequest, verify};
use crate::model::Manifest;
use crate::postgres::Conninfo;
use crate::restore::{self, Proof, RestoreRequest, Roles};
use crate::store::ObjectStore;

/// What is known so far. It outlives the work, which may be broken off at any moment.
#[derive(Default)]
pub struct Progress {
    pub server: Option<Embedded>,
    pub server_version: Option<String>,
    pub role_stubs: Vec<String>,
    pub checks: Vec<Check>,
    pub allowed: Vec<Passed>,
    pub warnings: Vec<String>,
    /// The restored database.
    pub database: Option<Conninfo>,
    /// Proven, analyzed and, where there is one, with its application.
    pub recovered: bool,
}

/// The snapshot and the stores that it is read from, nearest first.
pub struct Material {
    pub manifest: Manifest,
    /// What opens its parts: never from what this machine keeps, so that a drill proves that the
    /// configured identity does.
    pub cipher: Cipher,
    pub stores: Vec<Arc<dyn ObjectStore>>,
    /// The one that is verified.
    pub store: Arc<dyn ObjectStore>,
}

/// Everything up to the last check. What it made is in `progress`, whenever it ends.
pub async fn carry_out(
    request: &Request,
    material: &Material,
    records: &Records,
    clock: &Clock<'_>,
    progress: &mut Progress,
) -> Result<()> {
    let verified = clock.phase("verify", false, verified(request, material));
    let made = clock.phase("scratch server", true, make(request, material));
    // Both at once: one reads the stores, the other hardly anything.
    let (verified, made) = tokio::join!(verified, made);
    for (name, failed) in [("verify", verified.is_err()), ("scratch server", made.is_err())] {
        if failed {
            clock.blame(name);
        }
    }
    let (target, server, warnings) = match made {
        Ok(made) => made,
        // Damage says more than a place that could not be made.
        Err(e) => return Err(verified.err().filter(|v| v.kind() == Kind::Damaged).unwrap_or(e)),
    };
    progress.warnings.extend(warnings);
    let url = server.as_ref().and_then(|server| server.url(target.database()));
    progress.server = server;
    verified?;
    progress.checks.extend(checks::recovery_key(&material.manifest));
    let restore = restore_request(request, material, &target);
    if matches!(request.ground, Ground::Server { .. }) {
        note_roles(request, records, &restore).await?;
    }
    let restored = clock.phase("restore", true, restore::restore(&restore)).await?;
    clock.split("restore", &restored.phases);
    progress.database = Some(target.with_database(&restored.database));
    progress.server_version = Some(restored.target_version.clone());
    progress.role_stubs.clone_from(&restored.made_roles);
    let passed = restored.skipped.iter();
    progress
        .allowed
        .extend(passed.map(|s| Passed { what: s.what.clone(), reason: s.reason.clone() }));
    progress.warnings.extend(restored.advice.iter().cloned());
    let proof = restored.phases.iter().find(|(name, _)| name == "proof").map_or(0.0, |(_, s)| *s);
    progress.checks.push(checks::rows(&restored, &material.manifest, proof));
    if restored.proof != Proof::Equal {
        return Ok(());
    }
    let info = target.with_database(&restored.database);
    let subject = Subject {
        info: &info,
        manifest: &material.manifest,
        allowed: &restore.allow.extensions,
        jobs: request.config.jobs,
    };
    if let (Some(app), Some(applications)) = (&request.config.drill.app, &request.applications) {
        let env = application::environment(&request.id, &info, url);
        let check = application::check(&**applications, app, &env);
        progress.checks.push(clock.phase("application", true, check).await);
    }
    progress.recovered = true;
    let found = clock.phase("catalogue", false, checks::catalogue(&subject)).await?;
    progress.checks.extend(found);
    let found = clock.phase("structures", false, checks::structures(&subject)).await;
    progress.checks.push(found);
    let asserted = checks::assertions(&info, &request.config.drill.assertions);
    if !request.config.drill.assertions.is_empty() {
        progress.checks.extend(clock.phase("assertions", false, asserted).await?);
    }
    Ok(())
}

/// Everything that the snapshot needs, downloaded, undone and counted. An error unless it is whole.
async fn verified(request: &Request, material: &Material) -> Result<()> {
    let report = verify(&VerifyRequest {
        database: request.config.name.clone(),
        stores: vec![Arc::clone(&material.store)],
        which: Which::One(material.manifest.id.clone()),
        depth: Depth::Content,
        sample: Sample::ALL,
        jobs: request.config.jobs,
        keys: request.keys.clone(),
        sink: Arc::clone(&request.sink),
        now: request.now,
    })
    .await?;
    let kind = match report.verdict() {
        Verdict::Intact => return Ok(()),
        Verdict::Damaged => Kind::Damaged,
        Verdict::Unverified => Kind::Unverified,
    };
    let id = &material.manifest.id;
    let found: Vec<String> = report.findings.iter().take(5).map(|f| f.detail.clone()).collect();
    let what = format!(
        "verify snapshot {id} in store `{}`: {} findings",
        material.store.name(),
        report.findings.len()
    );
    Err(Error::new(kind, what).caused_by(found.join("; ")).hint(format!(
        "`drctl verify {} --snapshot {id} --depth content` names each object; another store may \
         have it whole",
        request.config.name
    )))
}

/// The place to restore to, with what could not be compared about it.
async fn make(
    request: &Request,
    material: &Material,
) -> Result<(Conninfo, Option<Embedded>, Vec<String>)> {
    let manifest = &material.manifest;
    let name = staging::name(&request.id);
    match &request.ground {
        Ground::Embedded { place, user, pg_bin } => {
            let major = manifest.source.version_num / 10_000;
            let wishes = Wishes {
                id: request.id.clone(),
                programs: programs(pg_bin.as_deref(), request, major).await?,
                user: User::of_servers(user).await?,
                folder: Embedded::folder(place.as_deref(), &request.id),
                jobs: request.config.jobs,
                loopback: request.config.drill.app.is_some(),
                raw_bytes: manifest.totals.raw_bytes,
            };
            let server = Embedded::start(wishes).await?;
            Ok((server.conninfo(&name)?, Some(server), Vec::new()))
        }
        Ground::Server { target } => {
            // It was judged before the record was written.
            Ok((request.grounds.target(target)?.with_database(&name), None, Vec::new()))
        }
        Ground::Lent { lender } => {
            let lender = request.grounds.lender(lender)?;
            let (info, uncompared) = lent::make(request, lender, manifest).await?;
            Ok((info.with_database(&name), None, uncompared))
        }
    }
}

/// The configured programs; else those of the database, where that folder has a server's; else any.
async fn programs(
    configured: Option<&std::path::Path>,
    request: &Request,
    major: u32,
) -> Result<Programs> {
    if configured.is_none()
        && let Some(folder) = &request.config.pg_bin
        && let Ok(programs) = Programs::find(Some(folder), major).await
    {
        return Ok(programs);
    }
    Programs::find(configured, major).await
}

fn restore_request(request: &Request, material: &Material, target: &Conninfo) -> RestoreRequest {
    let config = &request.config;
    let known = request.production.iter();
    let pg_bin = match &request.ground {
        Ground::Embedded { pg_bin: Some(folder), .. } => Some(folder.clone()),
        _ => config.pg_bin.clone(),
    };
    RestoreRequest {
        manifest: material.manifest.clone(),
        cipher: material.cipher.clone(),
        stores: material.stores.clone(),
        target: target.clone(),
        tables: Vec::new(),
        create: true,
        replace: false,
        roles: Roles::Create,
        allow: allowances(config.profile, &request.drill.without_extensions),
        jobs: config.jobs,
        pg_bin,
        profile: config.profile,
        protected: known.filter_map(|p| Some((p.what.clone(), p.info.clone()?))).collect(),
        analyze: true,
        sink: Arc::clone(&request.sink),
    }
}

/// The roles that the restore will make outlive its database, so they are written down before.
async fn note_roles(request: &Request, records: &Records, restore: &RestoreRequest) -> Result<()> {
    let names = restore::plan(restore).await?.missing_roles;
    if !names.is_empty() {
        records.put(&request.id, ROLES, json(&RoleRecord { names })?).await?;
    }
    Ok(())
}
