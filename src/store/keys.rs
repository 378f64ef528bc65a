//! The layout of keys in a store, in both directions. docs/format.md is its reference.

use crate::model::{AuditId, Digest, DrillId, GenerationId, Kept, PartName, SnapshotId};

/// Below which every lease lies.
pub const LEASES: &str = "leases/";

/// Below which the report of every audit lies.
pub const AUDITS: &str = "audits/";

/// Below which every run lies.
pub const RUNS: &str = "runs/";

/// Below which the records and reports of drills lie.
pub const DRILLS: &str = "drills/";

/// The longest name of a lease, run or piece of state, in bytes.
const LONGEST_NAME: usize = 128;

/// What drctl calls an object by its key. Anything else in a store is foreign and is left alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// The repository marker.
    Marker,
    Part {
        database: String,
        generation: GenerationId,
        name: PartName,
    },
    /// The part list of one table.
    List {
        database: String,
        generation: GenerationId,
        digest: Digest,
    },
    /// The `pg_dump` archive of a snapshot.
    Schema {
        database: String,
        generation: GenerationId,
        snapshot: SnapshotId,
        kept: Kept,
    },
    Manifest {
        database: String,
        generation: GenerationId,
        snapshot: SnapshotId,
    },
    /// An object of a run's journal; `entry` is the rest of the key.
    Run {
        run: String,
        entry: String,
    },
    /// A record or report of a drill; `entry` is the rest of the key.
    Drill {
        drill: String,
        entry: String,
    },
    /// An object of an audit's report; `entry` is the rest of the key.
    Audit {
        audit: String,
        entry: String,
    },
    /// Damaged bytes that a repair put aside; `key` is where they lay.
    Quarantine {
        key: String,
        sha256: Digest,
    },
    Lease {
        name: String,
    },
    State {
        name: String,
    },
}

impl KeyKind {
    /// Whether drctl replaces the object by `If-Match`; all others are written once.
    pub fn is_mutable(&self) -> bool {
        matches!(self, Self::Lease { .. } | Self::State { .. })
    }
}

/// The repository marker.
pub fn marker() -> &'static str {
    "drctl.json"
}

/// Everything of a database.
pub fn database_prefix(database: &str) -> String {
    format!("{database}/")
}

/// Everything of a generation.
pub fn generation_prefix(database: &str, generation: &GenerationId) -> String {
    format!("{database}/{generation}/")
}

/// The parts of a generation.
pub fn parts_prefix(database: &str, generation: &GenerationId) -> String {
    format!("{database}/{generation}/parts/")
}

/// A part. The folder of two digits keeps folders of a file store small.
pub fn part_key(database: &str, generation: &GenerationId, name: PartName) -> String {
    let text = name.to_string();
    format!("{database}/{generation}/parts/{}/{text}", &text[..2])
}

/// The part lists of a generation.
pub fn lists_prefix(database: &str, generation: &GenerationId) -> String {
    format!("{database}/{generation}/lists/")
}

/// A table's part list; `digest` is that of its JSON.
pub fn list_key(database: &str, generation: &GenerationId, digest: Digest) -> String {
    format!("{database}/{generation}/lists/{digest}.json.zst")
}

/// The snapshots of a generation; the folders below it are named by their ids.
pub fn snapshots_prefix(database: &str, generation: &GenerationId) -> String {
    format!("{database}/{generation}/snapshots/")
}

/// The `pg_dump` archive of a snapshot.
pub fn schema_key(
    database: &str,
    generation: &GenerationId,
    snapshot: &SnapshotId,
    kept: Kept,
) -> String {
    format!("{database}/{generation}/snapshots/{snapshot}/schema.dump{}", kept.ending())
}

/// The manifest of a snapshot.
pub fn manifest_key(database: &str, generation: &GenerationId, snapshot: &SnapshotId) -> String {
    format!("{database}/{generation}/snapshots/{snapshot}/manifest.json")
}

/// The journal of a run.
pub fn run_prefix(run: &str) -> String {
    format!("{RUNS}{run}/")
}

/// Something about a drill: `began.json`, `report.html` and the like.
pub fn drill_key(drill: &DrillId, entry: &str) -> String {
    format!("{DRILLS}{drill}/{entry}")
}

/// An object of an audit's report.
pub fn audit_key(audit: &AuditId, entry: &str) -> String {
    format!("{AUDITS}{audit}/{entry}")
}

/// Where a repair puts the damaged bytes of the object at `key`.
pub fn quarantine_key(key: &str, sha256: Digest) -> String {
    format!("quarantine/{key}/{sha256}")
}

/// A lease; `name` must satisfy `is_plain_name`.
pub fn lease_key(name: &str) -> String {
    format!("{LEASES}{name}.json")
}

