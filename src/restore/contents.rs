//! The table of contents of a schema archive: its entries, and which of them a restore takes in
//! which stage.

mod selection;

use std::collections::HashSet;

use crate::error::{Error, Kind, Result};
use crate::model::TableName;
use crate::snapshot::matches;

/// Kinds of entries that are spelt with more than one word; of two that fit, the longer is meant.
const LONG_KINDS: &[&str] = &[
    "ACCESS METHOD",
    "BLOB COMMENTS",
    "BLOB METADATA",
    "CHECK CONSTRAINT",
    "DATABASE PROPERTIES",
    "DEFAULT ACL",
    "EVENT TRIGGER",
    "FK CONSTRAINT",
    "FOREIGN DATA WRAPPER",
    "FOREIGN SERVER",
    "FOREIGN TABLE",
    "INDEX ATTACH",
    "MATERIALIZED VIEW",
    "MATERIALIZED VIEW DATA",
    "OPERATOR CLASS",
    "OPERATOR FAMILY",
    "PROCEDURAL LANGUAGE",
    "PUBLICATION TABLE",
    "PUBLICATION TABLES IN SCHEMA",
    "ROW SECURITY",
    "SECURITY LABEL",
    "SEQUENCE OWNED BY",
    "SEQUENCE SET",
    "SHELL TYPE",
    "STATISTICS DATA",
    "SUBSCRIPTION TABLE",
    "TABLE ATTACH",
    "TABLE DATA",
    "TEXT SEARCH CONFIGURATION",
    "TEXT SEARCH DICTIONARY",
    "TEXT SEARCH PARSER",
    "TEXT SEARCH TEMPLATE",
    "USER MAPPING",
];

/// One entry. The name, schema and owner are not told apart: any of them may hold spaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub id: u32,
    /// Of the object in the source's catalogue; 0 for entries that are no object.
    pub oid: u32,
    pub kind: String,
    /// `schema name owner`; `-` stands for no schema.
    pub rest: String,
    pub needs: Vec<u32>,
}

impl Entry {
    fn is_privilege(&self) -> bool {
        matches!(self.kind.as_str(), "ACL" | "DEFAULT ACL")
    }

    fn is_of_event_trigger(&self) -> bool {
        self.kind == "EVENT TRIGGER"
            || (matches!(self.kind.as_str(), "COMMENT" | "SECURITY LABEL")
                && self.rest.starts_with("- EVENT TRIGGER "))
    }

    fn is_index_attach(&self) -> bool {
        self.kind == "INDEX ATTACH"
    }

    fn is(&self, kinds: &[&str]) -> bool {
        kinds.contains(&self.kind.as_str())
    }

    /// Whether `schema.name` matches, wherever schema, name and owner part.
    fn matches(&self, pattern: &str) -> bool {
        let words: Vec<&str> = self.rest.split(' ').collect();
        (1..words.len()).any(|i| {
            (i + 1..words.len()).any(|j| {
                matches(pattern, &format!("{}.{}", words[..i].join(" "), words[i..j].join(" ")))
            })
        })
    }

    pub fn label(&self) -> String {
        format!("{} {}", self.kind, self.rest.trim_start_matches("- "))
    }
}

/// When an entry is restored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// Definitions, large objects, indexes and constraints: each in its own section of the archive.
    Main,
    /// The indexes of partitions become parts of the partitioned ones, one after the other: side by side,
    /// several levels of them deadlock, or leave the uppermost index invalid (`pg_restore --jobs` of 15
    /// does both, now and then).
    IndexAttach,
    /// What needs those: foreign keys that refer to partitioned tables.
    AfterIndexAttach,
    /// Privileges, once nothing needs to be made any more.
    Privileges,
    /// Event triggers last of all, or they would fire on the restore itself.
    EventTriggers,
}

/// All entries in the archive's order, and those that are to be restored.
#[derive(Debug, Clone, Default)]
pub struct Contents {
    entries: Vec<Entry>,
    taken: HashSet<u32>,
    /// Catalogue OIDs of the tables whose rows are wanted too.
    chosen: HashSet<u32>,
    /// The partitions' indexes to be attached, and all that needs them.
    waiting: HashSet<u32>,
}

