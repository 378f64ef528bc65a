//! What is known of a run after so many entries of its journal. Pure.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};

use super::plan::{Plan, PlannedStep};
use super::record::{Ending, Entry, Outcome, Record};
use super::sheet::OnFailure;
use crate::providers::{Facts, FailureClass, RunFacts};

/// How far one step is.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Nothing was begun.
    Waiting,
    /// Applied, so many times; no end is known. Without a process that works on it: whether its
    /// effect is there must be found out.
    Started {
        attempt: u32,
    },
    Done {
        facts: Facts,
    },
    Failed {
        class: FailureClass,
    },
    Skipped,
}

impl Standing {
    /// One word.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Started { .. } => "started",
            Self::Done { .. } => "done",
            Self::Failed { .. } => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// One step and its times.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    pub standing: Standing,
    /// How often it was applied.
    pub attempts: u32,
    /// It failed, and is gone on with since the run was resumed.
    pub again: bool,
    pub asked: Option<DateTime<Utc>>,
    /// Who agreed to it.
    pub approved_by: Option<String>,
    /// When it was first applied.
    pub started: Option<DateTime<Utc>>,
    pub ended: Option<DateTime<Utc>>,
    /// The end in full, for people.
    pub outcome: Option<Outcome>,
    /// How undoing it came out; `Some(None)`: begun.
    pub undone: Option<Option<Outcome>>,
}

impl StepState {
    /// Whether nothing more will happen to it by itself.
    pub fn has_ended(&self) -> bool {
        !self.again && !matches!(self.standing, Standing::Waiting | Standing::Started { .. })
    }
}

/// Whether undoing a step came out well.
fn went_well(outcome: Option<&Outcome>) -> bool {
    matches!(outcome, Some(Outcome::Done { .. }))
}

/// A whole run.
#[derive(Debug, Clone, PartialEq)]
pub struct State {
    pub run: RunFacts,
    pub steps: BTreeMap<String, StepState>,
    /// The order in which steps were first applied.
    pub order: Vec<String>,
    /// Who asked for the way back, and why.
    pub aborting: Option<(String, String)>,
    pub paused: bool,
    pub ended: Option<Ending>,
    pub notes: Vec<String>,
    /// Who carried it on, in turn.
    pub operators: Vec<String>,
    pub last: DateTime<Utc>,
}

impl State {
    /// The state after all `entries`; why they cannot be the journal of this plan.
    pub fn replay(plan: &Plan, entries: &[Entry]) -> Result<Self, String> {
        let (first, rest) = entries.split_first().ok_or("it has no entries")?;
        let mut state = Self::begin(plan, first)?;
        rest.iter().try_for_each(|entry| state.take(plan, entry))?;
        Ok(state)
    }

    /// The state after the first entry.
    pub fn begin(plan: &Plan, first: &Entry) -> Result<Self, String> {
        let Record::RunBegan { run, .. } = &first.record else {
            return Err("entry 0 is not the beginning of a run".to_owned());
        };
        let waiting = StepState {
            standing: Standing::Waiting,
            attempts: 0,
            again: false,
            asked: None,
            approved_by: None,
            started: None,
            ended: None,
            outcome: None,
            undone: None,
        };
        Ok(Self {
            run: run.clone(),
            steps: plan.steps.iter().map(|s| (s.id.clone(), waiting.clone())).collect(),
            order: Vec::new(),
            aborting: None,
            paused: false,
            ended: None,
            notes: Vec::new(),
            operators: vec![run.operator.clone()],
            last: first.at,
        })
    }

