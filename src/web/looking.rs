//! Looking when somebody asks, and not more often: one look at a time, shared by all who wait, and
//! the last one where the world takes its time to answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use futures_util::future::{BoxFuture, join_all};
use tokio::sync::{Mutex, watch};
use tokio::time::Instant;

use super::drills::drills;
use super::history::History;
use super::intake;
use super::view::{DrillLine, OpenRun, PastRun, View};
use crate::error::{Error, Kind, Result};
use crate::integrity::shelf;
use crate::model::Learned;
use crate::report::status::{self, Sources, Terms};
use crate::report::{self, words};
use crate::runbook::journal::{self, Copies};
use crate::runbook::record::Ending;
use crate::runbook::state;
use crate::schedule::Standing;
use crate::store::ObjectStore;

/// A look that is younger answers by itself.
const FRESH: Duration = Duration::from_secs(3);
/// How long a reader waits for a new look while there is one of the last minute, and while not.
const PATIENCE: Duration = Duration::from_millis(1500);
const LONGEST: Duration = Duration::from_secs(15);
const RECENT: Duration = Duration::from_mins(1);
/// Snapshots, past runs and drills are read again so often.
const SLOWLY: Duration = Duration::from_secs(30);
/// How long the snapshots of all databases may take.
const SHELVES: Duration = Duration::from_secs(12);
/// Databases that are drawn; the others have a line.
const DRAWN: usize = 12;
const PAST_RUNS: usize = 8;

/// Where everything is asked for.
pub type Maker = Box<dyn Fn() -> BoxFuture<'static, Result<Sources>> + Send + Sync>;

/// What is known besides of jobs.
#[async_trait]
pub trait Beside: Send + Sync {
    async fn schedule(&self, sources: &Sources) -> Learned<Standing>;
}

/// Looks on demand.
pub struct Looker {
    sources: Maker,
    beside: Arc<dyn Beside>,
    now: fn() -> DateTime<Utc>,
    last: watch::Sender<Option<(Instant, Arc<View>)>>,
    busy: AtomicBool,
    slow: Mutex<Option<(Instant, Slow)>>,
    /// Why no look could even begin.
    trouble: Mutex<Option<String>>,
}

/// What is read seldom.
#[derive(Clone)]
struct Slow {
    histories: Vec<History>,
    past_runs: Learned<Vec<PastRun>>,
    drills: Learned<Vec<DrillLine>>,
}

impl Looker {
    pub fn new(sources: Maker, beside: Arc<dyn Beside>, now: fn() -> DateTime<Utc>) -> Arc<Self> {
        Arc::new(Self {
            sources,
            beside,
            now,
            last: watch::Sender::new(None),
            busy: AtomicBool::new(false),
            slow: Mutex::new(None),
            trouble: Mutex::new(None),
        })
    }

    pub fn now(&self) -> DateTime<Utc> {
        (self.now)()
    }

    /// A look, as new as can be had soon. An error says why there is none at all.
    pub async fn look(self: &Arc<Self>) -> Result<Arc<View>> {
        let (mut seen, patience) = {
            let last = self.last.borrow();
            match &*last {
                Some((at, view)) if at.elapsed() < FRESH => return Ok(Arc::clone(view)),
                Some((at, _)) if at.elapsed() < RECENT => (self.last.subscribe(), PATIENCE),
                _ => (self.last.subscribe(), LONGEST),
            }
        };
        if !self.busy.swap(true, Ordering::AcqRel) {
            let looker = Arc::clone(self);
            let handle = tokio::runtime::Handle::current();
            // A thread of its own: a look asks so many at once that its future cannot be moved.
            tokio::task::spawn_blocking(move || {
                // Also where a look panics: the next one tries again.
                let _done = Done(&looker.busy);
                handle.block_on(looker.look_now());
            });
        }
        let _ = tokio::time::timeout(patience, seen.changed()).await;
        let view = self.last.borrow().as_ref().map(|(_, view)| Arc::clone(view));
        if let Some(view) = view {
            return Ok(view);
        }
        let why = self.trouble.lock().await.clone();
        let why = why.unwrap_or_else(|| format!("no answer within {} s", LONGEST.as_secs()));
        Err(Error::new(Kind::Unverified, "look at the service").caused_by(why))
    }

    async fn look_now(&self) {
        let sources = match (self.sources)().await {
            Ok(sources) => sources,
            Err(e) => {
                *self.trouble.lock().await = Some(e.one_line());
                // Wakes those who wait.
                self.last.send_modify(|_| {});
                return;
            }
        };
        let view = self.view(&sources).await;
        self.last.send_replace(Some((Instant::now(), Arc::new(view))));
    }

    async fn view(&self, sources: &Sources) -> View {
        let config = &sources.config;
        let status = status::gather(sources, self.now());
        let beside = &self.beside;
        let (status, schedule, incidents) =
            tokio::join!(status, beside.schedule(sources), incidents(sources));
        let terms = Terms {
            rpo: config.objectives.rpo,
            preflight_max_age: config.failover.preflight_max_age,
        };
        let reasons = status::reasons(&status, &terms);
        let ids: Vec<String> = match status.open_runs.known() {
            Some(runs) => runs.iter().map(|run| run.id.clone()).collect(),
            None => Vec::new(),
        };
        let (open_runs, slow) =
            tokio::join!(open_runs(sources, &ids), self.slow(sources, &reasons));
        View {
            status,
            reasons,
            rpo_seconds: config.objectives.rpo.as_secs_f64(),
            rto_seconds: config.objectives.rto.as_secs_f64(),
            histories: slow.histories,
            open_runs,
            past_runs: slow.past_runs,
            drills: slow.drills,
            schedule,
            incidents,
        }
    }

