//! PagerDuty: events of the Events API v2.

use chrono::SecondsFormat;
use serde_json::{Map, Value, json};

use super::message::Message;

/// Where events go unless the channel says otherwise (accounts in Europe have another).
pub const ENDPOINT: &str = "https://events.pagerduty.com/v2/enqueue";

/// The request's body. The fields and their limits: https://developer.pagerduty.com/docs/send-alert-event
///
/// The key is the same for what opens an incident and what closes it, and for every repeat, which
/// PagerDuty then folds into one.
pub fn body(message: &Message, routing_key: &str) -> Value {
    if message.resolve {
        return json!({
            "routing_key": routing_key,
            "event_action": "resolve",
            "dedup_key": message.incident(),
        });
    }
    let summary: String = message.headline().chars().take(1024).collect();
    let mut details: Map<String, Value> = message
        .standing()
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.into()))
        .collect();
    if let Some(rest) = message.rest() {
        details.insert("text".to_owned(), rest.into());
    }
    json!({
        "routing_key": routing_key,
        "event_action": "trigger",
        "dedup_key": message.incident(),
        "client": "drctl",
        "payload": {
            "summary": summary,
            "severity": message.severity,
            "source": format!("drctl of {}", message.project),
            "component": message.project,
            "group": message.runbook,
            "class": if message.drill { "drill" } else { "failover" },
            "timestamp": message.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "custom_details": details,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn an_incident_is_opened_and_closed_by_the_same_key() {
        let open = body(&message(), "key");
        assert_eq!(open["event_action"], "trigger");
        assert_eq!(open["payload"]["severity"], "critical");
        assert_eq!(open["payload"]["custom_details"]["epoch"], "4");
        let close = body(&Message { resolve: true, ..message() }, "key");
        assert_eq!(close["event_action"], "resolve");
        assert_eq!(open["dedup_key"], close["dedup_key"]);
        let long = Message { text: "x".repeat(3000), ..message() };
        assert_eq!(body(&long, "key")["payload"]["summary"].as_str().unwrap().len(), 1024);
    }
}
