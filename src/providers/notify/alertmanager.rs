//! Alertmanager: alerts of its API v2, whose schema is `postableAlerts` in `api/v2/openapi.yaml` of
//! github.com/prometheus/alertmanager.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Map, Value, json};
use url::Url;

use super::message::Severity;
use super::notification::{Act, Notification};

/// Where alerts go, below the channel's `url`.
pub fn endpoint(url: &str) -> Result<String, String> {
    below(url, "api/v2/alerts")
}

/// Where the alerts of an incident are asked for.
pub fn question(url: &str, told: &Notification) -> Result<String, String> {
    let url = below(url, "api/v2/alerts")?;
    let mut url: Url = url.parse().map_err(|_| "its url is not a URL".to_owned())?;
    for (name, value) in labels(told, told.severity) {
        // A value may hold quotes; the matcher's syntax is that of Go strings.
        let value = value.as_str().unwrap_or_default();
        url.query_pairs_mut().append_pair("filter", &format!("{name}={value:?}"));
    }
    Ok(url.to_string())
}

fn below(url: &str, path: &str) -> Result<String, String> {
    let mut url: Url = url.parse().map_err(|_| "its url is not a URL".to_owned())?;
    let prefix = url.path().trim_end_matches('/').to_owned();
    url.set_path(&format!("{prefix}/{path}"));
    Ok(url.to_string())
}

/// The request's body: the alert, and, where it was told under other severities before, their end,
/// for to Alertmanager an alert with another label is another alert.
///
/// One that nobody repeats ends at `endsAt`. Nothing there is like an acknowledgement.
pub fn body(told: &Notification) -> Value {
    let over = |severity| alert(told, severity, told.at);
    let mut alerts = match told.act {
        Act::Resolve => vec![over(told.severity)],
        Act::Open | Act::Acknowledge => {
            let lasts = TimeDelta::from_std(told.believed).unwrap_or(TimeDelta::hours(1));
            vec![alert(told, told.severity, told.at + lasts)]
        }
    };
    if told.act == Act::Resolve || told.class == "alert" {
        alerts.extend(told.before.iter().filter(|s| **s != told.severity).map(|s| over(*s)));
    }
    Value::Array(alerts)
}

fn alert(told: &Notification, severity: Severity, ends: DateTime<Utc>) -> Value {
    let time = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let mut annotations = Map::new();
    annotations.insert("summary".to_owned(), told.headline.as_str().into());
    if let Some(text) = &told.text {
        annotations.insert("description".to_owned(), text.as_str().into());
    }
    for (name, value) in &told.standing {
        // Names are those of Prometheus: no blanks.
        annotations.insert(name.replace(' ', "_"), value.as_str().into());
    }
    json!({
        "labels": labels(told, severity),
        "annotations": annotations,
        "startsAt": time(told.since.min(ends)),
        "endsAt": time(ends),
    })
}

/// What makes it this alert. `alertname` must be there.
fn labels(told: &Notification, severity: Severity) -> Map<String, Value> {
    let mut labels = Map::new();
    labels.insert("alertname".to_owned(), format!("drctl_{}", told.group).into());
    labels.insert("project".to_owned(), told.project.as_str().into());
    labels.insert("severity".to_owned(), severity.word().into());
    if told.drill {
        labels.insert("drill".to_owned(), "true".into());
    }
    for (name, value) in &told.labels {
        labels.insert((*name).to_owned(), value.as_str().into());
    }
    labels
}

#[cfg(test)]
mod tests {
    use super::super::message::tests::message;
    use super::*;

    #[test]
    fn what_closes_an_alert_has_the_labels_of_what_opened_it() {
        let told = message().notification();
        let open = body(&told);
        assert_eq!(open.as_array().unwrap().len(), 1);
        assert_eq!(open[0]["labels"]["severity"], "critical");
        assert!(open[0]["endsAt"].as_str().unwrap() > open[0]["startsAt"].as_str().unwrap());
        // Runs close an incident without saying how bad it was.
        let over = Notification { act: Act::Resolve, severity: Severity::Info, ..told };
        let over = body(&over);
        let ended: Vec<_> = over.as_array().unwrap().iter().map(|a| &a["labels"]).collect();
        assert!(ended.contains(&&open[0]["labels"]), "{ended:?}");
        assert_eq!(ended.len(), 4);
    }

    #[test]
    fn it_may_live_below_a_path() {
        let url = endpoint("http://a.test:9093/am/").unwrap();
        assert_eq!(url, "http://a.test:9093/am/api/v2/alerts");
        let asked = question("http://a.test", &message().notification()).unwrap();
        assert!(asked.contains("filter=severity%3D%22critical%22"), "{asked}");
    }
}
