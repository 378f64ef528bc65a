//! Something that people must be told, and that ends some day.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

/// How much it matters, and so which channels are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth knowing; nobody need get up.
    Info,
    /// Will become critical if nobody looks at it.
    Warning,
    /// An objective is broken, or data is in danger.
    Critical,
}

/// One trouble at one moment. The same trouble has the same key as long as it lasts, whichever
/// runner sees it: repeated alerts are folded by it, and the incident that it opened is closed by it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Alert {
    /// What is wrong with what, such as `rpo/petforce/west`; never a time, a number or a secret.
    pub key: String,
    pub severity: Severity,
    /// One line.
    pub summary: String,
    /// What was seen and the next move, in lines of their own.
    pub detail: String,
    pub at: DateTime<Utc>,
    /// The trouble is over.
    pub resolved: bool,
}

/// Where alerts go. Called with every change of a trouble and again while it lasts: whoever is behind
/// this folds repeats, routes by severity, and closes what a resolved alert opened. A resolved alert
/// whose trouble was never told is nothing: runners send one for whatever they first see to be well.
#[async_trait]
pub trait AlertSink: Send + Sync {
    /// Hands an alert over. It must not fail and must end within some seconds: what cannot be told to
    /// people now is for the sink to keep and to report.
    async fn alert(&self, alert: Alert);
}
