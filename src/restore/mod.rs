//! Restores: from stores into a database beside, with the proof that it equals its source.
//!
//! The order of things: everything is fetched, proven and judged first; then definitions, rows, the
//! proof, large objects, indexes and constraints, privileges, materialized views, event triggers;
//! and only then does the database lose the mark, or the name, that says it is not whole.

mod archive;
mod complaints;
mod contents;
mod finishing;
mod load;
mod messages;
mod objects;
mod owners;
mod phases;
mod place;
mod preparing;
mod proof;
mod references;
mod request;
mod script;
mod target;

use std::collections::BTreeSet;
use std::sync::Arc;

use self::archive::{Archive, Run};
use self::contents::Stage;
use self::load::{Load, TableLoad};
use self::objects::Objects;
use self::owners::MayCreate;
use self::phases::{Phases, Unfinished};
use self::place::Place;
use self::preparing::{Prepared, chosen_sequences, chosen_tables, prepare, refuse};
use self::proof::Claim;
use self::target::Target;
use crate::error::{Error, Result};
use crate::model::{Event, Level, Table, TableName};

pub use self::place::unfinished;
pub use self::proof::prove;
pub use self::request::{
    Allow, Course, Difference, ExtensionGap, PlannedTable, Proof, Refusal, RestorePlan,
    RestoreRequest, Restored, Roles, Skipped,
};

/// Memory that index builds may take, all of them together.
const INDEX_MEMORY_MIB: usize = 512;

/// Looks at everything that a restore would do, and does nothing.
pub async fn plan(request: &RestoreRequest) -> Result<RestorePlan> {
    Ok(prepare(request).await?.plan)
}

/// Restores, proves, and gives the database its name. `Ok` with a different proof leaves it marked.
///
/// Dropped at any moment, it leaves either nothing or a database that says that it is not whole.
pub async fn restore(request: &RestoreRequest) -> Result<Restored> {
    let sink = &request.sink;
    sink.emit(Event::Started {
        command: "restore".to_owned(),
        database: request.manifest.database.clone(),
        id: Some(request.manifest.id.to_string()),
        at: chrono::Utc::now(),
    });
    let prepared = prepare(request).await?;
    refuse(&prepared.plan)?;
    for warning in &prepared.plan.warnings {
        sink.notice(Level::Warning, warning.clone());
    }
    carry_out(request, prepared).await
}

