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
use tokio::time::timeout;

use super::App;
use crate::config::Config;
use crate::drill::Mending;
use crate::error::{Error, Kind, Result};
use crate::model::{Event, Level, Sink};
use crate::providers::command::Fault;
use crate::runbook::decision::Wish;
use crate::runbook::engine::opening::{self, TIME_TO_LIVE};
use crate::runbook::engine::{self, Engine, Pace};
use crate::runbook::journal;
use crate::runbook::record::Ending;

/// So long undoing what a run did may take.
const UNDOING: Duration = Duration::from_mins(10);

/// The regions that drills of a configuration break.
pub(super) struct Regions(pub Arc<Fault>);

#[async_trait]
impl Mending for Regions {
    fn config(&self) -> &Path {
        self.0.config()
    }

    async fn mend(&self) -> Result<String> {
        self.0.mend().await
    }

    async fn end_run(&self, run: &str, sink: &Arc<dyn Sink>) -> Result<Option<String>> {
        end_run(&load(self.0.config())?, run, sink).await
    }
}

/// The regions of a drill. Their journals on this machine and their messages must not be taken for
/// those of production.
pub(super) fn load(path: &Path) -> Result<App> {
    let mut config = Config::load(Some(path), &|name| std::env::var(name).ok())?;
    config.project = format!("{}-drill", config.project);
    Ok(App { config: Arc::new(config) })
}

/// Undoes and ends the run of a drill, if it began and is open. An error: it is open still.
pub(super) async fn end_run(app: &App, run: &str, sink: &Arc<dyn Sink>) -> Result<Option<String>> {
    let ended = timeout(UNDOING, abort(app, run, sink)).await;
    let late = || Error::new(Kind::Failed, "undoing what it did took too long");
    ended.unwrap_or_else(|_| Err(late())).map_err(|e| {
        let place = app.config.path.display();
        e.during(format!("end run {run} of {place}"))
    })
}

async fn abort(app: &App, run: &str, sink: &Arc<dyn Sink>) -> Result<Option<String>> {
    let place = app.config.path.display();
    let copies = app.journals().await?;
    let runs = journal::list(&copies).await?;
    let known = runs.runs.iter().find(|known| known.run.id == run);
    let unreadable = runs.unreadable.into_iter().find(|(id, _)| id == run).map(|(_, why)| why);
    match (known, unreadable.or(runs.control_away)) {
        (Some(known), _) if known.is_open() => {}
        (None, Some(why)) => return Err(Error::new(Kind::Storage, why)),
        _ => return Ok(None),
    }
    let loaded = journal::load(&copies, run).await?;
    if !loaded.state.run.drill {
        return Err(Error::new(Kind::Damaged, "its journal does not say that it is a drill's")
            .hint("nothing was undone; look at it with `drctl runs show`"));
    }
    if loaded.state.is_past_return(&loaded.plan) {
        let what = "its point of no return is passed, or may be";
        return Err(Error::new(Kind::Failed, what).hint(format!(
            "carry it to its end with `drctl --config {place} resume {run}`, then bring the service \
             back with `drctl --config {place} run failback`"
        )));
    }
    let world = app.world().await?;
    let tell = |info: &crate::store::lease::LeaseInfo, left: Duration| {
        let left = left.as_secs();
        sink.notice(
            Level::Info,
            format!("waits up to {left} s for a sign of life of {}", info.holder),
        );
    };
    opening::outwait(&*copies.control, &tell).await?;
    let holder = super::holder(opening::purpose(run));
    let by = super::operator();
    let hold = opening::hold(&copies.control, holder, TIME_TO_LIVE, false).await?;
    let lease = hold.lease.clone();
    let opened = opening::resume(copies, run, by.clone(), hold, Utc::now()).await?;
    let actions = engine::actions(&opened.plan, &app.config)?;
    let aside = Arc::new(Aside { sink: Arc::clone(sink), undone: Mutex::default() });
    let wishes = watch::Sender::new(Wish::Abort { by, why: "the drill is over".to_owned() });
    let engine = Engine {
        plan: &opened.plan,
        actions: &actions,
        world: &world,
        sink: Arc::clone(&aside) as Arc<dyn Sink>,
        wishes: wishes.subscribe(),
        pace: Pace::default(),
        now: Utc::now,
    };
    let left = engine.carry_on(opened.journal, opened.state, opened.hold).await;
    super::give_back(lease, &**sink).await;
    let report = format!("`drctl --config {place} runs report {run}` tells what");
    match left?.ending {
        Some(Ending::Aborted) => Ok(Some(format!("run {run}, {}", aside.in_words()))),
        Some(Ending::AbortIncomplete) => {
            Err(Error::new(Kind::Failed, "not all that it did could be undone").hint(report))
        }
        _ => Err(Error::new(Kind::Failed, "it ended otherwise").hint(report)),
    }
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
