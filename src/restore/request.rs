//! What a restore is asked to do, what it would do, and what came of it.

use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use serde::Serialize;

use crate::config::Profile;
use crate::integrity::encryption::Cipher;
use crate::model::{Manifest, Sink, SnapshotId, TableName};
use crate::postgres::Conninfo;
use crate::store::ObjectStore;

/// What to do about roles that the snapshot names and the target does not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Roles {
    /// Refuse before anything is changed, naming all of them.
    #[default]
    Refuse,
    /// Make them: NOLOGIN, no privileges of their own, never superuser.
    Create,
    /// Go on without them: what they own belongs to the restoring role, what they were granted is
    /// left out.
    Skip,
}

/// Differences between source and target that a drill may pass over; each that is passed over is
/// told in `Restored::skipped`. A real restore passes over none.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Allow {
    /// Extensions that the target need not have.
    pub extensions: Vec<String>,
    /// The target may lack the source's locale; text then sorts by bytes.
    pub locale: bool,
}

/// One restore.
pub struct RestoreRequest {
    /// Read and proven by `integrity::history`.
    pub manifest: Manifest,
    /// What opens its parts.
    pub cipher: Cipher,
    /// Where its objects are read from, nearest first.
    pub stores: Vec<Arc<dyn ObjectStore>>,
    pub target: Conninfo,
    /// `schema.table` patterns with `*` and `?`; empty: everything. Given, only the definitions and
    /// rows of these tables are restored, with what their definitions need.
    pub tables: Vec<String>,
    /// Make the target database; it must not be there.
    pub create: bool,
    /// Put the restored database in the place of the target, which is dropped once the proof is equal.
    pub replace: bool,
    pub roles: Roles,
    pub allow: Allow,
    /// Connections that load, prove and build indexes.
    pub jobs: usize,
    pub pg_bin: Option<PathBuf>,
    /// The provider whose schemas the target already has.
    pub profile: Option<Profile>,
    /// Configured source databases, which are never written to.
    pub protected: Vec<(String, Conninfo)>,
    /// Gather planner statistics at the end.
    pub analyze: bool,
    pub sink: Arc<dyn Sink>,
}

/// How the target database comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Course {
    /// It is there and empty.
    InPlace,
    /// It is made under another name and gets its own when it is proven.
    Create,
    /// As `Create`, and the present one is dropped then.
    Replace,
}

/// A table to restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedTable {
    #[serde(flatten)]
    pub name: TableName,
    pub rows: u64,
    pub raw_bytes: u64,
}

/// An extension whose version on the target would be another, or that is not to be had there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExtensionGap {
    pub name: String,
    pub version: String,
    /// The version that `CREATE EXTENSION` would install; none: the extension is not available.
    pub available: Option<String>,
}

/// Why the restore would be refused, and the next move.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    pub what: String,
    pub hint: String,
}

/// What a restore would do. `refusals` is empty if it can go ahead.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RestorePlan {
    pub snapshot: SnapshotId,
    /// The moment that the snapshot shows.
    pub taken: DateTime<Utc>,
    pub source_version: String,
    /// `host:port/database as user`.
    pub target: String,
    pub target_version: String,
    pub course: Course,
    /// `pg_restore 18.3 (/path)`.
    pub program: String,
    /// The largest first.
    pub tables: Vec<PlannedTable>,
    pub rows: u64,
    pub raw_bytes: u64,
    pub sequences: u64,
    pub large_objects: u64,
    pub materialized_views: Vec<TableName>,
    /// Roles that the definitions name and the target does not have.
    pub missing_roles: Vec<String>,
    pub extensions: Vec<ExtensionGap>,
    /// Schemas that the provider has made in the target: rows are loaded, definitions that are
    /// there already are kept.
    pub provided_schemas: Vec<String>,
    pub warnings: Vec<String>,
    pub refusals: Vec<Refusal>,
}

/// A difference between the manifest and what was read back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `public.events`, `sequence public.events_id_seq` or `large objects`.
    pub what: String,
    pub expected: String,
    pub found: String,
}

/// Whether what was restored is what was snapshotted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "proof", content = "differences")]
pub enum Proof {
    Equal,
    Different(Vec<Difference>),
}

/// Something that was left as it is, harmlessly.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Skipped {
    pub what: String,
    pub reason: String,
}

/// What a restore came to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Restored {
    pub snapshot: SnapshotId,
    /// `host:port/database as user`: where the data is now. Not the wanted name if the proof is
    /// different.
    pub target: String,
    pub database: String,
    pub tables: u64,
    pub rows: u64,
    pub raw_bytes: u64,
    #[serde(flatten)]
    pub proof: Proof,
    /// Seconds of each phase, in order.
    pub phases: Vec<(String, f64)>,
    pub skipped: Vec<Skipped>,
    /// Roles that were made, because the definitions name them.
    pub made_roles: Vec<String>,
    pub target_version: String,
    pub advice: Vec<String>,
}
