//! `[route.NAME]`, `[alerts]` and `[metrics]`.

use std::time::Duration;

use super::build::{insist, region};
use super::document::Document;
use super::nearest::did_you_mean;
use super::table::{At, Table};
use super::{AlertsConfig, MetricsConfig, RouteConfig, keys};
use crate::model::Severity;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_hours(1);

const SEVERITIES: [(&str, Severity); 3] =
    [("info", Severity::Info), ("warning", Severity::Warning), ("critical", Severity::Critical)];

pub(super) fn route(table: &mut Table<'_>, name: &str, known: &[&str]) -> Option<RouteConfig> {
    table.require("channels");
    let severities = list(table, "severity");
    let mut severity = Vec::new();
    for at in severities {
        match SEVERITIES.iter().find(|(word, _)| *word == at.value) {
            Some((_, value)) => severity.push(*value),
            None => {
                let words = SEVERITIES.iter().map(|(word, _)| *word);
                let advice = did_you_mean(&at.value, words).unwrap_or_default();
                let text =
                    format!("`severity` is of \"info\", \"warning\" and \"critical\"{advice}");
                table.bad(&at, &text);
            }
        }
    }
    let keys = list(table, "keys").into_iter().map(|at| at.value).collect();
    let mut channels: Vec<String> = Vec::new();
    for at in table.texts("channels")? {
        if !known.contains(&at.value.as_str()) {
            let advice = did_you_mean(&at.value, known.iter().copied()).unwrap_or_default();
            let text = format!("`channels`: there is no [channel.{}]{advice}", at.shown());
            table.bad(&at, &text);
        } else if channels.contains(&at.value) {
            table.bad(&at, &format!("channel `{}` is named twice", at.shown()));
        } else {
            channels.push(at.value);
        }
    }
    Some(RouteConfig { name: name.to_owned(), severity, keys, channels })
}

/// Texts of which there must be one at least, where the key is there at all.
fn list(table: &mut Table<'_>, key: &str) -> Vec<At<String>> {
    let Some(texts) = table.texts(key) else { return Vec::new() };
    let empty = table.entry(key).is_some_and(|e| e.value.as_array().is_some_and(|a| a.is_empty()));
    if empty {
        table.doc.problem(table.line_of(key), format!("`{key}` is empty; leave it out"));
    }
    texts
}

pub(super) fn alerts(doc: &Document<'_>, root: &Table<'_>) -> AlertsConfig {
    let default = AlertsConfig::default();
    let Some(mut table) = root.table("alerts", keys::ALERTS) else { return default };
    let remind = table.duration("remind", HOUR / 60..=24 * 30 * HOUR).unwrap_or(default.remind);
    insist(doc, &table);
    AlertsConfig { remind }
}

pub(super) fn metrics(doc: &Document<'_>, root: &Table<'_>) -> MetricsConfig {
    let default = MetricsConfig::default();
    let Some(mut table) = root.table("metrics", keys::METRICS) else { return default };
    let config = MetricsConfig {
        textfile: table.path_value("textfile"),
        cloudwatch_namespace: table.parsed("cloudwatch_namespace", namespace).map(|at| at.value),
        cloudwatch_region: table.parsed("cloudwatch_region", region).map(|at| at.value),
        dogstatsd: table.parsed("dogstatsd", agent).map(|at| at.value),
        every: table.duration("every", SECOND..=HOUR).unwrap_or(default.every),
    };
    let line = table.line_of("textfile");
    // The collector reads files of this name only, and says nothing of others.
    if config.textfile.as_ref().is_some_and(|path| path.extension().is_none_or(|e| e != "prom")) {
        doc.warning(
            line,
            "`textfile`: node_exporter reads only files whose name ends with `.prom`",
        );
    }
    if config.cloudwatch_region.is_some() && config.cloudwatch_namespace.is_none() {
        let text =
            "`cloudwatch_region` needs `cloudwatch_namespace`, without which nothing is sent";
        doc.problem(table.line_of("cloudwatch_region"), text);
    }
    insist(doc, &table);
    config
}

/// What CloudWatch takes (API reference of PutMetricData, `Namespace`).
fn namespace(text: &str) -> Result<String, String> {
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_/#:".contains(c);
    match text.len() <= 255
        && text.chars().all(plain)
        && !text.starts_with([':'])
        && !text.starts_with("AWS/")
    {
        true => Ok(text.to_owned()),
        false => Err("must be letters, digits and `.-_/#:`, and not begin with `AWS/`".to_owned()),
    }
}

fn agent(text: &str) -> Result<String, String> {
    let whole = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    match whole {
        true => Ok(text.to_owned()),
        false => Err("must be `host:port`, such as \"127.0.0.1:8125\"".to_owned()),
    }
}
