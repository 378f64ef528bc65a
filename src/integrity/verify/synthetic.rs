//! Made-up snapshots for tests and benchmarks: a million parts that are only listed, or real parts
//! of made-up rows.

use std::any::Any;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures_util::stream::{self, BoxStream, StreamExt as _};

use crate::error::{Attempt as _, Kind, Result};
use crate::integrity::{codec, rows, seal};
use crate::model::{
    Digest, FORMAT, GenerationId, Kept, LargeObjects, Manifest, Part, PartList, PartName,
    RowDigest, RowFormat, RowHash, SchemaArchive, SnapshotId, Source, Table, TableName, Totals,
};
use crate::store::{
    self, ByteStream, Condition, Listed, MemoryStore, Meta, Object, ObjectStore, Put, keys,
};

/// The database that made-up snapshots are of.
pub const DATABASE: &str = "synthetic";

/// What a made-up manifest is to say.
pub struct Outline {
    pub id: SnapshotId,
    pub database: String,
    pub generation: GenerationId,
    pub taken: DateTime<Utc>,
    pub stores: Vec<String>,
    pub tables: Vec<Table>,
    pub schema: Bytes,
}

/// A manifest of a source that never was.
pub fn manifest(outline: Outline) -> Manifest {
    let Outline { id, database, generation, taken, stores, tables, schema } = outline;
    let sum = |of: fn(&Table) -> u64| tables.iter().map(of).sum::<u64>();
    let totals = Totals {
        tables: tables.len() as u64,
        rows: sum(|t| t.rows),
        raw_bytes: sum(|t| t.raw_bytes),
        stored_bytes: sum(|t| t.stored_bytes + t.list_stored) + schema.len() as u64,
        parts: sum(|t| t.parts),
        ..Totals::default()
    };
    Manifest {
        format: FORMAT,
        encryption: None,
        id,
        project: "petforce".to_owned(),
        database,
        generation,
        taken,
        read: taken,
        program: "made up".to_owned(),
        stores,
        source: source(),
        row_format: RowFormat::Text,
        settings: BTreeMap::new(),
        schema: SchemaArchive {
            stored_digest: Digest::of(&schema),
            stored: schema.len() as u64,
            program: "pg_dump 15.0".to_owned(),
        },
        totals,
        tables,
        sequences: Vec::new(),
        large_objects: LargeObjects::default(),
        materialized_views: Vec::new(),
        extensions: Vec::new(),
        roles: Vec::new(),
        left_out: Vec::new(),
    }
}

fn source() -> Source {
    Source {
        system_identifier: Some("7".to_owned()),
        timeline: Some(1),
        database: "petforce".to_owned(),
        database_oid: 5,
        version: "15.0".to_owned(),
        version_num: 150_000,
        postmaster_started: "then".to_owned(),
        counting_since: None,
        xmin: "700".to_owned(),
        lsn: None,
        in_recovery: false,
        encoding: "UTF8".to_owned(),
        collate: "C".to_owned(),
        ctype: "C".to_owned(),
        locale_provider: "libc".to_owned(),
        locale: None,
        block_size: 8192,
    }
}

/// A table's list as it is stored, and its line in the manifest.
pub fn list(name: &str, list: &PartList) -> Result<(Bytes, Table)> {
    let json = serde_json::to_vec(list).attempt(Kind::Bug, || "write a part list".to_owned())?;
    let stored = Bytes::from(codec::compress_document(&json)?);
    let mut row_digest = RowDigest::default();
    list.parts.iter().for_each(|p| row_digest.add(p.row_digest));
    let sum = |of: fn(&Part) -> u64| list.parts.iter().map(of).sum::<u64>();
    let table = Table {
        name: TableName { schema: "public".to_owned(), name: name.to_owned() },
        oid: 1,
        relfilenode: 1,
        definition: Digest::of(name.as_bytes()),
        columns: vec!["id".to_owned()],
        condition: None,
        load_through: None,
        range_blocks: list.range_blocks,
        list: Digest::of(&json),
        list_stored_digest: Digest::of(&stored),
        list_stored: stored.len() as u64,
        parts: list.parts.len() as u64,
        rows: sum(|p| p.rows),
        row_digest,
        raw_bytes: sum(|p| p.raw),
        stored_bytes: sum(|p| p.stored),
    };
    Ok((stored, table))
}

/// A list of parts, one for each range.
pub fn part_list(parts: Vec<Part>) -> PartList {
    let blocks = parts.len() as u64;
    PartList { format: FORMAT, range_blocks: 1, blocks, bases: Vec::new(), parts }
}

