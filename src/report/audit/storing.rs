//! Where reports of audits are kept: in the audited stores, create-only, the JSON last and sealed, as
//! a manifest is.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};

use super::{AuditReport, Beside, html, markdown};
use crate::error::{Error, Kind, Result};
use crate::integrity::seal::{self, Keys};
use crate::model::{AuditId, Digest};
use crate::store::{Condition, ObjectStore, Put, keys};

const JSON: &str = "report.json";
const MARKDOWN: &str = "report.md";
const HTML: &str = "report.html";

/// Reports read at once.
const READERS: usize = 16;

/// Where a report was put.
#[derive(Debug, Default)]
pub struct Stored {
    pub stores: Vec<String>,
    /// Store and reason.
    pub failed: Vec<(String, String)>,
    /// The JSON as it was stored, with its seal.
    pub json: Bytes,
}

/// Stores a report in each of the stores.
pub async fn store(
    report: &mut AuditReport,
    stores: &[Arc<dyn ObjectStore>],
    keys: &Keys,
) -> Result<Stored> {
    let beside = [(MARKDOWN, Bytes::from(markdown(report))), (HTML, Bytes::from(html(report)))];
    report.files = beside
        .iter()
        .map(|(name, bytes)| Beside { name: (*name).to_owned(), sha256: Digest::of(bytes) })
        .collect();
    let json = seal::seal_document(report, keys)?;
    let mut stored = Stored { json: json.clone(), ..Stored::default() };
    for store in stores {
        match put(&**store, report, &beside, &json).await {
            Ok(()) => stored.stores.push(store.name().to_owned()),
            Err(e) => stored.failed.push((store.name().to_owned(), e.one_line())),
        }
    }
    Ok(stored)
}

async fn put(
    store: &dyn ObjectStore,
    report: &AuditReport,
    beside: &[(&str, Bytes)],
    json: &Bytes,
) -> Result<()> {
    for (name, bytes) in beside.iter().chain([&(JSON, json.clone())]) {
        let key = keys::audit_key(&report.audit, name);
        let put = store.put_if(&key, bytes.clone(), Digest::of(bytes), Condition::Absent).await?;
        if put == Put::Refused {
            let what = format!("write {key} to store `{}`: it is there already", store.name());
            return Err(Error::new(Kind::Storage, what));
        }
    }
    Ok(())
}

/// A report as a store has it.
pub struct Kept {
    pub audit: AuditId,
    pub store: String,
    pub report: Result<AuditReport>,
}

async fn fetch(store: &dyn ObjectStore, keys: &Keys, audit: &AuditId) -> Result<AuditReport> {
    let key = keys::audit_key(audit, JSON);
    let what = || format!("read {key} in store `{}`", store.name());
    let bytes = store.get(&key).await.map_err(|e| Error::from(e).during(what()))?.bytes;
    let report: AuditReport =
        seal::open_document(&bytes, keys, super::FORM).map_err(|e| e.during(what()))?;
    match report.audit == *audit {
        true => Ok(report),
        false => Err(Error::new(Kind::Damaged, format!("{}: it is of {}", what(), report.audit))),
    }
}

/// The audits of the stores, newest first; each from the first store that gives it proven.
pub async fn list(stores: &[Arc<dyn ObjectStore>], keys: &Keys) -> Result<Vec<Kept>> {
    let mut found: Vec<(AuditId, Vec<&Arc<dyn ObjectStore>>)> = Vec::new();
    let mut away = Vec::new();
    for store in stores {
        match store.list_dirs(keys::AUDITS).await {
            Err(e) => away.push(Error::from(e)),
            Ok(dirs) => {
                for audit in dirs.iter().filter_map(|dir| dir.parse::<AuditId>().ok()) {
                    match found.iter_mut().find(|(known, _)| *known == audit) {
                        Some((_, places)) => places.push(store),
                        None => found.push((audit, vec![store])),
                    }
                }
            }
        }
    }
    if away.len() == stores.len()
        && let Some(e) = away.pop()
    {
        return Err(e.during("list audits: no store answers"));
    }
    found.sort_by(|a, b| b.0.cmp(&a.0));
    let reads = stream::iter(found).map(async |(audit, places)| {
        let mut last = None;
        for store in places {
            let report = fetch(&**store, keys, &audit).await;
            let good = report.is_ok();
            let kept = Kept { audit: audit.clone(), store: store.name().to_owned(), report };
            if good || last.is_none() {
                last = Some(kept);
            }
            if good {
                break;
            }
        }
        last
    });
    Ok(reads.buffered(READERS).filter_map(async |kept| kept).collect().await)
}

/// The audit that is meant by an id, the beginning of one, or `latest`.
pub async fn find(stores: &[Arc<dyn ObjectStore>], given: &str) -> Result<AuditId> {
    let mut ids = std::collections::BTreeSet::new();
    let mut away = None;
    for store in stores {
        match store.list_dirs(keys::AUDITS).await {
            Ok(dirs) => ids.extend(dirs.iter().filter_map(|dir| dir.parse::<AuditId>().ok())),
            Err(e) => away = Some(Error::from(e)),
        }
    }
    let usage = |what: String| Error::new(Kind::Usage, what);
    if given == "latest" {
        return ids.pop_last().ok_or_else(|| match away {
            Some(e) => e,
            None => usage("there is no audit yet".to_owned()).hint("make one: `drctl audit`"),
        });
    }
    let meant: Vec<_> = ids.into_iter().filter(|id| id.as_str().starts_with(given)).collect();
    match meant.as_slice() {
        [one] => Ok(one.clone()),
        [] => Err(usage(format!("there is no audit `{given}`"))
            .hint("`drctl audit list` lists all of them")),
        [first, .., last] => Err(usage(format!("{} audits begin with `{given}`", meant.len()))
            .hint(format!("give more of the id: they run from {first} to {last}"))),
    }
}

/// One report, from the first store that gives it proven; else the first reason why none does.
pub async fn read(
    stores: &[Arc<dyn ObjectStore>],
    keys: &Keys,
    audit: &AuditId,
) -> Result<AuditReport> {
    let mut first = None;
    for store in stores {
        match fetch(&**store, keys, audit).await {
            Ok(report) => return Ok(report),
            Err(e) => _ = first.get_or_insert(e),
        }
    }
    Err(first.unwrap_or_else(|| Error::new(Kind::Usage, "no store is configured")))
}
