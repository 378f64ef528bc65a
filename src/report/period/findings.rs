//! What became of the findings of audits: each is followed through the later ones. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::integrity::audit::Standing;
use crate::integrity::verify::Depth;
use crate::model::FindingKind;
use crate::report::audit::AuditReport;

/// How a finding ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// A later audit looked as closely at the same place, and did not find it.
    Gone,
    Open,
}

/// Something that audits found, or a check that failed, from when until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trouble {
    /// `damaged`, `missing`, `unreadable`, or the question whose answer was no.
    pub what: String,
    pub store: Option<String>,
    pub database: Option<String>,
    pub table: Option<String>,
    pub object: Option<String>,
    pub said: String,
    pub first: DateTime<Utc>,
    pub last: DateTime<Utc>,
    pub ended: Ended,
    /// The audit that did not find it any more.
    pub gone: Option<DateTime<Utc>>,
}

/// What is the same trouble in another audit.
type Name = (String, Option<String>, Option<String>, Option<String>);

struct Followed {
    trouble: Trouble,
    depth: Depth,
}

/// Whether an audit looked at the place, and at least so closely. One that looks at a share of the
/// parts says nothing of what it does not find.
fn looked(report: &AuditReport, trouble: &Trouble, depth: Depth) -> bool {
    let terms = &report.terms;
    let there = |names: &[String], name: &Option<String>| {
        name.as_ref().is_none_or(|name| name.is_empty() || names.contains(name))
    };
    let whole = terms.sample.is_all()
        && terms.budget.is_none()
        && terms.shard.is_none()
        && terms.since.is_none();
    whole
        && terms.depth >= depth
        && there(&terms.stores, &trouble.store)
        && there(&terms.databases, &trouble.database)
        // Where something could not be looked at, what is not found may still be there.
        && !report.checks.iter().any(|check| {
            check.standing == Standing::Unverified && check.store == trouble.store
        })
}

/// Follows every finding and failed check through the audits, oldest first.
pub fn follow(audits: &[&AuditReport]) -> Vec<Trouble> {
    let mut open: BTreeMap<Name, Followed> = BTreeMap::new();
    let mut ended = Vec::new();
    for report in audits {
        let at = report.began;
        let mut seen: BTreeMap<Name, Trouble> = BTreeMap::new();
        for finding in report.findings.iter().filter(|f| f.kind != FindingKind::Surplus) {
            let (store, database) = (Some(finding.store.clone()), Some(finding.database.clone()));
            let name =
                (finding.kind.to_string(), store.clone(), database.clone(), finding.part.clone());
            seen.entry(name).or_insert_with(|| Trouble {
                what: finding.kind.to_string(),
                store,
                database,
                table: finding.table.clone(),
                object: finding.part.clone(),
                said: finding.detail.clone(),
                first: at,
                last: at,
                ended: Ended::Open,
                gone: None,
            });
        }
        for check in report.checks_that(Standing::Failed) {
            let name =
                (check.aspect.to_string(), check.store.clone(), check.database.clone(), None);
            seen.entry(name).or_insert_with(|| Trouble {
                what: check.aspect.to_string(),
                store: check.store.clone(),
                database: check.database.clone(),
                table: None,
                object: None,
                said: check.said.clone(),
                first: at,
                last: at,
                ended: Ended::Open,
                gone: None,
            });
        }
        open.retain(|name, followed| {
            if seen.contains_key(name) || !looked(report, &followed.trouble, followed.depth) {
                return true;
            }
            let mut trouble = followed.trouble.clone();
            (trouble.ended, trouble.gone) = (Ended::Gone, Some(at));
            ended.push(trouble);
            false
        });
        for (name, trouble) in seen {
            let depth = report.terms.depth;
            let followed = open.entry(name).or_insert(Followed { trouble, depth });
            followed.trouble.last = at;
        }
    }
    ended.extend(open.into_values().map(|followed| followed.trouble));
    ended.sort_by_key(|t| (t.first, t.what.clone(), t.store.clone(), t.object.clone()));
    ended
}
