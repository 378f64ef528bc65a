//! What every channel needs of a message, whatever it is about: a step of a run, or an alert.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::message::Severity;
use crate::model::Digest;

/// What is to be done about the incident of a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// It is open, or still is.
    Open,
    /// Somebody has taken it on.
    Acknowledge,
    /// It is over.
    Resolve,
}

/// One notification, the same for every channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Notification {
    pub project: String,
    /// The same for every try: receivers fold repeats by it. Plain ASCII.
    pub id: String,
    /// The same for what opens an incident and what closes it; up to 255 characters.
    pub incident: String,
    /// The same for all that belongs together, such as all of a run.
    pub thread: String,
    /// One line.
    pub headline: String,
    pub text: Option<String>,
    /// Where things stand, name by name.
    pub standing: Vec<(&'static str, String)>,
    pub severity: Severity,
    pub act: Act,
    /// What it is about: `region-failover`, `rpo`.
    pub group: String,
    /// `failover`, `drill`, `alert` or `test`.
    pub class: &'static str,
    pub drill: bool,
    /// What marks the incident for programs; never what changes while it lasts.
    pub labels: Vec<(&'static str, String)>,
    /// Severities under which the incident was told before.
    pub before: Vec<Severity>,
    /// When the incident began.
    pub since: DateTime<Utc>,
    /// How long it is to be believed without another word, where a channel wants to know.
    pub believed: Duration,
    /// Headers of its mail.
    pub headers: Vec<(&'static str, String)>,
    /// The type and data of its webhook.
    pub kind: &'static str,
    pub data: Value,
    pub at: DateTime<Utc>,
}

impl Notification {
    /// As plain text.
    pub fn plain(&self) -> String {
        let mut text = format!("{}\n", self.headline);
        if let Some(rest) = &self.text {
            text.push_str(&format!("{rest}\n"));
        }
        text.push('\n');
        for (name, value) in &self.standing {
            text.push_str(&format!("{name:<9} {value}\n"));
        }
        text
    }
}

/// `text` where it is short enough, else its beginning and its digest: two long ones stay two.
pub fn shortened(text: String, longest: usize) -> String {
    if text.len() <= longest {
        return text;
    }
    let digest = Digest::of(text.as_bytes()).to_string();
    let mark = &digest[..16];
    let kept: String = text.chars().filter(char::is_ascii).take(longest - 17).collect();
    format!("{kept}-{mark}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_keys_that_differ_stay_different() {
        let [one, two] = ["a", "b"].map(|end| shortened("x".repeat(400) + end, 255));
        assert_eq!((one.len(), two.len()), (255, 255));
        assert_ne!(one, two);
        assert_eq!(shortened("short".to_owned(), 255), "short");
    }
}
