//! The proof: every row read back under the manifest's settings, counted, digested and compared.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinSet;

use super::request::{Difference, Proof};
use super::target::APPLICATION;
use crate::error::{Attempt, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::large_objects;
use crate::integrity::rows::{Counter, Tally};
use crate::model::{Event, Manifest, RowFormat, RowHash, Sequence, Sink, Table, TableName};
use crate::postgres::copy::Selection;
use crate::postgres::{Conninfo, Session, catalog, connect, quote, session_settings};

/// Heap blocks read by one statement.
const RANGE_BLOCKS: u64 = 2048;

/// What is proven of a snapshot: all of it, or some tables.
pub struct Claim<'a> {
    pub manifest: &'a Manifest,
    /// How its rows are digested.
    pub hash: RowHash,
    pub tables: Vec<&'a Table>,
}

impl<'a> Claim<'a> {
    /// Every table of the snapshot.
    pub fn whole(manifest: &'a Manifest, hash: RowHash) -> Self {
        Self { manifest, hash, tables: manifest.tables.iter().collect() }
    }
}

/// Tables that are compared as one: a table, or all leaves of a tree.
struct Group {
    label: String,
    expected: Tally,
    found: Mutex<Tally>,
    raw_bytes: u64,
    started: AtomicBool,
    left: AtomicUsize,
}

/// One statement's worth of reading.
struct Range {
    group: usize,
    table: TableName,
    columns: Vec<String>,
    condition: Option<String>,
    blocks: Option<(u64, u64)>,
}

struct Work {
    groups: Vec<Group>,
    queue: Vec<Range>,
    next: AtomicUsize,
    format: RowFormat,
    hash: RowHash,
    sink: Arc<dyn Sink>,
}

/// Compares the rows of the database of `info` with the manifest.
pub async fn rows(
    info: &Conninfo,
    claim: &Claim<'_>,
    jobs: usize,
    sink: Arc<dyn Sink>,
) -> Result<Vec<Difference>> {
    let session = reader(info, claim.manifest).await?;
    let heaps = heaps(&session).await?;
    let (groups, queue, missing) = plan(&session, claim, &heaps).await?;
    let work = Arc::new(Work {
        groups,
        queue,
        next: AtomicUsize::new(0),
        format: claim.manifest.row_format,
        hash: claim.hash.clone(),
        sink,
    });
    let mut sessions = vec![session];
    while sessions.len() < jobs.min(work.queue.len()) {
        sessions.push(reader(info, claim.manifest).await?);
    }
    let mut workers = JoinSet::new();
    for session in sessions {
        workers.spawn(Arc::clone(&work).read(session));
    }
    while let Some(done) = workers.join_next().await {
        done.attempt(Kind::Bug, || "wait for a proving session".to_owned())??;
    }
    let mut differences = missing;
    for group in &work.groups {
        let found = *group.found.lock().unwrap_or_else(PoisonError::into_inner);
        if found != group.expected {
            differences.push(Difference {
                what: group.label.clone(),
                expected: shown(group.expected),
                found: shown(found),
            });
        }
    }
    Ok(differences)
}

fn shown(tally: Tally) -> String {
    format!("{} rows, digest {}", tally.rows, tally.digest)
}

/// Compares the values of sequences.
pub async fn sequences(info: &Conninfo, expected: &[Sequence]) -> Result<Vec<Difference>> {
    let session = connect(info, APPLICATION).await?;
    let there = session
        .rows(
            "SELECT n.nspname, c.relname FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace WHERE c.relkind = 'S'",
        )
        .await?;
    let there: BTreeSet<TableName> = there
        .iter()
        .map(|r| Ok(TableName { schema: r.text(0)?.to_owned(), name: r.text(1)?.to_owned() }))
        .collect::<Result<_>>()?;
    let names: Vec<TableName> =
        expected.iter().map(|s| s.name.clone()).filter(|n| there.contains(n)).collect();
    let found = catalog::sequence_values(&session, &names).await?;
    session.close().await;
    let found: BTreeMap<&TableName, &Sequence> = found.iter().map(|s| (&s.name, s)).collect();
    let shown = |s: &Sequence| format!("{} (called: {})", s.last_value, s.is_called);
    let differs = |e: &&Sequence| found.get(&e.name) != Some(e);
    Ok(expected
        .iter()
        .filter(differs)
        .map(|e| Difference {
            what: format!("sequence {}", e.name),
            expected: shown(e),
            found: found.get(&e.name).map_or_else(|| "no such sequence".to_owned(), |f| shown(f)),
        })
        .collect())
}

