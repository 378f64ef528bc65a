//! `[channel.NAME]`.

use super::table::Table;
use super::{ChannelConfig, ChannelKind, build_store, keys};

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Slack,
    PagerDuty,
    Email,
    Webhook,
    DataDog,
    Alertmanager,
}

impl Kind {
    /// The keys that a channel of this kind must have, and those that it may have.
    fn keys(self) -> (&'static [&'static str], &'static [&'static str]) {
        match self {
            Self::Slack => (&["url"], &[]),
            Self::PagerDuty => (&["routing_key"], &["url"]),
            Self::Email => (&["url", "from", "to"], &[]),
            Self::Webhook => (&["url"], &["secret"]),
            Self::DataDog => (&["api_key"], &["url"]),
            Self::Alertmanager => (&["url"], &["token"]),
        }
    }
}

pub(super) fn channel(table: &mut Table<'_>, name: &str) -> Option<ChannelConfig> {
    table.require("kind");
    let kind = table.choice(
        "kind",
        &[
            ("slack", Kind::Slack),
            ("pagerduty", Kind::PagerDuty),
            ("email", Kind::Email),
            ("webhook", Kind::Webhook),
            ("datadog", Kind::DataDog),
            ("alertmanager", Kind::Alertmanager),
        ],
    )?;
    let (must, may) = kind.keys();
    for key in must {
        table.require(key);
    }
    for key in keys::CHANNEL.iter().filter(|key| **key != "kind") {
        if table.has(key) && !must.contains(key) && !may.contains(key) {
            let text = format!("`{key}` is not for channels of this kind");
            table.doc.problem(table.line_of(key), text);
        }
    }
    let kind = match kind {
        Kind::Slack => ChannelKind::Slack { url: table.secret("url", web)? },
        Kind::PagerDuty => ChannelKind::PagerDuty {
            routing_key: table.secret("routing_key", |_| Ok(true))?,
            url: table.parsed("url", build_store::endpoint).map(|at| at.value),
        },
        Kind::Email => ChannelKind::Email {
            url: table.secret("url", smtp)?,
            from: table.text("from")?.value,
            to: table.texts("to")?.into_iter().map(|at| at.value).collect(),
        },
        Kind::Webhook => ChannelKind::Webhook {
            url: table.secret("url", web)?,
            secret: table.secret("secret", |_| Ok(true)),
        },
        Kind::DataDog => ChannelKind::DataDog {
            api_key: table.secret("api_key", |_| Ok(true))?,
            url: table.parsed("url", build_store::endpoint).map(|at| at.value),
        },
        Kind::Alertmanager => ChannelKind::Alertmanager {
            url: table.secret("url", alertmanager)?,
            token: table.secret("token", |_| Ok(true)),
        },
    };
    Some(ChannelConfig { name: name.to_owned(), kind })
}

/// A webhook's URL is all that it takes to post there, so it is a secret.
pub(super) fn web(text: &str) -> Result<bool, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => Ok(true),
        _ => Err("must be a url such as \"https://hooks.example.com/…\"".to_owned()),
    }
}

/// Where nobody signs in, the address is no secret.
fn alertmanager(text: &str) -> Result<bool, String> {
    match url::Url::parse(text) {
        Ok(url) if url.path().contains("/api/") => {
            Err("must be the address of the Alertmanager without `/api/…`".to_owned())
        }
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
            Ok(url.password().is_some())
        }
        _ => Err("must be a url such as \"https://alertmanager.example.com\"".to_owned()),
    }
}

fn smtp(text: &str) -> Result<bool, String> {
    match url::Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "smtp" | "smtps") && url.has_host() => {
            Ok(url.password().is_some())
        }
        _ => Err("must be a url such as \"smtps://user:password@mail.example.com\"".to_owned()),
    }
}
