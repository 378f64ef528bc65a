//! What the previous snapshot of the generation knows of a table.

use std::collections::{BTreeMap, HashMap};

use super::sealing::Slot;
use crate::config::ChangeDetection;
use crate::model::{BasePart, Digest, Part, PartList, Source, Table};
use crate::postgres::catalog::{Server, Window};

use super::plan::TablePlan;

/// A table's part list, indexed.
#[derive(Debug, Default)]
pub struct Previous {
    by_range: BTreeMap<u64, Vec<Part>>,
    by_digest: HashMap<Digest, Part>,
    bases: HashMap<Digest, BasePart>,
}

impl Previous {
    pub fn new(list: PartList) -> Self {
        let mut previous = Self::default();
        for base in list.bases {
            previous.bases.insert(base.digest, base);
        }
        for part in list.parts {
            previous.by_digest.entry(part.digest).or_insert_with(|| part.clone());
            previous.by_range.entry(part.from).or_default().push(part);
        }
        previous
    }

    /// The parts of the range that begins at block `from`.
    pub fn range(&self, from: u64) -> &[Part] {
        self.by_range.get(&from).map_or(&[], Vec::as_slice)
    }

    /// A part with these uncompressed bytes.
    pub fn with_digest(&self, digest: Digest) -> Option<&Part> {
        self.by_digest.get(&digest)
    }

    /// The base of a part that is a delta.
    pub fn base_of(&self, part: &Part) -> Option<&BasePart> {
        self.bases.get(&part.base?)
    }

    /// The plain part on which a new version of this slot can rest: the one of the same place in
    /// the range, or the range's last one.
    pub fn base_for(&self, slot: Slot) -> Option<BasePart> {
        let range = self.range(slot.from);
        let part = range.get(slot.index).or(range.last())?;
        match part.base {
            Some(_) => self.base_of(part).cloned(),
            None => Some(BasePart {
                digest: part.digest,
                stored_digest: part.stored_digest,
                stored: part.stored,
                raw: part.raw,
            }),
        }
    }
}

/// A row version's age is told by 32 bits; beyond half of that it is not believed.
const MAX_XID_DISTANCE: u64 = 1 << 30;

