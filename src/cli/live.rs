//! The live view of a run: on a terminal a line for every step under way and the clock below them,
//! plain lines elsewhere, events as JSON lines with `--json`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::screen;
use super::story::{Story, UnderWay, minutes};
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
            bar.set_message(step_line(step, under_way, now));
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
            clock.set_message(clock_line(&self.story, now));
            clock.tick();
        }
    }
}

/// A step under way: how long, of how much, and what it waits for.
fn step_line(step: &str, under_way: &UnderWay, now: DateTime<Utc>) -> String {
    let since = (now - under_way.since).to_std().unwrap_or_default();
    let waits = match under_way.waits_for.as_str() {
        "" => String::new(),
        what => format!("  waits for {what}"),
    };
    let over = if since > under_way.budget { " OVER" } else { "" };
    format!("{step}  {} of {}{over}{waits}", minutes(since), minutes(under_way.budget))
}

/// Below all steps: how many are over, and the clock.
fn clock_line(story: &Story, now: DateTime<Utc>) -> String {
    format!("{} of {} steps over  {}", story.ended, story.steps.len(), story.clock(now))
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

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::model::RunStep;

    fn step(id: &str, budget_seconds: u64) -> RunStep {
        RunStep {
            id: id.to_owned(),
            uses: "fake".to_owned(),
            effect: format!("do {id}"),
            needs: Vec::new(),
            budget_seconds,
            point_of_no_return: false,
            standing: "waiting".to_owned(),
        }
    }

    /// What stands on the terminal, in the order of the view.
    fn screen(story: &Story, now: DateTime<Utc>) -> String {
        let mut lines: Vec<String> =
            story.under_way.iter().map(|(id, step)| step_line(id, step, now)).collect();
        lines.push(clock_line(story, now));
        lines.join("\n")
    }

    #[test]
    fn the_live_view_of_a_run() {
        let began = DateTime::UNIX_EPOCH;
        let at = |seconds| began + TimeDelta::seconds(seconds);
        let mut story = Story::default();
        let mut take = |event: Event, seconds| {
            let _ = story.take(&event, at(seconds));
        };
        take(
            Event::RunStarted {
                run: "r20261124T100000Z-3f9a1c".to_owned(),
                runbook: "region-failover".to_owned(),
                title: "Region failure".to_owned(),
                mode: "forced".to_owned(),
                operator: "ann on ops-1".to_owned(),
                confirmed: began,
                rto_seconds: 900,
                steps: vec![step("detect", 20), step("fence", 60), step("web-room", 150)],
            },
            0,
        );
        let started =
            |step: &str, s| Event::StepStarted { step: step.to_owned(), attempt: 1, at: at(s) };
        take(started("detect", 1), 1);
        let summary = "it is down".to_owned();
        take(
            Event::StepEnded {
                step: "detect".to_owned(),
                outcome: "done".to_owned(),
                summary,
                warnings: Vec::new(),
                hint: None,
                at: at(5),
            },
            5,
        );
        take(started("fence", 6), 6);
        take(started("web-room", 6), 6);
        let what = "4 tasks running, 2 of them healthy".to_owned();
        take(Event::StepWaits { step: "web-room".to_owned(), what }, 7);
        insta::assert_snapshot!(screen(&story, at(41)), @r"
        fence  00:35 of 01:00
        web-room  00:35 of 02:30  waits for 4 tasks running, 2 of them healthy
        1 of 3 steps over  00:41 of 15:00 gone, 14:19 left
        ");
        insta::assert_snapshot!(screen(&story, at(941)), @r"
        fence  15:35 of 01:00 OVER
        web-room  15:35 of 02:30 OVER  waits for 4 tasks running, 2 of them healthy
        1 of 3 steps over  15:41 gone: 00:41 OVER the RTO of 15:00
        ");
    }
}
