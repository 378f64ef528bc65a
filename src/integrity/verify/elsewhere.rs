//! What is seen only beside the snapshots of one store: absent snapshots, stores out of reach,
//! strangers beside the generations.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::TryStreamExt as _;

use super::{Site, SiteChecked, VerifyRequest};
use crate::error::{Error, Kind, Result};
use crate::integrity::history::Which;
use crate::integrity::shelf;
use crate::model::{Finding, FindingKind, GenerationId, SnapshotId};
use crate::store::ObjectStore;
use crate::store::keys;

/// Strangers named one by one.
const SHOWN: usize = 1000;

/// A snapshot that was asked for must be in some store; with no snapshot at all there is nothing to
/// call intact. Where a store is out of reach, that is for the report to say.
pub fn must_exist(database: &str, which: &Which, sites: &[Site]) -> Result<()> {
    let readable: Vec<_> = sites.iter().filter_map(|site| site.places.as_ref().ok()).collect();
    let all_read = readable.len() == sites.len();
    let ids: BTreeSet<&SnapshotId> =
        readable.iter().flat_map(|places| places.iter().map(|place| &place.snapshot)).collect();
    match which {
        Which::One(id) if !ids.contains(id) && all_read => {
            Err(shelf::unknown(id.as_str(), ids.iter().map(|id| id.as_str())))
        }
        _ if ids.is_empty() && all_read => {
            Err(super::none_found(format!("there is no snapshot of `{database}` in any store"))
                .hint(format!("take one with `drctl snapshot {database}`")))
        }
        _ => Ok(()),
    }
}

/// A store whose snapshots cannot be listed.
pub fn out_of_reach(database: &str, store: &str, e: &Error) -> Finding {
    let kind = match e.kind() {
        Kind::Damaged => FindingKind::Damaged,
        _ => FindingKind::Unreadable,
    };
    Finding {
        kind,
        store: store.to_owned(),
        database: database.to_owned(),
        snapshot: None,
        table: None,
        part: None,
        detail: format!("the snapshots in this store cannot be listed: {}", e.one_line()),
    }
}

/// Snapshots that one store has and that another should have, since their manifests name it.
pub async fn absent(database: &str, sites: &[Site], checked: &[SiteChecked]) -> Vec<Finding> {
    let mut wanted: BTreeMap<(&SnapshotId, &str), &GenerationId> = BTreeMap::new();
    for site in checked {
        for (generation, snapshot, stores) in &site.stores {
            for store in stores.iter().filter(|name| **name != site.store) {
                wanted.insert((snapshot, store), generation);
            }
        }
    }
    let mut findings = Vec::new();
    for ((snapshot, store), generation) in wanted {
        let Some(site) = sites.iter().find(|site| site.store.name() == store) else { continue };
        let Ok(places) = &site.places else { continue };
        if places.iter().any(|place| place.snapshot == *snapshot)
            || site.record.was_removed(generation)
        {
            continue;
        }
        let key = keys::manifest_key(database, generation, snapshot);
        // It may have been committed since the store was listed.
        let (kind, detail) = match site.store.head(&key, false).await {
            Ok(Some(_)) => continue,
            Ok(None) => {
                let other = checked
                    .iter()
                    .find(|c| c.stores.iter().any(|(_, s, _)| s == snapshot))
                    .map_or("", |c| c.store.as_str());
                (
                    FindingKind::Missing,
                    format!(
                        "store `{other}` has this snapshot and it was to be here too; \
                         `drctl copy {database} --from {other} --to {store} --snapshot {snapshot}` \
                         brings it"
                    ),
                )
            }
            Err(e) => (FindingKind::Unreadable, Error::from(e).one_line()),
        };
        findings.push(Finding {
            kind,
            store: store.to_owned(),
            database: database.to_owned(),
            snapshot: Some(snapshot.as_str().to_owned()),
            table: None,
            part: Some(key),
            detail,
        });
    }
    findings
}

/// Objects of the database that lie beside its generations. Names that begin as generations do are
/// looked at only as folders, so that no generation is listed for this.
pub async fn strangers(request: &VerifyRequest, store: &Arc<dyn ObjectStore>) -> Vec<Finding> {
    let prefix = keys::database_prefix(&request.database);
    let mut keys = Vec::new();
    // What cannot be listed here was listed before; a failure now takes nothing from the findings.
    if let Ok(dirs) = store.list_dirs(&prefix).await {
        for dir in dirs.iter().filter(|dir| dir.parse::<GenerationId>().is_err()) {
            keys.push(format!("{prefix}{dir}/"));
        }
    }
    if request.which == Which::All {
        let generations = format!("{prefix}g");
        let mut before = store.list(&prefix);
        while let Ok(Some(listed)) = before.try_next().await {
            if listed.key.as_str() >= generations.as_str() || keys.len() > SHOWN {
                break;
            }
            keys.push(listed.key);
        }
        drop(before);
        let mut after = store.list_after(&prefix, &format!("{generations}\u{7f}"));
        while let Ok(Some(listed)) = after.try_next().await {
            if keys.len() > SHOWN {
                break;
            }
            keys.push(listed.key);
        }
    }
    keys.truncate(SHOWN);
    // A folder says it all of what is in it.
    let folders: Vec<String> = keys.iter().filter(|k| k.ends_with('/')).cloned().collect();
    keys.retain(|key| !folders.iter().any(|f| key != f && key.starts_with(f.as_str())));
    keys.into_iter()
        .map(|key| Finding {
            kind: FindingKind::Surplus,
            store: store.name().to_owned(),
            database: request.database.clone(),
            snapshot: None,
            table: None,
            part: Some(key),
            detail: super::NOT_OURS.to_owned(),
        })
        .collect()
}