async fn put(store: &dyn ObjectStore, key: &str, bytes: Bytes) -> Result<()> {
    let digest = Digest::of(&bytes);
    store.put_if(key, bytes, digest, Condition::Absent).await?;
    Ok(())
}

/// Writes lists' manifest and archive, which makes the snapshot exist.
async fn commit(
    store: &dyn ObjectStore,
    generation: &GenerationId,
    now: DateTime<Utc>,
    tables: Vec<Table>,
) -> Result<Manifest> {
    let schema = Bytes::from_static(b"PGDMP made up");
    let manifest = manifest(Outline {
        id: SnapshotId::new(now, 0),
        database: DATABASE.to_owned(),
        generation: generation.clone(),
        taken: now,
        stores: vec![store.name().to_owned()],
        tables,
        schema: schema.clone(),
    });
    put(store, &keys::schema_key(DATABASE, generation, &manifest.id, Kept::Open), schema).await?;
    let sealed = seal::seal(&manifest, &seal::Keys::default())?;
    put(store, &keys::manifest_key(DATABASE, generation, &manifest.id), sealed).await?;
    Ok(manifest)
}

/// Rows of an order table as COPY gives them: about 130 bytes each, compressible as such data is.
pub fn orders(seed: u64, bytes: usize) -> Vec<u8> {
    use std::io::Write as _;
    let mut out = Vec::with_capacity(bytes + 256);
    let mut x = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut id = seed * 1_000_000;
    while out.len() < bytes {
        x = x.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        id += 1;
        let (y, z) = (x >> 32, x >> 17);
        // Writing into a vector does not fail.
        let _ = writeln!(
            out,
            "{id}\t{}\t2026-{:02}-{:02} {:02}:{:02}:{:02}.{:06}+00\tshipped\t{}.{:02}\t\\N\tOrder \
             of {} items for the pets of customer {}",
            y % 500_000,
            y % 12 + 1,
            z % 28 + 1,
            y % 24,
            z % 60,
            y % 60,
            z % 1_000_000,
            y % 1000,
            z % 100,
            y % 7 + 1,
            z % 90_000,
        );
    }
    out
}

/// Fills a store with a snapshot of one table: `parts` parts of about `bytes` bytes, every
/// `deltas`-th of them followed by a delta that rests on it.
pub async fn fill(
    store: &dyn ObjectStore,
    now: DateTime<Utc>,
    parts: u64,
    bytes: usize,
    deltas: u64,
) -> Result<Manifest> {
    let generation = GenerationId::new(now, 0);
    let mut list = part_list(Vec::new());
    for i in 0..parts {
        let raw = orders(i + 1, bytes);
        let base = part(&raw, codec::compress(&raw, 1)?, None, list.parts.len())?;
        let base_digest = base.0.digest;
        let mut made = vec![base];
        if i % deltas.max(1) == 0 && deltas > 0 {
            let mut changed = raw.clone();
            changed.iter_mut().step_by(100_000).filter(|b| **b == b'7').for_each(|b| *b = b'8');
            changed.extend_from_slice(b"one more row\n");
            if let Some(delta) = codec::compress_delta(&changed, &raw, 1)? {
                let place = list.parts.len() + 1;
                made.push(part(&changed, delta, Some(base_digest), place)?);
                list.bases.push(crate::model::BasePart {
                    digest: base_digest,
                    stored_digest: made[0].0.stored_digest,
                    stored: made[0].0.stored,
                    raw: made[0].0.raw,
                });
            }
        }
        for (part, stored) in made {
            put(store, &keys::part_key(DATABASE, &generation, part.name(Kept::Open)), stored)
                .await?;
            list.parts.push(part);
        }
    }
    list.blocks = list.parts.len() as u64;
    list.bases.sort_by_key(|base| base.digest);
    let (stored, table) = self::list("orders", &list)?;
    put(store, &keys::list_key(DATABASE, &generation, table.list), stored).await?;
    commit(store, &generation, now, vec![table]).await
}

fn part(raw: &[u8], stored: Vec<u8>, base: Option<Digest>, place: usize) -> Result<(Part, Bytes)> {
    let tally = rows::tally(RowFormat::Text, raw, &RowHash::Open)?;
    let part = Part {
        digest: Digest::of(raw),
        base,
        stored_digest: Digest::of(&stored),
        stored: stored.len() as u64,
        raw: raw.len() as u64,
        rows: tally.rows,
        row_digest: tally.digest,
        from: place as u64,
        to: place as u64 + 1,
    };
    Ok((part, stored.into()))
}

