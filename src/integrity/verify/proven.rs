//! What was undone and found right in this run. Stores hold the same bytes of a part, so those of the
//! second store need only be the same: their SHA-256 is compared, and nothing is undone twice.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Mutex as Turn, MutexGuard};

use super::bench::Task;
use crate::model::{Digest, RowFormat};

/// Units under way in several stores at once seldom share a turn by chance.
const TURNS: usize = 64;

/// The parts that were proven, by all that is promised of them.
#[derive(Debug)]
pub struct Proven {
    seen: Mutex<HashSet<[u8; 16]>>,
    turns: Vec<Turn<()>>,
}

impl Default for Proven {
    fn default() -> Self {
        Self { seen: Mutex::default(), turns: (0..TURNS).map(|_| Turn::default()).collect() }
    }
}

impl Proven {
    /// Waits until no other store's copy is being undone.
    pub async fn turn(&self, task: &Task) -> MutexGuard<'_, ()> {
        let at = usize::from(task.name.digest.as_bytes()[0]) % TURNS;
        self.turns[at].lock().await
    }

    pub fn note(&self, task: &Task, format: RowFormat) {
        self.lock().insert(mark(task, format));
    }

    /// Whether these very bytes kept these very promises.
    pub fn holds(&self, task: &Task, format: RowFormat) -> bool {
        self.lock().contains(&mark(task, format))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 16]>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Half of a SHA-256, since a repository may have millions of parts.
fn mark(task: &Task, format: RowFormat) -> [u8; 16] {
    let text = format!(
        "{} {:?} {} {} {} {:?} {:?}",
        task.name.digest,
        task.name.base,
        task.stored_digest,
        task.stored,
        task.raw,
        task.rows.map(|(rows, digest)| (rows, digest.to_string())),
        format
    );
    let mut half = [0; 16];
    half.copy_from_slice(&Digest::of(text.as_bytes()).as_bytes()[..16]);
    half
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Kept, PartName};

    #[test]
    fn another_promise_of_the_same_bytes_is_not_proven_by_the_first() {
        let digest = Digest::of(b"rows");
        let name = PartName { digest, base: None, kept: Kept::Open };
        let task =
            Task { name, stored_digest: Digest::of(b"stored"), stored: 6, raw: 4, rows: None };
        let proven = Proven::default();
        proven.note(&task, RowFormat::Text);
        assert!(proven.holds(&task, RowFormat::Text));
        assert!(!proven.holds(&task, RowFormat::Binary));
        let counted = Some((1, "00000000000000000000000000000000".parse().unwrap()));
        let on_a_base = PartName { base: Some(digest), ..name };
        for other in [
            Task { stored_digest: digest, ..task },
            Task { stored: 7, ..task },
            Task { raw: 5, ..task },
            Task { rows: counted, ..task },
            Task { name: on_a_base, ..task },
            Task { name: PartName { digest: Digest::of(b"other"), ..name }, ..task },
        ] {
            assert!(!proven.holds(&other, RowFormat::Text), "{other:?}");
        }
    }
}
