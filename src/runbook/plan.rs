//! What a run would do: a runbook with its references replaced, for one mode. Pure, and stored with
//! the run, which follows it to the end whatever becomes of the runbook.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::graph;
use super::modes::{self, Kept};
use super::references::{Circumstances, References};
use super::sheet::{Approve, OnFailure, Runbook};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Span};
use crate::providers::{self, Arguments, Description, DynAction, Mode, RunFacts, references};

/// A whole plan. Steps stand in an order in which each comes after those that it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub runbook: String,
    pub title: String,
    /// Of the runbook's text.
    pub runbook_digest: Digest,
    pub mode: Mode,
    /// The region that must be active before; after a run that moves nothing it still is.
    pub from: String,
    /// The region that is active afterwards, whose name the operator types.
    pub to: String,
    pub rto: Span,
    pub rpo: Span,
    pub steps: Vec<PlannedStep>,
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    pub id: String,
    pub uses: String,
    pub with: Arguments,
    /// Ids of steps of this plan; those that the mode leaves out are left out here too, and what
    /// they needed is needed in their place.
    pub needs: Vec<String>,
    /// For all tries together; an approval's own timeout comes on top.
    pub timeout: Span,
    pub retries: u32,
    pub on_failure: OnFailure,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approve: Option<Approve>,
    pub point_of_no_return: bool,
    /// Its compensation is none where the runbook says `compensate = false`.
    pub description: Description,
}

/// The plan of a checked runbook. Pure. `Kind::Usage` where it does not suit the configuration or
/// the circumstances.
pub fn make(
    runbook: &Runbook,
    config: &Config,
    mode: Mode,
    circumstances: &Circumstances,
) -> Result<Plan> {
    if let Some(only) = runbook.mode.filter(|only| *only != mode) {
        let (name, mode) = (&runbook.name, mode.as_str());
        let what =
            format!("plan runbook `{name}` in {mode} mode: it is for {} only", only.as_str());
        return Err(Error::new(Kind::Usage, what).hint("leave `--mode` out"));
    }
    let known = References::new(config, circumstances);
    let kept = modes::kept(&runbook.steps, mode);
    let order = graph::order(&modes::places(&kept)).map_err(|circle| {
        let ids: Vec<_> = circle.iter().map(|i| kept[*i].step.id.as_str()).collect();
        let what = format!("runbook `{}`: steps wait for each other", runbook.name);
        Error::new(Kind::Usage, format!("{what}: {}", ids.join(", ")))
    })?;
    let text = |what: &str, text: &str| replaced(&known, runbook, what, &text.into()).map(string);
    let mut steps: Vec<PlannedStep> = order
        .into_iter()
        .map(|i| planned(runbook, &kept[i], config, &known))
        .collect::<Result<_>>()?;
    one_point_of_no_return(&mut steps);
    Ok(Plan {
        runbook: runbook.name.clone(),
        title: text("title", &runbook.title)?,
        runbook_digest: runbook.digest,
        mode,
        from: text("from", &runbook.from)?,
        to: text("to", &runbook.to)?,
        rto: runbook.rto,
        rpo: runbook.rpo,
        steps,
    })
}

/// Behind the first there is no way back any more, so that later ones say nothing: a runbook marks
/// each step that cannot be undone, a plan the one from which on it is too late. Runbooks are refused
/// in which it is open which of them comes first.
fn one_point_of_no_return(steps: &mut [PlannedStep]) {
    for later in steps.iter_mut().filter(|step| step.point_of_no_return).skip(1) {
        later.point_of_no_return = false;
    }
}

/// The title of a runbook with its references replaced.
pub fn title(runbook: &Runbook, config: &Config, circumstances: &Circumstances) -> Result<String> {
    let known = References::new(config, circumstances);
    Ok(string(replaced(&known, runbook, "title", &runbook.title.as_str().into())?))
}

/// What a runbook says of itself, with its references replaced.
pub fn about(
    runbook: &Runbook,
    config: &Config,
    circumstances: &Circumstances,
) -> Result<Option<String>> {
    let known = References::new(config, circumstances);
    let about = runbook.about.as_deref();
    about.map(|a| Ok(string(replaced(&known, runbook, "about", &a.into())?))).transpose()
}

fn string(value: Value) -> String {
    match value {
        Value::String(text) => text,
        other => other.to_string(),
    }
}

fn planned(
    runbook: &Runbook,
    kept: &Kept<'_>,
    config: &Config,
    known: &References,
) -> Result<PlannedStep> {
    let step = kept.step;
    let what = format!("step `{}`", step.id);
    let with = match replaced(known, runbook, &what, &Value::Object(step.with.0.clone()))? {
        Value::Object(with) => Arguments(with),
        _ => Arguments::default(),
    };
    let mut description = action_of(&step.uses, &with, config)
        .map_err(|e| e.during(format!("plan {what} of runbook `{}`", runbook.name)))?
        .describe();
    if step.compensate == Some(false) {
        description.compensation = None;
    }
    describe_in_words(&mut description);
    Ok(PlannedStep {
        id: step.id.clone(),
        uses: step.uses.clone(),
        with,
        needs: kept.needs.clone(),
        timeout: step.timeout,
        retries: step.retries,
        on_failure: step.on_failure,
        approve: step.approve.clone(),
        point_of_no_return: step.point_of_no_return,
        description,
    })
}

/// What an earlier step is yet to leave is told in words.
fn describe_in_words(description: &mut Description) {
    let Description { effect, details, compensation, leans_on, .. } = description;
    let texts = details.iter_mut().chain(compensation).chain([effect]);
    for text in texts.chain(leans_on.iter_mut().map(|leaning| &mut leaning.what)) {
        *text = references::in_words(text);
    }
}

fn action_of(uses: &str, with: &Arguments, config: &Config) -> Result<Box<dyn DynAction>> {
    let kind = providers::find(uses).ok_or_else(|| {
        Error::new(Kind::Usage, format!("there is no action `{uses}`"))
            .hint("`drctl runbook actions` lists all")
    })?;
    kind.build(with, config)
}

impl Plan {
    /// A run of it by one operator, who has agreed to nothing yet.
    pub fn run_facts(&self, id: &str, operator: &str, confirmed: DateTime<Utc>) -> RunFacts {
        RunFacts {
            id: id.to_owned(),
            runbook: self.runbook.clone(),
            mode: self.mode,
            from: self.from.clone(),
            to: self.to.clone(),
            confirmed,
            operator: operator.to_owned(),
            operators: vec![operator.to_owned()],
            reason: None,
            accepted_loss: None,
            rpo: Some(self.rpo),
            expected_loss: Vec::new(),
            accept_unfenced: false,
            primary_is_broken: None,
            drill: false,
            fence: 0,
        }
    }
}

impl PlannedStep {
    /// The step's action. `Kind::Usage` where this version of drctl, or the configuration, does not
    /// have it.
    pub fn action(&self, config: &Config) -> Result<Box<dyn DynAction>> {
        action_of(&self.uses, &self.with, config)
            .map_err(|e| e.during(format!("prepare step `{}`", self.id)))
    }
}

fn replaced(known: &References, runbook: &Runbook, what: &str, value: &Value) -> Result<Value> {
    let mut problems = Vec::new();
    let value = known.replace(value, "", &mut |_, problem| problems.push(problem));
    value.ok_or_else(|| {
        let what = format!("plan {what} of runbook `{}`: {}", runbook.name, problems.join("; "));
        Error::new(Kind::Usage, what)
    })
}
