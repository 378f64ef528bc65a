//! `dns.await_answer`: waits until those who are asked give the new answer.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::join_all;
use hickory_resolver::proto::rr::Name;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::question::{Heard, RecordKind, absolute, ask, plain};
use super::servers::{Named, Server, USUAL, authorities, resolvers};
use super::survey::{Report, survey};
use crate::config::Config;
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::providers::{
    Action, Applied, Check, Context, Description, Facts, Failure, Observed, Standing,
};

/// How long one server is waited for in one round.
const PATIENCE: Duration = Duration::from_millis(1500);
/// What is left of the step's time for telling how it ended.
const MARGIN: Duration = Duration::from_millis(500);
/// Resolvers keep an answer that long, whatever is done: more is worth a word before it matters.
const LONG_TTL: u32 = 60;

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    /// The name that clients resolve, such as app.petforce.example.
    name: String,
    /// The kind of its records.
    #[serde(default, rename = "type")]
    kind: RecordKind,
    /// The values of the new answer. A server gives the new answer when it gives at least one of
    /// them and nothing else.
    #[serde(default)]
    values: Vec<String>,
    /// In place of `values`: the name whose addresses are the new answer, such as a load balancer's.
    same_as: Option<String>,
    /// Resolvers to ask: addresses, with a port where it is not 53, and `system` for those of this
    /// machine. Default: system, 1.1.1.1, 8.8.8.8 and 9.9.9.9.
    resolvers: Option<Vec<String>>,
    /// The zone's own servers, by name or address. Default: found by the zone's NS records.
    authoritative: Option<Vec<String>>,
    /// How many servers must give the new answer. Default: all that are asked; one that does not
    /// answer counts as not giving it.
    need: Option<usize>,
    /// How often they are asked. Default: 1s.
    every: Option<Span>,
}

/// The action with its arguments read.
pub(super) struct AwaitAnswer {
    name: Name,
    kind: RecordKind,
    wanted: Wanted,
    resolvers: Vec<Named>,
    authoritative: Option<Vec<Named>>,
    need: Option<usize>,
    every: Duration,
}

enum Wanted {
    Values(BTreeSet<String>),
    SameAs(Name),
}

impl AwaitAnswer {
    pub fn new(with: With, _: &Config) -> Result<Self> {
        let wanted = match (&with.same_as, with.values.is_empty()) {
            (None, false) => {
                let values = with.values.iter().map(|v| canonical(with.kind, v));
                Wanted::Values(values.collect::<Result<_, _>>().map_err(refused)?)
            }
            (Some(_), true) if with.kind == RecordKind::Cname || with.kind == RecordKind::Txt => {
                return Err(refused("`same_as` compares addresses: `type` must be A or AAAA"));
            }
            (Some(name), true) => Wanted::SameAs(absolute(name).map_err(refused)?),
            _ => return Err(refused("give one of `values` and `same_as`")),
        };
        let named = |list: &[String]| -> Result<Vec<Named>> {
            list.iter().map(|text| Named::parse(text).map_err(refused)).collect()
        };
        let usual = || USUAL.iter().map(|text| (*text).to_owned()).collect();
        let asked = named(&with.resolvers.unwrap_or_else(usual))?;
        if let Some(Named::Host(host, _)) = asked.iter().find(|n| matches!(n, Named::Host(..))) {
            return Err(refused(format!("resolver `{host}` must be an address or `system`")));
        }
        if asked.is_empty() && (with.authoritative.is_none() || with.same_as.is_some()) {
            return Err(refused("without `resolvers`, give `values` and `authoritative`"));
        }
        if with.need == Some(0) {
            return Err(refused("`need` must be at least 1"));
        }
        Ok(Self {
            name: absolute(&with.name).map_err(refused)?,
            kind: with.kind,
            wanted,
            resolvers: asked,
            authoritative: with.authoritative.as_deref().map(named).transpose()?,
            need: with.need,
            every: with.every.map_or(Duration::from_secs(1), |span| span.0),
        })
    }

    fn question(&self) -> String {
        format!("{} {}", plain(&self.name), self.kind.as_str())
    }

    fn wanted(&self) -> String {
        match &self.wanted {
            Wanted::Values(values) => values.iter().cloned().collect::<Vec<_>>().join(", "),
            Wanted::SameAs(name) => format!("the addresses of {}", plain(name)),
        }
    }