/// A piece of state; `name` must satisfy `is_plain_name`.
pub fn state_key(name: &str) -> String {
    format!("state/{name}.json")
}

/// Whether `text` may name a lease, a run or a piece of state.
pub fn is_plain_name(text: &str) -> bool {
    text.len() <= LONGEST_NAME
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
}

/// What the object at `key` is, if drctl could have written it; `None`: foreign.
pub fn parse(key: &str) -> Option<KeyKind> {
    if key == marker() {
        return Some(KeyKind::Marker);
    }
    let (first, rest) = key.split_once('/')?;
    match first {
        "runs" => parse_entry(rest).map(|(run, entry)| KeyKind::Run { run, entry }),
        "drills" => parse_entry(rest)
            .filter(|(drill, _)| drill.parse::<DrillId>().is_ok())
            .map(|(drill, entry)| KeyKind::Drill { drill, entry }),
        "audits" => parse_audit(rest),
        "quarantine" => {
            let (key, digest) = rest.rsplit_once('/')?;
            let ours =
                matches!(parse(key), Some(kind) if !matches!(kind, KeyKind::Quarantine { .. }));
            let sha256 = digest.parse().ok()?;
            ours.then(|| KeyKind::Quarantine { key: key.to_owned(), sha256 })
        }
        "leases" => parse_named(rest).map(|name| KeyKind::Lease { name }),
        "state" => parse_named(rest).map(|name| KeyKind::State { name }),
        database if crate::model::is_name(database) => parse_snapshot(database, rest),
        _ => None,
    }
}

fn parse_named(rest: &str) -> Option<String> {
    let name = rest.strip_suffix(".json")?;
    is_plain_name(name).then(|| name.to_owned())
}

fn parse_entry(rest: &str) -> Option<(String, String)> {
    let (folder, entry) = rest.split_once('/')?;
    let whole = is_plain_name(folder) && entry.split('/').all(is_plain_name);
    whole.then(|| (folder.to_owned(), entry.to_owned()))
}

fn parse_audit(rest: &str) -> Option<KeyKind> {
    let (audit, entry) = rest.split_once('/')?;
    let whole = audit.parse::<AuditId>().is_ok() && is_plain_name(entry);
    whole.then(|| KeyKind::Audit { audit: audit.to_owned(), entry: entry.to_owned() })
}

fn parse_snapshot(database: &str, rest: &str) -> Option<KeyKind> {
    let mut pieces = rest.split('/');
    let generation = pieces.next()?.parse().ok()?;
    let database = database.to_owned();
    let (folder, second, third) = (pieces.next()?, pieces.next()?, pieces.next());
    if pieces.next().is_some() {
        return None;
    }
    match (folder, second, third) {
        ("parts", aa, Some(file)) => {
            let name = part_name(aa, file)?;
            Some(KeyKind::Part { database, generation, name })
        }
        ("lists", file, None) => {
            let digest = file.strip_suffix(".json.zst")?.parse().ok()?;
            Some(KeyKind::List { database, generation, digest })
        }
        ("snapshots", id, Some(file @ ("schema.dump" | "schema.dump.age"))) => {
            let (snapshot, (_, kept)) = (id.parse().ok()?, Kept::split(file));
            Some(KeyKind::Schema { database, generation, snapshot, kept })
        }
        ("snapshots", id, Some("manifest.json")) => {
            Some(KeyKind::Manifest { database, generation, snapshot: id.parse().ok()? })
        }
        _ => None,
    }
}

fn part_name(aa: &str, file: &str) -> Option<PartName> {
    let name = file.parse().ok()?;
    (file.get(..2)? == aa).then_some(name)
}

