//! The port between runbooks and outside systems: what an action tells, looks at and does.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::World;
use super::postgres::loss::Prediction;
use crate::error::Error;
use crate::model::Span;

/// What an action leaves for later steps and the report: names and JSON values, never a secret.
pub type Facts = Map<String, Value>;

/// How the primary region is taken to be.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It still answers: it is fenced, drained and left with nothing lost.
    Graceful,
    /// It is gone: what it alone had is lost.
    Forced,
}

impl Mode {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Graceful => "graceful",
            Self::Forced => "forced",
        }
    }
}

/// Which part of a region's systems an action needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plane {
    /// APIs that change things. Route 53's and IAM's are in us-east-1 (AWS whitepaper "AWS Fault
    /// Isolation Boundaries").
    Control,
    /// What serves: databases, buckets, endpoints.
    Data,
}

/// Something in a region that an action cannot do without.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leaning {
    /// `us-east-1`.
    pub region: String,
    pub plane: Plane,
    /// "the control plane of Route 53".
    pub what: String,
    /// Whether the action ends well without it: a fence that finds the primary dead does.
    pub optional: bool,
}

/// What an action would do, told before anything is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// One line, in the imperative: "promote `petforce` in us-west-2 with pg_promote()".
    pub effect: String,
    /// More lines for whoever wants to know: what is refused, what is waited for.
    pub details: Vec<String>,
    /// Whether the world is another one afterwards; `false`: it only looks or waits.
    pub changes: bool,
    pub leans_on: Vec<Leaning>,
    /// How `abort` undoes it, where it can.
    pub compensation: Option<String>,
}

impl Description {
    /// An action that only looks or waits.
    pub fn looks(effect: impl Into<String>) -> Self {
        Self {
            effect: effect.into(),
            details: Vec::new(),
            changes: false,
            leans_on: Vec::new(),
            compensation: None,
        }
    }

    /// An action that changes the world.
    pub fn changes(effect: impl Into<String>) -> Self {
        Self { changes: true, ..Self::looks(effect) }
    }

    pub fn detail(mut self, line: impl Into<String>) -> Self {
        self.details.push(line.into());
        self
    }

    pub fn leans_on(
        mut self,
        region: impl Into<String>,
        plane: Plane,
        what: impl Into<String>,
    ) -> Self {
        let (region, what) = (region.into(), what.into());
        self.leans_on.push(Leaning { region, plane, what, optional: false });
        self
    }

    pub fn compensated_by(mut self, how: impl Into<String>) -> Self {
        self.compensation = Some(how.into());
        self
    }
}

/// How a readiness check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Standing {
    Ready,
    /// Works, but a person should know.
    Warning,
    /// No harmless way to find out exists, or it could not be found out. Never shown as fine.
    Unproven,
    /// The step would fail, or do harm.
    NotReady,
}

/// One readiness check of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    pub standing: Standing,
    /// What was checked: "standby of `petforce` in us-west-2".
    pub what: String,
    /// What was found: "streaming, 0 bytes behind", or why not.
    pub found: String,
    /// The next move, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

impl Check {
    pub fn new(standing: Standing, what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { standing, what: what.into(), found: found.into(), hint: None }
    }

    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Whether an action's effect is there already.
#[derive(Debug, Clone, PartialEq)]
pub enum Observed {
    /// It is; applying it would change nothing. With the facts that `apply` would have left.
    Done(Facts),
    /// It is not, for this reason.
    NotDone(String),
}

/// An action that was carried out.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Applied {
    /// One line for the report: "`petforce` left recovery on timeline 2 after 3.1 s".
    pub summary: String,
    pub facts: Facts,
    /// What went otherwise than wished and must stand in the report: "primary UNFENCED".
    pub warnings: Vec<String>,
}

impl Applied {
    pub fn new(summary: impl Into<String>) -> Self {
        Self { summary: summary.into(), ..Self::default() }
    }

    pub fn fact(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.facts.insert(name.to_owned(), value.into());
        self
    }

    pub fn warning(mut self, text: impl Into<String>) -> Self {
        self.warnings.push(text.into());
        self
    }
}

/// What a failure means for the engine. Whatever the class, the engine observes before it applies
/// an action again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FailureClass {
    /// Nothing happened and another try may help: throttled, unavailable.
    Transient,
    /// No try will help: refused, missing, wrong.
    Permanent,
    /// It may have happened: the answer was lost.
    Unknown,
}

/// An action that failed.
#[derive(Debug)]
pub struct Failure {
    pub class: FailureClass,
    pub error: Error,
}

impl Failure {
    pub fn transient(error: Error) -> Self {
        Self { class: FailureClass::Transient, error }
    }

    pub fn permanent(error: Error) -> Self {
        Self { class: FailureClass::Permanent, error }
    }

    pub fn unknown(error: Error) -> Self {
        Self { class: FailureClass::Unknown, error }
    }
}

impl From<Error> for Failure {
    /// Of an error of which nothing else is known it must be assumed that the effect is there.
    fn from(error: Error) -> Self {
        Self::unknown(error)
    }
}

