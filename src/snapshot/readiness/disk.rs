//! Room on disks: of file stores, of the cache, and for the schema archive.

use std::path::Path;

use super::Notes;
use super::server::Facts;
use crate::config::DatabaseConfig;

/// Compressed rows seldom take less of the heap than one part in this many.
const DENSEST: u64 = 20;

/// Room that the schema archive takes besides large objects, generously.
const SCHEMA: u64 = 64 << 20;

/// Below this, a disk of unknown need is worth a word.
const LITTLE: u64 = 1 << 30;

/// A store that is a disk of this machine.
pub(super) fn of_store<'a>(
    free: Option<u64>,
    users: impl Iterator<Item = Option<&'a Facts>>,
    notes: &mut Notes,
) {
    let Some(free) = free else { return };
    let mut need = Some(0);
    for facts in users {
        need = need.and_then(|n: u64| Some(n + facts?.bytes));
    }
    let room = mib(free);
    match need {
        None if free < LITTLE => notes.warning(
            format!("{room} are free, and how much is needed is not known"),
            "make room, and reach the database to compare with its size",
        ),
        None => notes.ok(format!("{room} are free; the database's size is not known")),
        Some(need) if free < need / DENSEST => notes.critical(
            format!("{room} are free: no full snapshot of {} of tables fits", mib(need)),
            "make room, shorten `keep` and run `drctl prune`, or move the store to a larger disk",
        ),
        Some(need) if free < need => notes.warning(
            format!("{room} are free, less than the {} of tables to be taken", mib(need)),
            "compression may save the day; better make room or shorten `keep`",
        ),
        Some(need) => notes.ok(format!("{room} are free, for {} of tables", mib(need))),
    }
}

/// The folder of cached parts. Without it a snapshot takes longer, nothing else.
pub(super) fn of_cache(config: &DatabaseConfig, facts: Option<&Facts>, notes: &mut Notes) {
    let Some(dir) = &config.cache_dir else { return };
    let what = format!("cache_dir {} of `{}`", dir.display(), config.name);
    if let Err(e) = writable(dir) {
        return notes.warning(
            format!("{what} cannot be written: {e}"),
            "give it to the user that drctl runs as; until then bases are downloaded",
        );
    }
    match (free_bytes(dir), facts) {
        (None, _) => {
            notes.warning(format!("{what}: its free space is not known"), "look at the disk")
        }
        (Some(free), Some(facts)) if free < facts.bytes / 2 => notes.warning(
            format!("{what}: {} are free, for {} of tables", mib(free), mib(facts.bytes)),
            "a cache that does not fit is downloaded instead: make room",
        ),
        (Some(free), _) => notes.ok(format!("{what}: {} are free", mib(free))),
    }
}

/// The temporary folder, where pg_dump's archive (with large objects) lies for a while.
pub(super) fn of_temporary<'a>(facts: impl Iterator<Item = &'a Facts>, notes: &mut Notes) {
    let dir = std::env::temp_dir();
    let what = format!("temporary folder {}", dir.display());
    if let Err(e) = writable(&dir) {
        return notes.critical(
            format!("{what} cannot be written: {e}"),
            "set TMPDIR to a folder of the user that drctl runs as",
        );
    }
    let need = SCHEMA + facts.map(|f| f.large_object_bytes).max().unwrap_or(0);
    match free_bytes(&dir) {
        None => notes.warning(format!("{what}: its free space is not known"), "look at the disk"),
        Some(free) if free < need => notes.critical(
            format!("{what}: {} are free, the schema archive may take {}", mib(free), mib(need)),
            "make room, or set TMPDIR to a folder on a larger disk",
        ),
        Some(free) => notes.ok(format!("{what}: {} are free", mib(free))),
    }
}

/// The folder, or the nearest one above it that is there already.
fn there(dir: &Path) -> Option<&Path> {
    dir.ancestors().find(|d| !d.as_os_str().is_empty() && d.exists())
}

fn free_bytes(dir: &Path) -> Option<u64> {
    let stat = rustix::fs::statvfs(there(dir)?).ok()?;
    Some(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// Whether a file could be made in the folder, or the folder itself be made.
fn writable(dir: &Path) -> Result<(), String> {
    let there = there(dir).ok_or("it is not there")?;
    if !there.is_dir() {
        return Err(format!("{} is no folder", there.display()));
    }
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    rustix::fs::access(there, access).map_err(|e| std::io::Error::from(e).to_string())
}

fn mib(bytes: u64) -> String {
    match bytes >> 20 {
        0 => "less than 1 MiB".to_owned(),
        n @ 1..10_240 => format!("{n} MiB"),
        n => format!("{} GiB", n >> 10),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Severity;
    use super::*;

    #[test]
    fn a_disk_is_judged_by_what_is_to_come() {
        let judged = |free: u64, need: Option<u64>| {
            let mut notes = Notes::new("store x".to_owned(), Duration::ZERO);
            let facts = need.map(|bytes| Facts { bytes, large_object_bytes: 0 });
            of_store(Some(free), [facts.as_ref()].into_iter(), &mut notes);
            let found = notes.into_findings();
            assert_eq!(found.len(), 1);
            found[0].severity
        };
        assert_eq!(judged(100 << 30, Some(10 << 30)), Severity::Ok);
        assert_eq!(judged(9 << 30, Some(10 << 30)), Severity::Warning);
        assert_eq!(judged(100 << 20, Some(10 << 30)), Severity::Critical);
        assert_eq!(judged(0, Some(0)), Severity::Ok);
        assert_eq!(judged(2 << 30, None), Severity::Ok);
        assert_eq!(judged(1 << 20, None), Severity::Warning);
    }

    #[test]
    fn a_folder_that_is_not_there_yet_counts_as_the_one_above_it() {
        let dir = tempfile::tempdir().unwrap();
        let deep = dir.path().join("a/b");
        assert!(free_bytes(&deep).is_some());
        assert_eq!(writable(&deep), Ok(()));
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(writable(&dir.path().join("file/b")).unwrap_err().contains("no folder"));
    }
}
