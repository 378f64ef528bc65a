//! Whether channels would take a message: what can be found out without sending one.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{datadog, email, pagerduty};
use crate::config::{ChannelConfig, ChannelKind, Config, Redaction};
use crate::providers::{Check, Standing, World, http};

/// How long one channel is tried.
const PATIENCE: Duration = Duration::from_secs(5);

/// The check of one channel. Never `NotReady`: a notification stops no run.
pub async fn check(world: &World, channel: &ChannelConfig) -> Check {
    let what = format!("channel `{}` ({})", channel.name, channel.kind.word());
    let redaction = Redaction::of(&world.config);
    let unset = |e: crate::error::Error| Check::new(Standing::Warning, what.clone(), e.one_line());
    match &channel.kind {
        ChannelKind::Email { url, from, to } => {
            let url = match url.expose() {
                Ok(url) => url,
                Err(e) => return unset(e),
            };
            if let Err(why) = email::addresses(from, to) {
                return Check::new(Standing::Warning, what, why);
            }
            let tried =
                tokio::time::timeout(PATIENCE, email::sign_in(&world.authorities, url, PATIENCE));
            match tried.await {
                Err(_) => Check::new(Standing::Warning, what, "the mail server does not answer"),
                Ok(Err(trouble)) => {
                    Check::new(Standing::Warning, what, redaction.clean(trouble.text()))
                        .hint("mails would not get through; see `url` of the channel")
                }
                Ok(Ok(())) if email::is_bare(url) => {
                    Check::new(Standing::Warning, what, "the password travels unprotected")
                        .hint("use smtps://, or add ?tls=required to the url")
                }
                Ok(Ok(())) => Check::new(Standing::Ready, what, "the mail server lets drctl in"),
            }
        }
        ChannelKind::Slack { url } | ChannelKind::Webhook { url, .. } => match url.expose() {
            Err(e) => unset(e),
            Ok(url) => reachable(world, what, url).await,
        },
        ChannelKind::PagerDuty { routing_key, url } => match routing_key.expose() {
            Err(e) => unset(e),
            Ok(_) => reachable(world, what, url.as_deref().unwrap_or(pagerduty::ENDPOINT)).await,
        },
        ChannelKind::DataDog { api_key, url } => match api_key.expose() {
            Err(e) => unset(e),
            Ok(_) => reachable(world, what, url.as_deref().unwrap_or(datadog::ENDPOINT)).await,
        },
        ChannelKind::Alertmanager { url, token } => {
            match url
                .expose()
                .and_then(|url| token.iter().try_for_each(|t| t.expose().map(|_| ())).map(|()| url))
            {
                Err(e) => unset(e),
                Ok(url) => reachable(world, what, url).await,
            }
        }
    }
}

/// Only a message proves that one would be taken, so the best that can be found is that somebody is
/// there.
async fn reachable(world: &World, what: String, url: &str) -> Check {
    match http::reach(world, url, PATIENCE).await {
        Ok(host) => {
            let found = format!("{host} is reachable; whether it takes messages is not proven");
            Check::new(Standing::Unproven, what, found).hint("a drill sends one")
        }
        Err(why) => Check::new(Standing::Warning, what, why)
            .hint("messages would not get through; see `url` of the channel"),
    }
}

/// Whether what a runbook tells goes two ways that do not depend on each other: `channels` are all
/// that its steps send to.
pub fn two_ways(config: &Config, channels: &BTreeSet<String>) -> Check {
    let what = "two independent notification channels".to_owned();
    let names = channels.iter().cloned().collect::<Vec<_>>().join(", ");
    let kinds: BTreeSet<_> = channels
        .iter()
        .filter_map(|name| config.channel(name).ok())
        .map(|channel| channel.kind.word())
        .collect();
    match (channels.len(), kinds.len()) {
        (0, _) => Check::new(Standing::Warning, what, "nobody is told of this run")
            .hint("configure a [channel.NAME] and add a `notify.all` step"),
        (1, _) => Check::new(Standing::Warning, what, format!("only {names} is told of this run"))
            .hint("configure a second channel that does not depend on the first"),
        // Two doors of one house, where it could be told.
        (_, 1) => Check::new(
            Standing::Warning,
            what,
            format!("{names} are of one kind, and fail together"),
        )
        .hint("add a channel of another kind"),
        _ => Check::new(Standing::Ready, what, names),
    }
}
