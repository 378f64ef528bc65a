//! The chain of entries: each names the digest of the one before. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::proof::Flaw;
use crate::model::Digest;
use crate::runbook::record::Entry;

/// The bytes of a copy, as they were found.
#[derive(Debug, Clone, Default)]
pub(super) struct Found {
    pub(super) entries: BTreeMap<u64, Bytes>,
    pub(super) plan: Option<Bytes>,
    /// By the number of the last entry that each vouches for.
    pub(super) seals: BTreeMap<u64, Bytes>,
    /// Objects beside them that are none of these.
    pub(super) foreign: Vec<String>,
}

/// The entries as far as they hang together, what is wrong with the first that does not, and the
/// digest of the last good one.
pub(super) struct Chain {
    pub(super) entries: Vec<Entry>,
    pub(super) last: Digest,
    pub(super) flaws: Vec<Flaw>,
}

/// Reads entries from number 0 on. Every flaw is told; `entries` ends before the first.
pub(super) fn read(found: &BTreeMap<u64, Bytes>) -> Chain {
    let mut chain = Chain { entries: Vec::new(), last: Digest::of(b""), flaws: Vec::new() };
    let end = found.last_key_value().map_or(0, |(number, _)| number + 1);
    // The digest that the next entry must name; unknown after a gap.
    let mut previous = Some(chain.last);
    for number in 0..end {
        let Some(bytes) = found.get(&number) else {
            chain.flaws.push(Flaw::Missing { entry: number });
            previous = None;
            continue;
        };
        match serde_json::from_slice::<Entry>(bytes) {
            Err(e) => chain.flaws.push(Flaw::Unreadable { entry: number, why: e.to_string() }),
            Ok(entry) if entry.number != number => {
                let why = format!("it says that it is entry {}", entry.number);
                chain.flaws.push(Flaw::Unreadable { entry: number, why });
            }
            Ok(entry) => {
                if previous.is_some_and(|digest| digest != entry.previous) {
                    chain
                        .flaws
                        .push(Flaw::Broken { before: number.saturating_sub(1), entry: number });
                } else if chain.flaws.is_empty() {
                    chain.last = Digest::of(bytes);
                    chain.entries.push(entry);
                }
            }
        }
        previous = Some(Digest::of(bytes));
    }
    chain
}
