//! `http.await_ready`: waits until an endpoint answers as it should, several times in a row.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::Utc;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::SLOW;
use super::certificate;
use super::endpoint::{Endpoint, refused, system_address};
use super::look::{Answer, Expectation, ask};
use crate::config::{Config, Redaction};
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::providers::{
    Action, Applied, Check, Context, Description, Failure, Observed, Standing, World,
};

/// What is left of the step's time for telling how it ended.
const MARGIN: Duration = Duration::from_millis(300);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    /// The endpoint, such as https://app.petforce.example/health/ready.
    url: String,
    /// The HTTP status of a good answer. Default: 200.
    #[serde(default = "ok")]
    status: u16,
    /// Text that the body must contain.
    contains: Option<String>,
    /// What the body, as JSON, must hold: values by JSON pointer, such as { "/region" = "us-west-2" }.
    #[serde(default)]
    json: Map<String, Value>,
    /// Headers that the answer must have, with their values.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// How many good answers in a row are enough. Default: 3.
    #[serde(default = "three")]
    successes: u32,
    /// How often it is asked. Default: 1s.
    every: Option<Span>,
    /// How long one answer is waited for. Default: 3s.
    patience: Option<Span>,
    /// The host or address, with a port where it differs, that is asked in the place of the url's
    /// host: a region's load balancer, before DNS leads there. TLS still asks for the url's host.
    connect_to: Option<String>,
    /// The DNS server (address, with a port where it is not 53) that is asked for the host. Default:
    /// `system`, as this machine does.
    resolver: Option<String>,
}

fn ok() -> u16 {
    200
}

fn three() -> u32 {
    3
}

/// The action with its arguments read.
pub(super) struct AwaitReady {
    endpoint: Endpoint,
    expected: Expectation,
    successes: u32,
    every: Duration,
    patience: Duration,
    redaction: Redaction,
}

impl AwaitReady {
    pub fn new(with: With, config: &Config) -> Result<Self> {
        let endpoint =
            Endpoint::new(&with.url, with.connect_to.as_deref(), with.resolver.as_deref())?;
        if let Some(bad) = with.json.keys().find(|p| !p.is_empty() && !p.starts_with('/')) {
            return Err(refused(format!("`json`: `{bad}` must start with `/` (a JSON pointer)")));
        }
        if with.successes == 0 {
            return Err(refused("`successes` must be at least 1"));
        }
        Ok(Self {
            expected: Expectation {
                status: with.status,
                contains: with.contains,
                json: with.json,
                headers: with.headers,
            },
            successes: with.successes,
            every: with.every.map_or(Duration::from_secs(1), |span| span.0),
            patience: with.patience.map_or(Duration::from_secs(3), |span| span.0),
            redaction: Redaction::of(config).with([with.url]),
            endpoint,
        })
    }

    fn expected(&self) -> String {
        let mut parts = vec![format!("status {}", self.expected.status)];
        parts.extend(self.expected.headers.iter().map(|(name, value)| format!("{name}: {value}")));
        parts.extend(
            self.expected.json.iter().map(|(pointer, value)| format!("{pointer} = {value}")),
        );
        parts.extend(self.expected.contains.iter().map(|text| format!("`{text}` in the body")));
        self.redaction.clean(&parts.join(", "))
    }

    /// One request: a good answer, or why there is none.
    async fn look(&self, world: &World, limit: Duration) -> Result<Answer, String> {
        let asked = ask(world, &self.endpoint, limit).await;
        let answer = asked.map_err(|why| self.redaction.clean(&why))?;
        match self.expected.lacking(&answer, &self.redaction) {
            None => Ok(answer),
            Some(lacking) => Err(lacking),
        }
    }

    fn done(&self, answer: &Answer, asked: u32) -> Applied {
        let millis = u64::try_from(answer.took.as_millis()).unwrap_or(u64::MAX);
        let place = self.endpoint.in_words();
        let row = self.successes;
        let row = if row == 1 { "once".to_owned() } else { format!("{row} times in a row") };
        Applied::new(format!("{place} answers with {}, {row}", self.expected()))
            .fact("status", answer.status)
            .fact("millis", millis)
            .fact("asked", asked)
    }

    async fn certificate(&self, world: &World) -> Option<Check> {
        if self.endpoint.url.scheme() != "https" {
            return None;
        }
        let host = self.endpoint.host();
        let port = self.endpoint.url.port_or_known_default().unwrap_or(443);
        let address = match self.endpoint.address(self.patience).await {
            Ok(Some(address)) => Ok(address),
            Ok(None) => system_address(host, port, self.patience).await,
            Err(why) => Err(why),
        };
        Some(match address {
            Ok(address) => {
                certificate::check(&world.tls, host, address, self.patience, Utc::now()).await
            }
            Err(why) => Check::new(Standing::Unproven, format!("certificate of {host}"), why),
        })
    }
}

impl Action for AwaitReady {
    fn describe(&self) -> Description {
        let place = self.endpoint.in_words();
        Description::looks(format!("wait until {place} answers with {}", self.expected()))
            .detail(format!("{} good answers in a row are enough", self.successes))
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        let what = self.endpoint.in_words();
        let mut checks = vec![match self.look(cx.world, self.patience).await {
            Ok(answer) => {
                let found = format!("answers with {} now", self.expected());
                Check::new(
                    Standing::Ready,
                    what,
                    format!("{found}, in {} ms", answer.took.as_millis()),
                )
            }
            // A standby that is not scaled up yet need not answer.
            Err(why) => Check::new(Standing::Warning, what, format!("not ready now: {why}"))
                .hint("right if this region serves nothing before the run reaches this step"),
        }];
        checks.extend(self.certificate(cx.world).await);
        checks
    }

    async fn observe(&self, cx: &Context<'_>) -> Result<Observed, Failure> {
        let mut last = None;
        for _ in 0..self.successes {
            match self.look(cx.world, self.patience.min(cx.left())).await {
                Ok(answer) => last = Some(answer),
                Err(why) => return Ok(Observed::NotDone(why)),
            }
        }
        Ok(match last {
            Some(answer) => Observed::Done(self.done(&answer, self.successes).facts),
            None => Observed::NotDone("it was not asked".to_owned()),
        })
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let end = cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline);
        let (mut asked, mut good) = (0, 0);
        let place = self.endpoint.in_words();
        let mut last = String::new();
        loop {
            let limit = self.patience.min(end.saturating_duration_since(Instant::now()));
            asked += 1;
            match self.look(cx.world, limit).await {
                Ok(answer) => {
                    good += 1;
                    if good >= self.successes {
                        return Ok(self.done(&answer, asked));
                    }
                    last = format!("{good} good answers of {} in a row", self.successes);
                }
                // One that was given too little time says less than the one before.
                Err(why) if why == SLOW && limit < self.patience && !last.is_empty() => {}
                Err(why) => {
                    good = 0;
                    last = why;
                }
            }
            cx.waits_for(format!("{place}: {last}"));
            if Instant::now() + self.every >= end {
                let what = format!("wait until {place} answers with {}", self.expected());
                let error = Error::new(Kind::Failed, what)
                    .caused_by(format!("at last, after {asked} requests: {last}"))
                    .hint("look at the application's log there; `drctl resume` waits on");
                return Err(Failure::transient(error));
            }
            tokio::time::sleep(self.every).await;
        }
    }
}