    /// Whom to ask, and what they should say; tried again in every round until it is known.
    async fn round(&self, watch: &mut Watch, limit: Duration) -> Round {
        let mut unasked = Vec::new();
        if watch.resolvers.is_none() {
            match resolvers(&self.resolvers) {
                Ok(servers) => watch.resolvers = Some(servers),
                Err(why) => unasked.push(why),
            }
        }
        let resolvers = watch.resolvers.clone().unwrap_or_default();
        if watch.authorities.is_none() {
            let named = self.authoritative.as_deref();
            match authorities(&self.name, named, &resolvers, limit).await {
                Ok(servers) => watch.authorities = Some(servers),
                Err(why) => unasked.push(format!("the zone's servers are not known: {why}")),
            }
        }
        match &self.wanted {
            Wanted::Values(values) => watch.expected.clone_from(values),
            // Load balancers give some of their addresses at a time, so what was seen is kept.
            Wanted::SameAs(name) => {
                let asked = resolvers
                    .iter()
                    .map(|server| ask(server.address, name, self.kind.wire(), true, limit));
                for heard in join_all(asked).await {
                    if let Heard::Values { values, .. } = heard {
                        watch.expected.extend(values);
                    }
                }
                if watch.expected.is_empty() {
                    unasked.push(format!("no resolver knows an address of {}", plain(name)));
                }
            }
        }
        let mut servers = watch.authorities.clone().unwrap_or_default();
        servers.extend(resolvers);
        let reports = survey(&servers, &self.name, self.kind, &watch.expected, limit).await;
        for report in reports.iter().filter(|report| report.new) {
            watch.first_new.entry(report.server.label.clone()).or_insert(report.at);
        }
        Round { reports, unasked }
    }

    fn is_done(&self, round: &Round) -> bool {
        let new = round.count();
        new > 0 && new >= self.need.unwrap_or(round.reports.len() + round.unasked.len())
    }

    fn facts(&self, round: &Round, watch: &Watch) -> Facts {
        let answers = round.reports.iter().map(|report| {
            let mut fact = report.fact();
            let first = watch.first_new.get(&report.server.label);
            fact["new_since"] =
                json!(first.map(|at| at.to_rfc3339_opts(SecondsFormat::Millis, true)));
            fact
        });
        let facts = [
            ("name", json!(plain(&self.name))),
            ("type", json!(self.kind.as_str())),
            ("expected", json!(watch.expected)),
            ("answers", Value::Array(answers.collect())),
            ("new", json!(round.count())),
            ("asked", json!(round.reports.len())),
        ];
        facts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    fn summary(&self, round: &Round) -> String {
        let (new, asked) = (round.count(), round.reports.len() + round.unasked.len());
        format!("{new} of {asked} servers give {} for {}", self.wanted(), self.question())
    }

    fn not_yet(&self, round: &Round) -> Failure {
        let what = format!("wait until DNS gives {} for {}", self.wanted(), self.question());
        let hint = if round.reports.iter().any(|r| !r.new && matches!(r.heard, Heard::Silence(_))) {
            "a server that does not answer counts as not giving the new answer: leave it out of \
             `resolvers`, or set `need`"
        } else {
            "clients that asked these servers go to the old place until then; `drctl resume` waits on"
        };
        Failure::transient(Error::new(Kind::Failed, what).caused_by(round.rest()).hint(hint))
    }
}

/// What is learnt in the course of the rounds.
#[derive(Default)]
struct Watch {
    resolvers: Option<Vec<Server>>,
    authorities: Option<Vec<Server>>,
    expected: BTreeSet<String>,
    first_new: BTreeMap<String, DateTime<Utc>>,
}

struct Round {
    reports: Vec<Report>,
    /// Who could not even be asked, and why; each counts as a server that does not answer.
    unasked: Vec<String>,
}

impl Round {
    /// How many give the new answer.
    fn count(&self) -> usize {
        self.reports.iter().filter(|report| report.new).count()
    }

    /// Who does not give the new answer yet, in words.
    fn rest(&self) -> String {
        let reports = self.reports.iter().filter(|r| !r.new).map(Report::in_words);
        reports.chain(self.unasked.iter().cloned()).collect::<Vec<_>>().join("; ")
    }
}

impl Action for AwaitAnswer {
    fn describe(&self) -> Description {
        let need = match self.need {
            None => "every server that is asked must give it".to_owned(),
            Some(need) => format!("{need} of the servers that are asked must give it"),
        };
        Description::looks(format!(
            "wait until DNS gives {} for {}",
            self.wanted(),
            self.question()
        ))
        .detail(match &self.authoritative {
            None => {
                "asks the zone's own servers, found by its NS records, and resolvers".to_owned()
            }
            Some(_) => "asks the zone's own servers and resolvers".to_owned(),
        })
        .detail(format!("{need}; one that does not answer counts as not giving it"))
    }

