//! Sending a message through one channel: within a bound of time, tried again where that may help,
//! and with nothing secret in what is told of it.

use std::time::Duration;

use backon::BackoffBuilder as _;
use chrono::Utc;
use serde_json::Value;
use tokio::time::Instant;

use super::notification::Notification;
use super::{alertmanager, datadog, email, pagerduty, slack, webhook};
use crate::config::{ChannelConfig, ChannelKind, Config, Redaction, Secret};
use crate::providers::{World, http};
use rustls::pki_types::CertificateDer;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(4);
/// The longest that a server may ask us to stay away before that counts as no.
const LONGEST_PAUSE: Duration = Duration::from_hours(1);

/// The ways to the outside that channels need.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    pub config: &'a Config,
    pub http: &'a reqwest::Client,
    /// Whom mail servers may be vouched for by.
    pub authorities: &'a [CertificateDer<'static>],
}

impl<'a> From<&'a World> for Line<'a> {
    fn from(world: &'a World) -> Self {
        Self { config: &world.config, http: &world.http, authorities: &world.authorities }
    }
}

/// Why a message did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Another try may help, but not before `after`.
    Again { why: String, after: Option<Duration> },
    /// No try will.
    Never(String),
}

impl Trouble {
    pub fn again(why: impl Into<String>) -> Self {
        Self::Again { why: why.into(), after: None }
    }

    pub fn text(&self) -> &str {
        match self {
            Self::Again { why, .. } | Self::Never(why) => why,
        }
    }

    fn cleaned(self, redaction: &Redaction) -> Self {
        match self {
            Self::Again { why, after } => Self::Again { why: redaction.clean(&why), after },
            Self::Never(why) => Self::Never(redaction.clean(&why)),
        }
    }
}

/// Sends until it got through, cannot, or `deadline`, and gives what the receiver said. A message
/// whose answer was lost is sent again: receivers fold it by its id.
pub async fn send(
    line: Line<'_>,
    channel: &ChannelConfig,
    told: &Notification,
    deadline: Instant,
) -> Result<String, Trouble> {
    let redaction = Redaction::of(line.config);
    let pauses = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(2))
        .without_max_times()
        .with_jitter()
        .build();
    let mut last: Option<Trouble> = None;
    for pause in pauses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let limit = TRY.min(left);
        let tried = tokio::time::timeout(limit, attempt(line, channel, told, limit)).await;
        let mut wait = pause;
        match tried.unwrap_or_else(|_| Err(Trouble::again(http::SLOW))) {
            Ok(said) => return Ok(redaction.clean(&said)),
            Err(e @ Trouble::Never(_)) => return Err(e.cleaned(&redaction)),
            // One that was given too little time says less than the one before.
            Err(e) if limit < TRY && e.text() == http::SLOW => {
                last.get_or_insert(e);
            }
            Err(e) => {
                if let Trouble::Again { after: Some(after), .. } = &e {
                    wait = wait.max(*after);
                }
                last = Some(e);
            }
        }
        if Instant::now() + wait >= deadline {
            break;
        }
        tokio::time::sleep(wait).await;
    }
    let last = last.unwrap_or_else(|| Trouble::again("there was no time left"));
    Err(last.cleaned(&redaction))
}

fn exposed(secret: &Secret) -> Result<&str, Trouble> {
    secret.expose().map_err(|e| Trouble::Never(e.one_line()))
}

async fn attempt(
    line: Line<'_>,
    channel: &ChannelConfig,
    told: &Notification,
    limit: Duration,
) -> Result<String, Trouble> {
    match &channel.kind {
        ChannelKind::Slack { url } => {
            post(line, exposed(url)?, &slack::body(told), limit, Vec::new()).await
        }
        ChannelKind::PagerDuty { routing_key, url } => {
            let body = pagerduty::body(told, exposed(routing_key)?);
            let url = url.as_deref().unwrap_or(pagerduty::ENDPOINT);
            post(line, url, &body, limit, Vec::new()).await
        }
        ChannelKind::Webhook { url, secret } => {
            let (url, body) = (exposed(url)?, webhook::body(told));
            let secret = secret.as_ref().map(exposed).transpose()?;
            // The time is of this try: receivers refuse what was signed long ago.
            let headers =
                webhook::headers(&told.id, Utc::now(), body.to_string().as_bytes(), secret);
            post(line, url, &body, limit, headers).await
        }
        ChannelKind::Email { url, from, to } => {
            let mail = email::mail(told, from, to).map_err(Trouble::Never)?;
            email::send(line.authorities, exposed(url)?, mail, limit).await
        }
        ChannelKind::DataDog { api_key, url } => {
            let headers = vec![(datadog::KEY, exposed(api_key)?.to_owned())];
            let url = url.as_deref().unwrap_or(datadog::ENDPOINT);
            post(line, url, &datadog::body(told), limit, headers).await
        }
        ChannelKind::Alertmanager { url, token } => {
            let url = alertmanager::endpoint(exposed(url)?).map_err(Trouble::Never)?;
            let headers = bearer(token.as_ref())?;
            post(line, &url, &alertmanager::body(told), limit, headers).await
        }
    }
}

fn bearer(token: Option<&Secret>) -> Result<Vec<(&'static str, String)>, Trouble> {
    let header = |token| Ok(("authorization", format!("Bearer {}", exposed(token)?)));
    token.into_iter().map(header).collect()
}

/// Whether an Alertmanager has the alert now; none: the channel is of another kind, and cannot be
/// asked.
pub async fn has_arrived(
    line: Line<'_>,
    channel: &ChannelConfig,
    told: &Notification,
    limit: Duration,
) -> Option<Result<bool, String>> {
    let ChannelKind::Alertmanager { url, token } = &channel.kind else { return None };
    let ask = async {
        let url = alertmanager::question(exposed(url)?, told).map_err(Trouble::Never)?;
        let mut request = line.http.get(url).timeout(limit);
        for (name, value) in bearer(token.as_ref())? {
            request = request.header(name, value);
        }
        let response = request.send().await.map_err(|e| Trouble::again(http::trouble(e)))?;
        let status = response.status().as_u16();
        let found: Vec<serde::de::IgnoredAny> =
            response.json().await.map_err(|_| Trouble::again(format!("status {status}")))?;
        Ok(!found.is_empty())
    };
    let redaction = Redaction::of(line.config);
    Some(ask.await.map_err(|e: Trouble| redaction.clean(e.text())))
}

async fn post(
    line: Line<'_>,
    url: &str,
    body: &Value,
    limit: Duration,
    headers: Vec<(&'static str, String)>,
) -> Result<String, Trouble> {
    let mut request = line.http.post(url).timeout(limit).body(body.to_string());
    request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(|e| Trouble::again(http::trouble(e)))?;
    let status = response.status();
    // RFC 9110, 10.2.3; a date in its place is rare, and then the usual pause does.
    let header = response.headers().get(reqwest::header::RETRY_AFTER);
    let after = header.and_then(|v| v.to_str().ok()?.trim().parse().ok()).map(Duration::from_secs);
    let said = response.text().await.unwrap_or_default();
    let text = match http::excerpt(&said) {
        said if said.is_empty() => format!("status {}", status.as_u16()),
        said => format!("status {}: {said}", status.as_u16()),
    };
    if status.is_success() {
        return Ok(text);
    }
    // Too many requests, and faults of the server's own.
    Err(match status.as_u16() {
        408 | 429 | 500.. => {
            Trouble::Again { why: text, after: after.map(|after| after.min(LONGEST_PAUSE)) }
        }
        _ => Trouble::Never(text),
    })
}
