//! Long work tells what it is at through events; a step tells it on in words.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{Event, Level, Sink};
use crate::providers::Context;

/// How often what is waited for is told anew.
const AGAIN: Duration = Duration::from_millis(500);

/// Keeps the last phase, the figures, and every warning.
#[derive(Default)]
pub struct Relay(Mutex<State>);

#[derive(Default)]
struct State {
    phase: String,
    rows: u64,
    total: u64,
    warnings: Vec<String>,
    tables: BTreeMap<String, ()>,
}

impl Sink for Relay {
    fn emit(&self, event: Event) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Phase { name } => {
                state.phase = name;
                state.rows = 0;
                state.tables.clear();
            }
            Event::Planned { total_rows, .. } => state.total = total_rows,
            Event::TableProgress { rows, .. } => state.rows += rows,
            Event::TableEnded { table, .. } => _ = state.tables.insert(table, ()),
            Event::StoreLost { store, error } => {
                state.warnings.push(format!("store `{store}` is given up: {error}"));
            }
            Event::Notice { level: Level::Warning, message } => state.warnings.push(message),
            _ => {}
        }
    }
}

impl Relay {
    fn words(&self, what: &str) -> String {
        let state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut words = what.to_owned();
        if !state.phase.is_empty() {
            words.push_str(&format!(": {}", state.phase));
        }
        if state.rows > 0 {
            let of = if state.total > 0 { format!(" of {}", state.total) } else { String::new() };
            words.push_str(&format!(", {} rows{of}", state.rows));
        }
        words
    }

    /// What was warned of, once.
    pub fn warnings(&self) -> Vec<String> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut state.warnings)
    }
}

/// Does the work and tells meanwhile how far it is. `None`: the step's time was up first.
pub async fn watching<T>(
    cx: &Context<'_>,
    relay: &Arc<Relay>,
    what: &str,
    work: impl Future<Output = T>,
) -> Option<T> {
    let deadline = cx.deadline - super::super::postgres::MARGIN;
    let mut work = std::pin::pin!(work);
    loop {
        cx.waits_for(relay.words(what));
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep_until(deadline) => return None,
            () = tokio::time::sleep(AGAIN) => {}
        }
    }
}

/// Does work on a thread of its own: the futures of a snapshot and of a restore borrow in ways that
/// cannot be shown to be `Send`. Whoever drops this ends the work.
pub async fn aside<T, Work>(work: impl FnOnce() -> Work + Send + 'static) -> Result<T>
where
    T: Send + 'static,
    Work: Future<Output = Result<T>>,
{
    let (alive, gone) = tokio::sync::oneshot::channel::<()>();
    let runtime = tokio::runtime::Handle::current();
    let task = tokio::task::spawn_blocking(move || {
        runtime.block_on(async move {
            tokio::select! {
                done = work() => Some(done),
                _ = gone => None,
            }
        })
    });
    let done = task.await.attempt(Kind::Bug, || "do work aside".to_owned())?;
    drop(alive);
    done.unwrap_or_else(|| Err(Error::new(Kind::Bug, "work aside was given up")))
}
