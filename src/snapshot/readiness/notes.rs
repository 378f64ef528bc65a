//! Findings on one subject, as they come, with a time limit for every step.

use std::time::Duration;

use super::{Finding, Severity, told};
use crate::error::{Error, Result};

/// Collects the findings on one subject.
#[derive(Debug)]
pub struct Notes {
    subject: String,
    limit: Duration,
    /// What a step that does not end well is.
    failing: Severity,
    found: Vec<Finding>,
}

impl Notes {
    /// `limit` is how long any one step may take.
    pub fn new(subject: String, limit: Duration) -> Self {
        Self { subject, limit, failing: Severity::Critical, found: Vec::new() }
    }

    /// On a subject that snapshots do not need: what fails there is a warning.
    pub fn aside(subject: String, limit: Duration) -> Self {
        Self { failing: Severity::Warning, ..Self::new(subject, limit) }
    }

    pub fn ok(&mut self, what: impl Into<String>) {
        self.note(Severity::Ok, what.into(), None);
    }

    pub fn warning(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.note(Severity::Warning, what.into(), Some(hint.into()));
    }

    pub fn critical(&mut self, what: impl Into<String>, hint: impl Into<String>) {
        self.note(Severity::Critical, what.into(), Some(hint.into()));
    }

    /// A failure: critical, unless the subject is one aside.
    pub fn failed(&mut self, e: &Error) {
        let (what, hint) = told(e);
        self.note(self.failing, what, hint);
    }

    fn note(&mut self, severity: Severity, what: String, hint: Option<String>) {
        let finding = Finding { severity, subject: self.subject.clone(), what, hint };
        if !self.found.contains(&finding) {
            self.found.push(finding);
        }
    }

    /// Waits for a step, and no longer than the limit. No answer is told as such.
    pub async fn wait<T>(
        &self,
        what: &str,
        step: impl Future<Output = Result<T>>,
    ) -> std::result::Result<T, Stopped> {
        match tokio::time::timeout(self.limit, step).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(e)) => Err(Stopped::Failed(e)),
            Err(_) => Err(Stopped::Late(format!(
                "{what}: no answer within {}",
                humantime::format_duration(self.limit)
            ))),
        }
    }

    /// As `wait`; a failure is a finding.
    pub async fn within<T>(
        &mut self,
        what: &str,
        step: impl Future<Output = Result<T>>,
    ) -> Option<T> {
        match self.wait(what, step).await {
            Ok(value) => Some(value),
            Err(stopped) => {
                self.stopped(&stopped);
                None
            }
        }
    }

    /// Tells of a step that did not end well.
    pub fn stopped(&mut self, stopped: &Stopped) {
        match stopped {
            Stopped::Failed(e) => self.failed(e),
            Stopped::Late(what) => {
                let hint =
                    "a firewall, a security group, a wrong address, or a service that is stuck";
                self.note(self.failing, what.clone(), Some(hint.to_owned()));
            }
        }
    }

    /// The worst first; within one severity in the order in which things were looked at.
    pub fn into_findings(mut self) -> Vec<Finding> {
        self.found.sort_by_key(|f| f.severity);
        self.found
    }
}

/// Why a step gave nothing.
#[derive(Debug)]
pub enum Stopped {
    Failed(Error),
    /// There was no answer in time; the text says so.
    Late(String),
}