/// Whether ranges of a table may be probed for change instead of read, against the table's entry in
/// the previous snapshot. Anything else than the same relation on the same history means reading.
pub fn may_probe(
    detection: ChangeDetection,
    source: &Source,
    then: &Table,
    server: &Server,
    window: &Window,
    now: &TablePlan,
) -> bool {
    let known = |a: &Option<String>, b: &Option<String>| a.is_some() && a == b;
    let distance = source
        .xmin
        .parse::<u64>()
        .ok()
        .and_then(|xmin| window.xmax.checked_sub(xmin))
        .is_some_and(|d| d < MAX_XID_DISTANCE);
    detection == ChangeDetection::Xmin
        && known(&source.system_identifier, &server.system_identifier)
        && source.timeline.is_some()
        && source.timeline == server.timeline
        // The identifiers of a server restored from a copy of its volume are those of the original;
        // only a postmaster that has run on since can vouch for the history in between.
        && source.postmaster_started == server.postmaster_started
        // A crash of one backend leaves the postmaster, but may lose commits and reuse their ids.
        && known(&source.counting_since, &server.counting_since)
        && source.in_recovery == server.in_recovery
        && source.database_oid == server.database_oid
        && distance
        && then.oid == now.relation.oid
        && then.relfilenode == now.relation.relfilenode
        && then.relfilenode != 0
        && then.range_blocks == now.range_blocks
        && then.definition == now.columns.definition
        && then.columns == now.columns.copied
        && then.condition.is_none()
        && now.relation.condition.is_none()
        && now.relation.heap
        && now.range_blocks > 0
        && now.columns.stable
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{RowDigest, TableName};
    use crate::postgres::catalog::{Columns, Relation, RelationKind};

    /// All that the decision rests upon.
    struct Case {
        detection: ChangeDetection,
        source: Source,
        then: Table,
        server: Server,
        window: Window,
        now: TablePlan,
    }

    impl Case {
        fn may_probe(&self) -> bool {
            let Self { detection, source, then, server, window, now } = self;
            may_probe(*detection, source, then, server, window, now)
        }
    }

    /// The same table on the same server, a little later.
    fn same() -> Case {
        let name = TableName { schema: "app".to_owned(), name: "pets".to_owned() };
        let digest = Digest::of(b"columns");
        let text = |t: &str| t.to_owned();
        Case {
            detection: ChangeDetection::Xmin,
            source: Source {
                system_identifier: Some(text("7")),
                timeline: Some(1),
                database: text("app"),
                database_oid: 5,
                version: text("15.0"),
                version_num: 150_000,
                postmaster_started: text("then"),
                counting_since: Some(text("before")),
                xmin: text("700"),
                lsn: None,
                in_recovery: false,
                encoding: text("UTF8"),
                collate: text("C"),
                ctype: text("C"),
                locale_provider: text("libc"),
                locale: None,
                block_size: 8192,
            },
            then: Table {
                name: name.clone(),
                oid: 100,
                relfilenode: 200,
                definition: digest,
                columns: vec![text("id")],
                condition: None,
                load_through: None,
                range_blocks: 1024,
                list: digest,
                list_stored_digest: digest,
                list_stored: 1,
                parts: 1,
                rows: 1,
                row_digest: RowDigest::default(),
                raw_bytes: 1,
                stored_bytes: 1,
            },
            server: Server {
                version: text("15.0"),
                version_num: 150_000,
                database: text("app"),
                database_oid: 5,
                encoding: text("UTF8"),
                collate: text("C"),
                ctype: text("C"),
                locale_provider: text("libc"),
                locale: None,
                block_size: 8192,
                in_recovery: false,
                superuser: false,
                user: text("reader"),
                money_locale: text("C"),
                postmaster_started: text("then"),
                counting_since: Some(text("before")),
                system_identifier: Some(text("7")),
                timeline: Some(1),
            },
            window: Window { xmin: 800, xmax: 900, taken: chrono::DateTime::UNIX_EPOCH, lsn: None },
            now: TablePlan {
                relation: Relation {
                    oid: 100,
                    name,
                    kind: RelationKind::Table,
                    unlogged: false,
                    populated: true,
                    relfilenode: 200,
                    heap: true,
                    bytes: 8192,
                    toast_bytes: 0,
                    estimated_rows: 1,
                    readable: true,
                    hides_rows: false,
                    extension: None,
                    condition: None,
                    load_through: None,
                },
                columns: Columns {
                    copied: vec![text("id")],
                    definition: digest,
                    stable: true,
                    money: false,
                },
                range_blocks: 1024,
                blocks: 1,
            },
        }
    }

    #[test]
    fn any_one_difference_means_reading() {
        assert!(same().may_probe());
        type Change = fn(&mut Case);
        let changes: &[(&str, Change)] = &[
            ("read by configuration", |c| c.detection = ChangeDetection::Read),
            ("another system", |c| c.server.system_identifier = Some("8".to_owned())),
            ("unknown systems", |c| {
                (c.source.system_identifier, c.server.system_identifier) = (None, None);
            }),
            ("another timeline", |c| c.server.timeline = Some(2)),
            ("unknown timelines", |c| (c.source.timeline, c.server.timeline) = (None, None)),
            ("another postmaster", |c| c.server.postmaster_started = "now".to_owned()),
            ("recovery after a crash", |c| c.server.counting_since = Some("now".to_owned())),
            ("unknown recoveries", |c| {
                (c.source.counting_since, c.server.counting_since) = (None, None);
            }),
            ("a standby that is none any more", |c| c.source.in_recovery = true),
            ("another database", |c| c.server.database_oid = 6),
            ("transaction ids that came round", |c| c.window.xmax = 700 + MAX_XID_DISTANCE),
            ("transaction ids that went back", |c| c.window.xmax = 699),
            ("no transaction id", |c| c.source.xmin = "?".to_owned()),
            ("another table of that name", |c| c.now.relation.oid = 101),
            ("rows written anew", |c| c.now.relation.relfilenode = 201),
            ("no file of its own", |c| {
                (c.then.relfilenode, c.now.relation.relfilenode) = (0, 0);
            }),
            ("other ranges", |c| c.now.range_blocks = 512),
            ("no ranges", |c| (c.then.range_blocks, c.now.range_blocks) = (0, 0)),
            ("another definition", |c| c.now.columns.definition = Digest::of(b"other")),
            ("other columns", |c| c.now.columns.copied = vec!["name".to_owned()]),
            ("a condition then", |c| c.then.condition = Some(String::new())),
            ("a condition now", |c| c.now.relation.condition = Some(String::new())),
            ("another access method", |c| c.now.relation.heap = false),
            ("types that cannot be trusted", |c| c.now.columns.stable = false),
        ];
        for (what, change) in changes {
            let mut case = same();
            change(&mut case);
            assert!(!case.may_probe(), "{what}");
        }
    }
}
