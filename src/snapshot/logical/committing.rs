//! The end of a snapshot: lists, the schema archive and, last in each store, the manifest.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use futures_util::{StreamExt as _, stream};

use super::archive::Archive;
use super::source::Source;
use super::table::Finished;
use super::worker::{self, Floor};
use super::{Outcome, Request, Start};
use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::{codec, large_objects, seal};
use crate::model::{
    Digest, Event, Extension, LargeObjects, Level, Manifest, MaterializedView, PartName, Role,
    Sequence, StoreOutcome, Table, Totals,
};
use crate::postgres::catalog;
use crate::snapshot::lane::{self, Lane};
use crate::store::{Condition, Meta, Put, keys, mirror};

/// Objects put or copied at once into each store.
const WRITERS: usize = 16;

/// What stands around the rows.
pub struct Surroundings {
    sequences: Vec<Sequence>,
    large_objects: LargeObjects,
    extensions: Vec<Extension>,
    roles: Vec<Role>,
}

/// Reads sequences, large objects, extensions and roles on a session of its own, on the snapshot.
pub async fn surroundings(source: &Source, cipher: &Cipher) -> Result<Surroundings> {
    let session = source.worker().await?;
    Ok(Surroundings {
        sequences: catalog::sequence_values(&session, &source.scope.sequences).await?,
        large_objects: large_objects::read(&session, cipher.rows()).await?,
        extensions: catalog::extensions(&session).await?,
        roles: catalog::roles(&session).await?,
    })
}

/// A list ready to be put.
struct Listed {
    key: String,
    stored: Bytes,
    stored_digest: Digest,
    finished: Finished,
    table: Table,
}

/// Stored digest and size of the lists that the previous snapshot names, but for those that could not
/// be read: they are put anew.
type Kept = HashMap<Digest, (Digest, u64)>;

fn kept_lists(floor: &Floor) -> Kept {
    let sure = floor.tables.iter().filter(|w| !w.list_doubted());
    let then = sure.filter_map(|w| w.then.as_ref());
    then.map(|t| (t.list, (t.list_stored_digest, t.list_stored))).collect()
}

fn entry(floor: &Floor, kept: &Kept, index: usize) -> Result<Listed> {
    let work = &floor.tables[index];
    let finished = work.finish(floor.cipher.kept());
    let json =
        serde_json::to_vec(&finished.list).attempt(Kind::Bug, || "write a part list".to_owned())?;
    let list = Digest::of(&json);
    let stored = Bytes::from(codec::compress_document(&json)?);
    let stored_digest = Digest::of(&stored);
    let relation = &work.plan.relation;
    // A list that did not change keeps the stored form it has, whatever zstd would make of it today.
    let (list_stored_digest, list_stored) =
        kept.get(&list).copied().unwrap_or((stored_digest, stored.len() as u64));
    let table = Table {
        name: relation.name.clone(),
        oid: relation.oid,
        relfilenode: relation.relfilenode,
        definition: work.plan.columns.definition,
        columns: work.plan.columns.copied.clone(),
        condition: relation.condition.clone(),
        load_through: relation.load_through.clone(),
        range_blocks: work.plan.range_blocks,
        list,
        list_stored_digest,
        list_stored,
        parts: finished.list.parts.len() as u64,
        rows: finished.rows,
        row_digest: finished.row_digest,
        raw_bytes: finished.raw_bytes,
        stored_bytes: finished.stored_bytes,
    };
    let key = keys::list_key(&floor.database, &floor.generation, list);
    Ok(Listed { key, stored, stored_digest, finished, table })
}

/// What a run has read and stored when it comes to its end.
pub struct Gathered {
    pub archive: Archive,
    pub surroundings: Surroundings,
    /// When the last row had been read.
    pub read: DateTime<Utc>,
}

