//! Objects that nothing names. What changed lately may belong to a snapshot under way.

use std::collections::HashSet;

use chrono::TimeDelta;

use super::inventory::Inventory;
use super::looking::{Fault, Looker};
use super::promise::{Names, Promise};
use super::reading::{open_list, read_promise};
use super::tasks::mark;
use super::terms::{Checked, Terms, finding};
use crate::error::Result;
use crate::integrity::history::Place;
use crate::integrity::lists;
use crate::model::{Digest, FindingKind, Level};
use crate::store::keys;

/// Younger objects may belong to a snapshot under way.
const YOUNG: TimeDelta = TimeDelta::hours(24);

/// Surplus objects of a generation given one by one; the others are counted.
const SHOWN: usize = 1000;

/// Bytes of part lists that are read for the sake of surplus objects alone, unless all snapshots
/// are checked.
const LISTS: u64 = 64 << 20;

/// Looks for surplus objects in a generation. `named` and `known` are the parts and lists that the
/// checked snapshots name; other snapshots' are read here as far as need be.
#[expect(clippy::too_many_arguments, reason = "the state of one check, handed over once")]
pub async fn find(
    terms: &Terms,
    looker: &Looker,
    inventory: &Inventory,
    mut named: Vec<bool>,
    mut known: HashSet<Digest>,
    understood: bool,
    targets: &[Place],
    found: &mut Checked,
) -> Result<()> {
    let (database, generation) = (&looker.database, &looker.generation);
    let mut surplus = Surplus { looker, found, shown: 0 };
    for listed in &inventory.foreign {
        surplus.add(&listed.key, super::NOT_OURS);
    }
    surplus.count_more(
        inventory.foreign_count - inventory.foreign.len() as u64,
        &keys::generation_prefix(database, generation),
    );
    let before = (terms.now - YOUNG).timestamp();
    for ((snapshot, kept), held) in &inventory.schemas {
        if held.modified < before && !inventory.manifests.contains_key(snapshot) {
            let key = keys::schema_key(database, generation, snapshot, *kept);
            surplus.add(&key, "its snapshot has no manifest: it was never finished");
        }
    }
    let doubtful = |named: &[bool], known: &HashSet<Digest>| {
        let parts = inventory.parts().iter().zip(named);
        parts.filter(|(held, named)| !**named && held.modified < before).count()
            + inventory
                .lists
                .iter()
                .filter(|(list, held)| held.modified < before && !known.contains(list))
                .count()
    };
    let count = doubtful(&named, &known);
    if count == 0 {
        return Ok(());
    }
    let unsure = |why: &str| {
        terms.sink.notice(
            Level::Info,
            format!(
                "store `{}`: whether {count} objects of generation {generation} are surplus was \
                 not found out: {why}",
                looker.store.name()
            ),
        );
    };
    if !understood {
        unsure("not every manifest and part list could be read");
        return Ok(());
    }
    match rest(terms, looker, inventory, targets, &mut named, &mut known).await? {
        Rest::Read => {}
        Rest::TooMuch => {
            unsure("the part lists of its other snapshots are large; `--snapshot all` reads them");
            return Ok(());
        }
        Rest::Broken => {
            unsure("not every manifest and part list could be read");
            return Ok(());
        }
    }
    for (held, _) in
        inventory.parts().iter().zip(&named).filter(|(h, n)| !**n && h.modified < before)
    {
        surplus.add(&looker.key(held.name), "no snapshot names it");
    }
    for (list, held) in &inventory.lists {
        if held.modified < before && !known.contains(list) {
            surplus.add(&keys::list_key(database, generation, *list), "no snapshot names it");
        }
    }
    let more = surplus.shown.saturating_sub(SHOWN) as u64;
    surplus.count_more(more, &keys::generation_prefix(database, generation));
    Ok(())
}

struct Surplus<'a> {
    looker: &'a Looker,
    found: &'a mut Checked,
    shown: usize,
}

impl Surplus<'_> {
    fn add(&mut self, key: &str, why: &str) {
        self.shown += 1;
        if self.shown <= SHOWN {
            let fault = Fault::new(FindingKind::Surplus, why);
            self.found.findings.push(finding(self.looker, None, None, key, fault));
        }
    }

    fn count_more(&mut self, count: u64, prefix: &str) {
        if count > 0 {
            let fault = Fault::new(FindingKind::Surplus, format!("{count} more objects below it"));
            self.found.findings.push(finding(self.looker, None, None, prefix, fault));
        }
    }
}

enum Rest {
    Read,
    TooMuch,
    Broken,
}

/// Reads what the other snapshots of the generation name.
async fn rest(
    terms: &Terms,
    looker: &Looker,
    inventory: &Inventory,
    targets: &[Place],
    named: &mut [bool],
    known: &mut HashSet<Digest>,
) -> Result<Rest> {
    let mut names = Names::new();
    let mut budget = LISTS;
    for snapshot in inventory.manifests.keys() {
        if targets.iter().any(|place| place.snapshot == *snapshot) {
            continue;
        }
        let place = Place { snapshot: snapshot.clone(), generation: looker.generation.clone() };
        let Ok((manifest, _)) = read_promise(terms, looker, &place).await else {
            return Ok(Rest::Broken);
        };
        for line in Promise::of(&manifest, &mut names).tables {
            if !known.insert(line.list.list) {
                continue;
            }
            if !terms.all && line.list_stored > budget {
                return Ok(Rest::TooMuch);
            }
            budget = budget.saturating_sub(line.list_stored);
            match read(looker, line.list).await? {
                Some(list) => mark(&list, inventory, named),
                None => return Ok(Rest::Broken),
            }
        }
    }
    Ok(Rest::Read)
}

async fn read(looker: &Looker, promise: lists::Promise) -> Result<Option<crate::model::PartList>> {
    let key = keys::list_key(&looker.database, &looker.generation, promise.list);
    match looker.store.get(&key).await {
        Ok(object) => Ok(open_list(object.bytes, promise).await?.ok()),
        Err(_) => Ok(None),
    }
}
