//! Proving a journal: recomputes the chain in every copy and finds what was changed, taken out or
//! added.

use std::fmt;

use super::chain::{self, Found};
use super::{Copies, load, seal_text};
use crate::error::{Error, Kind, Result};
use crate::model::Digest;
use crate::runbook::record::{Entry, Record};

/// Something that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Flaw {
    Missing {
        entry: u64,
    },
    Unreadable {
        entry: u64,
        why: String,
    },
    /// The digest of `before` is not the one that `entry` names: one of them was changed.
    Broken {
        before: u64,
        entry: u64,
    },
    /// The last entry, or the number of entries, is not what the seal says.
    Sealed {
        entry: u64,
    },
    /// The plan is gone or not the one that the run began with.
    Plan {
        why: String,
    },
    /// The entries cannot follow one another so.
    Impossible {
        why: String,
    },
    /// The two copies say different things at this entry.
    Differs {
        entry: u64,
    },
    /// Only one of the copies has the entry, and the run has ended since.
    OnlyIn {
        entry: u64,
        copy: String,
    },
    /// An object that no drctl writes.
    Foreign {
        name: String,
    },
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing { entry } => write!(f, "entry {entry} is missing"),
            Self::Unreadable { entry, why } => write!(f, "entry {entry} was changed: {why}"),
            Self::Broken { before, entry } => write!(
                f,
                "entry {before} was changed, or {entry} was: its digest is not the one that {entry} \
                 names"
            ),
            Self::Sealed { entry } => {
                write!(
                    f,
                    "entry {entry} was changed, taken out or added: it is not what was sealed"
                )
            }
            Self::Plan { why } => write!(f, "the plan was changed: {why}"),
            Self::Impossible { why } => write!(f, "an entry was added or changed: {why}"),
            Self::Differs { entry } => {
                write!(f, "entry {entry} is not the same in the store and in the local copy")
            }
            Self::OnlyIn { entry, copy } => write!(f, "entry {entry} is only in {copy}"),
            Self::Foreign { name } => write!(f, "{name} was added"),
        }
    }
}

/// What is known of one run's journal.
#[derive(Debug)]
pub struct Proof {
    pub run: String,
    pub entries: u64,
    /// Each with the copy it was found in: the store's name, or `local`.
    pub flaws: Vec<(String, Flaw)>,
    /// A seal vouches for the last entry.
    pub sealed: bool,
    /// What could not be proven, in words.
    pub unproven: Vec<String>,
}

impl Proof {
    pub fn is_intact(&self) -> bool {
        self.flaws.is_empty()
    }
}

/// Looks at every copy of a run's journal that there is.
pub async fn verify(copies: &Copies, run: &str) -> Result<Proof> {
    let mut proof = Proof {
        run: run.to_owned(),
        entries: 0,
        flaws: Vec::new(),
        sealed: false,
        unproven: Vec::new(),
    };
    let mut read = Vec::new();
    for store in [&copies.control, &copies.local] {
        match load::find(&**store, run).await {
            Ok(found) => read.push((store.name().to_owned(), found)),
            Err(e) => proof.unproven.push(format!("copy `{}`: {}", store.name(), e.one_line())),
        }
    }
    read.retain(|(_, found)| !found.entries.is_empty() || found.plan.is_some());
    if read.is_empty() && proof.unproven.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is no run {run}"))
            .hint("`drctl runs list` lists all"));
    }
    for (copy, found) in &read {
        proof.entries = proof.entries.max(found.entries.len() as u64);
        let flaws = one(run, found);
        proof.flaws.extend(flaws.into_iter().map(|flaw| (copy.clone(), flaw)));
    }
    if let [(first, one), (second, other)] = read.as_slice() {
        let flaws = compared((first, one), (second, other));
        proof.flaws.extend(flaws.into_iter().map(|flaw| ("both copies".to_owned(), flaw)));
        if let Some(end) = overtaken(one, other) {
            proof.unproven.push(format!(
                "the local copy ends with entry {end}: another machine has gone on with the run"
            ));
        }
    }
    let sealed = |found: &Found| {
        let last = found.entries.last_key_value();
        last.is_some_and(|(last, _)| found.seals.contains_key(last))
    };
    if let [(first, one), (second, other)] = read.as_slice()
        && one.entries == other.entries
        && sealed(one) != sealed(other)
    {
        let bare = if sealed(one) { second } else { first };
        let other = if sealed(one) { first } else { second };
        proof
            .unproven
            .push(format!("copy `{bare}`: its last entry is not sealed, as that of `{other}` is"));
    }
    proof.sealed = read.iter().any(|(_, found)| sealed(found));
    let vouched = read.len() > 1 || proof.sealed;
    if !vouched {
        proof.unproven.push(
            "the last entry: the run has not ended and there is no second copy here to compare with"
                .to_owned(),
        );
    }
    Ok(proof)
}

