//! A run as its report tells it: from its plan and its journal, and from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use super::left;
use super::loss::{self, Loss};
use crate::providers::{Facts, Mode, RunFacts};
use crate::runbook::plan::{Plan, PlannedStep};
use crate::runbook::record::{Ending, Entry, Outcome, Record};
use crate::runbook::sheet::OnFailure;

/// Everything that a report tells. Times are seconds since the operator confirmed.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct RunReport {
    pub run: RunFacts,
    pub title: String,
    pub runbook: String,
    pub mode: Mode,
    pub from: String,
    pub to: String,
    pub rto_seconds: f64,
    pub rpo_seconds: f64,
    /// None: it has not ended.
    pub ending: Option<Ending>,
    /// Of the journal's last entry.
    pub last: DateTime<Utc>,
    pub seconds: f64,
    /// When the last step without which the run has no success was over; none: it has none yet.
    pub recovered_seconds: Option<f64>,
    pub within_rto: Option<bool>,
    /// When the first step began after which there is no way back.
    pub point_of_no_return: Option<f64>,
    pub steps: Vec<StepReport>,
    pub losses: Vec<Loss>,
    pub operators: Vec<String>,
    pub approvals: Vec<Approval>,
    /// What went otherwise than wished.
    pub attention: Vec<String>,
    /// Who was not told, and why.
    pub untold: Vec<String>,
    /// What a person still has to do.
    pub left_to_do: Vec<String>,
    /// Pauses, resumptions, aborts and notes, with their time.
    pub events: Vec<(f64, String)>,
}

/// One step of it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepReport {
    pub id: String,
    pub uses: String,
    pub effect: String,
    pub standing: StepStanding,
    /// What came of it, in a line.
    pub said: String,
    pub hint: Option<String>,
    pub warnings: Vec<String>,
    pub began: Option<f64>,
    pub ended: Option<f64>,
    /// The longest it might have taken.
    pub limit_seconds: f64,
    pub tries: u32,
    pub critical: bool,
    pub point_of_no_return: bool,
    /// Whether a run without it is no success.
    pub needed: bool,
}

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepStanding {
    Done,
    Failed,
    Skipped,
    Undone,
    UndoFailed,
    /// Begun, and its end is not in the journal.
    Open,
    NotBegun,
}

impl StepStanding {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Failed => "FAILED",
            Self::Skipped => "skipped",
            Self::Undone => "undone",
            Self::UndoFailed => "NOT UNDONE",
            Self::Open => "OPEN",
            Self::NotBegun => "not begun",
        }
    }
}

/// Somebody agreed to a step.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Approval {
    pub step: String,
    pub by: String,
    pub at: DateTime<Utc>,
}