    async fn preflight(&self, _: &Context<'_>) -> Vec<Check> {
        let mut watch = Watch::default();
        let round = self.round(&mut watch, PATIENCE).await;
        let what = format!("{} in DNS", self.question());
        let mut checks: Vec<Check> = Vec::new();
        let mut found: BTreeMap<String, (Vec<&str>, u32)> = BTreeMap::new();
        let mut lacking: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for report in &round.reports {
            let said = match &report.heard {
                Heard::Silence(why) => {
                    let label = &report.server.label;
                    let check = Check::new(Standing::Unproven, format!("DNS server {label}"), why);
                    checks.push(check.hint("it would hold the step up; is it to be asked?"));
                    continue;
                }
                // Clients have nowhere to go even now, and nothing that the run could move.
                heard @ (Heard::Nothing | Heard::Alias(_)) => {
                    lacking.entry(heard.to_string()).or_default().push(&report.server.label);
                    continue;
                }
                heard => heard.to_string(),
            };
            let (labels, longest) = found.entry(said).or_default();
            labels.push(&report.server.label);
            if let Heard::Values { ttl, .. } = &report.heard {
                *longest = (*longest).max(*ttl);
            }
        }
        for why in &round.unasked {
            checks.push(Check::new(Standing::Unproven, what.clone(), why));
        }
        for (said, labels) in &lacking {
            let text = format!("{said}, at {}", labels.join(", "));
            checks.push(
                Check::new(Standing::NotReady, what.clone(), text)
                    .hint("is the name right, and the record in the zone that the world asks?"),
            );
        }
        let one_answer = found.len() == 1 && lacking.is_empty();
        for (said, (labels, ttl)) in found {
            let text = format!("{said}, TTL {ttl} s, at {}", labels.join(", "));
            checks.push(if ttl > LONG_TTL {
                let hint = format!(
                    "clients may go to the old place for {ttl} s after the swap: lower the TTL to \
                     {LONG_TTL} s or less some days before"
                );
                Check::new(Standing::Warning, what.clone(), text).hint(hint)
            } else if one_answer {
                Check::new(Standing::Ready, what.clone(), text)
            } else {
                Check::new(Standing::Warning, what.clone(), text).hint(
                    "the servers do not agree: a change is under way, or one of them is stale",
                )
            });
        }
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let mut watch = Watch::default();
        let round = self.round(&mut watch, PATIENCE.min(cx.left())).await;
        Ok(match self.is_done(&round) {
            true => Observed::Done(self.facts(&round, &watch)),
            false => Observed::NotDone(round.rest()),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let end = cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline);
        let mut watch = Watch::default();
        loop {
            let limit = PATIENCE.min(end.saturating_duration_since(Instant::now()));
            let round = self.round(&mut watch, limit).await;
            if self.is_done(&round) {
                let mut applied = Applied::new(self.summary(&round));
                applied.facts = self.facts(&round, &watch);
                let rest = round.reports.iter().filter(|r| !r.new).map(Report::in_words);
                applied.warnings = rest.chain(round.unasked.iter().cloned()).collect();
                return Ok(applied);
            }
            cx.waits_for(round.rest());
            // A round that the deadline would cut short calls those silent who only had no time.
            if Instant::now() + self.every + PATIENCE > end {
                return Err(self.not_yet(&round));
            }
            tokio::time::sleep(self.every).await;
        }
    }
}

/// A value as answers are compared.
fn canonical(kind: RecordKind, text: &str) -> Result<String, String> {
    let ip = || text.parse::<IpAddr>().ok();
    match kind {
        RecordKind::A => ip().filter(IpAddr::is_ipv4).map(|ip| ip.to_string()),
        RecordKind::Aaaa => ip().filter(IpAddr::is_ipv6).map(|ip| ip.to_string()),
        RecordKind::Cname => return absolute(text).map(|name| plain(&name)),
        RecordKind::Txt => return Ok(text.to_owned()),
    }
    .ok_or_else(|| format!("`{text}` is not a value of a record of type {}", kind.as_str()))
}

fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Usage, format!("dns.await_answer: {}", why.into()))
}
