//! The check of one generation in one store: what its snapshots need, the verdict over each, and
//! what nothing names.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt as _, stream};

use super::inventory::Inventory;
use super::looking::{Fault, Looker};
use super::needs::Run;
use super::promise::{Names, Promise};
use super::reading::{fault_of, read_promise};
use super::surplus;
use super::terms::{Checked, Terms, finding};
use super::{Depth, Verdict};
use crate::error::{Error, Result};
use crate::integrity::history::Place;
use crate::model::{Digest, Finding, FindingKind, Level, SnapshotId};
use crate::store::keys;

/// Manifests read at once.
const READERS: usize = 16;

/// Checks the given snapshots of one generation in one store, oldest first.
pub async fn check(terms: &Terms, looker: &Looker, mut targets: Vec<Place>) -> Result<Checked> {
    let mut found = Checked::default();
    let (promises, understood) = read_promises(terms, looker, &targets, &mut found).await;
    // Listed after the manifests were read: what they name was there before them.
    let listing = Inventory::list(&*looker.store, &looker.database, &looker.generation).await;
    let inventory = match listing {
        Ok(inventory) => inventory,
        Err(e) => {
            let fault = Fault::of(e);
            let prefix = keys::generation_prefix(&looker.database, &looker.generation);
            for place in &targets {
                let fault = Fault::new(FindingKind::Unreadable, fault.detail.clone());
                found.findings.push(finding(looker, Some(&place.snapshot), None, &prefix, fault));
            }
            judge(&mut found, &targets);
            return Ok(found);
        }
    };
    if let Some(ledger) = &terms.scope.ledger {
        ledger.holds(looker.store.name(), &looker.generation, &inventory.tallies.bytes);
    }
    let mut run = Run::new(terms, looker, inventory, found, understood);
    run.check(&promises).await?;
    let Run { mut found, inventory, named, known, understood, .. } = run;
    forget_deleted(terms, looker, &mut targets, &mut found).await;
    judge(&mut found, &targets);
    surplus::find(terms, looker, &inventory, named, known, understood, &targets, &mut found)
        .await?;
    Ok(found)
}

async fn read_promises(
    terms: &Terms,
    looker: &Looker,
    targets: &[Place],
    found: &mut Checked,
) -> (Vec<Promise>, bool) {
    let mut reads = stream::iter(targets)
        .map(async |place| (place, read_promise(terms, looker, place).await))
        .buffered(READERS);
    let (mut promises, mut names, mut understood) = (Vec::new(), Names::new(), true);
    while let Some((place, read)) = reads.next().await {
        match read {
            Ok((manifest, bytes)) => {
                found.counts.object(bytes.len() as u64);
                found.manifests.push((place.snapshot.clone(), Digest::of(&bytes)));
                found.stores.push((place.snapshot.clone(), manifest.stores.clone()));
                let mut promise = Promise::of(&manifest, &mut names);
                if terms.depth == Depth::Content {
                    match terms.keys.cipher(&manifest) {
                        Ok(cipher) => promise.cipher = Some(cipher),
                        Err(e) => found.findings.push(unopened(looker, place, &e)),
                    }
                }
                promises.push(promise);
            }
            Err(fault) => {
                understood = false;
                found.counts.object(0);
                let key = keys::manifest_key(&looker.database, &place.generation, &place.snapshot);
                found.findings.push(finding(looker, Some(&place.snapshot), None, &key, fault));
            }
        }
    }
    (promises, understood)
}

/// A snapshot whose parts cannot be opened here. Their stored bytes are compared all the same.
fn unopened(looker: &Looker, place: &Place, e: &Error) -> Finding {
    let key = keys::manifest_key(&looker.database, &place.generation, &place.snapshot);
    let Fault { kind, detail } = fault_of(e);
    let hint = e.advice().map(|hint| format!("; {hint}")).unwrap_or_default();
    let detail = format!("what is stored can be compared, not opened: {detail}{hint}");
    finding(looker, Some(&place.snapshot), None, &key, Fault { kind, detail })
}

/// The verdict over each snapshot, from its findings.
fn judge(found: &mut Checked, targets: &[Place]) {
    let mut worst: HashMap<&str, Verdict> = HashMap::new();
    for finding in &found.findings {
        let Some(snapshot) = finding.snapshot.as_deref() else { continue };
        let verdict = match finding.kind {
            FindingKind::Missing | FindingKind::Damaged => Verdict::Damaged,
            FindingKind::Unreadable => Verdict::Unverified,
            FindingKind::Surplus => Verdict::Intact,
        };
        let slot = worst.entry(snapshot).or_insert(verdict);
        *slot = verdict.max(*slot);
    }
    found.verdicts = targets
        .iter()
        .map(|place| {
            let verdict = worst.get(place.snapshot.as_str()).copied();
            (place.snapshot.clone(), verdict.unwrap_or(Verdict::Intact))
        })
        .collect();
}

/// A snapshot that was removed while it was looked at misses nothing; `targets` loses it.
async fn forget_deleted(
    terms: &Terms,
    looker: &Looker,
    targets: &mut Vec<Place>,
    found: &mut Checked,
) {
    let missing: HashSet<String> = found
        .findings
        .iter()
        .filter(|f| f.kind == FindingKind::Missing)
        .filter_map(|f| f.snapshot.clone())
        .collect();
    for id in missing {
        let Ok(snapshot) = id.parse::<SnapshotId>() else { continue };
        let key = keys::manifest_key(&looker.database, &looker.generation, &snapshot);
        if matches!(looker.store.head(&key, false).await, Ok(None)) {
            found.findings.retain(|f| f.snapshot.as_deref() != Some(id.as_str()));
            found.stores.retain(|(s, _)| *s != snapshot);
            found.manifests.retain(|(s, _)| *s != snapshot);
            targets.retain(|place| place.snapshot != snapshot);
            let store = looker.store.name();
            terms.sink.notice(
                Level::Info,
                format!("snapshot {id} was removed from store `{store}` while it was checked"),
            );
        }
    }
}
