//! DataDog: events of the Events API v1.

use serde_json::{Value, json};

use super::message::Severity;
use super::notification::{Act, Notification, shortened};

/// Where events go unless the channel says otherwise: other sites have another address.
pub const ENDPOINT: &str = "https://api.datadoghq.com/api/v1/events";
/// The header that carries the key.
pub const KEY: &str = "DD-API-KEY";

/// The request's body. The fields and their limits:
/// https://docs.datadoghq.com/api/latest/events/post-an-event/
///
/// All of an incident has one `aggregation_key`, by which the stream shows it as one.
pub fn body(told: &Notification) -> Value {
    let kind = match (told.act, told.severity) {
        (Act::Resolve, _) => "success",
        (Act::Acknowledge, _) => "info",
        (Act::Open, Severity::Critical | Severity::Error) => "error",
        (Act::Open, Severity::Warning) => "warning",
        (Act::Open, Severity::Info) => "info",
    };
    let urgent = matches!(told.severity, Severity::Critical | Severity::Error);
    let mut tags = vec![
        "source:drctl".to_owned(),
        format!("project:{}", told.project),
        format!("severity:{}", told.severity.word()),
        format!("class:{}", told.class),
    ];
    tags.extend(told.labels.iter().map(|(name, value)| format!("{name}:{value}")));
    json!({
        "title": told.headline,
        "text": told.plain().chars().take(4000).collect::<String>(),
        "alert_type": kind,
        "priority": if urgent { "normal" } else { "low" },
        "aggregation_key": shortened(told.incident.clone(), 100),
        "date_happened": told.at.timestamp(),
        "tags": tags,
    })
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn an_event_keeps_the_limits_and_an_incident_is_one() {
        let long = Message { text: format!("down\n{}", "x".repeat(9000)), ..message() };
        let open = body(&long.notification());
        assert_eq!(open["alert_type"], "error");
        assert_eq!(open["text"].as_str().unwrap().len(), 4000);
        let tags = open["tags"].as_array().unwrap();
        assert!(tags.contains(&json!("run:20261124-0300-ab12")), "{tags:?}");
        let over = body(&Message { resolve: true, ..long }.notification());
        assert_eq!(over["alert_type"], "success");
        assert_eq!(open["aggregation_key"], over["aggregation_key"]);
        let key = Message { key: "k".repeat(300), ..message() }.notification();
        assert_eq!(body(&key)["aggregation_key"].as_str().unwrap().len(), 100);
    }
}
