//! Reading the journal of a run from its copies, and making the copies even.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::chain::{self, Found};
use super::{Copies, Journal, Unsent, entry_key, plan_key, put};
use crate::error::{Error, Kind, Result};
use crate::model::Digest;
use crate::runbook::plan::Plan;
use crate::runbook::record::{Entry, Record};
use crate::runbook::state::State;
use crate::store::{Class, ObjectStore, keys};

/// How many objects are read at once.
const AT_ONCE: usize = 16;

/// A journal as it was read.
#[derive(Debug)]
pub struct Loaded {
    pub run: String,
    pub plan: Plan,
    pub entries: Vec<Entry>,
    pub state: State,
    /// Why the control store could not be read; the local copy stands in for it.
    pub control_away: Option<String>,
    /// The local copy goes another way from this entry on: it is that of an operator who was
    /// overtaken.
    pub local_differs: Option<u64>,
    pub(super) last: Digest,
    pub(super) plan_bytes: Bytes,
    /// How many of the entries each copy has.
    pub(super) in_control: u64,
    pub(super) in_local: u64,
    pub(super) bytes: Vec<Bytes>,
}

impl Loaded {
    /// Whether the control store lacks entries that this machine has.
    pub fn is_local_only(&self) -> bool {
        self.in_control < self.entries.len() as u64
    }
}

/// Reads everything of a run in one copy.
pub(super) async fn find(store: &dyn ObjectStore, run: &str) -> Result<Found> {
    let prefix = keys::run_prefix(run);
    let names: Vec<String> = store.list(&prefix).map_ok(|l| l.key).try_collect().await?;
    let read = stream::iter(names).map(|key| async move {
        let bytes = match store.get(&key).await {
            Ok(object) => Some(object.bytes),
            Err(e) if e.class == Class::NotFound => None,
            Err(e) => return Err(Error::from(e)),
        };
        Ok((key, bytes))
    });
    let read: Vec<(String, Option<Bytes>)> = read.buffered(AT_ONCE).try_collect().await?;
    let mut found = Found::default();
    for (key, bytes) in read {
        let (name, Some(bytes)) = (key[prefix.len()..].to_owned(), bytes) else { continue };
        let number = |text: &str| match text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit())
        {
            true => text.parse::<u64>().ok(),
            false => None,
        };
        match name.strip_suffix(".json") {
            Some("plan") => found.plan = Some(bytes),
            Some(text) if number(text).is_some() => {
                found.entries.insert(number(text).unwrap_or_default(), bytes);
            }
            Some(text) => match text.strip_prefix("seal-").and_then(number) {
                Some(at) => {
                    found.seals.insert(at, bytes);
                }
                None if text.starts_with("approval-") => {}
                None => found.foreign.push(name),
            },
            None => found.foreign.push(name),
        }
    }
    Ok(found)
}

/// Reads a run. The control store's copy counts where it can be read; entries that only the local
/// copy has, because the store was away, count too.
pub async fn load(copies: &Copies, run: &str) -> Result<Loaded> {
    let local = find(&*copies.local, run).await.unwrap_or_default();
    let (control, control_away) = match find(&*copies.control, run).await {
        Ok(found) => (found, None),
        Err(e) if e.kind() == Kind::Storage && !local.entries.is_empty() => {
            (Found::default(), Some(e.one_line()))
        }
        Err(e) => return Err(e.during(format!("read the journal of run {run}"))),
    };
    if control.entries.is_empty() && local.entries.is_empty() {
        return Err(Error::new(Kind::Usage, format!("there is no run {run}"))
            .hint("`drctl runs list` lists all"));
    }
    let shared = control.entries.iter().zip(&local.entries).take_while(|(a, b)| a == b).count();
    let shorter = control.entries.len().min(local.entries.len());
    let local_differs = (shared < shorter).then_some(shared as u64);
    let longer = match local_differs.is_none() && local.entries.len() > control.entries.len() {
        true => &local,
        false => &control,
    };
    let chain = chain::read(&longer.entries);
    if let Some(flaw) = chain.flaws.first() {
        let what = format!("read the journal of run {run}: {flaw}");
        return Err(Error::new(Kind::Damaged, what)
            .hint(format!("`drctl runs verify {run}` tells everything that is wrong with it")));
    }
    let plan_bytes = control
        .plan
        .clone()
        .or_else(|| local.plan.clone())
        .ok_or_else(|| damaged(run, "it has no plan"))?;
    let (plan, state) = replayed(run, &plan_bytes, &chain.entries)?;
    Ok(Loaded {
        run: run.to_owned(),
        plan,
        state,
        control_away,
        local_differs,
        last: chain.last,
        plan_bytes,
        in_control: control.entries.len() as u64,
        in_local: local_differs.unwrap_or(local.entries.len() as u64),
        bytes: longer.entries.values().cloned().collect(),
        entries: chain.entries,
    })
}