/// Compares large objects.
pub async fn large_objects(
    info: &Conninfo,
    manifest: &Manifest,
    hash: RowHash,
) -> Result<Vec<Difference>> {
    let session = reader(info, manifest).await?;
    let found = large_objects::read(&session, hash).await?;
    session.close().await;
    let shown = |l: &crate::model::LargeObjects| {
        format!("{} objects, {} chunks, digest {}", l.objects, l.chunks, l.row_digest)
    };
    let expected = &manifest.large_objects;
    Ok(match found == *expected {
        true => Vec::new(),
        false => vec![Difference {
            what: "large objects".to_owned(),
            expected: shown(expected),
            found: shown(&found),
        }],
    })
}

/// Compares a whole database with a snapshot, which `cipher` opens: rows, sequences and large
/// objects.
pub async fn prove(
    info: &Conninfo,
    manifest: &Manifest,
    cipher: &Cipher,
    jobs: usize,
    sink: Arc<dyn Sink>,
) -> Result<Proof> {
    let mut all = rows(info, &Claim::whole(manifest, cipher.rows()), jobs, sink).await?;
    all.extend(sequences(info, &manifest.sequences).await?);
    all.extend(large_objects(info, manifest, cipher.rows()).await?);
    Ok(verdict(all))
}

pub fn verdict(differences: Vec<Difference>) -> Proof {
    match differences.is_empty() {
        true => Proof::Equal,
        false => Proof::Different(differences),
    }
}

/// A session that reads rows as the snapshot did.
async fn reader(info: &Conninfo, manifest: &Manifest) -> Result<Session> {
    let session = connect(info, APPLICATION).await?;
    let num = session.row("SELECT current_setting('server_version_num')").await?.number(0)?;
    session.simple(&session_settings::statements(&manifest.settings, num)).await?;
    Ok(session)
}

/// A table that is there: its heap blocks, or none if it cannot be read by ranges.
type Heaps = BTreeMap<TableName, Option<u64>>;

async fn heaps(session: &Session) -> Result<Heaps> {
    let rows = session
        .rows(
            "SELECT n.nspname, c.relname, coalesce(a.amname = 'heap', false),
                    pg_catalog.pg_relation_size(c.oid) / current_setting('block_size')::bigint
               FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
               LEFT JOIN pg_catalog.pg_am a ON a.oid = c.relam
              WHERE c.relkind = 'r'",
        )
        .await?;
    rows.iter()
        .map(|r| {
            let name = TableName { schema: r.text(0)?.to_owned(), name: r.text(1)?.to_owned() };
            Ok((name, r.truth(2)?.then(|| r.number(3)).transpose()?))
        })
        .collect()
}

