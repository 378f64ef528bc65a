//! Mending what a failover drill broke, and ending the run that it left open.
//!
//! A run of staging has nobody who would come back to it, and the next drill can begin only when it
//! has ended. What it did is undone where there is a way back; where there is none, a person must see
//! to it, as the service has moved.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use chrono::Utc;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::staging::Staging;
use super::{App, give_back};
use crate::config::{Config, FailoverDrillConfig};
use crate::drill::{Mending, RunEnd};
use crate::error::{Error, Kind, Result};
use crate::model::{Event, Level, Sink};
use crate::providers::command::Fault;
use crate::runbook::decision::Wish;
use crate::runbook::engine::Left;
use crate::runbook::engine::opening::{self, TIME_TO_LIVE};
use crate::runbook::journal::{self, Loaded, RunSummary};
use crate::runbook::record::Ending;
use crate::store::lease::{self, Standing, process};

/// So long undoing what a run did may take.
const UNDOING: Duration = Duration::from_mins(10);
/// What was mended just now may still be starting: so long a step that cannot be undone is tried again.
const STARTING: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_secs(3);
/// How long the control store may take to say who carries runs out.
const HASTE: Duration = Duration::from_secs(15);

/// The regions that drills of a configuration break.
pub(super) struct Regions {
    pub production: App,
    pub drill: FailoverDrillConfig,
    pub fault: Arc<Fault>,
    pub is_lab: bool,
}

#[async_trait]
impl Mending for Regions {
    fn config(&self) -> &Path {
        &self.fault.config
    }

    async fn idle(&self) -> Result<()> {
        let app = load(self.config())?;
        let control = app.journals().await?.control;
        // Where the store is part of what is broken, it cannot be asked before it is mended.
        let Ok(Ok(Some(held))) = timeout(HASTE, lease::inspect(&*control, opening::LEASE)).await
        else {
            return Ok(());
        };
        match held.standing {
            Standing::Held { .. } if !process::is_gone(&held.holder) => {
                let place = app.config.path.display();
                let what = format!("{} is at work in the regions of {place}", held.holder);
                Err(Error::new(Kind::LeaseHeld, what).hint("when that is over, drill again"))
            }
            _ => Ok(()),
        }
    }

    async fn mend(&self) -> Result<String> {
        self.fault.mend().await
    }

    async fn end_run(&self, run: &str, sink: &Arc<dyn Sink>) -> Result<Option<RunEnd>> {
        let staging = Staging {
            app: load(self.config())?,
            drill: self.drill.clone(),
            fault: Arc::clone(&self.fault),
            is_lab: self.is_lab,
        };
        end(&staging, run, sink, Some(&self.production)).await
    }
}

/// The regions of a drill. Their journals on this machine and their messages must not be taken for
/// those of production.
pub(super) fn load(path: &Path) -> Result<App> {
    let mut config = Config::load(Some(path), &|name| std::env::var(name).ok())?;
    config.project = format!("{}-drill", config.project);
    Ok(App { config: Arc::new(config) })
}

/// Asks again for a while where a server that was mended just now does not answer yet. What is refused
/// is refused.
async fn answered<T, F: Future<Output = Result<T>>>(mut ask: impl FnMut() -> F) -> Result<T> {
    let begun = Instant::now();
    loop {
        match ask().await {
            Err(e) if e.kind() != Kind::Usage && begun.elapsed() < STARTING => sleep(AGAIN).await,
            answer => return answer,
        }
    }
}

/// Whether something is left of it: it is open, or not everything could be undone.
fn is_left(run: &RunSummary) -> bool {
    run.is_open() || run.ending == Some(Ending::AbortIncomplete)
}

/// Ends the run of a drill, if it began and is open. `production`: where the drill is over, and what it
/// proved of the isolation must be proven anew. An error: not all that it did is undone.
pub(super) async fn end(
    staging: &Staging,
    run: &str,
    sink: &Arc<dyn Sink>,
    production: Option<&App>,
) -> Result<Option<RunEnd>> {
    let app = &staging.app;
    let ended = async {
        let Some(loaded) = open_run(app, run).await? else { return Ok(None) };
        if loaded.state.is_past_return(&loaded.plan) {
            return Ok(Some(no_way_back(app, run)));
        }
        if let Some(production) = production {
            answered(|| staging.isolated(production, &loaded.plan)).await?;
        }
        undo(app, run, sink).await.map(Some)
    };
    let place = app.config.path.display();
    ended.await.map_err(|e: Error| e.during(format!("end run {run} of {place}")))
}

