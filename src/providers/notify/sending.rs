//! Sending a message through one channel: within a bound of time, tried again where that may help,
//! and with nothing secret in what is told of it.

use std::time::Duration;

use backon::BackoffBuilder as _;
use chrono::Utc;
use serde_json::Value;
use tokio::time::Instant;

use super::message::Message;
use super::{email, pagerduty, slack, webhook};
use crate::config::{ChannelConfig, ChannelKind, Redaction};
use crate::providers::World;
use crate::providers::http;

/// How long one try may take.
const TRY: Duration = Duration::from_secs(4);

/// Why a message did not get through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// Another try may help.
    Again(String),
    /// No try will.
    Never(String),
}

impl Trouble {
    pub fn text(&self) -> &str {
        match self {
            Self::Again(text) | Self::Never(text) => text,
        }
    }
}

/// Sends until it got through, cannot, or `deadline`. A message whose answer was lost is sent again:
/// receivers fold it by its id.
pub async fn send(
    world: &World,
    channel: &ChannelConfig,
    message: &Message,
    deadline: Instant,
) -> Result<(), String> {
    let redaction = Redaction::of(&world.config);
    let pauses = backon::ExponentialBuilder::default()
        .with_min_delay(Duration::from_millis(200))
        .with_max_delay(Duration::from_secs(2))
        .without_max_times()
        .with_jitter()
        .build();
    let mut last: Option<String> = None;
    for pause in pauses {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let limit = TRY.min(left);
        let tried = tokio::time::timeout(limit, attempt(world, channel, message, limit)).await;
        match tried.unwrap_or_else(|_| Err(Trouble::Again(http::SLOW.to_owned()))) {
            Ok(()) => return Ok(()),
            Err(Trouble::Never(why)) => return Err(redaction.clean(&why)),
            // One that was given too little time says less than the one before.
            Err(Trouble::Again(why)) if limit < TRY && why == http::SLOW => {
                last.get_or_insert(why);
            }
            Err(Trouble::Again(why)) => last = Some(why),
        }
        if Instant::now() + pause >= deadline {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    Err(redaction.clean(&last.unwrap_or_else(|| "there was no time left".to_owned())))
}

async fn attempt(
    world: &World,
    channel: &ChannelConfig,
    message: &Message,
    limit: Duration,
) -> Result<(), Trouble> {
    let unset = |e: crate::error::Error| Trouble::Never(e.one_line());
    match &channel.kind {
        ChannelKind::Slack { url } => {
            let url = url.expose().map_err(unset)?;
            post(world, url, &slack::body(message), limit, Vec::new()).await
        }
        ChannelKind::PagerDuty { routing_key, url } => {
            let body = pagerduty::body(message, routing_key.expose().map_err(unset)?);
            post(world, url.as_deref().unwrap_or(pagerduty::ENDPOINT), &body, limit, Vec::new())
                .await
        }
        ChannelKind::Webhook { url, secret } => {
            let (url, body) = (url.expose().map_err(unset)?, webhook::body(message));
            let secret =
                secret.as_ref().map(|secret| secret.expose()).transpose().map_err(unset)?;
            // The time is of this try: receivers refuse what was signed long ago.
            let headers =
                webhook::headers(&message.id(), Utc::now(), body.to_string().as_bytes(), secret);
            post(world, url, &body, limit, headers).await
        }
        ChannelKind::Email { url, from, to } => {
            let mail = email::mail(message, from, to).map_err(Trouble::Never)?;
            email::send(&world.authorities, url.expose().map_err(unset)?, mail, limit).await
        }
    }
}

async fn post(
    world: &World,
    url: &str,
    body: &Value,
    limit: Duration,
    headers: Vec<(&'static str, String)>,
) -> Result<(), Trouble> {
    let mut request = world.http.post(url).timeout(limit).body(body.to_string());
    request = request.header(reqwest::header::CONTENT_TYPE, "application/json");
    for (name, value) in headers {
        request = request.header(name, value);
    }
    let response = request.send().await.map_err(|e| Trouble::Again(http::trouble(e)))?;
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let said = response.text().await.unwrap_or_default();
    let text = match http::excerpt(&said) {
        said if said.is_empty() => format!("status {}", status.as_u16()),
        said => format!("status {}: {said}", status.as_u16()),
    };
    // Too many requests, and faults of the server's own.
    Err(match status.as_u16() {
        408 | 429 | 500.. => Trouble::Again(text),
        _ => Trouble::Never(text),
    })
}
