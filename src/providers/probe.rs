//! Whether the primary is down, seen from several places: `probe.quorum`.

mod vantage;
mod verdict;

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use self::vantage::{KEEPALIVE, Look, Vantage};
use self::verdict::{Seen, Verdict, Vote, judge};
use super::catalogue::ActionKind;
use super::postgres::Server;
use super::{
    Action, Applied, Check, Context, Description, Failure, Leaning, Mode, Observed, Plane,
    Standing, dns,
};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Span;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![ActionKind::new(
        "probe.quorum",
        "finds out from several places whether the primary is down; one that answers is not",
        Quorum::new,
    )]
}

/// Looks of each vantage point: one lost packet is no failover.
const ROUNDS: u32 = 3;

/// Arguments of `probe.quorum`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct With {
    /// The database's name in the configuration.
    pub database: String,
    /// The region of its primary.
    #[serde(rename = "in")]
    pub region: String,
    /// The region of the standby whose WAL receiver is asked; default: the other one.
    pub standby: Option<String>,
    /// Health endpoints of that region: answering with 2xx they are up, with 5xx or not at all down.
    #[serde(default)]
    pub health: Vec<String>,
    /// Endpoints elsewhere that look at the primary for us, such as a monitor in a third region:
    /// read like `health`.
    #[serde(default)]
    pub witnesses: Vec<String>,
    /// The DNS server (address, with a port where it is not 53) that is asked for the hosts of these.
    /// Default: `system`, as this machine does.
    pub resolver: Option<String>,
    /// How many vantage points must see it down; default: more than half.
    pub need: Option<usize>,
    /// Over how long they look, three times; default 1s.
    pub window: Option<Span>,
    /// How long one look may take; default 2s.
    pub limit: Option<Span>,
}

pub struct Quorum {
    primary: Server,
    vantages: Vec<Vantage>,
    need: usize,
    between: Duration,
    limit: Duration,
}

impl Quorum {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let primary = Server::find(config, &with.database, &with.region)?;
        let given = with.standby.as_deref();
        let standby = Server::other(config, &with.database, &with.region, given)?;
        let mut vantages = vec![Vantage::Sql(primary.clone()), Vantage::Standby(standby)];
        let resolver = with.resolver.as_deref().map_or(Ok(None), dns::resolver).map_err(|why| {
            Error::new(Kind::Usage, "read the arguments of `probe.quorum`").caused_by(why)
        })?;
        for url in with.health.iter().chain(&with.witnesses) {
            vantages.push(Vantage::http(url, resolver)?);
        }
        let need = with.need.unwrap_or(vantages.len() / 2 + 1);
        if need == 0 || need > vantages.len() {
            let what = "read the arguments of `probe.quorum`";
            let why = format!("`need` must be from 1 to {}, the vantage points", vantages.len());
            return Err(Error::new(Kind::Usage, what).caused_by(why));
        }
        let window = with.window.map_or(Duration::from_secs(1), |span| span.0);
        let limit = with.limit.map_or(Duration::from_secs(2), |span| span.0);
        Ok(Self { primary, vantages, need, between: window / (ROUNDS - 1), limit })
    }

    /// What every vantage point saw over the window. Ends early when somebody sees it up.
    async fn look(&self, cx: &Context<'_>) -> Vec<Seen> {
        let mut seen: Vec<Seen> = self.vantages.iter().map(Seen::nothing).collect();
        let began = tokio::time::Instant::now();
        for round in 0..ROUNDS {
            if round > 0 {
                tokio::time::sleep(self.between).await;
            }
            let limit = self.limit.min(cx.left());
            // What the standby heard before says that the primary was alive then.
            let fresh = began.elapsed();
            let looks = self.vantages.iter().map(|v| v.look(cx.world, limit, fresh));
            let looks: Vec<Look> = futures_util::future::join_all(looks).await;
            for (seen, look) in seen.iter_mut().zip(looks) {
                seen.add(look);
            }
            let words = seen.iter().map(|s| format!("{}: {}", s.label, s.vote.as_str()));
            cx.waits_for(format!(
                "{} vantage points ({})",
                self.vantages.len(),
                words.collect::<Vec<_>>().join(", ")
            ));
            if seen.iter().any(|s| s.decides && s.vote == Vote::Up) {
                break;
            }
        }
        seen
    }

    fn applied(&self, summary: String, seen: &[Seen]) -> Applied {
        let count = |vote| seen.iter().filter(|s| s.vote == vote).count();
        Applied::new(summary)
            .fact("down", count(Vote::Down))
            .fact("up", count(Vote::Up))
            .fact("unknown", count(Vote::Unknown))
            .fact("need", self.need)
            .fact("seen", seen.iter().map(Seen::in_words).collect::<Vec<_>>())
    }
}