/// The report of a run; none where the journal does not begin with its first entry.
pub fn make(plan: &Plan, entries: &[Entry]) -> Option<RunReport> {
    let Record::RunBegan { run, .. } = &entries.first()?.record else { return None };
    let last = entries.last()?.at;
    let since = |at: DateTime<Utc>| (at - run.confirmed).num_milliseconds().max(0) as f64 / 1000.0;
    let budget = plan.budget();
    let mut steps: Vec<StepReport> = plan
        .steps
        .iter()
        .enumerate()
        .map(|(i, step)| blank(step, budget.critical.contains(&i)))
        .collect();
    let place: BTreeMap<&str, usize> =
        plan.steps.iter().enumerate().map(|(i, s)| (s.id.as_str(), i)).collect();
    let mut facts: BTreeMap<usize, Facts> = BTreeMap::new();
    let mut ending = None;
    let mut operators = vec![run.operator.clone()];
    operators.extend(run.operators.iter().cloned());
    let (mut approvals, mut events) = (Vec::new(), Vec::new());
    for entry in entries {
        let at = since(entry.at);
        match &entry.record {
            Record::RunBegan { .. } => {}
            Record::RunResumed { operator } => {
                ending = None;
                operators.push(operator.clone());
                events.push((at, format!("resumed by {operator}")));
            }
            Record::StepStarted { step, attempt } => {
                let Some(step) = place.get(step.as_str()).map(|i| &mut steps[*i]) else { continue };
                step.began.get_or_insert(at);
                step.tries = step.tries.max(*attempt).max(1);
                step.standing = StepStanding::Open;
                "its end is not in the journal".clone_into(&mut step.said);
            }
            Record::StepObserved { step, found, .. } => {
                events.push((at, format!("`{step}` looked at again: {found}")));
            }
            Record::StepEnded { step, outcome } => {
                let Some(i) = place.get(step.as_str()) else { continue };
                end(&mut steps[*i], outcome, at);
                if let Outcome::Done { facts: left, .. } = outcome {
                    // Agreed to in the course of the step: a loss, an unfenced primary.
                    if let Some(by) = left.get("accepted_by").and_then(Value::as_str) {
                        let at = entry.at;
                        approvals.push(Approval { step: step.clone(), by: by.to_owned(), at });
                    }
                    facts.insert(*i, left.clone());
                }
            }
            Record::ApprovalAsked { step } => {
                events.push((at, format!("`{step}` waits for approval")));
            }
            Record::StepApproved { step, by, approved, .. } => {
                approvals.push(Approval { step: step.clone(), by: by.clone(), at: *approved });
            }
            Record::CompensationStarted { .. } => {}
            Record::CompensationEnded { step, outcome } => {
                let Some(i) = place.get(step.as_str()) else { continue };
                steps[*i].standing = match outcome {
                    Outcome::Done { .. } => StepStanding::Undone,
                    _ => StepStanding::UndoFailed,
                };
                steps[*i].said = outcome.in_words();
            }
            Record::AbortBegan { by, why } => events.push((at, format!("abort by {by}: {why}"))),
            Record::RunPaused { by } => events.push((at, format!("paused by {by}"))),
            Record::Noted { text } => events.push((at, text.clone())),
            Record::RunEnded { ending: how } => ending = Some(*how),
        }
    }
    let mut once = BTreeSet::new();
    operators.retain(|operator| once.insert(operator.clone()));
    let well = matches!(ending, Some(Ending::Succeeded | Ending::SucceededWithFailures));
    let needed = steps.iter().filter(|s| s.needed);
    let recovered = needed.filter_map(|s| s.ended).fold(0.0, f64::max);
    let recovered_seconds = well.then_some(recovered);
    let rto_seconds = plan.rto.0.as_secs_f64();
    let seconds = since(last);
    let mut report = RunReport {
        run: run.clone(),
        title: plan.title.clone(),
        runbook: plan.runbook.clone(),
        mode: plan.mode,
        from: plan.from.clone(),
        to: plan.to.clone(),
        rto_seconds,
        rpo_seconds: plan.rpo.0.as_secs_f64(),
        ending,
        last,
        seconds,
        recovered_seconds,
        within_rto: match recovered_seconds {
            Some(recovered) => Some(recovered <= rto_seconds),
            // Without success the objective is missed once its time is over, and open before.
            None => (seconds > rto_seconds).then_some(false),
        },
        point_of_no_return: steps.iter().find(|s| s.point_of_no_return).and_then(|s| s.began),
        losses: loss::of(&run.expected_loss, facts.values()),
        operators,
        approvals,
        attention: Vec::new(),
        untold: facts.values().flat_map(untold).collect(),
        left_to_do: Vec::new(),
        events,
        steps,
    };
    report.attention = left::attention(&report, &facts);
    report.left_to_do = left::to_do(&report, &facts);
    Some(report)
}

fn blank(step: &PlannedStep, critical: bool) -> StepReport {
    StepReport {
        id: step.id.clone(),
        uses: step.uses.clone(),
        effect: step.description.effect.clone(),
        standing: StepStanding::NotBegun,
        said: "not begun".to_owned(),
        hint: None,
        warnings: Vec::new(),
        began: None,
        ended: None,
        limit_seconds: step.longest().as_secs_f64(),
        tries: 0,
        critical,
        point_of_no_return: step.point_of_no_return,
        needed: step.on_failure != OnFailure::Continue,
    }
}

fn end(step: &mut StepReport, outcome: &Outcome, at: f64) {
    step.said = outcome.in_words();
    step.ended = step.began.map(|_| at);
    step.hint = None;
    step.standing = match outcome {
        Outcome::Done { summary, warnings, .. } => {
            step.said.clone_from(summary);
            step.warnings.clone_from(warnings);
            StepStanding::Done
        }
        Outcome::Failed { error, hint, .. } => {
            step.said.clone_from(error);
            step.hint.clone_from(hint);
            StepStanding::Failed
        }
        Outcome::Skipped { why } => {
            step.said.clone_from(why);
            StepStanding::Skipped
        }
    };
}

/// The channels that a notification did not reach.
fn untold(facts: &Facts) -> Vec<String> {
    let of = |value: &Value, key: &str| {
        value.get(key).and_then(Value::as_str).unwrap_or("unknown").to_owned()
    };
    let text = |value: &Value| format!("{}: {}", of(value, "channel"), of(value, "why"));
    match facts.get("untold") {
        Some(Value::Array(items)) => items.iter().map(text).collect(),
        _ => Vec::new(),
    }
}
