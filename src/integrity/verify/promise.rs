//! What snapshots promise, without all that a check does not need of a manifest.

use std::collections::HashSet;
use std::sync::Arc;

use super::super::encryption::Cipher;
use super::super::lists;
use crate::model::{Kept, Manifest, RowFormat, SchemaArchive, SnapshotId};

/// One snapshot's promise.
#[derive(Debug, Clone)]
pub struct Promise {
    pub id: SnapshotId,
    pub row_format: RowFormat,
    pub kept: Kept,
    /// What opens its parts; none: they are not to be opened, or cannot be.
    pub cipher: Option<Cipher>,
    pub schema: SchemaArchive,
    pub tables: Vec<TableLine>,
}

/// One table's line in a manifest.
#[derive(Debug, Clone)]
pub struct TableLine {
    /// `schema.name`.
    pub name: Arc<str>,
    pub list: lists::Promise,
    pub list_stored: u64,
}

/// Holds each name once: hundreds of manifests name the same tables.
pub type Names = HashSet<Arc<str>>;

impl Promise {
    pub fn of(manifest: &Manifest, names: &mut Names) -> Self {
        let mut hold = |name: String| match names.get(name.as_str()) {
            Some(held) => Arc::clone(held),
            None => {
                let held: Arc<str> = name.into();
                names.insert(Arc::clone(&held));
                held
            }
        };
        Self {
            id: manifest.id.clone(),
            row_format: manifest.row_format,
            kept: manifest.kept(),
            cipher: None,
            schema: manifest.schema.clone(),
            tables: manifest
                .tables
                .iter()
                .map(|table| TableLine {
                    name: hold(table.name.to_string()),
                    list: lists::Promise::of(table),
                    list_stored: table.list_stored,
                })
                .collect(),
        }
    }
}