/// Puts what is left, completes the stores that lack earlier parts, and commits.
pub async fn commit(
    request: &Request,
    start: &Start,
    source: &Source,
    floor: &Arc<Floor>,
    gathered: Gathered,
) -> Result<Outcome> {
    let Gathered { archive, surroundings, read } = gathered;
    let id = &start.id;
    let sink = &request.sink;
    let database = &request.config.name;
    sink.emit(Event::Phase { name: "commit".to_owned() });
    let for_lists = Arc::clone(floor);
    let mut listed = worker::blocking(move || {
        let kept = kept_lists(&for_lists);
        let entries = (0..for_lists.tables.len()).map(|i| entry(&for_lists, &kept, i));
        entries.collect::<Result<Vec<_>>>()
    })
    .await?;
    listed.sort_by(|a, b| a.table.name.cmp(&b.table.name));
    put_lists(floor, &listed).await?;

    let schema_key = keys::schema_key(database, &start.generation, id, start.cipher.kept());
    put_archive(&start.lanes, &schema_key, &archive).await?;

    let manifest = Manifest {
        format: start.cipher.kept().format(),
        id: id.clone(),
        project: request.project.clone(),
        database: database.clone(),
        generation: start.generation.clone(),
        encryption: start.encryption.clone(),
        taken: source.window.taken,
        read,
        program: concat!("drctl ", env!("CARGO_PKG_VERSION")).to_owned(),
        stores: start.lanes.iter().map(|l| l.name().to_owned()).collect(),
        source: identity(source),
        row_format: request.config.row_format,
        settings: source.settings.clone(),
        schema: archive.facts.clone(),
        totals: totals(floor, &listed, &archive),
        tables: listed.iter().map(|l| l.table.clone()).collect(),
        sequences: surroundings.sequences,
        large_objects: surroundings.large_objects,
        materialized_views: source
            .scope
            .materialized_views
            .iter()
            .map(|name| MaterializedView { name: name.clone() })
            .collect(),
        extensions: surroundings.extensions,
        roles: surroundings.roles,
        left_out: source.scope.left_out.clone(),
    };
    let sealed = seal::seal(&manifest, &request.keys)?;
    let manifest_key = keys::manifest_key(database, &start.generation, id);
    join_all(start.lanes.iter().filter(|l| !l.is_lost()).map(async |lane| {
        let done = async {
            complete(lane, start, &manifest, &listed).await?;
            put_manifest(lane, &manifest_key, &sealed).await
        };
        if let Err(e) = done.await {
            lane.lose(e.during(format!("complete the snapshot in store `{}`", lane.name())));
        }
    }))
    .await;
    if start.lanes.iter().all(|l| l.is_lost()) {
        return Err(worker::all_lost(&start.lanes));
    }
    let stores = start
        .lanes
        .iter()
        .map(|lane| StoreOutcome {
            name: lane.name().to_owned(),
            complete: !lane.is_lost(),
            new_bytes: lane.new_bytes(),
            error: lane.loss(),
        })
        .collect();
    let mut ranges: Vec<_> =
        floor.tables.iter().map(|t| (t.plan.relation.name.clone(), t.ranges())).collect();
    ranges.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(Outcome { manifest, stores, ranges })
}

fn identity(source: &Source) -> crate::model::Source {
    let (server, window) = (&source.server, &source.window);
    crate::model::Source {
        system_identifier: server.system_identifier.clone(),
        timeline: server.timeline,
        database: server.database.clone(),
        database_oid: server.database_oid,
        version: server.version.clone(),
        version_num: server.version_num,
        postmaster_started: server.postmaster_started.clone(),
        counting_since: server.counting_since.clone(),
        xmin: window.xmin.to_string(),
        lsn: window.lsn,
        in_recovery: server.in_recovery,
        encoding: server.encoding.clone(),
        collate: server.collate.clone(),
        ctype: server.ctype.clone(),
        locale_provider: server.locale_provider.clone(),
        locale: server.locale.clone(),
        block_size: server.block_size,
    }
}

fn totals(floor: &Floor, listed: &[Listed], archive: &Archive) -> Totals {
    let mut totals = Totals { tables: listed.len() as u64, ..Totals::default() };
    let mut lists = HashSet::new();
    for l in listed {
        totals.rows += l.table.rows;
        totals.raw_bytes += l.table.raw_bytes;
        totals.parts += l.table.parts;
        totals.stored_bytes += l.table.stored_bytes;
        if lists.insert(l.table.list) {
            totals.stored_bytes += l.table.list_stored;
        }
    }
    totals.stored_bytes += archive.facts.stored;
    for work in &floor.tables {
        let (bytes, parts) = work.new_counts();
        totals.new_bytes += bytes;
        totals.new_parts += parts;
    }
    let kept = kept_lists(floor);
    let mut new_lists = HashSet::new();
    for l in listed {
        if !kept.contains_key(&l.table.list) && new_lists.insert(l.table.list) {
            totals.new_bytes += l.table.list_stored;
        }
    }
    totals.new_bytes += archive.facts.stored;
    totals
}

/// Puts the lists that the previous snapshot had not.
async fn put_lists(floor: &Floor, listed: &[Listed]) -> Result<()> {
    let kept = kept_lists(floor);
    let mut seen = HashSet::new();
    let fresh =
        listed.iter().filter(|l| !kept.contains_key(&l.table.list) && seen.insert(l.table.list));
    let mut puts = stream::iter(fresh)
        .map(|l| worker::put_everywhere(&floor.lanes, &l.key, &l.stored, l.stored_digest))
        .buffer_unordered(WRITERS);
    while let Some(done) = puts.next().await {
        done?;
    }
    Ok(())
}