async fn open_run(app: &App, run: &str) -> Result<Option<Loaded>> {
    let copies = app.journals().await?;
    let runs = journal::list(&copies).await?;
    let unreadable = runs.unreadable.into_iter().find(|(id, _)| id == run).map(|(_, why)| why);
    let known = runs.runs.iter().find(|known| known.run.id == run);
    match (known, unreadable.or(runs.control_away)) {
        (Some(known), _) if is_left(known) => {}
        (None, Some(why)) => {
            return Err(Error::new(Kind::Storage, why).hint(format!(
                "end it by hand: `drctl --config {} abort {run}`",
                app.config.path.display()
            )));
        }
        _ => return Ok(None),
    }
    let loaded = journal::load(&copies, run).await?;
    if !loaded.state.run.drill {
        return Err(Error::new(Kind::Damaged, "its journal does not say that it is a drill's")
            .hint("nothing was undone; look at it with `drctl runs show`"));
    }
    Ok(Some(loaded))
}

fn no_way_back(app: &App, run: &str) -> RunEnd {
    let place = app.config.path.display();
    let said = format!(
        "run {run} of {place} is open, and its point of no return is passed, or may be: carry it to its \
         end with `drctl --config {place} resume {run}`, then bring the service back with `drctl --config \
         {place} run failback`"
    );
    RunEnd { is_open: true, said }
}

/// Undoes it, again where that fails at first.
async fn undo(app: &App, run: &str, sink: &Arc<dyn Sink>) -> Result<RunEnd> {
    let begun = Instant::now();
    let aside = Arc::new(Aside { sink: Arc::clone(sink), undone: Mutex::default() });
    loop {
        let Some(left) = abort(app, run, &aside, begun + UNDOING).await? else {
            return Ok(no_way_back(app, run));
        };
        let hint =
            format!("`drctl --config {} runs report {run}` tells what", app.config.path.display());
        match left.ending {
            Some(Ending::Aborted) => {
                return Ok(RunEnd {
                    is_open: false,
                    said: format!("run {run}, {}", aside.in_words()),
                });
            }
            Some(Ending::AbortIncomplete) if begun.elapsed() < STARTING => sleep(AGAIN).await,
            Some(Ending::AbortIncomplete) => {
                let what = "not all that it did could be undone";
                return Err(Error::new(Kind::Failed, what).hint(hint));
            }
            _ => return Err(Error::new(Kind::Failed, "it ended otherwise").hint(hint)),
        }
    }
}

/// One abort, under the lease. None: there is no way back any more.
async fn abort(
    app: &App,
    run: &str,
    aside: &Arc<Aside>,
    deadline: Instant,
) -> Result<Option<Left>> {
    let copies = app.journals().await?;
    let tell = |info: &lease::LeaseInfo, left: Duration| {
        let what =
            format!("waits up to {} s for a sign of life of {}", left.as_secs(), info.holder);
        aside.sink.notice(Level::Info, what);
    };
    opening::outwait(&*copies.control, &tell).await?;
    let holder = super::holder(opening::purpose(run));
    let by = super::operator();
    let hold = opening::hold(&copies.control, holder, TIME_TO_LIVE, false).await?;
    let lease = hold.lease.clone();
    let aborted = async {
        let opened = opening::resume(copies, run, by.clone(), hold, Utc::now()).await?;
        // Asked under the lease: somebody may have gone on with it until now.
        if opened.state.is_past_return(&opened.plan) {
            return Ok(None);
        }
        let world = app.world().await?;
        let wishes = watch::Sender::new(Wish::Abort { by, why: "the drill is over".to_owned() });
        let sink = Arc::clone(aside) as Arc<dyn Sink>;
        let carried = app.carry_on(&world, opened, wishes.subscribe(), sink);
        match tokio::time::timeout_at(deadline, carried).await {
            Ok(left) => left.map(Some),
            Err(_) => Err(Error::new(Kind::Failed, "undoing what it did took too long").hint(
                format!("`drctl --config {} abort {run}` goes on", app.config.path.display()),
            )),
        }
    };
    let aborted = aborted.await;
    give_back(lease, &*aside.sink).await;
    aborted
}

/// The drill tells its own story: of the run that is undone only what went wrong, and what was undone.
struct Aside {
    sink: Arc<dyn Sink>,
    undone: Mutex<Vec<String>>,
}

impl Sink for Aside {
    fn emit(&self, event: Event) {
        match event {
            Event::UndoEnded { step, well: true, .. } => {
                self.undone.lock().unwrap_or_else(PoisonError::into_inner).push(step);
            }
            Event::UndoEnded { step, summary, .. } => {
                let text = format!("step `{step}` of the run was not undone: {summary}");
                self.sink.notice(Level::Warning, text);
            }
            Event::Notice { level: Level::Warning, .. } => self.sink.emit(event),
            _ => {}
        }
    }
}

impl Aside {
    fn in_words(&self) -> String {
        let undone = self.undone.lock().unwrap_or_else(PoisonError::into_inner);
        match undone.is_empty() {
            true => "which had done nothing to undo".to_owned(),
            false => format!("of which was undone: {}", undone.join(", ")),
        }
    }
}
