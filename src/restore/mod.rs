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
mod objects;
mod place;
mod proof;
mod request;
mod script;
mod target;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Instant;

use self::archive::{Archive, Run, major_of};
use self::contents::Stage;
use self::load::{Load, TableLoad};
use self::objects::Objects;
use self::place::Place;
use self::proof::Claim;
use self::target::Target;
use crate::error::{Error, Kind, Result};
use crate::model::{Event, Extension, Level, Manifest, Sequence, Sink, Table, TableName};
use crate::postgres::programs::{Program, Tool};
use crate::snapshot::profile;

pub use self::proof::prove;
pub use self::request::{
    Course, Difference, ExtensionGap, PlannedTable, Proof, Refusal, RestorePlan, RestoreRequest,
    Restored, Roles, Skipped,
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

/// What is known before anything is changed.
struct Prepared {
    plan: RestorePlan,
    target: Target,
    archive: Archive,
    objects: Arc<Objects>,
    with_tablespaces: bool,
    /// Tables to load that the provider has made already.
    there: BTreeSet<TableName>,
}

async fn prepare(request: &RestoreRequest) -> Result<Prepared> {
    let manifest = &request.manifest;
    let objects = Arc::new(Objects::new(&request.stores, manifest, Arc::clone(&request.sink)));
    let target = Target::reach(request).await?;
    let mut refusals = target.refusals(request).await?;
    let mut warnings = Vec::new();

    let newest = target.major().max(major_of(&manifest.schema.program));
    let program = Program::find(Tool::PgRestore, request.pg_bin.as_deref(), newest).await?;
    let mut archive = Archive::fetch(&objects, manifest, program).await?;
    if !request.tables.is_empty() {
        for label in archive.contents.select(&request.tables, manifest)? {
            warnings.push(format!("{label} is left out: it needs a table that is not restored"));
        }
    }
    let gone = left_out_extensions(manifest);
    let names: Vec<&str> = gone.iter().map(|e| e.name.as_str()).collect();
    archive.contents.without_extensions(&names);
    for extension in &gone {
        warnings.push(format!(
            "extension {} is left out with its schema {}",
            extension.name, extension.schema
        ));
    }
    let named = archive.named().await?;
    let missing_roles: Vec<String> = named.roles.difference(&target.roles).cloned().collect();
    if !missing_roles.is_empty() && request.roles == Roles::Refuse {
        refusals.push(Refusal {
            what: format!("the target has no roles {}", missing_roles.join(", ")),
            hint: "--roles create makes them without login; --roles skip restores without what \
                   they own and are granted"
                .to_owned(),
        });
    }
    let tablespaces: Vec<String> =
        named.tablespaces.difference(&target.tablespaces).cloned().collect();
    if !tablespaces.is_empty() {
        warnings.push(format!(
            "the target has no tablespaces {}: everything goes to the default one",
            tablespaces.join(", ")
        ));
    }
    let provided: Vec<String> = request
        .profile
        .map(|p| profile::provided_schemas(p).iter().map(|s| (*s).to_owned()).collect())
        .unwrap_or_default();
    let mut extensions = target.extension_gaps(manifest);
    extensions.retain(|gap| !names.contains(&gap.name.as_str()));
    let lacking: Vec<&str> =
        extensions.iter().filter(|e| e.available.is_none()).map(|e| e.name.as_str()).collect();
    if !lacking.is_empty() && request.tables.is_empty() {
        refusals.push(Refusal {
            what: format!("the target has no extensions {}", lacking.join(", ")),
            hint: "install their packages on the target's server, or allow them at the provider"
                .to_owned(),
        });
    }
    for gap in &extensions {
        if let Some(available) = &gap.available {
            warnings.push(format!(
                "extension {} will be {available}; the source has {}",
                gap.name, gap.version
            ));
        }
    }
    let chosen = chosen_tables(request, &archive);
    let mut tables: Vec<PlannedTable> = chosen
        .iter()
        .map(|t| PlannedTable { name: t.name.clone(), rows: t.rows, raw_bytes: t.raw_bytes })
        .collect();
    tables.sort_by_key(|t| std::cmp::Reverse(t.raw_bytes));
    let (there, filled) = target.already_there(&chosen, &provided).await?;
    if !filled.is_empty() {
        refusals.push(Refusal {
            what: format!("the provider's tables have rows already: {}", filled.join(", ")),
            hint: "restore into a new project, before anybody signs up or uploads".to_owned(),
        });
    }
    let everything = request.tables.is_empty();
    let plan = RestorePlan {
        snapshot: manifest.id.clone(),
        taken: manifest.taken,
        source_version: manifest.source.version.clone(),
        target: target.wanted.host_for_people(),
        target_version: target.server.version.clone(),
        course: target.course,
        program: archive.program.to_string(),
        rows: tables.iter().map(|t| t.rows).sum(),
        raw_bytes: tables.iter().map(|t| t.raw_bytes).sum(),
        tables,
        sequences: chosen_sequences(request, &archive).len() as u64,
        large_objects: if everything { manifest.large_objects.objects } else { 0 },
        materialized_views: views(request),
        missing_roles,
        extensions,
        provided_schemas: provided
            .iter()
            .filter(|s| archive.contents.makes_schema(s))
            .cloned()
            .collect(),
        warnings,
        refusals,
    };
    let with_tablespaces = tablespaces.is_empty();
    Ok(Prepared { plan, target, archive, objects, with_tablespaces, there })
}

/// Everything that speaks against the restore, at once.
fn refuse(plan: &RestorePlan) -> Result<()> {
    let (first, more) = match plan.refusals.split_first() {
        None => return Ok(()),
        Some(all) => all,
    };
    if more.is_empty() {
        return Err(Error::new(Kind::Usage, format!("restore refused: {}", first.what))
            .hint(first.hint.clone()));
    }
    let lines: String =
        plan.refusals.iter().map(|r| format!("\n  {}\n    {}", r.what, r.hint)).collect();
    Err(Error::new(Kind::Usage, format!("restore refused for {} reasons:{lines}", more.len() + 1)))
}

fn chosen_tables<'a>(request: &'a RestoreRequest, archive: &Archive) -> Vec<&'a Table> {
    let all = request.manifest.tables.iter();
    if request.tables.is_empty() {
        return all.collect();
    }
    let named = |t: &Table| {
        let name = t.name.to_string();
        request.tables.iter().any(|p| crate::snapshot::matches(p, &name))
    };
    all.filter(|t| match t.condition.is_some() {
        true => named(t),
        false => archive.contents.chooses(t.oid),
    })
    .collect()
}