/// A store that lists parts which it does not hold; everything else is in memory.
#[derive(Debug, Clone)]
pub struct Millions {
    inner: MemoryStore,
    prefix: String,
    generation: GenerationId,
    /// Ordered by digest, with stored sizes.
    parts: Arc<Vec<(Digest, u64)>>,
    modified: DateTime<Utc>,
}

/// Writes a snapshot of `tables` tables with `each` parts each, as the engine would.
pub async fn millions(now: DateTime<Utc>, tables: u64, each: u64) -> Result<Millions> {
    let inner = MemoryStore::new("millions");
    let generation = GenerationId::new(now, 0);
    let mut held = Vec::with_capacity((tables * each) as usize);
    let mut lines = Vec::new();
    for table in 0..tables {
        let parts: Vec<Part> = (0..each).map(|i| listed_part(table * each + i)).collect();
        held.extend(parts.iter().map(|part| (part.digest, part.stored)));
        let (stored, line) = list(&format!("table_{table:04}"), &part_list(parts))?;
        put(&inner, &keys::list_key(DATABASE, &generation, line.list), stored).await?;
        lines.push(line);
    }
    held.sort_unstable();
    commit(&inner, &generation, now, lines).await?;
    let prefix = keys::parts_prefix(DATABASE, &generation);
    Ok(Millions { inner, prefix, generation, parts: Arc::new(held), modified: now })
}

fn listed_part(number: u64) -> Part {
    let digest = Digest::of(&number.to_be_bytes());
    let mut row_digest = RowDigest::default();
    row_digest.add_row(&RowHash::Open, &number.to_be_bytes());
    Part {
        digest,
        base: None,
        stored_digest: Digest::of(digest.as_bytes()),
        stored: 4_000_000 + number % 100_000,
        raw: 16_000_000,
        rows: 100_000,
        row_digest,
        from: number,
        to: number + 1,
    }
}

impl Millions {
    /// Takes the part at this place (in the order of keys) out of the listing.
    pub fn lose(&mut self, place: usize) -> PartName {
        let (digest, _) = Arc::make_mut(&mut self.parts).remove(place);
        PartName { digest, base: None, kept: Kept::Open }
    }

    pub fn generation(&self) -> &GenerationId {
        &self.generation
    }
}

#[async_trait]
impl ObjectStore for Millions {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn url(&self) -> &str {
        self.inner.url()
    }

    fn region(&self) -> &str {
        self.inner.region()
    }

    async fn put_if(
        &self,
        key: &str,
        bytes: Bytes,
        sha256: Digest,
        condition: Condition,
    ) -> store::Result<Put> {
        self.inner.put_if(key, bytes, sha256, condition).await
    }

    async fn put_file_new(
        &self,
        key: &str,
        file: &Path,
        size: u64,
        sha256: Digest,
    ) -> store::Result<Put> {
        self.inner.put_file_new(key, file, size, sha256).await
    }

    async fn get(&self, key: &str) -> store::Result<Object> {
        self.inner.get(key).await
    }

    async fn get_stream(&self, key: &str) -> store::Result<ByteStream> {
        self.inner.get_stream(key).await
    }

    async fn head(&self, key: &str, checksum: bool) -> store::Result<Option<Meta>> {
        self.inner.head(key, checksum).await
    }

    fn list(&self, prefix: &str) -> BoxStream<'_, store::Result<Listed>> {
        let inner = self.inner.list(prefix);
        if !self.prefix.starts_with(prefix) {
            return inner;
        }
        let parts = stream::iter(self.parts.iter()).map(|(digest, size)| {
            let text = digest.to_string();
            Ok(Listed {
                etag: None,
                key: format!("{}{}/{text}.zst", self.prefix, &text[..2]),
                size: *size,
                last_modified: self.modified,
            })
        });
        // `parts` stands between `lists` and `snapshots`.
        let is_before = |listed: &store::Result<Listed>| {
            std::future::ready(listed.as_ref().is_ok_and(|l| l.key < self.prefix))
        };
        let before = self.inner.list(prefix).take_while(is_before);
        let after = inner.skip_while(is_before);
        before.chain(parts).chain(after).boxed()
    }

    async fn list_dirs(&self, prefix: &str) -> store::Result<Vec<String>> {
        self.inner.list_dirs(prefix).await
    }

    async fn delete(&self, keys: &[String]) -> store::Result<()> {
        self.inner.delete(keys).await
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    async fn now(&self) -> store::Result<DateTime<Utc>> {
        self.inner.now().await
    }
}
