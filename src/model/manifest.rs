//! The manifest: the document that makes a snapshot exist. docs/format.md is its reference.

use std::collections::BTreeMap;
use std::fmt;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{Digest, Encryption, GenerationId, Kept, Lsn, RowDigest, SnapshotId};

/// A schema-qualified name, unquoted. Shown as `schema.name`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TableName {
    pub schema: String,
    pub name: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.name)
    }
}

/// How rows are written in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RowFormat {
    /// `COPY` text format: one line a row.
    #[default]
    Text,
    /// `COPY` binary format: each part a whole file with header and trailer.
    Binary,
}

/// Everything that one snapshot consists of and where it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub id: SnapshotId,
    pub project: String,
    pub database: String,
    pub generation: GenerationId,
    /// None: what the generation holds is not encrypted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<Encryption>,
    /// The moment that the snapshot shows: when its MVCC snapshot was taken, by the server's clock.
    pub taken: DateTime<Utc>,
    /// When the last row had been read.
    pub read: DateTime<Utc>,
    /// The program that wrote it, with its version.
    pub program: String,
    /// The stores that were to have it.
    pub stores: Vec<String>,
    pub source: Source,
    pub row_format: RowFormat,
    /// The session settings under which rows were read, and must be read to compare row digests.
    pub settings: BTreeMap<String, String>,
    pub schema: SchemaArchive,
    /// Ordered by schema and name.
    pub tables: Vec<Table>,
    pub sequences: Vec<Sequence>,
    pub large_objects: LargeObjects,
    /// Materialized views that held rows, in an order in which they can be refreshed.
    pub materialized_views: Vec<MaterializedView>,
    pub extensions: Vec<Extension>,
    pub roles: Vec<Role>,
    pub left_out: Vec<LeftOut>,
    pub totals: Totals,
}

impl Manifest {
    /// How its parts and its schema archive are kept.
    pub fn kept(&self) -> Kept {
        if self.encryption.is_none() { Kept::Open } else { Kept::Age }
    }
}

/// The server and database that a snapshot was read from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `pg_control_system().system_identifier`, in decimal; unknown where the role may not ask.
    pub system_identifier: Option<String>,
    pub timeline: Option<u32>,
    pub database: String,
    pub database_oid: u32,
    /// `server_version`, as the server spells it.
    pub version: String,
    /// `server_version_num`.
    pub version_num: u32,
    /// `pg_postmaster_start_time()`: a restored volume has the identifiers of its source, but not
    /// its postmaster.
    pub postmaster_started: String,
    /// `stats_reset` of `pg_stat_archiver`, which crash recovery sets anew. A postmaster lives on
    /// when a backend crashes, but commits that were not yet written (`synchronous_commit = off`)
    /// are lost, and their transaction ids are given out again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counting_since: Option<String>,
    /// `pg_snapshot_xmin` of the snapshot, an xid8 in decimal.
    pub xmin: String,
    /// Write or replay position just after the snapshot was taken.
    pub lsn: Option<Lsn>,
    pub in_recovery: bool,
    /// The database's encoding. Parts are in UTF-8, or in SQL_ASCII where the database is.
    pub encoding: String,
    pub collate: String,
    pub ctype: String,
    /// `libc`, `icu` or `builtin`.
    pub locale_provider: String,
    /// The ICU or built-in locale.
    pub locale: Option<String>,
    /// Bytes of a heap block.
    pub block_size: u32,
}

/// The `pg_dump` archive with definitions, ownership, privileges and large objects.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaArchive {
    pub stored_digest: Digest,
    pub stored: u64,
    /// `pg_dump --version`.
    pub program: String,
}

/// One table's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    #[serde(flatten)]
    pub name: TableName,
    pub oid: u32,
    pub relfilenode: u32,
    /// Digest of what decides the text of a row besides its bytes: columns, dropped and missing
    /// values, and labels of enums used; keyed where the generation is encrypted.
    pub definition: Digest,
    /// The copied columns in the order of their values; generated columns are not copied.
    pub columns: Vec<String>,
    /// Rows are taken where this holds: the condition of an extension's configuration table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<String>,
    /// The partitioned table through which rows must be loaded, since the partition of a row may
    /// differ in another database (hash partitions by enum).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub load_through: Option<TableName>,
    /// Heap blocks in each range of its list, kept within a generation; 0: read as one range.
    pub range_blocks: u64,
    /// Digest of the part list's JSON.
    pub list: Digest,
    /// SHA-256 of the stored (compressed) list.
    pub list_stored_digest: Digest,
    /// Stored bytes of the list.
    pub list_stored: u64,
    pub parts: u64,
    pub rows: u64,
    pub row_digest: RowDigest,
    pub raw_bytes: u64,
    /// Stored bytes of its parts and of the bases they need.
    pub stored_bytes: u64,
}

/// A sequence and its value, read after the snapshot was taken, so never behind its rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sequence {
    #[serde(flatten)]
    pub name: TableName,
    /// In decimal.
    pub last_value: String,
    pub is_called: bool,
}

/// Large objects, whose contents are in the schema archive. The digest covers `(oid, chunk number,
/// chunk)` rows of 1 MiB chunks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LargeObjects {
    pub objects: u64,
    pub chunks: u64,
    pub row_digest: RowDigest,
}

/// A materialized view that is refreshed on restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaterializedView {
    #[serde(flatten)]
    pub name: TableName,
}

/// An installed extension.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extension {
    pub name: String,
    pub version: String,
    pub schema: String,
}

/// A role of the server, without secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Role {
    pub name: String,
    pub superuser: bool,
    pub inherit: bool,
    pub create_role: bool,
    pub create_db: bool,
    pub login: bool,
    pub replication: bool,
    pub bypass_rls: bool,
    pub connection_limit: i32,
    pub member_of: Vec<String>,
}

/// Something that a snapshot does not carry, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    pub what: String,
    pub reason: String,
}

/// Sums over a snapshot. `new_*` count what the previous snapshot of the generation had not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Totals {
    pub tables: u64,
    pub rows: u64,
    pub raw_bytes: u64,
    /// Stored bytes of every object that the snapshot needs, except the manifest.
    pub stored_bytes: u64,
    pub new_bytes: u64,
    pub parts: u64,
    pub new_parts: u64,
}