fn chosen_sequences(request: &RestoreRequest, archive: &Archive) -> Vec<Sequence> {
    let all = request.manifest.sequences.iter();
    let everything = request.tables.is_empty();
    all.filter(|s| everything || archive.contents.takes_sequence(&s.name)).cloned().collect()
}

/// Extensions in schemas that the snapshot does not carry: they could not be made there.
fn left_out_extensions(manifest: &Manifest) -> Vec<&Extension> {
    let gone = |schema: &str| {
        manifest.left_out.iter().any(|l| l.what.strip_prefix("schema ") == Some(schema))
    };
    manifest.extensions.iter().filter(|e| gone(&e.schema)).collect()
}

fn views(request: &RestoreRequest) -> Vec<TableName> {
    match request.tables.is_empty() {
        true => request.manifest.materialized_views.iter().map(|v| v.name.clone()).collect(),
        false => Vec::new(),
    }
}

/// Names each phase and measures it.
struct Phases<'a> {
    request: &'a RestoreRequest,
    began: Option<(String, Instant)>,
    done: Vec<(String, f64)>,
}

impl Phases<'_> {
    fn begin(&mut self, name: &str) {
        self.end();
        self.request.sink.emit(Event::Phase { name: name.to_owned() });
        self.began = Some((name.to_owned(), Instant::now()));
    }

    fn end(&mut self) {
        if let Some((name, at)) = self.began.take() {
            self.done.push((name, at.elapsed().as_secs_f64()));
        }
    }
}

async fn carry_out(request: &RestoreRequest, prepared: Prepared) -> Result<Restored> {
    let Prepared { plan, target, archive, objects, with_tablespaces, there } = prepared;
    let manifest = &request.manifest;
    let everything = request.tables.is_empty();
    let mut phases = Phases { request, began: None, done: Vec::new() };
    let mut skipped = Vec::new();

    phases.begin("part lists");
    let chosen = chosen_tables(request, &archive);
    let sequences = chosen_sequences(request, &archive);
    let loads = table_loads(&chosen, &objects, &archive, &there).await?;
    announce(request, &chosen);

    phases.begin("definitions");
    let superuser = target.server.superuser;
    let settings = settings(&target, request.jobs);
    if request.roles == Roles::Create {
        target::create_roles(&target.session, &plan.missing_roles).await?;
    }
    let made_roles = (request.roles == Roles::Create).then_some(plan.missing_roles.as_slice());
    // Only a database that was there before can have been prepared by a provider.
    let provider = request.profile.filter(|_| plan.course == Course::InPlace);
    let skip_roles = (request.roles == Roles::Skip).then_some(plan.missing_roles.as_slice());
    let place = Place::begin(target, manifest).await?;
    let mut unfinished = Unfinished { sink: &request.sink, remains: Some(place.remains()) };
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
    let claim = Claim { manifest, tables: chosen.clone() };
    let mut differences =
        proof::rows(&place.info, &claim, request.jobs, Arc::clone(&request.sink)).await?;
    differences.extend(proof::sequences(&place.info, &sequences).await?);
    if everything {
        skipped.extend(step("large objects", Stage::Main, Some("data"), 1).await?);
        differences.extend(proof::large_objects(&place.info, manifest).await?);
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

/// Tells what is left behind by a restore that fails or is stopped.
struct Unfinished<'a> {
    sink: &'a Arc<dyn Sink>,
    remains: Option<String>,
}

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some(remains) = self.remains.take() {
            self.sink.notice(Level::Warning, remains);
        }
    }
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