/// The flaws of one copy.
fn one(run: &str, found: &Found) -> Vec<Flaw> {
    let chain = chain::read(&found.entries);
    let whole = chain.flaws.is_empty();
    let mut flaws = chain.flaws;
    for (last, bytes) in &found.seals {
        // A seal has one spelling, so that none of its bytes can change unseen.
        let there = found.entries.get(last).map(|entry| seal_text(last + 1, Digest::of(entry)));
        if there.is_none_or(|there| there.as_bytes() != &bytes[..]) {
            flaws.push(Flaw::Sealed { entry: *last });
        }
    }
    // A run that has ended is sealed; a seal that is gone went with an entry.
    if let Some(Entry { number, record: Record::RunEnded { .. }, .. }) = chain.entries.last()
        && whole
        && !found.seals.is_empty()
        && !found.seals.contains_key(number)
    {
        flaws.push(Flaw::Sealed { entry: *number });
    }
    match (&found.plan, chain.entries.first()) {
        (None, _) => flaws.push(Flaw::Plan { why: "it is missing".to_owned() }),
        (Some(plan), Some(Entry { record: Record::RunBegan { plan: promised, .. }, .. }))
            if Digest::of(plan) != *promised =>
        {
            flaws.push(Flaw::Plan { why: "its digest is not the one in entry 0".to_owned() });
        }
        (Some(plan), Some(_)) => {
            if let Err(e) = load::replayed(run, plan, &chain.entries) {
                flaws.push(Flaw::Impossible { why: e.one_line() });
            }
        }
        (Some(_), None) => {}
    }
    flaws.extend(found.foreign.iter().map(|name| Flaw::Foreign { name: name.clone() }));
    flaws
}

/// The last entry of a local copy that ends early and knows of no end: its machine did not write
/// what came then.
fn overtaken(control: &Found, local: &Found) -> Option<u64> {
    let end = *local.entries.last_key_value()?.0;
    let more = control.entries.last_key_value().is_some_and(|(last, _)| *last > end);
    (more && !local.seals.keys().any(|sealed| *sealed > end)).then_some(end)
}

fn compared(one: (&str, &Found), other: (&str, &Found)) -> Vec<Flaw> {
    let mut flaws = Vec::new();
    let end = one.1.entries.len().max(other.1.entries.len()) as u64;
    for entry in 0..end {
        match (one.1.entries.get(&entry), other.1.entries.get(&entry)) {
            (Some(a), Some(b)) if a != b => flaws.push(Flaw::Differs { entry }),
            (Some(_), None) if overtaken(one.1, other.1).is_some_and(|end| entry > end) => {}
            (Some(_), None) => flaws.push(Flaw::OnlyIn { entry, copy: format!("`{}`", one.0) }),
            (None, Some(_)) => flaws.push(Flaw::OnlyIn { entry, copy: format!("`{}`", other.0) }),
            _ => {}
        }
    }
    if let (Some(a), Some(b)) = (&one.1.plan, &other.1.plan)
        && a != b
    {
        flaws.push(Flaw::Plan { why: "the two copies of it differ".to_owned() });
    }
    flaws
}
