//! What becomes of findings from audit to audit.

use chrono::{DateTime, TimeDelta, Utc};

use super::findings::follow;
use super::*;
use crate::integrity::audit::{Aspect, Check};
use crate::integrity::verify::Sample;
use crate::model::{AuditId, Finding, FindingKind};
use crate::report::audit::{AuditReport, Terms};

fn hour(n: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000, 0).unwrap() + TimeDelta::hours(n)
}

fn audit(n: i64, depth: Depth, bad: &[&str]) -> AuditReport {
    let finding = |key: &&str| Finding {
        kind: FindingKind::Damaged,
        store: "west".to_owned(),
        database: "pet".to_owned(),
        snapshot: None,
        table: Some("public.t".to_owned()),
        part: Some((*key).to_owned()),
        detail: "it is wrong".to_owned(),
    };
    let mut checks = Vec::new();
    if !bad.is_empty() {
        checks.push(Check::new(Aspect::Integrity, Standing::Failed, "bad").in_store("west"));
    }
    AuditReport {
        format: 1,
        audit: AuditId::new(hour(n), 1),
        project: "pet".to_owned(),
        program: "drctl".to_owned(),
        operator: "ann".to_owned(),
        began: hour(n),
        ended: hour(n),
        standing: Standing::Passed,
        terms: Terms {
            depth,
            sample: Sample::ALL,
            since: None,
            budget: None,
            shard: None,
            within_seconds: 1,
            every_seconds: 3600,
            stores: vec!["east".to_owned(), "west".to_owned()],
            databases: vec!["pet".to_owned()],
        },
        checks,
        databases: Vec::new(),
        findings: bad.iter().map(finding).collect(),
        more_findings: 0,
        chosen: None,
        files: Vec::new(),
    }
}

fn told(audits: &[AuditReport]) -> Vec<(String, Option<DateTime<Utc>>)> {
    let all: Vec<&AuditReport> = audits.iter().collect();
    let named = follow(&all).into_iter().filter(|t| t.object.is_some());
    named.map(|t| (t.object.unwrap(), t.gone)).collect()
}

#[test]
fn a_finding_is_gone_only_when_an_audit_as_close_does_not_see_it() {
    let content = Depth::Content;
    let named = |key: &str, gone| (key.to_owned(), gone);
    let mut audits = vec![audit(0, content, &["a", "b"]), audit(1, Depth::Listing, &[])];
    assert_eq!(told(&audits), [named("a", None), named("b", None)]);
    // One that looks at a share of the parts says nothing of the rest.
    let mut some = audit(2, content, &[]);
    some.terms.budget = Some(1);
    audits.push(some);
    let mut blind = audit(3, content, &[]);
    blind.checks.push(Check::new(Aspect::Integrity, Standing::Unverified, "away").in_store("west"));
    audits.push(blind);
    let mut elsewhere = audit(4, content, &[]);
    elsewhere.terms.stores = vec!["east".to_owned()];
    audits.push(elsewhere);
    assert_eq!(told(&audits), [named("a", None), named("b", None)]);
    audits.push(audit(5, content, &["b"]));
    assert_eq!(told(&audits), [named("a", Some(hour(5))), named("b", None)]);
    audits.push(audit(6, content, &[]));
    // It came back: that is another one.
    audits.push(audit(7, content, &["a"]));
    let gone = [named("a", Some(hour(5))), named("b", Some(hour(6))), named("a", None)];
    assert_eq!(told(&audits), gone);
    let all: Vec<&AuditReport> = audits.iter().collect();
    let checks = follow(&all).into_iter().filter(|t| t.object.is_none()).count();
    assert_eq!(checks, 2, "the failed check ended once, and failed again");
}

#[test]
fn what_is_not_known_is_never_told_as_kept() {
    let mut snapshots = Snapshots {
        database: "pet".to_owned(),
        taken: 3,
        everywhere: 3,
        missed: 0,
        holes: Vec::new(),
        longest_seconds: Some(3600.0),
        days: Vec::new(),
        unreachable: Vec::new(),
    };
    assert_eq!(snapshots.rpo_kept(), Some(true));
    snapshots.missed = 1;
    assert_eq!(snapshots.rpo_kept(), Some(false));
    // The store that does not answer may have it.
    snapshots.unreachable.push(("west".to_owned(), "gone".to_owned()));
    assert_eq!(snapshots.rpo_kept(), None);
    (snapshots.taken, snapshots.missed) = (0, 0);
    assert_eq!(snapshots.rpo_kept(), None);
    snapshots.unreachable.clear();
    assert_eq!(snapshots.rpo_kept(), Some(false));
}
