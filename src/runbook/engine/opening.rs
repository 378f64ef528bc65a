//! Beginning a run and going on with one: the lease, the journal, and the state to start from.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::Hold;
use crate::error::{Error, Kind, Result};
use crate::providers::RunFacts;
use crate::runbook::journal::{self, Copies, Journal, Loaded};
use crate::runbook::plan::Plan;
use crate::runbook::record::{Ending, Record};
use crate::runbook::state::State;
use crate::store::lease::{self, LeaseInfo, Standing, process};
use crate::store::{Holder, Lease, ObjectStore};

/// The one lease under which runs of a control store are carried out.
pub const LEASE: &str = "failover";

/// How long the lease outlives the last sign of its holder: short, since a takeover waits for it.
pub const TIME_TO_LIVE: Duration = Duration::from_secs(30);

/// A run that this process may carry out.
#[derive(Debug)]
pub struct Opened {
    pub plan: Plan,
    pub journal: Journal,
    pub state: State,
    pub hold: Hold,
}

/// Takes the lease. `Kind::LeaseHeld` names who has it, since when, and how to take over. With
/// `local_alone`, a control store that does not answer is gone on without.
pub async fn hold(
    control: &Arc<dyn ObjectStore>,
    holder: Holder,
    time_to_live: Duration,
    local_alone: bool,
) -> Result<Hold> {
    match Lease::acquire(Arc::clone(control), LEASE, holder, time_to_live).await {
        Ok(lease) => Ok(Hold { lease: Some(Arc::new(lease)), local_alone }),
        Err(e) if e.kind() == Kind::Storage && local_alone => Ok(Hold { lease: None, local_alone }),
        Err(e) if e.kind() == Kind::LeaseHeld => {
            let info = lease::inspect(&**control, LEASE).await.ok().flatten();
            Err(info.map_or(e, |info| held(control.name(), &info)))
        }
        Err(e) => Err(e.during("take the lease of runs").hint(
            "without the control store nobody can be kept from a second run. Is there no other \
             operator, go on with `--local-journal`",
        )),
    }
}

/// Who is at work, since when, and what to do about it.
fn held(store: &str, info: &LeaseInfo) -> Error {
    let LeaseInfo { holder, acquired, renewed, .. } = info;
    let at = |time: &DateTime<Utc>| time.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    let what = format!(
        "take the lease of runs in store `{store}`: held by {holder}, since {}, last sign of life {}",
        at(acquired),
        at(renewed)
    );
    Error::new(Kind::LeaseHeld, what).hint(match run_of(holder) {
        Some(run) => format!(
            "`drctl runs show {run}` shows how far they are. If that process is dead: `drctl \
             takeover {run}` waits for its lease to run out and goes on with the run"
        ),
        None => "look at it with `drctl unlock failover`".to_owned(),
    })
}

/// What a holder of the lease is told to be doing.
pub fn purpose(run: &str) -> String {
    format!("carry out run {run}")
}

fn run_of(holder: &Holder) -> Option<&str> {
    holder.purpose.strip_prefix("carry out run ")
}

/// Begins a run under a lease. `run.fence` is set from it.
pub async fn begin(
    copies: Copies,
    plan: Plan,
    run: RunFacts,
    hold: Hold,
    now: DateTime<Utc>,
) -> Result<Opened> {
    let run = RunFacts { fence: hold.fence(), ..run };
    let local_alone = hold.local_alone;
    let (journal, first) = Journal::begin(copies, &plan, run, now, local_alone).await?;
    let state = State::begin(&plan, &first)
        .map_err(|why| Error::new(Kind::Bug, "begin a journal").caused_by(why))?;
    Ok(Opened { plan, journal, state, hold })
}

/// Goes on with a run under a lease.
pub async fn resume(
    copies: Copies,
    run: &str,
    operator: String,
    hold: Hold,
    now: DateTime<Utc>,
) -> Result<Opened> {
    // After the lease: what a former holder wrote last is there by now.
    let loaded = journal::load(&copies, run).await?;
    may_go_on(&loaded)?;
    let mut journal = Journal::go_on(copies, &loaded, hold.local_alone).await?;
    let entry = journal.append(Record::RunResumed { operator }, now, hold.fence()).await?;
    let Loaded { plan, mut state, .. } = loaded;
    state
        .take(&plan, &entry)
        .map_err(|why| Error::new(Kind::Bug, "go on with a journal").caused_by(why))?;
    Ok(Opened { plan, journal, state, hold })
}

/// Whether anything is left to be done. `Kind::Usage` where not.
pub fn may_go_on(loaded: &Loaded) -> Result<()> {
    let over = match loaded.state.ended {
        None | Some(Ending::Stopped | Ending::AbortIncomplete) => return Ok(()),
        Some(Ending::Succeeded | Ending::SucceededWithFailures) => "it has reached its end",
        Some(Ending::Aborted) => "it was aborted and undone",
    };
    Err(Error::new(Kind::Usage, format!("go on with run {}: {over}", loaded.run))
        .hint(format!("`drctl runs report {}` tells what it did", loaded.run)))
}

/// Waits until a dead holder's lease can be taken, telling how long that will be. A holder that gives
/// a sign of life meanwhile is not dead: `Kind::LeaseHeld`.
pub async fn outwait(
    control: &dyn ObjectStore,
    tell: &(dyn Fn(&LeaseInfo, Duration) + Sync),
) -> Result<()> {
    let mut renewed: Option<DateTime<Utc>> = None;
    loop {
        let Some(info) = lease::inspect(control, LEASE).await? else { return Ok(()) };
        let Standing::Held { left } = info.standing else { return Ok(()) };
        if process::is_gone(&info.holder) {
            return Ok(());
        }
        if renewed.is_some_and(|before| before != info.renewed) {
            let alive = held(control.name(), &info);
            return Err(alive.during("take over: the holder is alive").hint(
                "end that process first (Ctrl-C there pauses the run), then run this again",
            ));
        }
        if renewed.is_none() {
            tell(&info, left);
        }
        renewed = Some(info.renewed);
        tokio::time::sleep(left.min(Duration::from_secs(1))).await;
    }
}