/// Tables to groups and ranges; also the tables that are not there.
async fn plan(
    session: &Session,
    claim: &Claim<'_>,
    heaps: &Heaps,
) -> Result<(Vec<Group>, Vec<Range>, Vec<Difference>)> {
    let mut trees: BTreeMap<&TableName, Vec<&Table>> = BTreeMap::new();
    let mut groups = Vec::new();
    let mut queue = Vec::new();
    let mut missing = Vec::new();
    let mut add = |label: String, tables: &[&Table], leaves: Vec<TableName>| {
        let Some(first) = tables.first() else { return };
        let mut expected = Tally::default();
        for t in tables {
            expected.add(Tally { rows: t.rows, digest: t.row_digest });
        }
        let group = groups.len();
        let before = queue.len();
        for table in leaves {
            let Some(blocks) = heaps.get(&table) else {
                missing.push(Difference {
                    what: table.to_string(),
                    expected: shown(expected),
                    found: "no such table".to_owned(),
                });
                return;
            };
            let whole = first.condition.is_some();
            let ranges: Vec<_> = match blocks.filter(|_| !whole) {
                None => vec![None],
                Some(blocks) => (0..blocks.div_ceil(RANGE_BLOCKS))
                    .map(|i| Some((i * RANGE_BLOCKS, (i + 1) * RANGE_BLOCKS)))
                    .collect(),
            };
            queue.extend(ranges.into_iter().map(|blocks| Range {
                group,
                table: table.clone(),
                columns: first.columns.clone(),
                condition: first.condition.clone(),
                blocks,
            }));
        }
        groups.push(Group {
            label,
            expected,
            found: Mutex::default(),
            raw_bytes: tables.iter().map(|t| t.raw_bytes).sum(),
            started: AtomicBool::new(false),
            left: AtomicUsize::new(queue.len() - before),
        });
    };
    let mut tables = claim.tables.clone();
    tables.sort_by_key(|t| std::cmp::Reverse(t.raw_bytes));
    for table in tables {
        match &table.load_through {
            Some(root) => trees.entry(root).or_default().push(table),
            None => add(table.name.to_string(), &[table], vec![table.name.clone()]),
        }
    }
    for (root, tables) in trees {
        add(root.to_string(), &tables, leaves(session, root).await?);
    }
    Ok((groups, queue, missing))
}

async fn leaves(session: &Session, root: &TableName) -> Result<Vec<TableName>> {
    let rows = session
        .rows(&format!(
            "SELECT n.nspname, c.relname
               FROM pg_catalog.pg_partition_tree(pg_catalog.to_regclass({})) t
               JOIN pg_catalog.pg_class c ON c.oid = t.relid
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE t.isleaf AND c.relkind = 'r'",
            quote::literal(&quote::table(root))
        ))
        .await?;
    rows.iter()
        .map(|r| Ok(TableName { schema: r.text(0)?.to_owned(), name: r.text(1)?.to_owned() }))
        .collect()
}

impl Work {
    async fn read(self: Arc<Self>, session: Session) -> Result<()> {
        while let Some(range) = self.queue.get(self.next.fetch_add(1, Ordering::Relaxed)) {
            let group = &self.groups[range.group];
            if !group.started.swap(true, Ordering::Relaxed) {
                let (table, total_bytes) = (group.label.clone(), group.raw_bytes);
                self.sink.emit(Event::TableStarted { table, total_bytes });
            }
            let selection = Selection {
                table: &range.table,
                columns: &range.columns,
                blocks: range.blocks,
                condition: range.condition.as_deref(),
                format: self.format,
            };
            let mut copy =
                session.copy_out(&selection.copy_out(), &range.table.to_string()).await?;
            let mut counter = Counter::new(self.format, self.hash.clone());
            let mut bytes = 0;
            while let Some(chunk) = copy.next().await? {
                bytes += chunk.len() as u64;
                counter.push(&chunk)?;
            }
            let tally = counter.finish()?;
            group.found.lock().unwrap_or_else(PoisonError::into_inner).add(tally);
            let table = group.label.clone();
            self.sink.emit(Event::TableProgress { table: table.clone(), rows: tally.rows, bytes });
            if group.left.fetch_sub(1, Ordering::AcqRel) == 1 {
                let (rows, raw_bytes) = (group.expected.rows, group.raw_bytes);
                self.sink.emit(Event::TableEnded { table, rows, raw_bytes, new_bytes: 0 });
            }
        }
        session.close().await;
        Ok(())
    }
}
