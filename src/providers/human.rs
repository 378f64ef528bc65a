//! People: `human.approve`.

use std::time::Duration;

use chrono::SecondsFormat;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::catalogue::ActionKind;
use super::{Action, Applied, Check, Context, Description, Facts, Failure, Observed, Standing};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::store::approval::{self, Found};

/// What is left of the step's time for telling how it ended.
const MARGIN: Duration = Duration::from_millis(500);

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new(
        "human.approve",
        "wait until a person agrees with `drctl approve`",
        |with: With, _: &Config| Ok(Approve { with }),
    )]
}

/// Who may approve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
enum Who {
    /// Anybody who may run drctl, the operator too.
    Operator,
    /// Somebody other than the operator.
    #[default]
    SecondPerson,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct With {
    /// What is agreed to, in words that an engineer at 3 am understands.
    message: String,
    /// Who may approve: `second-person` (the default), who is not the operator, or `operator`.
    #[serde(default)]
    who: Who,
}

struct Approve {
    with: With,
}

impl Approve {
    fn who(&self) -> &'static str {
        match self.with.who {
            Who::Operator => "the operator",
            Who::SecondPerson => "a second person",
        }
    }

    /// Whether this approval is by somebody who may give it.
    fn judge(&self, cx: &Context<'_>, found: &Found) -> Result<Facts, Failure> {
        let by = &found.approval.by;
        let mut operators = cx.run.operators.iter().chain([&cx.run.operator]);
        let own = operators.any(|operator| approval::same_person(by, operator));
        if self.with.who == Who::SecondPerson && own {
            let what = format!("approve step `{}` of run `{}`", cx.step, cx.run.id);
            let error = Error::new(Kind::Failed, what)
                .caused_by(format!("{by} approved it, who is an operator of this run"))
                .hint(
                    "an approval is written once; start a new run, and let somebody else approve",
                );
            return Err(Failure::permanent(error));
        }
        let mut facts = Facts::new();
        facts.insert("by".to_owned(), by.clone().into());
        let at = found.approval.at.to_rfc3339_opts(SecondsFormat::Secs, true);
        facts.insert("at".to_owned(), at.into());
        facts.insert("approval".to_owned(), found.digest.to_string().into());
        if let Some(reason) = &found.approval.reason {
            facts.insert("reason".to_owned(), reason.clone().into());
        }
        Ok(facts)
    }

    fn unapproved(&self, cx: &Context<'_>) -> Failure {
        let what = format!("wait for {} to approve `{}`", self.who(), self.with.message);
        let hint = format!(
            "`drctl approve {run} {step}` approves, then `drctl resume {run}` goes on",
            run = cx.run.id,
            step = cx.step
        );
        let error = Error::new(Kind::Failed, what).caused_by("nobody did in time").hint(hint);
        Failure::transient(error)
    }
}

impl Action for Approve {
    fn describe(&self) -> Description {
        Description::looks(format!("wait until {} approves: {}", self.who(), self.with.message))
            .detail("the run waits, and fails when the step's timeout is over; it counts against the RTO")
    }

    async fn preflight(&self, _: &Context<'_>) -> Vec<Check> {
        let what = format!("approval by {}", self.who());
        vec![
            Check::new(
                Standing::Unproven,
                what,
                "only a person can tell whether one will be there",
            )
            .hint("agree beforehand on who it is, and that drctl runs on their machine"),
        ]
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        match approval::read(cx.world.control.as_ref(), &cx.run.id, cx.step).await {
            Ok(Some(found)) => Ok(Observed::Done(self.judge(cx, &found)?)),
            Ok(None) => Ok(Observed::NotDone("nobody has approved yet".to_owned())),
            Err(e) => Err(Failure::transient(e)),
        }
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let (run, step) = (&cx.run.id, cx.step);
        cx.waits_for(format!(
            "approval by {}: {}. To approve: drctl approve {run} {step}",
            self.who(),
            self.with.message
        ));
        let end = cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline);
        let wait = approval::wait(cx.world.control.as_ref(), run, step, approval::POLL);
        let found = match tokio::time::timeout_at(end, wait).await {
            Ok(Ok(found)) => found,
            Ok(Err(e)) => return Err(Failure::permanent(e)),
            Err(_) => return Err(self.unapproved(cx)),
        };
        let facts = self.judge(cx, &found)?;
        let summary = format!("{} approved: {}", found.approval.by, self.with.message);
        Ok(Applied { facts, ..Applied::new(summary) })
    }
}
