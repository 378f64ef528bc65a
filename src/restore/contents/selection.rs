//! Some tables out of an archive: with their partitions, what belongs to them and what they need.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Contents, Entry, tables};
use crate::error::{Error, Kind, Result};
use crate::model::{Manifest, Table, TableName};
use crate::snapshot::matches;

/// Kinds that belong to the relation they depend on.
const ATTACHED: &[&str] = &[
    "ACL",
    "CHECK CONSTRAINT",
    "COMMENT",
    "CONSTRAINT",
    "DEFAULT",
    "FK CONSTRAINT",
    "INDEX",
    "INDEX ATTACH",
    "POLICY",
    "ROW SECURITY",
    "RULE",
    "SECURITY LABEL",
    "SEQUENCE",
    "SEQUENCE OWNED BY",
    "STATISTICS",
    "TABLE ATTACH",
    "TRIGGER",
];

/// Kinds with rows of their own or of others, which nothing attached may drag along.
const RELATIONS: &[&str] = &["TABLE", "VIEW", "MATERIALIZED VIEW", "FOREIGN TABLE"];

impl Contents {
    /// Narrows the restore down to the tables that match a pattern, with their partitions, what
    /// belongs to them and what their definitions need. Gives the labels of what belongs to them
    /// and cannot come, since it needs another table.
    pub fn select(&mut self, patterns: &[String], manifest: &Manifest) -> Result<Vec<String>> {
        let by_oid: HashMap<u32, &TableName> =
            manifest.tables.iter().map(|t| (t.oid, &t.name)).collect();
        let mut chosen: HashSet<u32> = HashSet::new();
        for pattern in patterns {
            let fits = |e: &&Entry| match by_oid.get(&e.oid) {
                _ if e.kind != "TABLE" => false,
                Some(name) => matches(pattern, &name.to_string()),
                None => e.matches(pattern),
            };
            let found: Vec<u32> = self.entries.iter().filter(fits).map(|e| e.id).collect();
            let of_extension = manifest
                .tables
                .iter()
                .any(|t| t.condition.is_some() && matches(pattern, &t.name.to_string()));
            if found.is_empty() && !of_extension {
                return Err(no_such_table(pattern, manifest));
            }
            if of_extension {
                chosen.extend(self.entries.iter().filter(|e| e.kind == "EXTENSION").map(|e| e.id));
            }
            chosen.extend(found);
        }
        self.add_partitions(&mut chosen);
        self.add_siblings(manifest, &mut chosen);
        let mut taken = HashSet::new();
        for id in &chosen {
            self.add_with_needs(*id, &mut taken);
        }
        let left_out = self.add_attached(&mut taken, &chosen);
        self.taken = taken;
        self.chosen = tables(&self.entries, &chosen);
        Ok(left_out)
    }

    /// The partitions of chosen tables, at any depth. `TABLE ATTACH` needs both ends; the partition
    /// is the one that needs the other.
    fn add_partitions(&self, chosen: &mut HashSet<u32>) {
        let by_id: HashMap<u32, &Entry> = self.entries.iter().map(|e| (e.id, e)).collect();
        let attached = self.entries.iter().filter(|e| e.kind == "TABLE ATTACH");
        let pairs: Vec<(u32, u32)> = attached
            .flat_map(|attach| attach.needs.iter().filter_map(|id| by_id.get(id)))
            .flat_map(|child| child.needs.iter().map(|parent| (*parent, child.id)))
            .filter(|(parent, _)| by_id.get(parent).is_some_and(|p| p.kind == "TABLE"))
            .collect();
        loop {
            let before = chosen.len();
            for (parent, child) in &pairs {
                if chosen.contains(parent) {
                    chosen.insert(*child);
                }
            }
            if chosen.len() == before {
                return;
            }
        }
    }

    /// Leaves whose rows may move between them come together or not at all.
    fn add_siblings(&self, manifest: &Manifest, chosen: &mut HashSet<u32>) {
        let by_oid: HashMap<u32, u32> =
            self.entries.iter().filter(|e| e.kind == "TABLE").map(|e| (e.oid, e.id)).collect();
        let moving = || {
            let all = manifest.tables.iter();
            all.filter_map(|t| Some((t.load_through.as_ref()?, *by_oid.get(&t.oid)?)))
        };
        let roots: HashSet<_> =
            moving().filter(|(_, id)| chosen.contains(id)).map(|(root, _)| root).collect();
        chosen.extend(moving().filter(|(root, _)| roots.contains(root)).map(|(_, id)| id));
    }

    fn add_with_needs(&self, id: u32, into: &mut HashSet<u32>) {
        let index: HashMap<u32, &Entry> = self.entries.iter().map(|e| (e.id, e)).collect();
        let mut open = vec![id];
        while let Some(id) = open.pop() {
            if let Some(entry) = index.get(&id)
                && into.insert(id)
            {
                open.extend(&entry.needs);
            }
        }
    }

    /// Adds what belongs to entries taken, until nothing more does.
    fn add_attached(&self, taken: &mut HashSet<u32>, chosen: &HashSet<u32>) -> Vec<String> {
        let relations: HashSet<u32> =
            self.entries.iter().filter(|e| e.is(RELATIONS)).map(|e| e.id).collect();
        let mut refused: BTreeSet<u32> = BTreeSet::new();
        loop {
            let before = taken.len();
            for entry in self.entries.iter().filter(|e| e.is(ATTACHED)) {
                let belongs = entry.needs.iter().any(|n| taken.contains(n));
                if taken.contains(&entry.id) || refused.contains(&entry.id) || !belongs {
                    continue;
                }
                let mut with = taken.clone();
                self.add_with_needs(entry.id, &mut with);
                match with.difference(taken).any(|id| relations.contains(id)) {
                    true => {
                        refused.insert(entry.id);
                    }
                    false => *taken = with,
                }
            }
            if taken.len() == before {
                break;
            }
        }
        let of_chosen =
            |e: &&Entry| refused.contains(&e.id) && e.needs.iter().any(|n| chosen.contains(n));
        self.entries.iter().filter(of_chosen).map(Entry::label).collect()
    }
}

fn no_such_table(pattern: &str, manifest: &Manifest) -> Error {
    let apart = |t: &Table| {
        // The schema may have been forgotten.
        let (name, full) = (&t.name.name, t.name.to_string());
        let distance = strsim::damerau_levenshtein;
        (distance(pattern, &full).min(distance(pattern, name)), full)
    };
    let near = manifest.tables.iter().map(apart).min();
    let error =
        Error::new(Kind::Usage, format!("snapshot {} has no table `{pattern}`", manifest.id));
    match near {
        Some((distance, name)) if distance <= 4 => error.hint(format!("is `{name}` meant?")),
        _ => error.hint("name it as schema.table; `drctl show` lists the tables"),
    }
}
