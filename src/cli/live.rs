//! The live view of a run: on a terminal a line for every step under way and the clock below them,
//! plain lines elsewhere, events as JSON lines with `--json`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::Utc;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen;
use super::story::{Story, minutes};
use crate::model::{Event, Sink};

/// The sink for how the command was called.
pub fn sink(json: bool) -> Arc<dyn Sink> {
    match (json, std::io::stderr().is_terminal()) {
        (true, _) => screen::sink(true),
        (false, true) => Arc::new(Live::new()),
        (false, false) => Arc::new(Plain::default()),
    }
}

/// A line for whatever happens, for logs.
#[derive(Default)]
struct Plain(Mutex<Story>);

impl Sink for Plain {
    fn emit(&self, event: Event) {
        let mut story = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = story.take(&event, Utc::now()) {
            let _ = writeln!(std::io::stderr().lock(), "{line}");
        }
    }
}

/// What is over scrolls up; what is under way stays below, redrawn twice a second.
struct Live(Arc<Mutex<View>>);

struct View {
    all: MultiProgress,
    story: Story,
    clock: Option<ProgressBar>,
    steps: BTreeMap<String, ProgressBar>,
}

const LINE: &str = "  {spinner} {wide_msg}";

impl Live {
    fn new() -> Self {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(4));
        let view = View { all, story: Story::default(), clock: None, steps: BTreeMap::new() };
        let view = Arc::new(Mutex::new(view));
        let weak = Arc::downgrade(&view);
        std::thread::spawn(move || {
            while let Some(view) = weak.upgrade() {
                lock(&view).redraw();
                drop(view);
                std::thread::sleep(Duration::from_millis(500));
            }
        });
        Self(view)
    }
}

fn lock(view: &Mutex<View>) -> MutexGuard<'_, View> {
    view.lock().unwrap_or_else(PoisonError::into_inner)
}

impl View {
    fn bar(&self) -> ProgressBar {
        let style = ProgressStyle::with_template(LINE);
        let bar = ProgressBar::new_spinner();
        bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
    }

    fn redraw(&mut self) {
        let now = Utc::now();
        let gone: Vec<String> = self
            .steps
            .keys()
            .filter(|step| !self.story.under_way.contains_key(*step))
            .cloned()
            .collect();
        for step in gone {
            if let Some(bar) = self.steps.remove(&step) {
                bar.finish_and_clear();
            }
        }
        for (step, under_way) in &self.story.under_way {
            let bar = match self.steps.get(step) {
                Some(bar) => bar.clone(),
                None => {
                    let bar = self.all.insert(0, self.bar());
                    self.steps.insert(step.clone(), bar.clone());
                    bar
                }
            };
            let since = (now - under_way.since).to_std().unwrap_or_default();
            let waits = match under_way.waits_for.as_str() {
                "" => String::new(),
                what => format!("  waits for {what}"),
            };
            let budget = minutes(under_way.budget);
            bar.set_message(format!("{step}  {} of {budget}{waits}", minutes(since)));
            bar.tick();
        }
        if self.story.confirmed.is_some() {
            let clock = match &self.clock {
                Some(clock) => clock.clone(),
                None => {
                    let clock = self.all.add(self.bar());
                    self.clock = Some(clock.clone());
                    clock
                }
            };
            let (ended, steps) = (self.story.ended, self.story.steps.len());
            let clock_text = self.story.clock(now);
            clock.set_message(format!("{ended} of {steps} steps over  {clock_text}"));
            clock.tick();
        }
    }
}

impl Sink for Live {
    fn emit(&self, event: Event) {
        let mut view = lock(&self.0);
        let line = view.story.take(&event, Utc::now());
        // What is waited for is in the line of its step.
        if let Some(line) = line.filter(|_| !matches!(event, Event::StepWaits { .. })) {
            let _ = view.all.println(line);
        }
        view.redraw();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = lock(&self.0).all.clear();
    }
}
