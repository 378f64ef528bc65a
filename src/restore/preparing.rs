//! What is looked at, fetched and judged before a restore changes anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::archive::{Archive, major_of};
use super::objects::Objects;
use super::request::{PlannedTable, Refusal, RestorePlan, RestoreRequest, Roles, Skipped};
use super::target::Target;
use crate::error::{Error, Kind, Result};
use crate::model::{Extension, Manifest, Sequence, Table, TableName};
use crate::postgres::programs::{Program, Tool};
use crate::snapshot::profile;

/// What is known before anything is changed.
pub struct Prepared {
    pub plan: RestorePlan,
    pub target: Target,
    pub archive: Archive,
    pub objects: Arc<Objects>,
    pub with_tablespaces: bool,
    /// Tables to load that the provider has made already.
    pub there: BTreeSet<TableName>,
    /// Differences that the request allows.
    pub passed_over: Vec<Skipped>,
    /// Tables of extensions that are passed over.
    pub lost: Vec<TableName>,
}

pub async fn prepare(request: &RestoreRequest) -> Result<Prepared> {
    let manifest = &request.manifest;
    let (cipher, sink) = (request.cipher.clone(), Arc::clone(&request.sink));
    let objects = Arc::new(Objects::new(&request.stores, manifest, cipher, sink));
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
    let mut passed_over = Vec::new();
    extensions.retain(|gap| {
        let allowed = gap.available.is_none() && request.allow.extensions.contains(&gap.name);
        if allowed {
            archive.contents.without_extensions(&[&gap.name]);
            passed_over.push(Skipped {
                what: format!("extension {} {}", gap.name, gap.version),
                reason: "the target does not have it, and it is on the list of those that it \
                         need not have"
                    .to_owned(),
            });
        }
        !allowed
    });
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
    let lost = match passed_over.is_empty() {
        true => Vec::new(),
        false => without_a_home(manifest, &archive, &target),
    };
    for name in &lost {
        passed_over.push(Skipped {
            what: format!("rows of {name}"),
            reason: "it is the configuration of an extension that is passed over".to_owned(),
        });
    }
    let chosen = chosen_tables(request, &archive, &lost);
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
    Ok(Prepared { plan, target, archive, objects, with_tablespaces, there, passed_over, lost })
}

/// Everything that speaks against the restore, at once.
pub fn refuse(plan: &RestorePlan) -> Result<()> {
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

/// Configuration tables of extensions that will not be there.
fn without_a_home(manifest: &Manifest, archive: &Archive, target: &Target) -> Vec<TableName> {
    let there = |schema: &str| {
        archive.contents.makes_schema(schema)
            || manifest
                .extensions
                .iter()
                .any(|e| e.schema == schema && target.extensions.contains_key(&e.name))
    };
    let tables = manifest.tables.iter().filter(|t| t.condition.is_some());
    tables.filter(|t| !there(&t.name.schema)).map(|t| t.name.clone()).collect()
}

pub fn chosen_tables<'a>(
    request: &'a RestoreRequest,
    archive: &Archive,
    lost: &[TableName],
) -> Vec<&'a Table> {
    let all = request.manifest.tables.iter().filter(|t| !lost.contains(&t.name));
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

pub fn chosen_sequences(request: &RestoreRequest, archive: &Archive) -> Vec<Sequence> {
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
