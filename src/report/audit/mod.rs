//! The report of an audit: what was asked, how each answer came out, and where it is kept.

mod calendar;
mod html;
mod journals;
mod keeping;
mod markdown;
mod storing;
#[cfg(test)]
mod tests;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

pub(super) use self::calendar::calendar;
pub(super) use self::html::MORE_STYLE as STYLE;
pub use self::html::html;
pub use self::markdown::{finding_in_words, markdown};
pub use self::storing::{Kept, Stored, find, list, read, store};

use crate::config::Config;
use crate::error::Result;
use crate::integrity::audit::{self, Aspect, AuditRequest, Check, DatabaseAudit, Shard, Standing};
use crate::integrity::verify::{Depth, Sample};
use crate::model::{AuditId, Digest, Finding};
use crate::runbook::journal::Copies;

/// The version of the report's form.
pub const FORM: u32 = 1;

/// What an audit was to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Terms {
    pub depth: Depth,
    pub sample: Sample,
    pub since: Option<DateTime<Utc>>,
    /// Stored bytes to look into at most.
    pub budget: Option<u64>,
    pub shard: Option<Shard>,
    /// Everything is to be read at least once in so long.
    pub within_seconds: u64,
    /// A snapshot is due once in so long: the RPO.
    pub every_seconds: u64,
    pub stores: Vec<String>,
    pub databases: Vec<String>,
}

/// A file that lies beside the report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Beside {
    pub name: String,
    pub sha256: Digest,
}

/// The report. docs/audit.schema.json describes its JSON.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AuditReport {
    /// Of this form; see `FORM`.
    pub format: u32,
    pub audit: AuditId,
    pub project: String,
    /// `drctl 0.1.0`.
    pub program: String,
    /// Who ran it, and on what machine.
    pub operator: String,
    pub began: DateTime<Utc>,
    pub ended: DateTime<Utc>,
    /// The worst of the checks.
    pub standing: Standing,
    pub terms: Terms,
    pub checks: Vec<Check>,
    pub databases: Vec<DatabaseAudit>,
    pub findings: Vec<Finding>,
    /// Findings that are not listed, since there are too many.
    pub more_findings: u64,
    /// What the budget came to: bytes chosen, and of how many.
    pub chosen: Option<(u64, u64)>,
    /// The same report in other forms.
    #[serde(default)]
    pub files: Vec<Beside>,
}

impl AuditReport {
    pub fn checks_that(&self, standing: Standing) -> impl Iterator<Item = &Check> {
        self.checks.iter().filter(move |check| check.standing == standing)
    }

    /// Bytes that were looked into, over all stores.
    pub fn checked_bytes(&self) -> u64 {
        self.databases.iter().map(|d| d.checked_bytes).sum()
    }

    pub fn checked_objects(&self) -> u64 {
        self.databases.iter().map(|d| d.checked_objects).sum()
    }
}

/// Who audits.
pub struct Auditor {
    pub audit: AuditId,
    pub operator: String,
    /// Where journals lie; none where no runs are kept, or why they cannot be reached.
    pub journals: Option<Result<Copies>>,
}

/// Audits, and writes the report.
pub async fn run(
    config: &Config,
    request: &AuditRequest,
    auditor: Auditor,
    clock: impl Fn() -> DateTime<Utc>,
) -> Result<AuditReport> {
    let mut audited = audit::audit(request).await?;
    for (database, holding) in &audited.holdings {
        let keep = config.database(database)?.keep;
        let store = request.stores.iter().find(|s| s.name() == holding.store);
        if let Some(store) = store {
            audited
                .checks
                .push(keeping::check(&keep, database, &**store, holding, request.now).await);
        }
    }
    audited.checks.push(journals::check(auditor.journals).await);
    audited.checks.sort_by_key(|check| {
        (check.aspect, check.database.clone(), check.store.clone(), check.standing)
    });
    Ok(AuditReport {
        format: FORM,
        audit: auditor.audit,
        project: config.project.clone(),
        program: format!("drctl {}", env!("CARGO_PKG_VERSION")),
        operator: auditor.operator,
        began: request.now,
        ended: clock(),
        standing: audited
            .checks
            .iter()
            .map(|check| check.standing)
            .max()
            .unwrap_or(Standing::Unverified),
        terms: Terms {
            depth: request.depth,
            sample: request.sample,
            since: request.since,
            budget: request.budget,
            shard: request.shard,
            within_seconds: request.within.num_seconds().unsigned_abs(),
            every_seconds: request.every.num_seconds().unsigned_abs(),
            stores: request.stores.iter().map(|s| s.name().to_owned()).collect(),
            databases: request.subjects.iter().map(|s| s.name.clone()).collect(),
        },
        checks: audited.checks,
        databases: audited.databases,
        findings: audited.findings,
        more_findings: audited.more_findings,
        chosen: audited.chosen,
        files: Vec::new(),
    })
}

/// Every question, in the order in which it is told.
const ASPECTS: [Aspect; 14] = [
    Aspect::Integrity,
    Aspect::Sameness,
    Aspect::Chain,
    Aspect::Retention,
    Aspect::Generations,
    Aspect::Coverage,
    Aspect::Signatures,
    Aspect::Journals,
    Aspect::Strangers,
    Aspect::Encryption,
    Aspect::PublicAccess,
    Aspect::Versioning,
    Aspect::ObjectLock,
    Aspect::Replication,
];