/// The part whose key is `parts_prefix` followed by `rest`: for listings of millions.
pub fn parse_part(rest: &str) -> Option<PartName> {
    let (aa, file) = rest.split_once('/')?;
    part_name(aa, file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::RESERVED;

    const ID: &str = "20261122T134512Z-3f9a1c";
    const GENERATION: &str = "g20261122T134512Z-3f9a1c";

    #[test]
    fn every_key_reads_back_as_what_it_is() {
        let database = "petforce".to_owned();
        let generation: GenerationId = GENERATION.parse().unwrap();
        let snapshot: SnapshotId = ID.parse().unwrap();
        let digest = Digest::of(b"rows");
        let of_part = [Kept::Open, Kept::Age].map(|kept| {
            [None, Some(Digest::of(b"older rows"))].map(|base| PartName { digest, base, kept })
        });
        for name in of_part.concat() {
            let key = part_key(&database, &generation, name);
            assert!(key.starts_with(&parts_prefix(&database, &generation)), "{key}");
            assert!(key.starts_with(&generation_prefix(&database, &generation)), "{key}");
            let kind =
                KeyKind::Part { database: database.clone(), generation: generation.clone(), name };
            assert_eq!(parse(&key), Some(kind));
        }
        let list = list_key(&database, &generation, digest);
        assert!(list.starts_with(&lists_prefix(&database, &generation)), "{list}");
        let kind =
            KeyKind::List { database: database.clone(), generation: generation.clone(), digest };
        assert_eq!(parse(&list), Some(kind));
        let manifest = manifest_key(&database, &generation, &snapshot);
        assert!(manifest.starts_with(&snapshots_prefix(&database, &generation)), "{manifest}");
        for of_archive in [Kept::Open, Kept::Age] {
            let schema = schema_key(&database, &generation, &snapshot, of_archive);
            let Some(KeyKind::Schema { snapshot: read, kept, .. }) = parse(&schema) else {
                panic!("{schema} is no archive");
            };
            assert_eq!((read, kept), (snapshot.clone(), of_archive));
        }
        assert!(
            matches!(parse(&manifest), Some(KeyKind::Manifest { snapshot: s, .. }) if s == snapshot)
        );
        assert_eq!(parse(marker()), Some(KeyKind::Marker));
        let lease = parse(&lease_key("snapshot.petforce")).unwrap();
        assert_eq!(lease, KeyKind::Lease { name: "snapshot.petforce".to_owned() });
        assert!(lease.is_mutable());
        let state = parse(&state_key("epoch")).unwrap();
        assert_eq!(state, KeyKind::State { name: "epoch".to_owned() });
        let entry = parse(&format!("{}0001.json", run_prefix("failover-1"))).unwrap();
        let run = KeyKind::Run { run: "failover-1".to_owned(), entry: "0001.json".to_owned() };
        assert_eq!(entry, run);
        let drill: DrillId = format!("d{ID}").parse().unwrap();
        let report = KeyKind::Drill { drill: drill.to_string(), entry: "report.md".to_owned() };
        assert_eq!(parse(&drill_key(&drill, "report.md")), Some(report));
        assert!(!entry.is_mutable());
    }

    #[test]
    fn foreign_objects_are_not_taken_for_ours() {
        let digest = Digest::of(b"rows").to_string();
        let aa = &digest[..2];
        let wrong_aa = if aa == "00" { "01" } else { "00" };
        let upper = digest.to_uppercase();
        for key in [
            String::new(),
            "/".to_owned(),
            "readme.md".to_owned(),
            "drctl.json/x".to_owned(),
            "petforce/".to_owned(),
            format!("petforce/{GENERATION}"),
            format!("petforce/{GENERATION}/"),
            format!("petforce/{ID}/parts/{aa}/{digest}.zst"),
            format!("petforce/{GENERATION}/parts/{wrong_aa}/{digest}.zst"),
            format!("petforce/{GENERATION}/parts/{aa}/{digest}.zst.bak"),
            format!("petforce/{GENERATION}/parts/{aa}/{digest}.age"),
            format!("petforce/{GENERATION}/parts/{aa}/{digest}.age.zst"),
            format!("petforce/{GENERATION}/snapshots/{ID}/manifest.json.age"),
            format!("petforce/{GENERATION}/parts/{aa}/{digest}"),
            format!("petforce/{GENERATION}/parts/{aa}/{digest}.on.zst"),
            format!("petforce/{GENERATION}/parts/{}/{upper}.zst", &upper[..2]),
            format!("petforce/{GENERATION}/parts/{digest}.zst"),
            format!("petforce/{GENERATION}/parts/é/é.zst"),
            format!("petforce/{GENERATION}/lists/{digest}.json"),
            format!("petforce/{GENERATION}/lists/{digest}.json.zst/x"),
            format!("petforce/{GENERATION}/snapshots/{ID}/manifest.json.old"),
            format!("petforce/{GENERATION}/snapshots/latest/manifest.json"),
            format!("petforce/{GENERATION}/snapshots/{ID}/x/manifest.json"),
            format!("pet force/{GENERATION}/snapshots/{ID}/manifest.json"),
            format!("/petforce/{GENERATION}/snapshots/{ID}/manifest.json"),
            format!("runs/{GENERATION}"),
            format!("drills/{ID}/report.md"),
            "leases/a/b.json".to_owned(),
            "leases/.json".to_owned(),
            "leases/../x.json".to_owned(),
            "state/epoch".to_owned(),
        ] {
            assert_eq!(parse(&key), None, "{key}");
        }
    }

    #[test]
    fn reserved_names_never_hold_snapshots() {
        for name in RESERVED {
            let key = format!("{name}/{GENERATION}/snapshots/{ID}/manifest.json");
            assert!(!matches!(parse(&key), Some(KeyKind::Manifest { .. })), "{key}");
        }
    }
}