impl Contents {
    /// Reads `pg_restore --list --verbose`.
    pub fn parse(listing: &str) -> Result<Self> {
        let mut entries: Vec<Entry> = Vec::new();
        for line in listing.lines() {
            if let Some(needs) = line.strip_prefix(";\tdepends on:") {
                let needs = needs.split_whitespace().filter_map(|n| n.parse().ok());
                if let Some(last) = entries.last_mut() {
                    last.needs = needs.collect();
                }
            } else if !line.starts_with(';') && !line.is_empty() {
                let entry = entry(line).ok_or_else(|| {
                    let what = format!("read the archive's contents: pg_restore lists `{line}`");
                    Error::new(Kind::Program, what)
                })?;
                entries.push(entry);
            }
        }
        let taken: HashSet<u32> = entries.iter().map(|e| e.id).collect();
        let chosen = tables(&entries, &taken);
        let waiting = waiting(&entries);
        Ok(Self { entries, taken, chosen, waiting })
    }

    /// The entries of a stage, as `pg_restore --use-list` reads them.
    pub fn list(&self, stage: Stage) -> String {
        self.lines(|e| self.stage_of(e) == stage)
    }

    fn stage_of(&self, entry: &Entry) -> Stage {
        match entry {
            e if e.is_of_event_trigger() => Stage::EventTriggers,
            e if e.is_privilege() => Stage::Privileges,
            e if e.is_index_attach() => Stage::IndexAttach,
            e if self.waiting.contains(&e.id) => Stage::AfterIndexAttach,
            _ => Stage::Main,
        }
    }

    /// Everything that is restored but the bytes of large objects.
    pub fn list_of_definitions(&self) -> String {
        self.lines(|e| e.kind != "BLOBS")
    }

    /// What is about the database itself.
    pub fn list_of_database(&self) -> String {
        self.lines(|e| {
            e.is(&["DATABASE", "DATABASE PROPERTIES"])
                || (e.is(&["ACL", "COMMENT", "SECURITY LABEL"])
                    && e.rest.starts_with("- DATABASE "))
        })
    }

    fn lines(&self, wanted: impl Fn(&&Entry) -> bool) -> String {
        let taken = self.entries.iter().filter(|e| self.taken.contains(&e.id)).filter(wanted);
        taken.map(|e| format!("{};\n", e.id)).collect()
    }

    pub fn has(&self, stage: Stage) -> bool {
        !self.list(stage).is_empty()
    }

    /// Whether the table with this catalogue OID is made, and its rows are wanted.
    pub fn chooses(&self, oid: u32) -> bool {
        self.chosen.contains(&oid)
    }

    /// Whether a sequence of this name is among what is restored.
    pub fn takes_sequence(&self, name: &TableName) -> bool {
        let begins = format!("{} {} ", name.schema, name.name);
        let mut all = self.entries.iter();
        all.any(|e| {
            e.kind == "SEQUENCE" && e.rest.starts_with(&begins) && self.taken.contains(&e.id)
        })
    }

    /// Leaves out extensions, with their comments.
    pub fn without_extensions(&mut self, names: &[&str]) {
        let of_any = |text: &str| {
            let name = text.trim_end();
            names.contains(&name)
        };
        let gone = |e: &Entry| match e.kind.as_str() {
            "EXTENSION" => e.rest.strip_prefix("- ").is_some_and(of_any),
            "COMMENT" => e.rest.strip_prefix("- EXTENSION ").is_some_and(of_any),
            _ => false,
        };
        for entry in self.entries.iter().filter(|e| gone(e)) {
            self.taken.remove(&entry.id);
        }
    }

    /// Whether the archive makes this schema.
    pub fn makes_schema(&self, schema: &str) -> bool {
        let begins = format!("- {schema} ");
        let mut all = self.entries.iter();
        all.any(|e| e.kind == "SCHEMA" && e.rest.starts_with(&begins) && self.taken.contains(&e.id))
    }
}

/// The catalogue OIDs of tables among `ids`.
fn tables(entries: &[Entry], ids: &HashSet<u32>) -> HashSet<u32> {
    entries.iter().filter(|e| e.kind == "TABLE" && ids.contains(&e.id)).map(|e| e.oid).collect()
}

/// The attachments of partitions' indexes, and all that needs one. What an entry needs comes before it in
/// an archive.
fn waiting(entries: &[Entry]) -> HashSet<u32> {
    let mut waiting = HashSet::new();
    for entry in entries {
        if entry.is_index_attach() || entry.needs.iter().any(|id| waiting.contains(id)) {
            waiting.insert(entry.id);
        }
    }
    waiting
}

