//! Waiting for AWS: looking again until it is so, or until the step's time is up.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::error::{Error, Kind};
use crate::providers::{Context, Failure, FailureClass};

/// Doubles up to `LONGEST`: APIs that describe are throttled per account, so nobody asks them
/// several times a second for minutes.
const FIRST: Duration = Duration::from_millis(200);
const LONGEST: Duration = Duration::from_secs(5);

/// What a look found.
pub(super) enum Look<T> {
    There(T),
    /// What is still waited for, in words.
    NotYet(String),
}

/// Looks until it is there. A look that fails for good ends it; one that fails otherwise is looked
/// past. `what` names the wait in the error that ends it shortly before the step's time is up.
pub(super) async fn until<T, L>(
    cx: &Context<'_>,
    what: &str,
    look: impl FnMut() -> L,
) -> Result<T, Failure>
where
    L: Future<Output = Result<Look<T>, Failure>>,
{
    // The engine cuts the step off at its deadline, and then nobody would learn what it waited for.
    let end = cx.deadline - (cx.left() / 20).min(Duration::from_millis(500));
    let limit = Limit { end, said: "the step's time is up" };
    until_by(limit, what, |why| cx.waits_for(why), look).await
}

/// When a wait ends, and what is said then.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limit {
    pub end: Instant,
    pub said: &'static str,
}

/// As `until`, outside of runs: `waits_for` hears after each look what is waited for.
pub(super) async fn until_by<T, L>(
    limit: Limit,
    what: &str,
    waits_for: impl Fn(&str),
    mut look: impl FnMut() -> L,
) -> Result<T, Failure>
where
    L: Future<Output = Result<Look<T>, Failure>>,
{
    let Limit { end, said } = limit;
    let mut pause = FIRST;
    let mut waited_for = "an answer from AWS".to_owned();
    loop {
        match timeout_at(end, look()).await {
            Ok(Ok(Look::There(found))) => return Ok(found),
            Ok(Ok(Look::NotYet(why))) => waited_for = why,
            Ok(Err(f)) if f.class == FailureClass::Permanent => return Err(f),
            Ok(Err(f)) => waited_for = format!("an answer: {}", f.error.one_line()),
            Err(_) => {}
        }
        waits_for(&waited_for);
        if Instant::now() + pause >= end {
            return Err(Failure::transient(
                Error::new(Kind::Failed, what)
                    .caused_by(format!("{said} while it waits for {waited_for}")),
            ));
        }
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

/// What was asked for may take this long to show; asked again sooner, it might be done twice.
const SHOWS: Duration = Duration::from_secs(20);

/// Whether a change was asked for, answered or not.
#[derive(Debug, Default)]
pub(super) struct Asked(Mutex<Option<Instant>>);

impl Asked {
    fn set(&self, at: Option<Instant>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    fn get(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It may have happened, or may yet.
    pub fn at_all(&self) -> bool {
        self.get().is_some()
    }

    /// So lately that its effect need not show yet.
    pub fn lately(&self) -> bool {
        self.get().is_some_and(|at| at.elapsed() < SHOWS)
    }

    /// Asks by `asking`, whose `Some` says why it will not be done now. What is waited for then.
    pub async fn ask(
        &self,
        asking: impl Future<Output = Result<Option<String>, Failure>>,
    ) -> Result<String, Failure> {
        self.set(Some(Instant::now()));
        match asking.await {
            Ok(None) => Ok("AWS to begin with it".to_owned()),
            Ok(Some(why)) => {
                self.set(None);
                Ok(format!("AWS, which will not yet: {why}"))
            }
            // Settled by looking whether it shows.
            Err(f) if f.class == FailureClass::Unknown => Ok(format!(
                "a sign that it was done, since no answer came ({})",
                f.error.one_line()
            )),
            Err(f) => {
                self.set(None);
                Err(f)
            }
        }
    }
}
