//! `loss.assess`: tells how much will be lost, and insists that the operator agreed to it.

use chrono::Utc;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::known;
use super::super::server::{Server, limits};
use super::reading::{Sight, sight};
use super::{Accepted, Prediction, judge};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::postgres::replication::Limits;
use crate::providers::{
    Action, Applied, Check, Context, Description, ExpectedLoss, Failure, Mode, Observed, Plane,
    Standing, World, agreement,
};

/// Arguments of `loss.assess`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of its primary.
    pub from: String,
    /// The region of the standby that is to be promoted.
    pub to: String,
}

pub struct Assess {
    from: Server,
    to: Server,
    rpo: Span,
}

impl Assess {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        Ok(Self {
            from: Server::find(config, &with.database, &with.from)?,
            to: Server::find(config, &with.database, &with.to)?,
            rpo: Span(config.objectives.rpo),
        })
    }

    async fn look(&self, cx: &Context<'_>) -> Sight {
        let fenced = known::of(cx.facts, &self.to.database).fenced;
        sight(&*cx.world.control, &self.from, &self.to, fenced, limits(cx), Utc::now()).await
    }

    fn rpo(&self, cx: &Context<'_>) -> Span {
        cx.run.rpo.unwrap_or(self.rpo)
    }

    /// The operator's word in the course of the run, where `--accept-loss` does not cover the loss.
    async fn agreed(
        &self,
        cx: &Context<'_>,
        sight: &Sight,
        (what, hint): (String, String),
    ) -> Result<Applied, Failure> {
        let words = sight.prediction.in_words();
        let lose = format!("to lose of {}: {words}", self.to.label());
        match agreement::to(cx, &lose, false).await? {
            Some(by) => {
                let applied = applied(&self.to, sight).fact("accepted_by", by.clone());
                Ok(applied.warning(format!("{by} agreed {lose}")))
            }
            None => {
                let hint = format!("{hint}; or {}", agreement::later(cx));
                Err(Failure::permanent(Error::new(Kind::Failed, what).hint(hint)))
            }
        }
    }
}

/// What a run of these would lose, as far as can be told now, and whether the primary answers. Changes
/// nothing.
pub async fn foresee(
    world: &World,
    with: With,
    mode: Mode,
    limits: Limits,
) -> Result<(ExpectedLoss, bool)> {
    let assess = Assess::new(with, &world.config)?;
    let (from, to) = (&assess.from, &assess.to);
    let sight = sight(&*world.control, from, to, false, limits, Utc::now()).await;
    let answers = sight.primary.is_ok();
    let prediction = match mode == Mode::Graceful && sight.both_answer() {
        true => nothing(),
        false => sight.prediction,
    };
    Ok((ExpectedLoss { database: to.database.clone(), prediction }, answers))
}

/// What a graceful run comes to, whatever the standby lacks at this moment.
fn nothing() -> Prediction {
    Prediction {
        seconds: Some(0.0),
        bytes: Some(0),
        bytes_at_least: 0,
        safe_until: None,
        basis: "the fence waits until the standby has all that the primary has".to_owned(),
    }
}

fn accepted(cx: &Context<'_>) -> Result<Option<Accepted>, Failure> {
    let parse = |text: &String| {
        text.parse().map_err(|why: String| {
            Failure::permanent(Error::new(Kind::Usage, "read --accept-loss").caused_by(why))
        })
    };
    cx.run.accepted_loss.as_ref().map(parse).transpose()
}

/// `null` for unknown would read as nothing.
fn or_unknown(value: Option<impl Into<Value>>) -> Value {
    value.map_or_else(|| json!("unknown"), Into::into)
}

fn applied(server: &Server, sight: &Sight) -> Applied {
    let Prediction { seconds, bytes, bytes_at_least, safe_until, basis } = &sight.prediction;
    let words = sight.prediction.in_words();
    let summary = format!("loss to expect of {}: {words} ({basis})", server.label());
    let mut applied = Applied::new(summary)
        .fact("database", server.database.clone())
        .fact("predicted_seconds", or_unknown(*seconds))
        .fact("predicted_bytes", or_unknown(*bytes))
        .fact("bytes_at_least", *bytes_at_least)
        .fact("safe_until", or_unknown(safe_until.map(|at| at.to_rfc3339())))
        .fact("basis", basis.clone());
    if let Ok(standby) = &sight.standby {
        applied = known::note_timeline(applied, standby);
    }
    let identity = sight.primary.as_ref().ok().and_then(|p| p.system_identifier.clone());
    if let Some(identity) = identity {
        applied = applied.fact("system_identifier", identity);
    }
    if let Some(e) = &sight.samples_unread {
        applied = applied.warning(format!("the samples could not be read: {}", e.one_line()));
    }
    applied
}

impl Action for Assess {
    fn describe(&self) -> Description {
        let mut description = Description::looks(format!(
            "tell how much of `{}` is lost when {} is promoted, and insist on agreement",
            self.to.database, self.to.region
        ))
        .detail(
            "a loss that is unknown, or more than agreed to, needs somebody's word: --accept-loss",
        )
        .leans_on(
            &self.to.region,
            Plane::Data,
            format!("the standby of `{}`", self.to.database),
        );
        description.leans_on.push(crate::providers::Leaning {
            region: self.from.region.clone(),
            plane: Plane::Data,
            what: format!("the primary of `{}`", self.from.database),
            optional: true,
        });
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let sight = self.look(cx).await;
        let what = format!("loss of `{}` in a failover now", self.to.database);
        let words = format!("{} ({})", sight.prediction.in_words(), sight.prediction.basis);
        let mut checks = vec![match judge(&sight.prediction, None, self.rpo(cx)) {
            Ok(()) => Check::new(Standing::Ready, what, words),
            Err(_) if sight.prediction.seconds.is_none() => {
                Check::new(Standing::Unproven, what, words)
            }
            Err((why, _)) => Check::new(Standing::NotReady, what, why),
        }];
        if let Some(e) = &sight.samples_unread {
            let what = format!("samples of `{}` in the control store", self.to.database);
            checks.push(Check::new(Standing::Warning, what, e.one_line()));
        }
        checks
    }

    /// It only looks, and what it sees changes by the second.
    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::NotDone("the loss is assessed anew each time".to_owned()))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let accepted = accepted(cx)?;
        cx.waits_for(format!("both servers of `{}` to tell how far they are", self.to.database));
        let mut sight = self.look(cx).await;
        sight.keep(&*cx.world.control, &self.from.database, limits(cx)).await;
        if cx.run.mode == Mode::Graceful && sight.both_answer() {
            sight.prediction = Prediction { safe_until: sight.prediction.safe_until, ..nothing() };
        }
        match judge(&sight.prediction, accepted, self.rpo(cx)) {
            Ok(()) => Ok(applied(&self.to, &sight)),
            Err(refused) => self.agreed(cx, &sight, refused).await,
        }
    }
}
