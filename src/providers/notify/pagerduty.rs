//! PagerDuty: events of the Events API v2.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::notification::{Act, Notification};

/// Where events go unless the channel says otherwise (accounts in Europe have another).
pub const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";

/// The request's body. The fields and their limits: https://developer.pagerduty.com/docs/send-alert-event
///
/// The key is the same for what opens an incident, acknowledges it and closes it, and for every
/// repeat, which PagerDuty then folds into one.
pub fn body(told: &Notification, routing_key: &str) -> Value {
    let action = match told.act {
        Act::Open => "trigger",
        Act::Acknowledge => "acknowledge",
        Act::Resolve => "resolve",
    };
    let mut body = json!({
        "routing_key": routing_key,
        "event_action": action,
        "dedup_key": told.incident,
    });
    // The others take no payload.
    if told.act == Act::Open {
        let summary: String = told.headline.chars().take(1024).collect();
        let mut details: Map<String, Value> =
            told.standing.iter().map(|(name, v)| ((*name).to_owned(), v.as_str().into())).collect();
        if let Some(text) = &told.text {
            details.insert("text".to_owned(), text.as_str().into());
        }
        body["client"] = "drctl".into();
        body["payload"] = json!({
            "summary": summary,
            "severity": told.severity,
            "source": format!("drctl of {}", told.project),
            "component": told.project,
            "group": told.group,
            "class": told.class,
            "timestamp": told.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "custom_details": details,
        });
    }
    body
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::super::message::tests::message;
    use super::*;

    fn body(message: &Message, key: &str) -> Value {
        super::body(&message.notification(), key)
    }

    #[test]
    fn an_incident_is_opened_and_closed_by_the_same_key() {
        let open = body(&message(), "key");
        assert_eq!(open["event_action"], "trigger");
        assert_eq!(open["payload"]["severity"], "critical");
        assert_eq!(open["payload"]["custom_details"]["epoch"], "4");
        let close = body(&Message { resolve: true, ..message() }, "key");
        assert_eq!(close["event_action"], "resolve");
        assert_eq!(open["dedup_key"], close["dedup_key"]);
        let taken = Notification { act: Act::Acknowledge, ..message().notification() };
        let taken = super::body(&taken, "key");
        assert_eq!(taken["event_action"], "acknowledge");
        assert_eq!((&taken["dedup_key"], taken.get("payload")), (&open["dedup_key"], None));
        let long = Message { text: "x".repeat(3000), ..message() };
        assert_eq!(body(&long, "key")["payload"]["summary"].as_str().unwrap().len(), 1024);
    }
}
