//! Telling people. Runs do so by `notify.slack`, `notify.pagerduty`, `notify.email`,
//! `notify.webhook`, `notify.datadog` and `notify.alertmanager`, and by `notify.all`, which uses every
//! channel there is; the runner by alerts, which routes lead to channels (`Alerting`).
//!
//! A notification never holds up or fails a run: it is given a bounded time, and what did not get
//! through becomes a warning, which stands in the report. After a crash a message may be sent twice;
//! its id is the same, and receivers that look at it fold the two.

mod alert;
mod alerting;
mod alertmanager;
mod book;
mod datadog;
mod email;
mod kept;
mod message;
mod notification;
mod pagerduty;
mod queue;
mod readiness;
mod routing;
mod sending;
mod slack;
mod telling;
mod trial;
mod webhook;

use std::collections::BTreeSet;

use self::telling::Notify;
use super::Arguments;
use super::catalogue::ActionKind;
use crate::config::Config;

pub use self::alerting::{Alerting, Told};
pub use self::book::{Acknowledged, Due, Entry};
pub use self::queue::AlertQueue;
pub use self::readiness::two_ways;
pub use self::routing::checks as route_checks;
pub use self::trial::{Trial, Wanted, run as try_channels, unreached};

/// Every kind of channel.
const ALL: &str = "all";

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    vec![
        ActionKind::new("notify.slack", "post to a Slack channel", |with, config| {
            Notify::new("slack", with, config)
        }),
        ActionKind::new(
            "notify.pagerduty",
            "open or close a PagerDuty incident",
            |with, config| Notify::new("pagerduty", with, config),
        ),
        ActionKind::new("notify.email", "send a mail", |with, config| {
            Notify::new("email", with, config)
        }),
        ActionKind::new("notify.webhook", "post to a webhook of your own", |with, config| {
            Notify::new("webhook", with, config)
        }),
        ActionKind::new("notify.datadog", "post an event to DataDog", |with, config| {
            Notify::new("datadog", with, config)
        }),
        ActionKind::new(
            "notify.alertmanager",
            "raise or end an alert of Alertmanager",
            |with, config| Notify::new("alertmanager", with, config),
        ),
        ActionKind::new("notify.all", "send through every configured channel", |with, config| {
            Notify::new(ALL, with, config)
        }),
    ]
}

/// The channels that a step which `uses` a notification sends to; none for other actions. For
/// [`two_ways`].
pub fn channels(uses: &str, arguments: &Arguments, config: &Config) -> BTreeSet<String> {
    let Some(kind) = uses.strip_prefix("notify.") else { return BTreeSet::new() };
    let sending = arguments.read(uses).and_then(|with| Notify::new(kind, with, config));
    sending.map(|notify| notify.channels().map(str::to_owned).collect()).unwrap_or_default()
}
