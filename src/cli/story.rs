//! A run as it is told while it goes on: one line for each thing that happens, with the clock.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};

use super::render::span;
use crate::model::{Event, Level, RunStep};

/// What has been told of a run so far.
#[derive(Default)]
pub struct Story {
    /// When the clock began; `None`: no run yet.
    pub confirmed: Option<DateTime<Utc>>,
    pub rto: Duration,
    pub run: String,
    pub steps: Vec<RunStep>,
    /// Of steps under way: when they began, and what they wait for.
    pub under_way: BTreeMap<String, UnderWay>,
    pub ended: usize,
}

pub struct UnderWay {
    pub since: DateTime<Utc>,
    pub budget: Duration,
    pub waits_for: String,
}

impl Story {
    /// `02:41 of 15:00`, or how far over.
    pub fn clock(&self, now: DateTime<Utc>) -> String {
        let gone = self.gone(now);
        match self.rto.checked_sub(gone) {
            Some(left) => {
                format!("{} of {} gone, {} left", minutes(gone), minutes(self.rto), minutes(left))
            }
            None => format!(
                "{} gone: {} OVER the RTO of {}",
                minutes(gone),
                minutes(gone.saturating_sub(self.rto)),
                minutes(self.rto)
            ),
        }
    }

    fn gone(&self, now: DateTime<Utc>) -> Duration {
        self.confirmed.and_then(|at| (now - at).to_std().ok()).unwrap_or_default()
    }

    /// Takes an event; the line to tell, if it is worth one.
    pub fn take(&mut self, event: &Event, now: DateTime<Utc>) -> Option<String> {
        let line = self.line(event, now)?;
        Some(match self.confirmed {
            Some(_) => format!("{}  {line}", minutes(self.gone(now))),
            None => line,
        })
    }

    fn line(&mut self, event: &Event, now: DateTime<Utc>) -> Option<String> {
        Some(match event {
            Event::RunStarted {
                run,
                runbook,
                mode,
                operator,
                confirmed,
                rto_seconds,
                steps,
                ..
            } => {
                self.confirmed = Some(*confirmed);
                self.rto = Duration::from_secs(*rto_seconds);
                self.run = run.clone();
                self.steps.clone_from(steps);
                let over = |s: &&RunStep| matches!(s.standing.as_str(), "done" | "skipped");
                self.ended = steps.iter().filter(over).count();
                let done = match self.ended {
                    0 => String::new(),
                    n => format!(", {n} of them done before"),
                };
                format!(
                    "run {run}: {runbook}, {mode}, by {operator}; {} steps{done}; RTO {}",
                    steps.len(),
                    minutes(self.rto)
                )
            }
            Event::StepAsks { step, who, command } => {
                format!("{step}: WAITS FOR APPROVAL by {who}: {command}")
            }
            Event::StepApproved { step, by } => format!("{step}: approved by {by}"),
            Event::StepStarted { step, attempt, .. } => {
                let planned = self.steps.iter().find(|s| s.id == *step);
                let effect = planned.map_or("", |s| s.effect.as_str());
                let budget = Duration::from_secs(planned.map_or(0, |s| s.budget_seconds));
                let irrevocable = planned.is_some_and(|s| s.point_of_no_return);
                let since = match self.under_way.get(step) {
                    Some(before) => before.since,
                    None => now,
                };
                let under_way = UnderWay { since, budget, waits_for: String::new() };
                self.under_way.insert(step.clone(), under_way);
                match (*attempt, irrevocable) {
                    (1, false) => format!("{step}: {effect} (within {})", minutes(budget)),
                    (1, true) => format!(
                        "{step}: {effect} (within {}); THE POINT OF NO RETURN",
                        minutes(budget)
                    ),
                    (n, _) => format!("{step}: try {n}"),
                }
            }
            Event::StepWaits { step, what } => {
                let under_way = self.under_way.get_mut(step)?;
                if under_way.waits_for == *what {
                    return None;
                }
                under_way.waits_for.clone_from(what);
                format!("{step}: waits for {what}")
            }
            Event::StepObserved { step, done: true, .. } => {
                format!("{step}: looked: its effect is there")
            }
            Event::StepObserved { step, done: false, found } => {
                format!("{step}: looked: not there ({found})")
            }
            Event::StepEnded { step, outcome, summary, warnings, hint, .. } => {
                self.ended += 1;
                let took = match self.under_way.remove(step) {
                    Some(before) => {
                        let seconds = (now - before.since).as_seconds_f64().max(0.0);
                        format!(" in {}", span(seconds))
                    }
                    None => String::new(),
                };
                let mut line = match outcome.as_str() {
                    "done" => format!("{step}: done{took}: {summary}"),
                    "skipped" => format!("{step}: skipped: {summary}"),
                    _ => format!("{step}: FAILED{took}: {summary}"),
                };
                for warning in warnings {
                    line.push_str(&format!("\n       {step}: WARNING: {warning}"));
                }
                if let Some(hint) = hint {
                    line.push_str(&format!("\n       {step}: hint: {hint}"));
                }
                line
            }
            Event::AbortStarted { by, why } => format!("ABORT by {by}: {why}"),
            Event::UndoStarted { step } => format!("{step}: is being undone"),
            Event::UndoEnded { step, well: true, summary } => format!("{step}: undone: {summary}"),
            Event::UndoEnded { step, well: false, summary } => {
                format!("{step}: NOT UNDONE: {summary}")
            }
            Event::RunEnded { ending, .. } => {
                format!("run {}: {}; {}", self.run, ending.replace('_', " "), self.clock(now))
            }
            Event::Notice { level: Level::Warning, message } => format!("warning: {message}"),
            Event::Notice { level: Level::Info, message } => message.clone(),
            _ => return None,
        })
    }
}

