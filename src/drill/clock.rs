//! How long the parts of a drill take.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::account::Phase;
use crate::model::{Event, Sink};

/// Measures phases, of which some run at the same time.
pub struct Clock<'a> {
    began: Instant,
    phases: Mutex<Vec<(Phase, bool)>>,
    sink: &'a dyn Sink,
}

impl<'a> Clock<'a> {
    pub fn start(sink: &'a dyn Sink) -> Self {
        Self { began: Instant::now(), phases: Mutex::default(), sink }
    }

    fn phases(&self) -> MutexGuard<'_, Vec<(Phase, bool)>> {
        self.phases.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Seconds since the drill began.
    pub fn now(&self) -> f64 {
        self.began.elapsed().as_secs_f64()
    }

    /// Runs a phase. `recovery`: whether a real recovery would need it as well.
    pub async fn phase<T>(&self, name: &str, recovery: bool, work: impl Future<Output = T>) -> T {
        self.sink.emit(Event::Phase { name: name.to_owned() });
        let began = self.now();
        let phase = Phase { name: name.to_owned(), began, seconds: 0.0, recovery, failed: false };
        let at = {
            let mut phases = self.phases();
            phases.push((phase, true));
            phases.len() - 1
        };
        let done = work.await;
        let now = self.now();
        if let Some((phase, open)) = self.phases().get_mut(at) {
            phase.seconds = now - phase.began;
            *open = false;
        }
        done
    }

    /// Replaces the phase that was measured last by its parts, each with its seconds.
    pub fn split(&self, name: &str, parts: &[(String, f64)]) {
        let mut phases = self.phases();
        let Some(at) = phases.iter().rposition(|(phase, _)| phase.name == name) else { return };
        let (whole, _) = phases.remove(at);
        let known: f64 = parts.iter().map(|(_, seconds)| seconds).sum();
        let first = ("preparing".to_owned(), (whole.seconds - known).max(0.0));
        let mut began = whole.began;
        let all = std::iter::once(&first).chain(parts);
        let parts = all.map(|(part, seconds)| {
            let phase = Phase {
                name: format!("{name}: {part}"),
                began,
                seconds: *seconds,
                ..whole.clone()
            };
            began += seconds;
            (phase, false)
        });
        let parts: Vec<_> = parts.collect();
        phases.splice(at..at, parts);
    }

    /// Marks a phase as failed: of several at the same time, the last one need not be at fault.
    pub fn blame(&self, name: &str) {
        for (phase, _) in self.phases().iter_mut().filter(|(phase, _)| phase.name == name) {
            phase.failed = true;
        }
    }

    /// The phase that was under way last, and is marked as failed with all that were.
    pub fn fail(&self) -> String {
        let now = self.now();
        let mut phases = self.phases();
        for (phase, open) in phases.iter_mut().filter(|(_, open)| *open) {
            phase.seconds = now - phase.began;
            phase.failed = true;
            *open = false;
        }
        if !phases.iter().any(|(phase, _)| phase.failed)
            && let Some((last, _)) = phases.last_mut()
        {
            last.failed = true;
        }
        let failed = phases.iter().rev().find(|(phase, _)| phase.failed);
        failed.map_or_else(|| "beginning".to_owned(), |(phase, _)| phase.name.clone())
    }

    /// Every phase, in the order in which they began.
    pub fn done(&self) -> Vec<Phase> {
        self.phases().iter().map(|(phase, _)| phase.clone()).collect()
    }
}

/// Seconds of the phases that a real recovery would need as well.
pub fn recovery(phases: &[Phase]) -> f64 {
    phases.iter().filter(|phase| phase.recovery).map(|phase| phase.seconds).sum()
}
