//! The logical engine: rows through parallel COPY, everything else through pg_dump, all on one
//! exported snapshot.

mod archive;
mod committing;
mod cutter;
mod placing;
pub(super) mod plan;
mod previous;
pub(super) mod references;
mod sealing;
pub(super) mod source;
mod table;
mod worker;

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use chrono::{DateTime, Utc};
use tokio::sync::Semaphore;

use self::committing::Gathered;
use self::plan::TablePlan;
pub use self::plan::matches;
use self::source::Source;
use self::table::TableWork;
use self::worker::{Floor, StartAfresh};
use super::cache::Cache;
use super::keyring::{self, Keyring};
use super::lane::Lane;
use super::opening::{self, Course, Opened};
use crate::config::DatabaseConfig;
use crate::error::{Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::seal::Keys;
use crate::model::{
    Digest, Encryption, Event, GenerationId, LeftOut, Level, Manifest, Sink, SnapshotId,
    StoreOutcome, TableName,
};
use crate::postgres::{Conninfo, Program, Tool, catalog, check_pooling};
use crate::store::ObjectStore;

/// What a snapshot needs to know.
pub struct Request {
    pub project: String,
    pub config: DatabaseConfig,
    pub conninfo: Conninfo,
    /// The configured stores, nearest first.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    pub keys: Keys,
    /// Begin a new generation.
    pub full: bool,
    pub now: DateTime<Utc>,
    /// Keeps two ids of the same second apart.
    pub random: u32,
    pub sink: Arc<dyn Sink>,
}

/// What a snapshot came to.
#[derive(Debug, Clone)]
pub struct Outcome {
    pub manifest: Manifest,
    pub stores: Vec<StoreOutcome>,
    /// What became of the ranges of each table, in the manifest's order.
    pub ranges: Vec<(TableName, Ranges)>,
}

/// How many ranges of a table were read, and how many a probe spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Ranges {
    pub read: u64,
    pub kept: u64,
}

/// What a snapshot would do.
#[derive(Debug, Clone)]
pub struct Preview {
    /// The generation that would go on, if any, and why a new one would begin.
    pub generation: std::result::Result<GenerationId, &'static str>,
    /// Tables with their bytes (heap and TOAST) and whether their ranges would be probed.
    pub tables: Vec<(TableName, u64, bool)>,
    pub sequences: usize,
    pub materialized_views: usize,
    pub left_out: Vec<LeftOut>,
    /// What is taken and refers to what is left out.
    pub broken: Vec<String>,
    /// Stores that could not be reached, with the reason.
    pub lost: Vec<(String, String)>,
}

/// Takes one snapshot. Fails only if no store has it in the end.
pub async fn take(request: &Request) -> Result<Outcome> {
    match attempt(request, request.full).await {
        Err(e) if asks_for_fresh_start(&e) && !request.full => {
            let why = format!("{}; a new generation begins", e.one_line());
            request.sink.notice(Level::Warning, why);
            attempt(request, true).await
        }
        outcome => outcome,
    }
}

