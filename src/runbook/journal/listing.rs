//! Which runs there are, and how each stands, from the first and the last entry of its journal.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Copies, entry_key};
use crate::error::{Error, Kind, Result};
use crate::providers::RunFacts;
use crate::runbook::record::{Ending, Entry, Record};
use crate::store::{ObjectStore, keys};

const AT_ONCE: usize = 16;

/// A run in a list.
#[derive(Debug, Clone, PartialEq)]
pub struct RunSummary {
    pub run: RunFacts,
    /// How it ended; `None`: it has not.
    pub ending: Option<Ending>,
    /// It was paused, and not gone on with.
    pub paused: bool,
    /// When the last entry was written.
    pub last: DateTime<Utc>,
    /// Only in the local copy: the control store does not have it, or not yet.
    pub local_only: bool,
}

impl RunSummary {
    /// Whether somebody should still do something about it.
    pub fn is_open(&self) -> bool {
        matches!(self.ending, None | Some(Ending::Stopped))
    }
}

/// The runs of a project, newest first: those, and those that cannot be read, with the reason.
#[derive(Debug, Default)]
pub struct Runs {
    pub runs: Vec<RunSummary>,
    pub unreadable: Vec<(String, String)>,
    /// Why the control store could not be asked; the list is then of this machine alone.
    pub control_away: Option<String>,
}

/// How many entries each run has in a copy.
async fn counted(store: &dyn ObjectStore) -> Result<BTreeMap<String, u64>> {
    let mut runs = BTreeMap::new();
    let mut listed = store.list(keys::RUNS);
    while let Some(object) = listed.try_next().await? {
        let Some(keys::KeyKind::Run { run, entry }) = keys::parse(&object.key) else { continue };
        let number = entry.strip_suffix(".json").filter(|n| n.len() == 8);
        if let Some(number) = number.and_then(|n| n.parse::<u64>().ok()) {
            let entries = runs.entry(run).or_default();
            *entries = number.max(*entries);
        }
    }
    Ok(runs)
}

/// The runs of both copies.
pub async fn list(copies: &Copies) -> Result<Runs> {
    let mut all = Runs::default();
    let local = counted(&*copies.local).await.unwrap_or_default();
    let control = match counted(&*copies.control).await {
        Ok(runs) => runs,
        Err(e) if e.kind() == Kind::Storage => {
            all.control_away = Some(e.one_line());
            BTreeMap::new()
        }
        Err(e) => return Err(e),
    };
    let mut last: BTreeMap<String, (u64, bool)> = BTreeMap::new();
    for (run, number) in &control {
        last.insert(run.clone(), (*number, false));
    }
    for (run, number) in &local {
        let entry = last.entry(run.clone()).or_insert((*number, true));
        if *number > entry.0 {
            *entry = (*number, true);
        }
    }
    let read = stream::iter(last).map(|(run, (number, local_only))| async move {
        let store = if local_only { &*copies.local } else { &*copies.control };
        let summary = summary(store, &run, number, local_only).await;
        (run, summary)
    });
    for (run, summary) in read.buffered(AT_ONCE).collect::<Vec<_>>().await {
        match summary {
            Ok(summary) => all.runs.push(summary),
            Err(e) => all.unreadable.push((run, e.one_line())),
        }
    }
    all.runs.reverse();
    Ok(all)
}

async fn summary(
    store: &dyn ObjectStore,
    run: &str,
    last: u64,
    local_only: bool,
) -> Result<RunSummary> {
    let first = entry(store, run, 0).await?;
    let Record::RunBegan { run: facts, .. } = first.record else {
        return Err(Error::new(Kind::Damaged, format!("read run {run}"))
            .caused_by("it does not begin with the beginning of a run"));
    };
    let newest = entry(store, run, last).await?;
    let ending = match newest.record {
        Record::RunEnded { ending } => Some(ending),
        _ => None,
    };
    let paused = matches!(newest.record, Record::RunPaused { .. });
    Ok(RunSummary { run: facts, ending, paused, last: newest.at, local_only })
}

async fn entry(store: &dyn ObjectStore, run: &str, number: u64) -> Result<Entry> {
    let key = entry_key(run, number);
    let bytes = store.get(&key).await.map_err(Error::from)?.bytes;
    serde_json::from_slice(&bytes).map_err(|e| {
        let what = format!("read {}/{key}: it is no entry of a journal", store.url());
        Error::new(Kind::Damaged, what)
            .caused_by(e)
            .hint(format!("`drctl runs verify {run}` tells everything that is wrong with it"))
    })
}

/// The run that is meant by an id, the beginning of one, or `latest`. `Kind::Usage` where it is none
/// or several.
pub async fn resolve(copies: &Copies, given: &str) -> Result<String> {
    let (control, local) = (counted(&*copies.control).await, counted(&*copies.local).await);
    let mut runs: Vec<String> = match (control, local) {
        (Ok(control), local) => {
            control.into_keys().chain(local.unwrap_or_default().into_keys()).collect()
        }
        (Err(_), Ok(local)) if !local.is_empty() => local.into_keys().collect(),
        (Err(e), _) => return Err(e),
    };
    runs.sort();
    runs.dedup();
    let usage = |what: String| Error::new(Kind::Usage, what);
    if given == "latest" {
        return runs.pop().ok_or_else(|| {
            usage("there is no run yet".to_owned())
                .hint("`drctl failover --dry-run` shows what one would do")
        });
    }
    let mut meant = runs.into_iter().filter(|run| run.starts_with(given));
    match (meant.next(), meant.next()) {
        (Some(run), None) => Ok(run),
        (Some(run), Some(_)) if run == given => Ok(run),
        (Some(one), Some(other)) => Err(usage(format!("`{given}` begins several runs"))
            .hint(format!("{one} and {other}, for two; give more of the id"))),
        (None, _) => {
            Err(usage(format!("there is no run `{given}`")).hint("`drctl runs list` lists all"))
        }
    }
}