/// The plan, and the state after all entries.
pub(super) fn replayed(run: &str, plan: &[u8], entries: &[Entry]) -> Result<(Plan, State)> {
    let Some(Entry { record: Record::RunBegan { plan: promised, .. }, .. }) = entries.first()
    else {
        return Err(damaged(run, "it does not begin with the beginning of a run"));
    };
    if Digest::of(plan) != *promised {
        return Err(damaged(run, "the stored plan is not the one that the run began with"));
    }
    let plan: Plan = serde_json::from_slice(plan).map_err(|e| damaged(run, &e.to_string()))?;
    let state = State::replay(&plan, entries).map_err(|why| damaged(run, &why))?;
    Ok((plan, state))
}

fn damaged(run: &str, why: &str) -> Error {
    Error::new(Kind::Damaged, format!("read the journal of run {run}"))
        .caused_by(why.to_owned())
        .hint(format!("`drctl runs verify {run}` tells everything that is wrong with it"))
}

impl Journal {
    /// Brings both copies to what was loaded, before anything is added.
    pub(super) async fn even_out(&mut self, loaded: &Loaded) -> Result<()> {
        let run = &loaded.run;
        let objects = |from: u64| {
            let entries = loaded.bytes.iter().enumerate().skip(usize::try_from(from).unwrap_or(0));
            entries.map(|(number, bytes)| (entry_key(run, number as u64), bytes.clone()))
        };
        let plan = (plan_key(run), loaded.plan_bytes.clone());
        if let Some(from) = loaded.local_differs {
            self.set_aside(from).await?;
        }
        for (key, bytes) in std::iter::once(plan.clone()).chain(objects(loaded.in_local)) {
            self.write_local(&key, &bytes).await?;
        }
        let missing: Vec<_> = match loaded.in_control {
            0 => std::iter::once(plan).chain(objects(0)).collect(),
            n => objects(n).collect(),
        };
        for (key, bytes) in missing {
            self.unsent.push(Unsent { key, bytes });
        }
        if self.unsent.is_empty() && loaded.control_away.is_none() {
            return Ok(());
        }
        self.send_rest().await?;
        if (!self.unsent.is_empty() || loaded.control_away.is_some()) && !self.local_alone {
            let what = format!(
                "go on with run {run}: store `{}` cannot be written",
                self.copies.control.name()
            );
            return Err(Error::new(Kind::Storage, what)
                .hint("wait for it, or go on without it: `--local-journal`"));
        }
        Ok(())
    }

    /// Moves entries of the local copy, from `from` on, out of the way: they are those of an
    /// operator who was overtaken, and evidence.
    async fn set_aside(&mut self, from: u64) -> Result<()> {
        let local = &*self.copies.local;
        let found = find(local, &self.run).await?;
        let mark = found.entries.get(&from).map(|bytes| Digest::of(bytes).short());
        let folder = format!("{}aside-{}/", keys::run_prefix(&self.run), mark.unwrap_or_default());
        for (number, bytes) in found.entries.range(from..) {
            put(local, &format!("{folder}{number:08}.json"), bytes).await?;
            local.delete(&[entry_key(&self.run, *number)]).await.map_err(Error::from)?;
        }
        self.news.push(format!(
            "the local copy of the journal went another way from entry {from} on (this machine's \
             operator was overtaken); those entries were moved to {}/{folder}",
            local.url()
        ));
        Ok(())
    }
}