    /// Takes the next entry; why it cannot follow.
    pub fn take(&mut self, plan: &Plan, entry: &Entry) -> Result<(), String> {
        let number = entry.number;
        self.last = entry.at;
        if self.ended.is_some()
            && !matches!(entry.record, Record::RunResumed { .. } | Record::Noted { .. })
        {
            return Err(format!("entry {number} follows the end of the run"));
        }
        match &entry.record {
            Record::RunBegan { .. } => return Err(format!("entry {number} begins the run again")),
            Record::RunResumed { operator } => {
                self.operators.push(operator.clone());
                self.resume(plan);
            }
            Record::Noted { text } => self.notes.push(text.clone()),
            Record::RunPaused { .. } => self.paused = true,
            Record::AbortBegan { by, why } => self.aborting = Some((by.clone(), why.clone())),
            Record::RunEnded { ending } => self.ended = Some(*ending),
            Record::ApprovalAsked { step } => self.step(number, step)?.asked = Some(entry.at),
            Record::StepApproved { step, by, .. } => {
                self.step(number, step)?.approved_by = Some(by.clone());
            }
            Record::StepStarted { step, attempt } => {
                let state = self.step(number, step)?;
                if state.has_ended() {
                    return Err(format!("entry {number} starts step `{step}`, which had ended"));
                }
                state.again = false;
                state.standing = Standing::Started { attempt: *attempt };
                state.attempts = *attempt;
                state.started.get_or_insert(entry.at);
                if !self.order.contains(step) {
                    self.order.push(step.clone());
                }
            }
            Record::StepObserved { step, .. } => {
                self.step(number, step)?;
            }
            Record::StepEnded { step, outcome } => {
                let state = self.step(number, step)?;
                if state.has_ended() {
                    return Err(format!("entry {number} ends step `{step}` a second time"));
                }
                let never = state.attempts == 0;
                state.again = false;
                if never && matches!(outcome, Outcome::Done { .. }) {
                    return Err(format!("entry {number} ends step `{step}`, which never started"));
                }
                state.standing = match outcome {
                    Outcome::Done { facts, .. } => Standing::Done { facts: facts.clone() },
                    Outcome::Failed { class, .. } => Standing::Failed { class: *class },
                    Outcome::Skipped { .. } => Standing::Skipped,
                };
                state.ended = Some(entry.at);
                state.outcome = Some(outcome.clone());
            }
            Record::CompensationStarted { step } => self.step(number, step)?.undone = Some(None),
            Record::CompensationEnded { step, outcome } => {
                self.step(number, step)?.undone = Some(Some(outcome.clone()));
            }
        }
        Ok(())
    }

    fn step(&mut self, number: u64, step: &str) -> Result<&mut StepState, String> {
        let unknown =
            || format!("entry {number} is of step `{step}`, which the plan does not have");
        self.steps.get_mut(step).ok_or_else(unknown)
    }

    /// Another process goes on: what failed and holds the run up is tried again.
    fn resume(&mut self, plan: &Plan) {
        self.paused = false;
        self.ended = None;
        for step in &plan.steps {
            let Some(state) = self.steps.get_mut(&step.id) else { continue };
            let failed = matches!(state.standing, Standing::Failed { .. });
            if failed && self.aborting.is_none() && step.on_failure != OnFailure::Continue {
                state.again = true;
            }
            if state.undone.as_ref().is_some_and(|undone| !went_well(undone.as_ref())) {
                state.undone = None;
            }
        }
    }

    /// How far a step is.
    pub fn standing(&self, step: &str) -> &Standing {
        self.steps.get(step).map_or(&Standing::Waiting, |state| &state.standing)
    }

    /// Whether nothing more will happen to a step by itself.
    pub fn has_ended(&self, step: &str) -> bool {
        self.steps.get(step).is_some_and(StepState::has_ended)
    }

    /// What the ended steps left, by step.
    pub fn facts(&self) -> BTreeMap<String, Facts> {
        let done = self.steps.iter().filter_map(|(id, state)| match &state.standing {
            Standing::Done { facts } => Some((id.clone(), facts.clone())),
            _ => None,
        });
        done.collect()
    }

    /// Whether there is no way back: the point of no return was passed, or may have been.
    pub fn is_past_return(&self, plan: &Plan) -> bool {
        plan.steps.iter().filter(|step| step.point_of_no_return).any(|step| {
            match self.standing(&step.id) {
                Standing::Started { .. } | Standing::Done { .. } => true,
                Standing::Failed { class } => *class == FailureClass::Unknown,
                Standing::Waiting | Standing::Skipped => false,
            }
        })
    }

    /// The steps that an abort still has to undo, last begun first.
    pub fn to_undo<'p>(&self, plan: &'p Plan) -> Vec<&'p PlannedStep> {
        let can = plan.steps.iter().filter(|step| step.description.compensation.is_some());
        let by_id: BTreeMap<&str, &PlannedStep> = can.map(|s| (s.id.as_str(), s)).collect();
        let begun = self.order.iter().rev().filter_map(|id| by_id.get(id.as_str()).copied());
        begun
            .filter(|step| match self.steps.get(&step.id).and_then(|s| s.undone.as_ref()) {
                None | Some(None) => true,
                Some(Some(_)) => false,
            })
            .collect()
    }

    /// Whether everything that an abort undid came out well.
    pub fn is_undone_well(&self) -> bool {
        self.steps.values().filter_map(|s| s.undone.as_ref()).all(|u| went_well(u.as_ref()))
    }

    /// The steps that wait for somebody's agreement.
    pub fn awaiting_approval(&self) -> BTreeSet<&str> {
        let waiting = self.steps.iter().filter(|(_, s)| {
            s.standing == Standing::Waiting && s.asked.is_some() && s.approved_by.is_none()
        });
        waiting.map(|(id, _)| id.as_str()).collect()
    }
}
