//! Encryption: whether what is snapshotted from now on can be opened, and what was.

use super::place::Newest;
use super::{Notes, Request, counted};
use crate::config::DatabaseConfig;
use crate::error::Kind;
use crate::integrity::encryption::{Access, GenerationKey, Recovery};

/// Findings on `[encryption]`; none where nothing is encrypted. `newest` are the newest snapshots of
/// the stores.
pub(super) fn check<'n>(
    request: &Request<'_>,
    databases: &[&DatabaseConfig],
    newest: impl Iterator<Item = &'n Newest>,
    notes: &mut Notes,
) {
    let Ok(keys) = &request.keys else { return };
    let access = keys.access();
    let encrypted = !access.recipients().is_empty();
    if encrypted {
        recipients(access, notes);
        places(access, databases, notes);
        if access.recovery().is_configured() && !keys.trusts() {
            notes.warning(
                "the `identity` takes keys from manifests that need no signature: whoever can write \
                 to a store could put a key of their own under the next snapshots",
                "sign manifests: `key` and `trusted_keys` in [signing]",
            );
        }
    }
    // What cannot be read is told once, with its line.
    if !matches!(access.recovery(), Recovery::Known(_)) {
        return;
    }
    let mut seen = Vec::new();
    for (generation, encryption) in newest.filter_map(|n| n.encryption.as_ref()) {
        if seen.contains(generation) {
            continue;
        }
        seen.push(generation.clone());
        match access.recovery().open(encryption) {
            Ok(_) => notes.ok(format!("the identity opens the key of generation {generation}")),
            // Damage is damage; of another's generation one only has to know.
            Err(e) if e.kind() == Kind::Damaged => notes.failed(&e),
            Err(e) => notes.warning(
                format!("generation {generation} cannot be restored from here: {}", e.one_line()),
                e.advice().unwrap_or("use the identity of one of its recipients").to_owned(),
            ),
        }
    }
}

fn recipients(access: &Access, notes: &mut Notes) {
    match access.recipients().len() {
        1 => notes.warning(
            "snapshots are encrypted to one recipient: if its identity is lost, so are they",
            "add a second one to `recipients` in [encryption], whose identity lies elsewhere",
        ),
        n => notes.ok(format!("snapshots are encrypted to {}", counted(n, "recipient"))),
    }
    match access.recovery() {
        Recovery::Unconfigured => {
            notes.ok("no `identity` is configured: this machine encrypts, and restores nothing");
        }
        // It is told among what could not be resolved.
        Recovery::Unreadable(_) => {}
        Recovery::Known(_) => trial(access, notes),
    }
}

/// Wraps a key as the next generation would, and opens it again.
fn trial(access: &Access, notes: &mut Notes) {
    let tried = GenerationKey::generate().wrap(access.recipients());
    match tried.and_then(|wrapped| access.recovery().open(&wrapped)) {
        Ok(_) => notes.ok("a trial key, encrypted to the recipients, opens with the identity"),
        Err(e) => notes.critical(
            format!("what is snapshotted now cannot be restored from here: {}", e.one_line()),
            "add the identity's recipient to `recipients`, or configure the identity of one of them",
        ),
    }
}

/// Where the key of a generation is from one run to the next.
fn places(access: &Access, databases: &[&DatabaseConfig], notes: &mut Notes) {
    if access.recovery().is_configured() {
        return;
    }
    for database in databases.iter().filter(|d| d.cache_dir.is_none()) {
        notes.warning(
            format!(
                "every snapshot of `{}` is a full one: there is neither a `cache_dir` that keeps its \
                 generation's key nor an `identity` that opens it",
                database.name
            ),
            format!("set `cache_dir` in [database.{}] to a folder that stays", database.name),
        );
    }
}