/// `id; catalogue oid KIND schema name owner`.
fn entry(line: &str) -> Option<Entry> {
    let (id, rest) = line.split_once("; ")?;
    let mut words = rest.splitn(3, ' ');
    let (_, oid, rest) = (words.next()?, words.next()?, words.next()?);
    let long = LONG_KINDS
        .iter()
        .filter(|k| rest.strip_prefix(**k).is_some_and(|r| r.starts_with(' ')))
        .max_by_key(|k| k.len());
    let kind = match long {
        Some(kind) => (*kind).to_owned(),
        None => rest.split(' ').next()?.to_owned(),
    };
    let rest = rest[kind.len()..].trim_start().to_owned();
    Some(Entry { id: id.parse().ok()?, oid: oid.parse().ok()?, kind, rest, needs: Vec::new() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const LISTING: &str = ";\n; Archive created at 2026\n;\n\
        15; 2615 16392 SCHEMA - app lab\n\
        20; 1247 16400 TYPE app mood lab\n;\tdepends on: 15\n\
        30; 1259 100 TABLE app pets lab\n;\tdepends on: 15 20\n\
        31; 1259 101 TABLE app owners lab\n;\tdepends on: 15\n\
        32; 1259 102 SEQUENCE app pets_id_seq lab\n;\tdepends on: 15\n\
        33; 0 0 SEQUENCE OWNED BY app pets_id_seq lab\n;\tdepends on: 30 32\n\
        34; 2604 103 DEFAULT app pets id lab\n;\tdepends on: 30 32\n\
        35; 1259 104 TABLE app visits lab\n;\tdepends on: 15\n\
        36; 1259 105 TABLE app visits_1 lab\n;\tdepends on: 35 15\n\
        37; 0 0 TABLE ATTACH app visits_1 lab\n;\tdepends on: 36 35\n\
        40; 2606 106 CONSTRAINT app owners owners_pkey lab\n;\tdepends on: 31\n\
        41; 2606 107 FK CONSTRAINT app pets pets_owner_fkey lab\n;\tdepends on: 40 30 31\n\
        42; 0 0 ACL app TABLE pets lab\n;\tdepends on: 30\n\
        45; 2606 109 CONSTRAINT app visits visits_pkey lab\n;\tdepends on: 35\n\
        46; 2606 110 CONSTRAINT app visits_1 visits_1_pkey lab\n;\tdepends on: 36 45\n\
        47; 0 0 INDEX ATTACH app visits_1_pkey lab\n;\tdepends on: 45 46 36\n\
        48; 2606 111 FK CONSTRAINT app notes notes_visit_fkey lab\n;\tdepends on: 47 31 45\n\
        49; 0 0 COMMENT app CONSTRAINT notes_visit_fkey ON notes lab\n;\tdepends on: 48\n\
        43; 3466 108 EVENT TRIGGER - log lab\n\
        44; 0 0 COMMENT - EVENT TRIGGER log lab\n;\tdepends on: 43\n";

    fn ids(list: &str) -> Vec<u32> {
        list.lines().map(|l| l.trim_end_matches(';').parse().unwrap()).collect()
    }

    #[test]
    fn what_refers_to_partitioned_tables_waits_for_their_indexes() {
        let contents = Contents::parse(LISTING).unwrap();
        assert_eq!(ids(&contents.list(Stage::IndexAttach)), [47]);
        assert_eq!(ids(&contents.list(Stage::AfterIndexAttach)), [48, 49]);
        let main = ids(&contents.list(Stage::Main));
        assert!([41, 45, 46].iter().all(|id| main.contains(id)), "{main:?}");
        let stages = [Stage::IndexAttach, Stage::AfterIndexAttach, Stage::Privileges];
        let all = stages.map(|stage| ids(&contents.list(stage)).len());
        assert_eq!(main.len() + all.iter().sum::<usize>() + 2, contents.entries.len());
    }

    #[test]
    fn stages_part_privileges_and_event_triggers_from_the_rest() {
        let contents = Contents::parse(LISTING).unwrap();
        assert_eq!(ids(&contents.list(Stage::Privileges)), [42]);
        assert_eq!(ids(&contents.list(Stage::EventTriggers)), [43, 44]);
        assert_eq!(ids(&contents.list(Stage::Main)).len(), 14);
    }
}
