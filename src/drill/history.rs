//! Drills that were made: their reports in the stores, and what the newest tells against the earlier
//! ones.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};

use super::account::{Account, Earlier, FORMAT, Phase, Regression, Rehearsal};
use super::record::{BEGAN, Began, CLEARED, Cleared, REPORT};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::integrity::seal::{self, Keys};
use crate::model::{Digest, DrillId};
use crate::store::{ObjectStore, keys};

/// Reports read at once.
const READERS: usize = 8;
/// Drills that one is compared with.
const COMPARED: usize = 20;
/// A phase took much longer if it took this much more than usual, and so many seconds.
const FACTOR: f64 = 1.5;
const LEAST_SECONDS: f64 = 2.0;
/// As many drills must have been made for there to be anything usual.
const LEAST_DRILLS: usize = 3;

/// `report.json`: the account, and the digests of the files that show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    #[serde(flatten)]
    pub account: Account,
    pub files: BTreeMap<String, Digest>,
}

/// The sealed bytes of a report and of the files that show it.
pub fn seal_report(account: &Account, files: &[(&str, Bytes)], keys: &Keys) -> Result<Bytes> {
    let digest = |(name, bytes): &(&str, Bytes)| ((*name).to_owned(), Digest::of(bytes));
    let files = files.iter().map(digest).collect();
    let document = Document { account: account.clone(), files };
    seal::seal_document(&document, keys)
}

/// What is known of a drill.
#[derive(Debug, Clone)]
pub enum Known {
    /// It ended, with its report.
    Ended(Box<Account>),
    /// It ended without a word, and what it left was cleared away.
    Cleared(Began, Cleared),
    /// It goes on, or ended without a word.
    Open(Began),
    /// Its report could not be read or not be proven.
    Unreadable(String),
}

/// The ids of all drills of the stores, the oldest first, and the stores that could not be asked.
pub async fn ids(stores: &[Arc<dyn ObjectStore>]) -> (Vec<DrillId>, Vec<(String, String)>) {
    let asked = stores.iter().map(async |store| (store, store.list_dirs(keys::DRILLS).await));
    let (mut ids, mut away) = (Vec::new(), Vec::new());
    for (store, found) in futures_util::future::join_all(asked).await {
        match found {
            Ok(names) => ids.extend(names.iter().filter_map(|name| name.parse().ok())),
            Err(e) => away.push((store.name().to_owned(), Error::from(e).one_line())),
        }
    }
    ids.sort();
    ids.dedup();
    (ids, away)
}

/// What the stores have of one drill; the first that knows its end tells.
pub async fn read(stores: &[Arc<dyn ObjectStore>], proof: &Keys, id: &DrillId) -> Known {
    let (mut began, mut cleared, mut trouble) = (None, None, None);
    for store in stores {
        match get(&**store, id, REPORT).await {
            Ok(Some(bytes)) => match open(&bytes, proof) {
                Ok(document) => return Known::Ended(Box::new(document.account)),
                Err(e) => trouble = Some(format!("store `{}`: {}", store.name(), e.one_line())),
            },
            Ok(None) => {}
            Err(e) => trouble = Some(e.one_line()),
        }
        let parsed = |found: Result<Option<Bytes>>| found.ok().flatten();
        if began.is_none() {
            let found = parsed(get(&**store, id, BEGAN).await);
            began = found.and_then(|b| serde_json::from_slice::<Began>(&b).ok());
        }
        if cleared.is_none() {
            let found = parsed(get(&**store, id, CLEARED).await);
            cleared = found.and_then(|b| serde_json::from_slice::<Cleared>(&b).ok());
        }
    }
    match (began, cleared, trouble) {
        (_, _, Some(why)) => Known::Unreadable(why),
        (Some(began), Some(cleared), None) => Known::Cleared(began, cleared),
        (Some(began), None, None) => Known::Open(began),
        (None, _, None) => Known::Unreadable("its record is not to be had".to_owned()),
    }
}

/// Reads and proves a report.
pub fn open(bytes: &[u8], proof: &Keys) -> Result<Document> {
    seal::open_document(bytes, proof, FORMAT)
}

/// The bytes of a drill's object; none: it is not there.
pub async fn get(store: &dyn ObjectStore, id: &DrillId, entry: &str) -> Result<Option<Bytes>> {
    match store.get(&keys::drill_key(id, entry)).await {
        Ok(object) => Ok(Some(object.bytes)),
        Err(e) if e.class == crate::store::Class::NotFound => Ok(None),
        Err(e) => Err(e.into()),
    }
}