fn asks_for_fresh_start(e: &Error) -> bool {
    let first = e as &(dyn std::error::Error + 'static);
    std::iter::successors(Some(first), |e| e.source()).any(|e| e.is::<StartAfresh>())
}

/// What new stores are marked with: an id that no other run would make.
fn mark(request: &Request) -> opening::Mark {
    let seed =
        format!("{} {} {} {}", request.project, request.config.name, request.now, request.random);
    let mut id = [0; 16];
    id.copy_from_slice(&Digest::of(seed.as_bytes()).as_bytes()[..16]);
    opening::Mark { now: request.now, random: u128::from_be_bytes(id) }
}

/// The course of a run, its stores and the snapshot that it builds upon.
struct Start {
    id: SnapshotId,
    generation: GenerationId,
    cipher: Cipher,
    encryption: Option<Encryption>,
    lanes: Vec<Arc<Lane>>,
    previous: Option<(Manifest, Arc<dyn ObjectStore>)>,
}

async fn start(request: &Request, opened: Vec<Opened>, full: bool) -> Result<(Start, Course)> {
    let config = &request.config;
    let cache = config.cache_dir.clone().map(Cache::new);
    let keyring =
        Keyring::gather(request.keys.access(), cache.as_ref(), &config.name, &opened).await;
    let newest = opening::newest_id(&opened, request.now, &*request.sink);
    let id = SnapshotId::after(newest, request.now, request.random);
    let begun = || {
        let newest = opened.iter().filter_map(|o| o.newest_generation.as_ref()).max();
        GenerationId::after(newest, request.now, request.random)
    };
    let every = chrono::TimeDelta::from_std(config.full_every).unwrap_or(chrono::TimeDelta::MAX);
    let course = opening::course(&opened, full, every, config.row_format, &keyring, request.now);
    let (generation, fresh, from) = match &course {
        Course::GoOn { from } => {
            let newest = opened[*from].newest.as_ref().ok().and_then(Option::as_ref);
            let generation = newest.map(|m| m.generation.clone());
            // `course` chose the store because it has a newest snapshot.
            let generation = generation.unwrap_or_else(begun);
            (generation, false, Some(*from))
        }
        Course::TakeUp { generation } => (generation.clone(), false, None),
        Course::Begin { .. } => (begun(), true, None),
    };
    let (cipher, encryption) = if fresh { keyring.begin()? } else { keyring.take(&generation)? };
    let mut previous = None;
    let lanes = opened
        .into_iter()
        .enumerate()
        .map(|(i, o)| {
            let (newest, lost) = match o.newest {
                Ok(newest) => (newest, None),
                Err(e) => (None, Some(e)),
            };
            if from == Some(i) {
                previous = newest.clone().map(|m| (m, Arc::clone(&o.store)));
            }
            let lane = Lane::new(
                o.store,
                newest,
                &request.config.name,
                &generation,
                fresh,
                Arc::clone(&request.sink),
            );
            if let Some(e) = lost {
                lane.lose(e);
            }
            Arc::new(lane)
        })
        .collect();
    Ok((Start { id, generation, cipher, encryption, lanes, previous }, course))
}

/// Table entries of the previous snapshot by name.
fn entries(previous: Option<&Manifest>) -> HashMap<TableName, crate::model::Table> {
    let tables = previous.map(|m| m.tables.as_slice()).unwrap_or_default();
    tables.iter().map(|t| (t.name.clone(), t.clone())).collect()
}

/// How the previous lists cut each table: relfilenode and blocks in a range.
fn ranges_before(start: &Start) -> HashMap<TableName, (u32, u64)> {
    let tables = start.previous.as_ref().map(|(m, _)| m.tables.as_slice()).unwrap_or_default();
    tables.iter().map(|t| (t.name.clone(), (t.relfilenode, t.range_blocks))).collect()
}

/// How long the end of a session may take to be heard of.
const MOMENT: std::time::Duration = std::time::Duration::from_millis(500);

async fn attempt(request: &Request, full: bool) -> Result<Outcome> {
    let sink = &request.sink;
    let config = &request.config;
    let (opened, opened_source) = tokio::join!(
        opening::open(&request.stores, &request.keys, &config.name, Some(mark(request)), &**sink),
        open_source(request),
    );
    let (start, course) = start(request, opened, full).await?;
    sink.emit(Event::Started {
        command: "snapshot".to_owned(),
        database: config.name.clone(),
        id: Some(start.id.to_string()),
        at: request.now,
    });
    if start.lanes.iter().all(|l| l.is_lost()) {
        return Err(worker::all_lost(&start.lanes));
    }
    if let Course::Begin { reason } = course
        && keyring::is_of_keys(reason)
    {
        sink.notice(Level::Warning, format!("a new generation begins, all is read: {reason}"));
    }
    let (session, server) = opened_source?;
    let major = server.version_num / 10_000;
    let pg_dump = Program::find(Tool::PgDump, config.pg_bin.as_deref(), major).await?;
    let pg_restore = Program::find(Tool::PgRestore, config.pg_bin.as_deref(), major).await?;

    let before = ranges_before(&start);
    let mut source = source::begin(session, server, config, &before).await?;
    cover(&mut source, &start.cipher);
    // Told as each generation begins, and not every hour.
    if start.previous.is_none() {
        source.scope.broken.iter().for_each(|line| sink.notice(Level::Warning, line.clone()));
    }
    let floor = Arc::new(floor(request, &start, &source));
    // Before the first part: what is stored under a key that nobody has is of no use to the next run.
    let (cache, cipher, encryption) = (floor.cache.as_ref(), &start.cipher, &start.encryption);
    let name = &config.name;
    keyring::keep(cache, name, &start.generation, cipher, encryption.as_ref(), &**sink).await;
    let mut sessions = Vec::with_capacity(config.jobs);
    for _ in 0..config.jobs.min(floor.queue.len().max(1)) {
        sessions.push(source.worker().await?);
    }
    sink.emit(Event::Planned {
        tables: source.plans.len() as u64,
        total_bytes: source.plans.iter().map(|p| p.relation.bytes + p.relation.toast_bytes).sum(),
        total_rows: source.plans.iter().map(|p| p.relation.estimated_rows).sum(),
    });

    let work = async {
        let workers = sessions.into_iter().map(|s| tokio::spawn(Arc::clone(&floor).work(s)));
        let aborts: Vec<_> = workers.collect();
        join_workers(aborts).await
    };
    // The coordinator's session is kept busy by none of this; a lost one must end the snapshot,
    // since its locks are gone with it.
    let everything = async {
        tokio::try_join!(
            work,
            archive::dump(&source, config, &pg_dump, &pg_restore, &start.cipher),
            committing::surroundings(&source, &start.cipher),
        )
    };
    let unlocked =
        |why: Error| why.during("hold the snapshot's locks").hint("run the snapshot again");
    let ((), archive, surroundings) = tokio::select! {
        done = everything => match done {
            Ok(done) => done,
            // pg_dump only says that the snapshot is gone; why it is, the lost session tells.
            Err(e) if e.kind() == Kind::Program => {
                let lost = tokio::time::timeout(MOMENT, source.coordinator.closed()).await;
                return Err(lost.map_or(e, unlocked));
            }
            Err(e) => return Err(e),
        },
        why = source.coordinator.closed() => return Err(unlocked(why)),
    };
    source.still_locked().await?;
    let gathered = Gathered { archive, surroundings, read: Utc::now() };
    if let Some(cache) = &floor.cache {
        cache.keep_only(&config.name, start.generation.as_str()).await;
    }
    committing::commit(request, &start, &source, &floor, gathered).await
}

/// A table's definition digest covers default values of its columns, which may be guessed.
fn cover(source: &mut Source, cipher: &Cipher) {
    for plan in &mut source.plans {
        plan.columns.definition = cipher.cover(plan.columns.definition);
    }
}

async fn join_workers(handles: Vec<tokio::task::JoinHandle<Result<()>>>) -> Result<()> {
    let mut set = tokio::task::JoinSet::new();
    for handle in handles {
        // A guard ends its worker when this future is dropped.
        let guard = AbortOnDrop(handle);
        set.spawn(async move {
            let mut guard = guard;
            (&mut guard.0).await
        });
    }
    while let Some(done) = set.join_next().await {
        match done {
            Ok(Ok(outcome)) => outcome?,
            Ok(Err(e)) | Err(e) => {
                return Err(Error::new(Kind::Bug, "a worker ended abnormally").caused_by(e));
            }
        }
    }
    Ok(())
}

struct AbortOnDrop(tokio::task::JoinHandle<Result<()>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn open_source(request: &Request) -> Result<(crate::postgres::Session, catalog::Server)> {
    check_pooling(&request.conninfo).await?.must_keep_sessions(&request.conninfo)?;
    source::open(&request.conninfo).await
}

fn floor(request: &Request, start: &Start, source: &Source) -> Floor {
    let config = &request.config;
    let then = entries(start.previous.as_ref().map(|(m, _)| m));
    let mut queue = Vec::new();
    let mut tables = Vec::new();
    for (index, plan) in source.plans.iter().enumerate() {
        let ranges: Vec<_> = plan::ranges(plan.blocks, plan.range_blocks).collect();
        queue.extend(ranges.iter().map(|(from, to)| (index, *from, *to)));
        let then = then.get(&plan.relation.name).cloned();
        let probed = may_probe(config, start, source, plan, then.as_ref());
        tables.push(Arc::new(TableWork::new(plan.clone(), then, probed, ranges.len())));
    }
    let upload_kib = Floor::upload_budget(config.jobs);
    Floor {
        database: config.name.clone(),
        generation: start.generation.clone(),
        cipher: start.cipher.clone(),
        placed: std::sync::Mutex::default(),
        tables,
        queue,
        next: AtomicUsize::new(0),
        lanes: start.lanes.clone(),
        previous: start.previous.clone(),
        row_format: config.row_format,
        part_size: config.part_size,
        level: config.zstd_level,
        cache: config.cache_dir.clone().map(Cache::new),
        sink: Arc::clone(&request.sink),
        sealing: Arc::new(Semaphore::new(config.jobs)),
        uploads: Arc::new(Semaphore::new(upload_kib as usize)),
        coordinator: Arc::clone(&source.coordinator),
        turn: tokio::sync::Mutex::new(()),
        upload_kib,
    }
}

fn may_probe(
    config: &DatabaseConfig,
    start: &Start,
    source: &Source,
    plan: &TablePlan,
    then: Option<&crate::model::Table>,
) -> bool {
    let (Some((manifest, _)), Some(then)) = (&start.previous, then) else { return false };
    manifest.settings == source.settings
        && previous::may_probe(
            config.change_detection,
            &manifest.source,
            then,
            &source.server,
            &source.window,
            plan,
        )
}

/// Looks at everything that a snapshot would do, and does nothing.
pub async fn dry_run(request: &Request) -> Result<Preview> {
    let config = &request.config;
    let (opened, opened_source) = tokio::join!(
        opening::open(&request.stores, &request.keys, &config.name, None, &*request.sink),
        open_source(request),
    );
    let (start, course) = start(request, opened, request.full).await?;
    let (session, server) = opened_source?;
    Program::find(Tool::PgDump, config.pg_bin.as_deref(), server.version_num / 10_000).await?;
    let before = ranges_before(&start);
    let mut source = source::begin(session, server, config, &before).await?;
    cover(&mut source, &start.cipher);
    let then = entries(start.previous.as_ref().map(|(m, _)| m));
    Ok(Preview {
        generation: match course {
            Course::Begin { reason } => Err(reason),
            _ => Ok(start.generation.clone()),
        },
        tables: source
            .plans
            .iter()
            .map(|p| {
                let name = p.relation.name.clone();
                let probed = may_probe(config, &start, &source, p, then.get(&name));
                (name, p.relation.bytes + p.relation.toast_bytes, probed)
            })
            .collect(),
        sequences: source.scope.sequences.len(),
        materialized_views: source.scope.materialized_views.len(),
        left_out: source.scope.left_out.clone(),
        broken: source.scope.broken.clone(),
        lost: start.lanes.iter().filter_map(|l| Some((l.name().to_owned(), l.loss()?))).collect(),
    })
}
