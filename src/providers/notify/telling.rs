//! The one action behind all notifications.

use std::time::Duration;

use chrono::Utc;
use futures_util::future::join_all;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::ALL;
use super::message::{Message, Severity, Words};
use super::readiness;
use super::sending::{self, Line};
use crate::config::{ChannelConfig, Config};
use crate::error::{Error, Kind, Result};
use crate::model::Span;
use crate::providers::{Action, Applied, Check, Context, Description, Failure, Observed, Standing};

/// How long sending may take unless the runbook says otherwise: nobody's failover waits longer.
const WITHIN: Duration = Duration::from_secs(10);
/// What is left of the step's time for telling how it ended.
const MARGIN: Duration = Duration::from_millis(300);

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct With {
    /// The name of a [channel.NAME] in the configuration. Default: the only one of this kind;
    /// notify.all always uses all.
    channel: Option<String>,
    /// What to say. The first line is the headline.
    text: String,
    /// How bad it is: critical, error, warning or info (the default).
    #[serde(default)]
    severity: Severity,
    /// What tells one incident of a run from another: a message with `resolve` closes the one of the
    /// same key. Default: the runbook's name.
    key: Option<String>,
    /// Says that the incident is over.
    #[serde(default)]
    resolve: bool,
    /// What the reader should do next. Default: how to look at the run.
    next: Option<String>,
    /// How long sending may take; then the run goes on without. Default: 10s.
    within: Option<Span>,
}

/// A channel, or why it cannot be used here and now.
struct Recipient {
    name: String,
    channel: Result<ChannelConfig, String>,
}

pub(super) struct Notify {
    with: With,
    recipients: Vec<Recipient>,
}

impl Notify {
    /// `kind`: `slack` and the like, or `all`.
    pub fn new(kind: &str, with: With, config: &Config) -> Result<Self> {
        let refused = |why: String| Error::new(Kind::Usage, format!("notify.{kind}: {why}"));
        if with.text.trim().is_empty() {
            return Err(refused("`text` is empty".to_owned()));
        }
        let recipient = |name: &str| Recipient {
            name: name.to_owned(),
            // One that has no value here must not stop a failover: it is told when it is used.
            channel: config.channel(name).cloned().map_err(|e| e.one_line()),
        };
        let of_kind = |r: &Recipient| r.channel.as_ref().is_ok_and(|c| c.kind.word() == kind);
        let all = || config.channel_names().map(recipient).collect::<Vec<_>>();
        let recipients = match (&with.channel, kind) {
            (None, ALL) => all(),
            (Some(_), ALL) => {
                return Err(refused("it uses every channel; for one, use its kind".to_owned()));
            }
            (Some(name), _) => {
                if !config.channel_names().any(|known| known == name) {
                    // Tells what there is.
                    config.channel(name)?;
                }
                let recipient = recipient(name);
                if recipient.channel.is_ok() && !of_kind(&recipient) {
                    return Err(refused(format!("channel `{name}` is of another kind")));
                }
                vec![recipient]
            }
            (None, _) => {
                let mut fitting: Vec<_> = all().into_iter().filter(of_kind).collect();
                if fitting.len() > 1 {
                    let names: Vec<_> = fitting.iter().map(|r| r.name.as_str()).collect();
                    let why = format!("say which `channel`: there are {}", names.join(", "));
                    return Err(refused(why));
                }
                match fitting.pop() {
                    Some(only) => vec![only],
                    None => {
                        let why = "there is no channel of this kind".to_owned();
                        let hint = format!("add a [channel.NAME] with kind = \"{kind}\"");
                        return Err(refused(why).hint(hint));
                    }
                }
            }
        };
        Ok(Self { with, recipients })
    }

    pub fn channels(&self) -> impl Iterator<Item = &str> {
        self.recipients.iter().map(|recipient| recipient.name.as_str())
    }

    fn message(&self, cx: &Context<'_>) -> Message {
        let words = Words {
            text: &self.with.text,
            severity: self.with.severity,
            key: self.with.key.as_deref(),
            resolve: self.with.resolve,
            next: self.with.next.as_deref(),
        };
        Message::new(&words, cx, Utc::now())
    }

    fn headline(&self) -> &str {
        self.with.text.lines().next().unwrap_or_default()
    }
}

impl Action for Notify {
    fn describe(&self) -> Description {
        let names = self.channels().collect::<Vec<_>>().join(", ");
        let effect = match (names.is_empty(), self.with.resolve) {
            (true, _) => format!("tell nobody (no channel is configured): {}", self.headline()),
            (false, false) => format!("tell {names}: {}", self.headline()),
            (false, true) => format!("tell {names} that it is over: {}", self.headline()),
        };
        Description::changes(effect)
            .detail("never stops the run; what is not sent stands in the report")
    }

    async fn preflight(&self, cx: &Context<'_>) -> Vec<Check> {
        if self.recipients.is_empty() {
            let check = Check::new(Standing::Warning, "notification channels", "there are none");
            return vec![check.hint("add [channel.NAME] tables to the configuration")];
        }
        join_all(self.recipients.iter().map(async |recipient| match &recipient.channel {
            Ok(channel) => readiness::check(cx.world, channel).await,
            Err(why) => {
                Check::new(Standing::Warning, format!("channel `{}`", recipient.name), why.as_str())
            }
        }))
        .await
    }

    /// Nobody can be asked whether a message came. Sent again it has the same id.
    async fn observe(&self, _: &Context<'_>) -> Result<Observed, Failure> {
        Ok(Observed::NotDone(
            "it is not known whether it was sent; a repeat has the same id".to_owned(),
        ))
    }

    async fn apply(&self, cx: &Context<'_>) -> Result<Applied, Failure> {
        let within = self.with.within.map_or(WITHIN, |span| span.0);
        let end =
            cx.deadline.checked_sub(MARGIN).unwrap_or(cx.deadline).min(Instant::now() + within);
        let message = self.message(cx);
        let notification = message.notification();
        cx.waits_for(format!("{} to be told", self.channels().collect::<Vec<_>>().join(", ")));
        let sent =
            join_all(self.recipients.iter().map(async |recipient| match &recipient.channel {
                Ok(channel) => {
                    let line = Line::from(cx.world);
                    let sent = sending::send(line, channel, &notification, end).await;
                    sent.map(|_| ()).map_err(|e| e.text().to_owned())
                }
                Err(why) => Err(why.clone()),
            }))
            .await;
        let (mut told, mut untold, mut warnings) = (Vec::new(), Vec::new(), Vec::new());
        for (recipient, outcome) in self.recipients.iter().zip(sent) {
            let name = &recipient.name;
            match outcome {
                Ok(()) => told.push(name.as_str()),
                Err(why) => {
                    warnings
                        .push(format!("not sent to `{name}`: \"{}\": {why}", message.headline()));
                    untold.push(json!({ "channel": name, "why": why }));
                }
            }
        }
        if self.recipients.is_empty() {
            warnings.push(format!(
                "nobody was told: \"{}\": no channel is configured",
                message.headline()
            ));
        }
        let summary = match told.is_empty() {
            true => "nobody was told".to_owned(),
            false => format!("told {}", told.join(", ")),
        };
        let mut applied = Applied::new(summary)
            .fact("told", json!(told))
            .fact("untold", untold)
            .fact("message", message.id());
        applied.warnings = warnings;
        Ok(applied)
    }
}
