//! An alert of the book as channels take it.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;

use super::book::{Entry, Stage};
use super::message::Severity;
use super::notification::{Act, Notification, shortened};
use super::routing::word;

/// How long an alert is to be believed where nobody repeats it; it is repeated far more often.
const BELIEVED: Duration = Duration::from_hours(1);

/// What is told of `entry` at this stage. `by` tells it: "runner on ops-1".
pub fn notification(
    project: &str,
    by: &str,
    entry: &Entry,
    stage: Stage,
    now: DateTime<Utc>,
) -> Notification {
    let alert = &entry.alert;
    let severity = entry.severity();
    let since = entry.since.to_rfc3339_opts(SecondsFormat::Secs, true);
    let lasts = (now - entry.since).to_std().unwrap_or_default();
    let lasts = humantime::format_duration(Duration::from_secs(lasts.as_secs()));
    let loud = word(severity).to_uppercase();
    let mark = match stage {
        Stage::Opened | Stage::Again => loud,
        Stage::Worse => format!("now {loud}"),
        Stage::Reminder(_) => format!("still {loud} after {lasts}"),
        Stage::Acknowledged => match &entry.acknowledged {
            Some(taken) => format!("taken on by {}", taken.by),
            None => loud,
        },
        Stage::Resolved => "resolved".to_owned(),
    };
    let act = match stage {
        Stage::Resolved => Act::Resolve,
        Stage::Acknowledged => Act::Acknowledge,
        _ => Act::Open,
    };
    let mut standing = vec![
        ("alert", alert.key.clone()),
        ("severity", word(severity).to_owned()),
        ("since", format!("{since}, {lasts} ago")),
    ];
    if let Some(taken) = &entry.acknowledged {
        standing.push(("taken on", format!("by {}", taken.by)));
    }
    standing.push(("told by", by.to_owned()));
    if act == Act::Open {
        standing.push(("take on", format!("drctl alerts ack {}", alert.key)));
    }
    let headline = format!("{mark}: {project}: {}", first_line(&alert.summary));
    let detail = Some(alert.detail.trim().to_owned()).filter(|detail| !detail.is_empty());
    let incident = shortened(format!("drctl.{project}.{}", alert.key), 255);
    let thread = format!("{}.{}", incident, entry.since.timestamp());
    Notification {
        project: project.to_owned(),
        id: shortened(ascii(&format!("{thread}.{}", plain(stage))), 200),
        headline: headline.clone(),
        text: detail,
        standing,
        severity: Severity::from(severity),
        act,
        group: alert.key.split('/').next().unwrap_or_default().to_owned(),
        class: "alert",
        drill: false,
        labels: vec![("key", alert.key.clone())],
        before: entry.severities.iter().map(|s| Severity::from(*s)).collect(),
        since: entry.since,
        believed: BELIEVED,
        headers: vec![("X-Drctl-Alert", ascii(&alert.key))],
        kind: "drctl.alert",
        data: json!({
            "project": project,
            "key": alert.key,
            "severity": word(severity),
            "stage": plain(stage),
            "headline": headline,
            "summary": alert.summary,
            "detail": alert.detail,
            "since": since,
            "resolved": alert.resolved,
            "acknowledged_by": entry.acknowledged.as_ref().map(|taken| &taken.by),
            "incident": incident,
            "told_by": by,
            "at": now.to_rfc3339_opts(SecondsFormat::Secs, true),
        }),
        incident,
        thread,
        at: now,
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn ascii(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_graphic() { c } else { '?' }).collect()
}

/// One word for each thing that is told once.
fn plain(stage: Stage) -> String {
    match stage {
        Stage::Opened => "opened".to_owned(),
        Stage::Worse => "worse".to_owned(),
        Stage::Reminder(n) => format!("reminder-{n}"),
        Stage::Again => "again".to_owned(),
        Stage::Acknowledged => "acknowledged".to_owned(),
        Stage::Resolved => "resolved".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::super::book::Book;
    use super::*;
    use crate::model::{Alert, Severity};

    fn entry() -> Entry {
        let at = DateTime::from_timestamp(1_795_000_000, 0).unwrap();
        let alert = Alert {
            key: "rpo/petforce/west".to_owned(),
            severity: Severity::Critical,
            summary: "petforce in west: the newest snapshot is 1h 5m old".to_owned(),
            detail: "the objective is 1h\nrun `drctl snapshot petforce`".to_owned(),
            at,
            resolved: false,
        };
        let mut book = Book::default();
        book.take(&alert, &|_, _| ["team".to_owned()].into(), at);
        book.alerts.remove("rpo/petforce/west").unwrap()
    }

    fn told(stage: Stage) -> Notification {
        let entry = entry();
        let now = entry.since + TimeDelta::hours(4);
        notification("petforce", "runner on ops-1", &entry, stage, now)
    }

    #[test]
    fn an_alert_says_what_is_wrong_since_when_and_what_to_do() {
        insta::assert_snapshot!(told(Stage::Reminder(1)).plain(), @r"
        still CRITICAL after 4h: petforce: petforce in west: the newest snapshot is 1h 5m old
        the objective is 1h
        run `drctl snapshot petforce`

        alert     rpo/petforce/west
        severity  critical
        since     2026-11-18T11:06:40Z, 4h ago
        told by   runner on ops-1
        take on   drctl alerts ack rpo/petforce/west
        ");
    }

    #[test]
    fn one_incident_has_one_key_and_each_thing_told_an_id() {
        let stages = [
            Stage::Opened,
            Stage::Worse,
            Stage::Reminder(1),
            Stage::Reminder(2),
            Stage::Acknowledged,
            Stage::Resolved,
        ];
        let all: Vec<_> = stages.into_iter().map(told).collect();
        let ids: std::collections::BTreeSet<_> = all.iter().map(|n| &n.id).collect();
        assert_eq!(ids.len(), stages.len());
        assert!(all.iter().all(|n| n.incident == "drctl.petforce.rpo/petforce/west"));
        assert!(all.iter().all(|n| n.thread == all[0].thread));
    }
}
