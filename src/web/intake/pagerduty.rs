//! PagerDuty webhooks V3. Each is signed: `X-PagerDuty-Signature: v1=HEX,v1=HEX`, HMAC-SHA-256 of the
//! body under the secret of the subscription; several while the secret is being changed
//! (https://developer.pagerduty.com/docs/verifying-webhook-signatures).

use std::collections::BTreeMap;

use aws_lc_rs::hmac;
use axum::http::HeaderMap;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Refusal, Told, line, parsed, recent};

const HEADER: &str = "x-pagerduty-signature";

#[derive(Deserialize)]
struct Message {
    event: Event,
}

#[derive(Deserialize)]
struct Event {
    event_type: String,
    occurred_at: DateTime<Utc>,
    data: Data,
}

#[derive(Deserialize)]
struct Data {
    id: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    urgency: Option<String>,
    #[serde(default)]
    service: Option<Named>,
    #[serde(default)]
    priority: Option<Named>,
}

#[derive(Deserialize)]
struct Named {
    #[serde(default)]
    summary: String,
}

pub fn told(
    secret: &str,
    headers: &HeaderMap,
    body: &[u8],
    now: DateTime<Utc>,
) -> Result<Vec<Told>, Refusal> {
    if !is_signed(secret, headers, body) {
        return Err(Refusal::Stranger("the signature is missing or wrong".to_owned()));
    }
    let Message { event } = parsed(body)?;
    recent(event.occurred_at, now)?;
    let firing = match event.event_type.as_str() {
        "incident.triggered" | "incident.reopened" => true,
        "incident.resolved" => false,
        // Acknowledgements, notes and pings say nothing about the trouble.
        _ => return Ok(Vec::new()),
    };
    let mut labels = BTreeMap::from([("title".to_owned(), event.data.title.clone())]);
    for (name, value) in [
        ("urgency", event.data.urgency),
        ("service", event.data.service.map(|s| s.summary)),
        ("priority", event.data.priority.map(|p| p.summary)),
    ] {
        labels.extend(value.map(|value| (name.to_owned(), value)));
    }
    Ok(vec![Told {
        key: event.data.id,
        firing,
        at: event.occurred_at,
        summary: line(&event.data.title),
        labels,
    }])
}

fn is_signed(secret: &str, headers: &HeaderMap, body: &[u8]) -> bool {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let given = headers.get_all(HEADER).iter().filter_map(|value| value.to_str().ok());
    let mut tags = given.flat_map(|text| text.split(',')).filter_map(|part| {
        let hex = part.trim().strip_prefix("v1=")?;
        let pairs = hex.as_bytes().chunks(2).map(|pair| {
            std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok())
        });
        pairs.collect::<Option<Vec<u8>>>()
    });
    // `verify` takes the same time wherever they differ.
    tags.any(|tag| hmac::verify(&key, body, &tag).is_ok())
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const SECRET: &str = "lDQHScfUeXUKaQRNF+8XIiDKZ7XX3itBAYzwU0TARw8lJqRnkKl2iB1anSb0Z+IK";

    fn body(kind: &str) -> String {
        format!(
            r#"{{"event":{{"id":"5ac64822-4adc-4fda-ade0-410becf0de4f","event_type":"{kind}",
            "resource_type":"incident","occurred_at":"2026-11-24T03:00:00.000Z","agent":null,
            "client":null,"data":{{"id":"PGR0VU2","type":"incident","title":"PetForce is down",
            "urgency":"high","service":{{"id":"PF9","summary":"PetForce","type":"service_reference"}},
            "priority":null,"status":"triggered"}}}}}}"#
        )
    }

    fn signed(secret: &str, body: &str) -> HeaderMap {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
        let tag = hmac::sign(&key, body.as_bytes());
        let hex: String = tag.as_ref().iter().map(|b| format!("{b:02x}")).collect();
        let value = format!("v1={},v1={hex}", "0".repeat(64));
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_str(&value).unwrap());
        headers
    }

    fn now() -> DateTime<Utc> {
        "2026-11-24T03:01:00Z".parse().unwrap()
    }

    #[test]
    fn a_signed_message_is_believed() {
        let text = body("incident.triggered");
        let all = told(SECRET, &signed(SECRET, &text), text.as_bytes(), now()).unwrap();
        assert_eq!((all[0].key.as_str(), all[0].firing), ("PGR0VU2", true));
        assert_eq!(all[0].labels["service"], "PetForce");
        let text = body("incident.acknowledged");
        assert_eq!(told(SECRET, &signed(SECRET, &text), text.as_bytes(), now()), Ok(Vec::new()));
    }

    #[test]
    fn a_wrong_signature_and_a_recording_are_refused() {
        let text = body("incident.triggered");
        let stranger = |headers: &HeaderMap, text: &str, now| {
            matches!(told(SECRET, headers, text.as_bytes(), now), Err(Refusal::Stranger(_)))
        };
        assert!(stranger(&HeaderMap::new(), &text, now()));
        assert!(stranger(&signed("another secret", &text), &text, now()));
        assert!(stranger(&signed(SECRET, &text), &text.replace("PGR0VU2", "PGR0VU3"), now()));
        for odd in ["v1=", "v1=zz", "v1=é", "v2=00"] {
            let mut headers = HeaderMap::new();
            headers.insert(HEADER, HeaderValue::from_bytes(odd.as_bytes()).unwrap());
            assert!(stranger(&headers, &text, now()), "{odd}");
        }
        let later = now() + chrono::TimeDelta::hours(2);
        assert!(stranger(&signed(SECRET, &text), &text, later));
    }
}