impl Action for Quorum {
    fn describe(&self) -> Description {
        let label = self.primary.label();
        let mut description = Description::looks(format!(
            "find out from {} places whether the primary of {label} is down",
            self.vantages.len()
        ))
        .detail(format!("forced: {} of them must see it down, three times", self.need))
        .detail("forced is refused while it answers, unless --primary-is-broken says why")
        .detail("graceful: it must answer");
        for vantage in &self.vantages {
            description = description.detail(format!("looks at {}", vantage.label()));
        }
        description.leans_on.push(Leaning {
            region: self.primary.region.clone(),
            plane: Plane::Data,
            what: format!("the primary of `{}`", self.primary.database),
            optional: true,
        });
        description
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let limit = self.limit.min(cx.left());
        let looks = self.vantages.iter().map(|v| v.look(cx.world, limit, KEEPALIVE));
        let looks = futures_util::future::join_all(looks).await;
        let checks = self.vantages.iter().zip(looks).map(|(vantage, look)| {
            let what = format!("vantage point {}", vantage.label());
            match look.vote {
                Vote::Up => Check::new(Standing::Ready, what, look.found),
                // It is what a failover is for, and in quiet times a wrong address.
                Vote::Down => Check::new(Standing::Warning, what, look.found),
                Vote::Unknown => Check::new(Standing::Unproven, what, look.found),
            }
        });
        checks.collect()
    }

    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::NotDone("it is looked at anew each time".to_owned()))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let seen = self.look(cx).await;
        let words = seen.iter().map(Seen::in_words).collect::<Vec<_>>().join("; ");
        let label = self.primary.label();
        let verdict = judge(&seen, self.need);
        match (cx.run.mode, verdict) {
            (Mode::Graceful, Verdict::Answers) => {
                Ok(self.applied(format!("the primary of {label} answers"), &seen))
            }
            (Mode::Graceful, _) => {
                let what = format!("the primary of {label} does not answer: {words}");
                Err(Failure::transient(
                    Error::new(Kind::Failed, what)
                        .hint("graceful needs it; if it is down: drctl failover --mode forced"),
                ))
            }
            (Mode::Forced, Verdict::Down) => {
                let down = seen.iter().filter(|s| s.vote == Vote::Down).count();
                let summary =
                    format!("the primary of {label} is down: {down} of {} see it", seen.len());
                Ok(self.applied(summary, &seen))
            }
            (Mode::Forced, other) => match &cx.run.primary_is_broken {
                Some(reason) => {
                    let how = match other {
                        Verdict::Answers => "answers",
                        _ => "is not known to be down",
                    };
                    let text =
                        format!("the primary of {label} {how}, and is said to be broken: {reason}");
                    Ok(self
                        .applied(text.clone(), &seen)
                        .fact("primary_is_broken", reason.clone())
                        .warning(text))
                }
                None if other == Verdict::Answers => {
                    let what = format!("the primary of {label} answers: {words}");
                    Err(Failure::permanent(Error::new(Kind::Failed, what).hint(
                        "nothing need be lost: drctl failover --mode graceful; if answering is not \
                         serving: --primary-is-broken \"REASON\"",
                    )))
                }
                None => {
                    let what = format!(
                        "whether the primary of {label} is down is not certain; {} must see it: \
                         {words}",
                        self.need
                    );
                    Err(Failure::transient(Error::new(Kind::Failed, what).hint(
                        "unknown is not down; if you know that it is: --primary-is-broken \"REASON\"",
                    )))
                }
            },
        }
    }
}
