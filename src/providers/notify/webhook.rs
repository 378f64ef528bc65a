//! A webhook of the team's own: JSON, signed as the Standard Webhooks specification says, for which
//! there are libraries in every language (https://www.standardwebhooks.com).

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Value, json};

use super::notification::Notification;

/// The request's body.
pub fn body(told: &Notification) -> Value {
    json!({
        "type": told.kind,
        "timestamp": told.at.to_rfc3339_opts(SecondsFormat::Secs, true),
        "data": told.data,
    })
}

/// The headers that tell a repeat from a new message and, with a secret, who sent it.
pub fn headers(
    id: &str,
    at: DateTime<Utc>,
    body: &[u8],
    secret: Option<&str>,
) -> Vec<(&'static str, String)> {
    let timestamp = at.timestamp().to_string();
    let mut headers = vec![("webhook-id", id.to_owned()), ("webhook-timestamp", timestamp.clone())];
    if let Some(secret) = secret {
        headers.push(("webhook-signature", signature(id, &timestamp, body, secret)));
    }
    headers
}

/// `v1,` and the HMAC-SHA-256 of `id.timestamp.body` in base64. A secret that starts with `whsec_`
/// is the base64 of the key, as the specification wants; any other text is the key itself.
fn signature(id: &str, timestamp: &str, body: &[u8], secret: &str) -> String {
    let decoded = secret.strip_prefix("whsec_").and_then(|text| BASE64_STANDARD.decode(text).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, decoded.as_deref().unwrap_or(secret.as_bytes()));
    let mut context = hmac::Context::with_key(&key);
    for piece in [id.as_bytes(), b".", timestamp.as_bytes(), b".", body] {
        context.update(piece);
    }
    format!("v1,{}", BASE64_STANDARD.encode(context.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of the specification's reference libraries.
    #[test]
    fn a_signature_is_that_of_the_reference() {
        let secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
        let id = "msg_p5jXN8AQM9LWM0D4loKWxJek";
        let at = DateTime::from_timestamp(1_614_265_330, 0).unwrap();
        let headers = headers(id, at, br#"{"test": 2432232314}"#, Some(secret));
        let signature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=".to_owned();
        assert_eq!(headers[2], ("webhook-signature", signature));
        assert_eq!(headers[1].1, "1614265330");
        assert_eq!(super::headers(id, at, b"", None).len(), 2);
    }
}
