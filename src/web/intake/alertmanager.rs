//! Alertmanager's webhook receiver, version 4 of its message
//! (https://prometheus.io/docs/alerting/latest/configuration/#webhook_config). It proves itself by a
//! bearer token: `http_config: { authorization: { credentials_file: … } }`.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::{Refusal, Told, line, parsed};
use crate::web::access::same;

/// In one message; more are one flood.
const MOST: usize = 200;

#[derive(Deserialize)]
struct Message {
    version: String,
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Alert {
    status: String,
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    starts_at: DateTime<Utc>,
    ends_at: DateTime<Utc>,
    fingerprint: String,
}

pub fn told(token: &str, headers: &HeaderMap, body: &[u8]) -> Result<Vec<Told>, Refusal> {
    let given = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
    let given = given.and_then(|text| text.split_once(' '));
    let known = given.is_some_and(|(scheme, given)| {
        scheme.eq_ignore_ascii_case("bearer") && same(token, given.trim())
    });
    if !known {
        return Err(Refusal::Stranger("the bearer token is missing or wrong".to_owned()));
    }
    let message: Message = parsed(body)?;
    if message.version != "4" {
        return Err(Refusal::Senseless(format!("version {} is not known", message.version)));
    }
    if message.alerts.len() > MOST {
        return Err(Refusal::Senseless(format!("more than {MOST} alerts in one message")));
    }
    message.alerts.into_iter().map(of).collect()
}

fn of(alert: Alert) -> Result<Told, Refusal> {
    let firing = match alert.status.as_str() {
        "firing" => true,
        "resolved" => false,
        other => return Err(Refusal::Senseless(format!("status `{}`", line(other)))),
    };
    let name = alert.labels.get("alertname").map_or("an alert", String::as_str);
    let summary = match alert.annotations.get("summary") {
        Some(summary) => format!("{name}: {summary}"),
        None => name.to_owned(),
    };
    Ok(Told {
        key: alert.fingerprint,
        firing,
        at: if firing { alert.starts_at } else { alert.ends_at },
        summary: line(&summary),
        labels: alert.labels,
    })
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const TOKEN: &str = "0123456789abcdef0123456789abcdef";

    /// As Alertmanager 0.27 sends it.
    const BODY: &str = r#"{"receiver":"drctl","status":"firing","alerts":[
        {"status":"firing","labels":{"alertname":"PrimaryDown","severity":"critical"},
         "annotations":{"summary":"the primary\ndoes not answer"},
         "startsAt":"2026-11-24T03:00:00.5+01:00","endsAt":"0001-01-01T00:00:00Z",
         "generatorURL":"http://prom","fingerprint":"1a30ba71cca2921f"},
        {"status":"resolved","labels":{"alertname":"Slow"},"annotations":{},
         "startsAt":"2026-11-24T01:00:00Z","endsAt":"2026-11-24T01:30:00Z",
         "generatorURL":"","fingerprint":"2b"}],
        "groupLabels":{},"commonLabels":{},"commonAnnotations":{},"externalURL":"","version":"4",
        "groupKey":"{}:{}","truncatedAlerts":0}"#;

    fn with(token: &str) -> HeaderMap {
        let value = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
        HeaderMap::from_iter([(header::AUTHORIZATION, value)])
    }

    #[test]
    fn a_message_tells_what_began_and_what_ended() {
        let all = told(TOKEN, &with(TOKEN), BODY.as_bytes()).unwrap();
        assert_eq!(all[0].summary, "PrimaryDown: the primary does not answer");
        assert_eq!(all[0].at.to_rfc3339(), "2026-11-24T02:00:00.500+00:00");
        assert!(all[0].firing && !all[1].firing);
        assert_eq!(all[1].at.to_rfc3339(), "2026-11-24T01:30:00+00:00");
    }

    #[test]
    fn what_is_not_proven_or_not_understood_is_refused() {
        let none = HeaderMap::new();
        for headers in [none, with("another"), with("")] {
            let refused = told(TOKEN, &headers, BODY.as_bytes());
            assert!(matches!(refused, Err(Refusal::Stranger(_))));
        }
        let newer = BODY.replace("\"version\":\"4\"", "\"version\":\"5\"");
        let odd = BODY.replace("\"status\":\"resolved\"", "\"status\":\"suppressed\"");
        for body in ["", "{}", "[]", &newer, &odd] {
            let refused = told(TOKEN, &with(TOKEN), body.as_bytes());
            assert!(matches!(refused, Err(Refusal::Senseless(_))), "{body}");
        }
    }
}