async fn put_archive(lanes: &[Arc<Lane>], key: &str, archive: &Archive) -> Result<()> {
    join_all(lanes.iter().filter(|l| !l.is_lost()).map(async |lane| {
        match put_archive_in(lane, key, archive).await {
            Ok(()) => lane.count_new(archive.facts.stored),
            Err(e) => lane.lose(e),
        }
    }))
    .await;
    match lanes.iter().any(|l| !l.is_lost()) {
        true => Ok(()),
        false => Err(worker::all_lost(lanes)),
    }
}

async fn put_archive_in(lane: &Lane, key: &str, archive: &Archive) -> Result<()> {
    let (size, digest) = (archive.facts.stored, archive.facts.stored_digest);
    if let Put::Written(_) = lane.store.put_file_new(key, &archive.file, size, digest).await? {
        return Ok(());
    }
    let there = lane.store.head(key, true).await?;
    let same = |m: &Meta| m.size == size && m.sha256.is_none_or(|sha256| sha256 == digest);
    match there.as_ref().is_some_and(same) {
        true => Ok(()),
        false => Err(Error::new(Kind::Failed, format!("another archive stands at {key}"))),
    }
}

/// Sees to it that every object of the snapshot lies in the lane's store. A store that has the
/// previous snapshot has all that was kept from it; one that missed it gets what it lacks from a
/// store that has it.
async fn complete(
    lane: &Lane,
    start: &Start,
    manifest: &Manifest,
    listed: &[Listed],
) -> Result<()> {
    let Some((previous, _)) = &start.previous else { return Ok(()) };
    if lane.newest.as_ref().is_some_and(|m| m.id == previous.id) {
        return Ok(());
    }
    let here =
        lane::list_generation(&*lane.store, &manifest.database, &manifest.generation).await?;
    let mut wanted: Vec<(String, u64, Digest)> = Vec::new();
    for l in listed {
        wanted.push((l.key.clone(), l.table.list_stored, l.table.list_stored_digest));
        for (name, stored, digest) in worker::names(&l.finished.list) {
            wanted.push((part_key(manifest, name), stored, digest));
        }
    }
    wanted.retain(|(key, size, _)| here.get(key) != Some(size));
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.dedup_by(|a, b| a.0 == b.0);
    if wanted.is_empty() {
        return Ok(());
    }
    let sources: Vec<&Arc<Lane>> =
        start.lanes.iter().filter(|l| l.name() != lane.name() && !l.is_lost()).collect();
    let mut copies = stream::iter(&wanted)
        .map(async |(key, size, digest)| copy_from_any(&sources, lane, key, *size, *digest).await)
        .buffer_unordered(WRITERS);
    while let Some(done) = copies.next().await {
        done?;
    }
    lane_notice(lane, start, wanted.len());
    Ok(())
}

fn lane_notice(lane: &Lane, start: &Start, copied: usize) {
    if let Some(first) = start.lanes.first() {
        first.sink().notice(
            Level::Info,
            format!("copied {copied} objects that store `{}` had missed", lane.name()),
        );
    }
}

fn part_key(manifest: &Manifest, name: PartName) -> String {
    keys::part_key(&manifest.database, &manifest.generation, name)
}

async fn copy_from_any(
    sources: &[&Arc<Lane>],
    lane: &Lane,
    key: &str,
    size: u64,
    digest: Digest,
) -> Result<()> {
    let mut last = None;
    for source in sources {
        match mirror::copy_object(&*source.store, &*lane.store, key, size, digest).await {
            Ok(copied) => {
                lane.count_new(copied.bytes);
                return Ok(());
            }
            Err(e) => last = Some(e),
        }
    }
    let what = format!("{key} is missing in store `{}` and in no other store", lane.name());
    Err(last.unwrap_or_else(|| Error::new(Kind::Storage, what)))
}

/// The commit mark. It may have landed although no answer came, so an existing manifest with these
/// very bytes is ours.
async fn put_manifest(lane: &Lane, key: &str, sealed: &Bytes) -> Result<()> {
    let put = lane.store.put_if(key, sealed.clone(), Digest::of(sealed), Condition::Absent).await?;
    if put == Put::Refused {
        let there = lane.store.get(key).await?;
        if there.bytes != *sealed {
            return Err(Error::new(Kind::Failed, format!("another manifest stands at {key}")));
        }
    }
    lane.count_new(sealed.len() as u64);
    Ok(())
}