async fn carry_out(request: &RestoreRequest, prepared: Prepared) -> Result<Restored> {
    let Prepared { plan, target, archive, objects, with_tablespaces, there, passed_over, lost } =
        prepared;
    let manifest = &request.manifest;
    let everything = request.tables.is_empty();
    let mut phases = Phases::new(request);
    let mut skipped = passed_over;

    phases.begin("part lists");
    let chosen = chosen_tables(request, &archive, &lost);
    let sequences = chosen_sequences(request, &archive);
    let loads = table_loads(&chosen, &objects, &archive, &there).await?;
    announce(request, &chosen);

    phases.begin("definitions");
    let superuser = target.server.superuser;
    let settings = settings(&target, request.jobs);
    if request.roles == Roles::Create {
        owners::create_roles(&target.session, &plan.missing_roles, superuser).await?;
    }
    let made_roles = (request.roles == Roles::Create).then_some(plan.missing_roles.as_slice());
    // Only a database that was there before can have been prepared by a provider.
    let provider = request.profile.filter(|_| plan.course == Course::InPlace);
    let skip_roles = (request.roles == Roles::Skip).then_some(plan.missing_roles.as_slice());
    let (place, locale) = Place::begin(target, manifest, request.allow.locale).await?;
    skipped.extend(locale);
    let mut unfinished = Unfinished { sink: &request.sink, remains: Some(place.remains()) };
    let creating = match made_roles {
        Some(roles) if !superuser => Some(MayCreate::begin(&place.info, roles).await?),
        _ => None,
    };
    let step = async |name: &str, stage: Stage, section: Option<&str>, jobs: usize| {
        let run = Run {
            name,
            stage,
            section,
            jobs,
            settings: &settings,
            with_tablespaces,
            provider,
            made_roles: made_roles.unwrap_or_default(),
            without_roles: skip_roles.unwrap_or_default(),
            left_out: &request.manifest.left_out,
        };
        let (passed_over, warnings) = archive.restore(&place.info, run).await?;
        warnings.into_iter().for_each(|w| request.sink.notice(Level::Warning, w));
        Ok::<_, Error>(passed_over)
    };
    skipped.extend(step("definitions", Stage::Main, Some("pre-data"), 1).await?);

    phases.begin("rows");
    let work = match there.is_empty() {
        true => "",
        // The provider's tables have their triggers and foreign keys already.
        false => "SET session_replication_role = replica",
    };
    let (format, jobs) = (manifest.row_format, request.jobs);
    let load = Load::new(loads, Arc::clone(&objects), format, jobs, Arc::clone(&request.sink));
    load.run(&place.info, manifest, jobs, work).await?;
    let session = finishing::plain(&place.info).await?;
    finishing::set_sequences(&session, &sequences).await?;

    // Before indexes and constraints: those change no row, and the rows are still in the cache.
    phases.begin("proof");
    announce(request, &chosen);
    let hash = request.cipher.rows();
    let claim = Claim { manifest, hash: hash.clone(), tables: chosen.clone() };
    let mut differences =
        proof::rows(&place.info, &claim, request.jobs, Arc::clone(&request.sink)).await?;
    differences.extend(proof::sequences(&place.info, &sequences).await?);
    if everything {
        skipped.extend(step("large objects", Stage::Main, Some("data"), 1).await?);
        differences.extend(proof::large_objects(&place.info, manifest, hash).await?);
    }
    let proof = proof::verdict(differences);
    let restored =
        |phases: Phases<'_>, target: &crate::postgres::Conninfo, skipped, advice| Restored {
            snapshot: manifest.id.clone(),
            target: target.host_for_people(),
            database: target.database().to_owned(),
            tables: plan.tables.len() as u64,
            rows: plan.rows,
            raw_bytes: plan.raw_bytes,
            proof: proof.clone(),
            phases: phases.done,
            skipped,
            made_roles: made_roles.unwrap_or_default().to_vec(),
            target_version: plan.target_version.clone(),
            advice,
        };
    if proof != Proof::Equal {
        phases.end();
        place.condemn().await?;
        unfinished.remains = None;
        let advice = vec![format!(
            "what was restored stays as `{}` to be looked at; the next restore with --replace \
             drops it",
            place.info.database()
        )];
        return Ok(restored(phases, &place.info, skipped, advice));
    }

    phases.begin("indexes and constraints");
    skipped.extend(
        step("indexes and constraints", Stage::Main, Some("post-data"), request.jobs).await?,
    );
    if archive.contents.has(Stage::IndexAttach) {
        skipped.extend(step("indexes of partitions", Stage::IndexAttach, None, 1).await?);
    }
    if archive.contents.has(Stage::AfterIndexAttach) {
        let stage = Stage::AfterIndexAttach;
        let name = "constraints that refer to partitioned tables";
        skipped.extend(step(name, stage, None, request.jobs).await?);
    }
    if let Some(creating) = creating {
        creating.end(&session).await?;
    }
    if archive.contents.has(Stage::Privileges) {
        phases.begin("privileges");
        skipped.extend(step("privileges", Stage::Privileges, None, 1).await?);
    }
    if !plan.materialized_views.is_empty() {
        phases.begin("materialized views");
        finishing::refresh(&session, &plan.materialized_views).await?;
    }
    if archive.contents.has(Stage::EventTriggers) {
        skipped.extend(step("event triggers", Stage::EventTriggers, None, 1).await?);
    }
    let mut advice = Vec::new();
    match request.analyze {
        true => {
            phases.begin("statistics");
            session.simple("ANALYZE").await?;
        }
        false => advice.push(
            "run ANALYZE before traffic comes: there are no planner statistics yet".to_owned(),
        ),
    }
    session.close().await;
    phases.begin("name");
    let properties = match everything && place.is_new() {
        true => archive.about_database(&manifest.source.database, place.info.database()).await?,
        false => Vec::new(),
    };
    let (target, left_over) = place.settle(&properties).await?;
    unfinished.remains = None;
    phases.end();
    advice.extend(left_over);
    if !superuser {
        advice.push(
            "restored without superuser rights: compare event triggers and extensions by eye"
                .to_owned(),
        );
    }
    Ok(restored(phases, &target, skipped, advice))
}

/// Fetches and proves the part lists of all tables, before anything is changed.
async fn table_loads(
    chosen: &[&Table],
    objects: &Objects,
    archive: &Archive,
    there: &BTreeSet<TableName>,
) -> Result<Vec<TableLoad>> {
    use futures_util::{StreamExt as _, TryStreamExt as _, stream};
    stream::iter(chosen)
        .map(async |table| {
            let list = objects.list(table).await?;
            let ours = archive.contents.chooses(table.oid) && !there.contains(&table.name);
            Ok(TableLoad::new((*table).clone(), list, ours))
        })
        .buffered(8)
        .try_collect()
        .await
}

fn announce(request: &RestoreRequest, chosen: &[&Table]) {
    request.sink.emit(Event::Planned {
        tables: chosen.len() as u64,
        total_bytes: chosen.iter().map(|t| t.raw_bytes).sum(),
        total_rows: chosen.iter().map(|t| t.rows).sum(),
    });
    for t in chosen {
        let (table, total_bytes) = (t.name.to_string(), t.raw_bytes);
        request.sink.emit(Event::TableStarted { table, total_bytes });
    }
}

/// Settings of pg_restore's sessions.
fn settings(target: &Target, jobs: usize) -> String {
    let memory = INDEX_MEMORY_MIB / jobs.max(1);
    let mut settings = format!(
        "-c maintenance_work_mem={memory}MB -c max_parallel_maintenance_workers=1 \
         -c synchronous_commit=off -c statement_timeout=0 -c lock_timeout=0"
    );
    // Messages are told apart by their English text; only a superuser may choose the language.
    if target.server.superuser {
        settings.push_str(" -c lc_messages=C");
    }
    settings
}