/// `02:41`, or `1:02:41`.
pub fn minutes(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..3600 => format!("{:02}:{:02}", seconds / 60, seconds % 60),
        _ => format!("{}:{:02}:{:02}", seconds / 3600, seconds % 3600 / 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(id: &str, effect: &str, point_of_no_return: bool) -> RunStep {
        RunStep {
            id: id.to_owned(),
            uses: "fake".to_owned(),
            effect: effect.to_owned(),
            needs: Vec::new(),
            budget_seconds: 120,
            point_of_no_return,
            standing: "waiting".to_owned(),
        }
    }

    #[test]
    fn a_run_in_plain_lines() {
        let began = DateTime::UNIX_EPOCH;
        let events = [
            Event::RunStarted {
                run: "r20261124T100000Z-3f9a1c".to_owned(),
                runbook: "region-failover".to_owned(),
                title: "Region failure".to_owned(),
                mode: "forced".to_owned(),
                operator: "ann on ops-1".to_owned(),
                confirmed: began,
                rto_seconds: 900,
                steps: vec![
                    step("fence", "keep the old primary from taking writes", false),
                    step("promote", "promote `petforce` in us-west-2", true),
                    step("tell", "tell the channel", false),
                ],
            },
            Event::StepStarted { step: "fence".to_owned(), attempt: 1, at: began },
            Event::StepWaits { step: "fence".to_owned(), what: "the primary to answer".to_owned() },
            Event::StepWaits { step: "fence".to_owned(), what: "the primary to answer".to_owned() },
            Event::StepObserved {
                step: "fence".to_owned(),
                done: false,
                found: "it takes writes".to_owned(),
            },
            Event::StepStarted { step: "fence".to_owned(), attempt: 2, at: began },
            Event::StepEnded {
                step: "fence".to_owned(),
                outcome: "done".to_owned(),
                summary: "it cannot be reached".to_owned(),
                warnings: vec!["the old primary is UNFENCED".to_owned()],
                hint: None,
                at: began,
            },
            Event::StepAsks {
                step: "promote".to_owned(),
                who: "a second person".to_owned(),
                command: "drctl approve r20261124T100000Z-3f9a1c promote".to_owned(),
            },
            Event::StepApproved { step: "promote".to_owned(), by: "bob on b".to_owned() },
            Event::StepStarted { step: "promote".to_owned(), attempt: 1, at: began },
            Event::StepEnded {
                step: "promote".to_owned(),
                outcome: "failed".to_owned(),
                summary: "it did not leave recovery".to_owned(),
                warnings: vec![],
                hint: Some("look at the server's log".to_owned()),
                at: began,
            },
            Event::RunEnded { run: String::new(), ending: "stopped".to_owned(), seconds: 1.0 },
        ];
        let mut story = Story::default();
        let mut now = began;
        let mut told = String::new();
        for event in &events {
            if let Some(line) = story.take(event, now) {
                told.push_str(&line);
                told.push('\n');
            }
            now += chrono::TimeDelta::seconds(90);
        }
        insta::assert_snapshot!(told, @r"
        00:00  run r20261124T100000Z-3f9a1c: region-failover, forced, by ann on ops-1; 3 steps; RTO 15:00
        01:30  fence: keep the old primary from taking writes (within 02:00)
        03:00  fence: waits for the primary to answer
        06:00  fence: looked: not there (it takes writes)
        07:30  fence: try 2
        09:00  fence: done in 7 min 30 s: it cannot be reached
               fence: WARNING: the old primary is UNFENCED
        10:30  promote: WAITS FOR APPROVAL by a second person: drctl approve r20261124T100000Z-3f9a1c promote
        12:00  promote: approved by bob on b
        13:30  promote: promote `petforce` in us-west-2 (within 02:00); THE POINT OF NO RETURN
        15:00  promote: FAILED in 1 min 30 s: it did not leave recovery
               promote: hint: look at the server's log
        16:30  run r20261124T100000Z-3f9a1c: stopped; 16:30 gone: 01:30 OVER the RTO of 15:00
        ");
        assert_eq!(minutes(Duration::from_secs(3725)), "1:02:05");
    }
}
