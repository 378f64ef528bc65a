//! Trying channels: a marked message along every route, and what each receiver said.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::json;
use tokio::time::Instant;

use super::alerting::Alerting;
use super::notification::{Act, Notification, shortened};
use super::routing::{self, SEVERITIES, word};
use super::{message, sending};
use crate::model::Severity;

/// How long one channel may take.
const WITHIN: Duration = Duration::from_secs(8);
/// How long a test that nobody ends is believed.
const BELIEVED: Duration = Duration::from_mins(10);

/// How one channel took a test.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Trial {
    pub channel: String,
    pub kind: &'static str,
    /// The severities whose alerts go there, whatever their key.
    pub severities: Vec<&'static str>,
    /// It took the message.
    pub taken: bool,
    /// The receiver's own words, or why it took none.
    pub said: String,
    pub seconds: f64,
}

/// Which channels to try.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    pub channel: Option<String>,
    pub severity: Option<Severity>,
    /// Ends what an earlier test opened.
    pub resolve: bool,
}

/// Sends a test to every channel that alerts go to, or to the wanted one. Nothing is folded.
pub async fn run(alerting: &Alerting, wanted: &Wanted, now: DateTime<Utc>) -> Vec<Trial> {
    let config = alerting.config();
    let reached: Vec<(String, Vec<Severity>)> = config
        .channel_names()
        .map(|name| {
            let leads = |severity: &Severity| {
                routing::channels(config, "", *severity).contains(name)
                    || named_by_a_route(alerting, name, *severity)
            };
            (name.to_owned(), SEVERITIES.into_iter().filter(leads).collect())
        })
        .filter(|(name, severities): &(String, Vec<Severity>)| match &wanted.channel {
            Some(channel) => name == channel,
            None => match wanted.severity {
                Some(severity) => severities.contains(&severity),
                None => !severities.is_empty(),
            },
        })
        .collect();
    join_all(
        reached.into_iter().map(|(name, severities)| one(alerting, wanted, name, severities, now)),
    )
    .await
}

/// Channels that no test along routes would reach.
pub fn unreached(alerting: &Alerting) -> BTreeSet<String> {
    let config = alerting.config();
    let mut names: BTreeSet<String> = config.channel_names().map(str::to_owned).collect();
    for severity in SEVERITIES {
        names.retain(|name| {
            !routing::channels(config, "", severity).contains(name)
                && !named_by_a_route(alerting, name, severity)
        });
    }
    names
}

/// Also routes for some keys only.
fn named_by_a_route(alerting: &Alerting, channel: &str, severity: Severity) -> bool {
    let config = alerting.config();
    config.route_names().filter_map(|name| config.route(name).ok()).any(|route| {
        route.channels.iter().any(|name| name == channel)
            && (route.severity.is_empty() || route.severity.contains(&severity))
    })
}

async fn one(
    alerting: &Alerting,
    wanted: &Wanted,
    name: String,
    severities: Vec<Severity>,
    now: DateTime<Utc>,
) -> Trial {
    let began = Instant::now();
    // As bad as it gets there, so that what would ring does ring.
    let worst = severities.last().copied().unwrap_or(Severity::Info);
    let severity = wanted.severity.unwrap_or(worst);
    let told = notification(alerting, &name, severity, wanted.resolve, now);
    let (kind, sent) = match alerting.config().channel(&name) {
        Err(e) => ("unusable", Err(e.one_line())),
        Ok(channel) => {
            let line = alerting.line();
            let sent = sending::send(line, channel, &told, began + WITHIN).await;
            let sent = match sent {
                Err(e) => Err(e.text().to_owned()),
                Ok(said) => match sending::has_arrived(line, channel, &told, WITHIN).await {
                    None => Ok(said),
                    Some(Ok(there)) if there != wanted.resolve => {
                        let state = if there { "shows the alert" } else { "shows it no more" };
                        Ok(format!("{said}, and {state}"))
                    }
                    Some(Ok(_)) => Err(format!("{said}, and yet it does not show in its list")),
                    Some(Err(why)) => Ok(format!("{said}; whether it shows is not known: {why}")),
                },
            };
            (channel.kind.word(), sent)
        }
    };
    let seconds = began.elapsed().as_secs_f64();
    let severities = severities.into_iter().map(word).collect();
    let (taken, said) = match sent {
        Ok(said) => (true, said),
        Err(why) => (false, why),
    };
    Trial { channel: name, kind, severities, taken, said, seconds }
}

fn notification(
    alerting: &Alerting,
    channel: &str,
    severity: Severity,
    resolve: bool,
    now: DateTime<Utc>,
) -> Notification {
    let project = alerting.config().project.clone();
    let by = alerting.by();
    let act = if resolve { Act::Resolve } else { Act::Open };
    let over = if resolve { "over: " } else { "" };
    let headline = format!(
        "TEST {}: {over}{project}: a test of `{channel}`; nothing is wrong",
        word(severity)
    );
    let incident = shortened(format!("drctl.{project}.test/{channel}"), 255);
    let at = now.to_rfc3339_opts(SecondsFormat::Secs, true);
    Notification {
        id: format!(
            "{incident}.{}.{}",
            now.timestamp_millis(),
            if resolve { "over" } else { "test" }
        ),
        thread: incident.clone(),
        text: None,
        standing: vec![
            ("alert", format!("test/{channel}")),
            ("told by", by.to_owned()),
            ("next", "none; `drctl alerts test --resolve` ends it".to_owned()),
        ],
        severity: message::Severity::from(severity),
        act,
        group: "test".to_owned(),
        class: "test",
        drill: false,
        labels: vec![("key", format!("test/{channel}"))],
        before: SEVERITIES.into_iter().map(message::Severity::from).collect(),
        since: now,
        believed: BELIEVED,
        headers: vec![("X-Drctl-Test", "yes".to_owned())],
        kind: "drctl.test",
        data: json!({
            "project": project,
            "channel": channel,
            "severity": word(severity),
            "headline": headline,
            "resolve": resolve,
            "incident": incident,
            "told_by": by,
            "at": at,
        }),
        headline,
        project,
        incident,
        at: now,
    }
}