    async fn slow(&self, sources: &Sources, reasons: &[String]) -> Slow {
        let mut kept = self.slow.lock().await;
        if let Some((at, slow)) = &*kept
            && at.elapsed() < SLOWLY
        {
            return slow.clone();
        }
        let now = self.now();
        let (histories, past_runs, drills) =
            tokio::join!(histories(sources, reasons, now), past_runs(sources), drills(sources));
        let slow = Slow { histories, past_runs, drills };
        *kept = Some((Instant::now(), slow.clone()));
        slow
    }
}

struct Done<'l>(&'l AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The journals of a control store that another machine writes.
fn copies(sources: &Sources) -> Result<Copies> {
    match &sources.control {
        Ok(store) => Ok(Copies { control: Arc::clone(store), local: Arc::clone(store) }),
        Err(e) => Err(Error::new(e.kind(), e.one_line())),
    }
}

async fn incidents(sources: &Sources) -> Learned<Vec<intake::Incident>> {
    let open = async {
        let store: &Arc<dyn ObjectStore> =
            sources.control.as_ref().map_err(|e| Error::new(e.kind(), e.one_line()))?;
        intake::open(&**store).await
    };
    within(sources.limit, "list incidents", open).await
}

async fn open_runs(sources: &Sources, ids: &[String]) -> Vec<OpenRun> {
    let loads = ids.iter().map(async |id| {
        let load = async {
            let loaded = journal::load(&copies(sources)?, id).await?;
            let waits = loaded.plan.steps.iter().filter_map(|step| {
                let known = loaded.state.steps.get(&step.id)?;
                let waits = known.asked.is_some()
                    && known.approved_by.is_none()
                    && known.standing == state::Standing::Waiting;
                waits.then(|| (step.id.clone(), format!("drctl approve {id} {}", step.id)))
            });
            let asks: Vec<_> = waits.collect();
            let report = report::make(&loaded.plan, &loaded.entries).ok_or_else(|| {
                Error::new(Kind::Damaged, format!("the journal of run {id} has no beginning"))
            })?;
            Ok((report, asks))
        };
        let (report, asks) = match within(sources.limit, "read its journal", load).await {
            Learned::Known((report, asks)) => (Learned::Known(report), asks),
            Learned::Unknown(why) => (Learned::Unknown(why), Vec::new()),
        };
        OpenRun { id: id.clone(), report, asks }
    });
    join_all(loads).await
}

async fn past_runs(sources: &Sources) -> Learned<Vec<PastRun>> {
    let list = async {
        let all = journal::list(&copies(sources)?).await?;
        if let Some(why) = all.control_away {
            return Err(Error::new(Kind::Storage, why));
        }
        let over = all.runs.into_iter().filter(|run| !run.is_open()).take(PAST_RUNS);
        let past = over.map(|run| PastRun {
            runbook: run.run.runbook,
            drill: run.run.drill,
            began: run.run.confirmed,
            seconds: (run.last - run.run.confirmed).as_seconds_f64().max(0.0),
            ending: run.ending.map(|_| words::ending(run.ending).to_owned()),
            well: matches!(run.ending, Some(Ending::Succeeded)),
            id: run.run.id,
        });
        Ok(past.collect())
    };
    within(sources.limit, "list runs", list).await
}

/// Of the databases that have a trouble first, and of so many.
async fn histories(sources: &Sources, reasons: &[String], now: DateTime<Utc>) -> Vec<History> {
    let config = &sources.config;
    let mut names: Vec<&str> = config.database_names().collect();
    let troubled = |name: &str| {
        reasons.iter().any(|r| r.split(|c: char| c.is_whitespace()).any(|word| word == name))
    };
    names.sort_by_key(|name| !troubled(name));
    names.truncate(DRAWN);
    let looks = names.into_iter().map(async |name| {
        let database = match config.database(name) {
            Ok(database) => database,
            Err(e) => return History::unknown(name, e.one_line(), TimeDelta::hours(48), now),
        };
        // No longer than every snapshot is kept: a gap would look like a breach.
        let hours = i64::from(database.keep.hourly).clamp(24, 72);
        let window = TimeDelta::hours(hours);
        let open = |name: &String| {
            let found = sources.stores.iter().find(|(n, _)| n == name)?;
            found.1.as_ref().ok().map(Arc::clone)
        };
        let (mut stores, mut away) = (Vec::new(), Vec::new());
        for store in &database.stores {
            match open(store) {
                Some(store) => stores.push(store),
                None => away.push((store.clone(), "it cannot be opened".to_owned())),
            }
        }
        let look = shelf::shelf(&stores, &sources.keys, name);
        match within(SHELVES, "look for snapshots", look).await {
            Learned::Known(mut shelf) => {
                shelf.unreachable.append(&mut away);
                History::of(&shelf, &database.stores, window, now)
            }
            Learned::Unknown(why) => History::unknown(name, why, window, now),
        }
    });
    join_all(looks).await
}

async fn within<T>(
    limit: Duration,
    what: &str,
    act: impl Future<Output = Result<T>>,
) -> Learned<T> {
    match tokio::time::timeout(limit, act).await {
        Ok(done) => done.into(),
        Err(_) => {
            let limit = humantime::format_duration(limit);
            Learned::Unknown(format!("{what}: no answer within {limit}"))
        }
    }
}