/// The newest drills, newest first.
pub async fn newest(
    stores: &[Arc<dyn ObjectStore>],
    proof: &Keys,
    ids: &[DrillId],
    limit: usize,
) -> Vec<(DrillId, Known)> {
    let newest = ids.iter().rev().take(limit).cloned().collect::<Vec<_>>();
    let reads = stream::iter(newest).map(async |id| {
        let known = read(stores, proof, &id).await;
        (id, known)
    });
    reads.buffered(READERS).collect().await
}

/// Earlier drills of the same kind and subject, the oldest first.
pub async fn earlier(
    stores: &[Arc<dyn ObjectStore>],
    proof: &Keys,
    rehearsal: Rehearsal,
    subject: &str,
) -> Vec<Account> {
    let (ids, _) = ids(stores).await;
    let mut found = Vec::new();
    for (_, known) in newest(stores, proof, &ids, COMPARED * 3).await {
        if let Known::Ended(account) = known
            && account.rehearsal == rehearsal
            && account.subject == subject
        {
            found.push(*account);
        }
    }
    found.truncate(COMPARED);
    found.reverse();
    found
}

/// A drill in a line of the history.
pub fn line(account: &Account) -> Earlier {
    Earlier {
        id: account.id.clone(),
        began: account.began,
        outcome: account.outcome,
        recovery_seconds: account.objectives.recovery_seconds,
        raw_bytes: account.snapshot.as_ref().map(|s| s.raw_bytes),
    }
}

/// Phases that took much longer than in earlier drills in the same kind of place. Times are compared
/// for as many bytes, as far as the database has grown; without `raw_bytes`, as they are.
pub fn regressions(
    phases: &[Phase],
    raw_bytes: Option<u64>,
    kind: &str,
    earlier: &[Account],
) -> Vec<Regression> {
    let same: Vec<&Account> = earlier.iter().filter(|a| a.scratch.kind == kind).collect();
    let mut all = Vec::new();
    for phase in phases.iter().filter(|phase| !phase.failed) {
        let mut usual: Vec<f64> = same
            .iter()
            .filter_map(|account| {
                let grown = match raw_bytes {
                    Some(bytes) => {
                        let then = account.snapshot.as_ref()?.raw_bytes.max(1) as f64;
                        (bytes as f64 / then).max(1.0)
                    }
                    None => 1.0,
                };
                let found = account.phases.iter().find(|p| p.name == phase.name && !p.failed)?;
                Some(found.seconds * grown)
            })
            .collect();
        if usual.len() < LEAST_DRILLS {
            continue;
        }
        usual.sort_by(f64::total_cmp);
        let median = usual[usual.len() / 2];
        if phase.seconds > median * FACTOR && phase.seconds > median + LEAST_SECONDS {
            all.push(Regression {
                phase: phase.name.clone(),
                seconds: phase.seconds,
                usual_seconds: median,
                drills: usual.len() as u64,
            });
        }
    }
    all
}

/// Finds a drill by `latest`, its id or the beginning of one.
pub fn resolve(ids: &[DrillId], text: &str) -> Result<DrillId> {
    if text == "latest" {
        return ids.last().cloned().ok_or_else(|| {
            Error::new(Kind::Failed, "there is no drill yet")
                .hint("`drctl drill restore` or `drctl drill failover` makes one")
        });
    }
    let matching: Vec<&DrillId> =
        ids.iter().filter(|id| !text.is_empty() && id.as_str().starts_with(text)).collect();
    match matching.as_slice() {
        [one] => Ok((*one).clone()),
        [] => Err(Error::new(Kind::Usage, format!("there is no drill `{text}`"))
            .hint("`drctl drill list` shows all")),
        many => Err(Error::new(Kind::Usage, format!("{} drills begin with `{text}`", many.len()))
            .hint("give more of the id")),
    }
}

/// Whether the bytes of a shown file are those that the report was sealed with.
pub fn must_be_sealed(document: &Document, name: &str, bytes: &[u8]) -> Result<()> {
    let found = Digest::of(bytes);
    match document.files.get(name) {
        Some(promised) if *promised == found => Ok(()),
        Some(promised) => Err(Error::new(
            Kind::Damaged,
            format!("{name} has the SHA-256 {found}, the sealed report says {promised}"),
        )),
        None => Err(Error::new(Kind::Damaged, format!("the sealed report knows no {name}"))),
    }
    .attempt(Kind::Damaged, || format!("prove {name}"))
}