/// What the run is and what its operator has agreed to. Stored with the plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunFacts {
    pub id: String,
    pub runbook: String,
    pub mode: Mode,
    /// The region that was active before, and the one that is afterwards; as in the plan.
    #[serde(default)]
    pub from: String,
    #[serde(default)]
    pub to: String,
    /// When the operator confirmed: the clock against the RTO starts here.
    pub confirmed: DateTime<Utc>,
    /// "ann on ops-1".
    pub operator: String,
    /// Everybody who has carried it on, the first one too; none of them is a second person.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub operators: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// `--accept-loss`: so much time, or so many bytes of WAL, may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_loss: Option<String>,
    /// How much the runbook allows to be lost; none in journals of old: what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo: Option<Span>,
    /// What was shown of the loss before the operator confirmed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expected_loss: Vec<ExpectedLoss>,
    /// `--accept-unfenced`: go on although the old primary cannot be reached to fence it.
    #[serde(default)]
    pub accept_unfenced: bool,
    /// `--primary-is-broken`: why a primary that answers is not serving.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub primary_is_broken: Option<String>,
    /// Marks every notification; set by drills.
    #[serde(default)]
    pub drill: bool,
    /// The fencing number of the run's lease; greater with every operator.
    #[serde(default)]
    pub fence: u64,
}

/// What a database was expected to lose when the operator confirmed the run, as it was shown then.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExpectedLoss {
    pub database: String,
    #[serde(flatten)]
    pub prediction: Prediction,
}

/// Tells people what a step waits for, in words; shown live and not kept.
pub trait Progress: Send + Sync {
    fn waits_for(&self, what: String);
}

/// Nobody listens.
#[derive(Debug, Clone, Copy)]
pub struct Unheard;

impl Progress for Unheard {
    fn waits_for(&self, _: String) {}
}

/// What an action is given when it runs.
#[derive(Clone, Copy)]
pub struct Context<'c> {
    pub world: &'c World,
    pub run: &'c RunFacts,
    /// The step's id in the runbook.
    pub step: &'c str,
    /// What ended steps left, by step id.
    pub facts: &'c BTreeMap<String, Facts>,
    /// When the step's timeout ends. The engine cuts the step off then; an action that waits should
    /// end a little sooner, with an error that says what it still waited for.
    pub deadline: tokio::time::Instant,
    pub progress: &'c dyn Progress,
}

impl Context<'_> {
    /// What is left of the step's time.
    pub fn left(&self) -> Duration {
        self.deadline.saturating_duration_since(tokio::time::Instant::now())
    }

    pub fn waits_for(&self, what: impl Into<String>) {
        self.progress.waits_for(what.into());
    }

    /// The fact `name` that the ended step `step` left.
    pub fn fact(&self, step: &str, name: &str) -> Option<&Value> {
        self.facts.get(step)?.get(name)
    }
}

/// One action with its arguments. Every method but `describe` may be called again after a crash, in
/// another process, on another machine.
///
/// Its methods are plain `async fn`s; what holds actions of any kind holds them as [`DynAction`].
pub trait Action: Send + Sync {
    /// What would be done. Pure: no I/O, the same every time.
    fn describe(&self) -> Description;

    /// Every readiness check of this step; changes nothing. What cannot be found out is `Unproven`.
    fn preflight(&self, cx: &Context<'_>) -> impl Future<Output = Vec<Check>> + Send;

    /// Whether the effect is there already. Changes nothing. An error: it cannot be found out.
    fn observe(&self, cx: &Context<'_>) -> impl Future<Output = Result<Observed, Failure>> + Send;

    /// Makes the effect so. Applied to a world in which it is so, it changes nothing.
    fn apply(&self, cx: &Context<'_>) -> impl Future<Output = Result<Applied, Failure>> + Send;

    /// Undoes the effect, for `abort` before the point of no return; called only where `describe`
    /// names a compensation. Idempotent.
    fn compensate(&self, _: &Context<'_>) -> impl Future<Output = Result<Applied, Failure>> + Send {
        async { Ok(Applied::new("nothing to undo")) }
    }
}

/// An [`Action`] of any kind, behind a pointer. Every action is one.
///
/// Not one trait with boxed futures for both: `async_trait` puts each method under bounds of its own,
/// and the compiler then proves for every method of every action anew that a client of AWS may move
/// between threads, which took longer than all other checks of the crate.
pub trait DynAction: Send + Sync {
    /// As [`Action::describe`].
    fn describe(&self) -> Description;

    /// As [`Action::preflight`].
    fn preflight<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Vec<Check>>;

    /// As [`Action::observe`].
    fn observe<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Result<Observed, Failure>>;

    /// As [`Action::apply`].
    fn apply<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Result<Applied, Failure>>;

    /// As [`Action::compensate`].
    fn compensate<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Result<Applied, Failure>>;
}

impl<A: Action> DynAction for A {
    fn describe(&self) -> Description {
        Action::describe(self)
    }

    fn preflight<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Vec<Check>> {
        Box::pin(Action::preflight(self, cx))
    }

    fn observe<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Result<Observed, Failure>> {
        Box::pin(Action::observe(self, cx))
    }

    fn apply<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(Action::apply(self, cx))
    }

    fn compensate<'a>(&'a self, cx: &'a Context<'_>) -> BoxFuture<'a, Result<Applied, Failure>> {
        Box::pin(Action::compensate(self, cx))
    }
}
