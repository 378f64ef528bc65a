//! The forms of an audit's report say the same, and show what is wrong first.

use std::collections::BTreeMap;

use chrono::TimeDelta;

use super::*;
use crate::integrity::audit::Ages;
use crate::integrity::audit::chain;
use crate::integrity::audit::days::Day;
use crate::model::FindingKind;

fn specimen(standing: Standing) -> AuditReport {
    let began = DateTime::parse_from_rfc3339("2026-11-22T10:00:00Z").unwrap().to_utc();
    let hole = chain::Hole {
        from: began,
        until: Some(began + TimeDelta::hours(3)),
        missed: vec![began + TimeDelta::hours(1), began + TimeDelta::hours(2)],
        missed_count: 2,
    };
    let ages = Ages { day: 600, older: 300, never: 100, overdue: 400, ..Ages::default() };
    AuditReport {
        format: FORM,
        audit: AuditId::new(began, 7),
        project: "pet|force".to_owned(),
        program: "drctl 0".to_owned(),
        operator: "ann|<on> ops-1".to_owned(),
        began,
        ended: began + TimeDelta::seconds(95),
        standing,
        terms: Terms {
            depth: Depth::Content,
            sample: Sample::ALL,
            since: None,
            budget: Some(10_000),
            shard: Some(Shard { number: 3, of: 8 }),
            within_seconds: 30 * 86_400,
            every_seconds: 3600,
            stores: vec!["east".to_owned(), "west".to_owned()],
            databases: vec!["pets".to_owned()],
        },
        checks: vec![
            Check::new(Aspect::Encryption, Standing::Passed, "fine").in_store("east"),
            Check::new(Aspect::Integrity, standing, "1 finding")
                .of_database("pets")
                .in_store("west")
                .hint("mend it"),
        ],
        databases: vec![DatabaseAudit {
            database: "pets".to_owned(),
            snapshots: 3,
            first: Some(began),
            last: Some(began),
            holes: vec![hole],
            days: vec![Day {
                day: began.date_naive(),
                hours: "..........wmmpd.........".to_owned(),
            }],
            objects: 10,
            checked_objects: 9,
            vouched_objects: 0,
            checked_bytes: 1 << 20,
            raw_bytes: 4 << 20,
            verdicts: Vec::new(),
            coverage: BTreeMap::from([("west".to_owned(), ages)]),
            seconds: 1.0,
        }],
        findings: vec![Finding {
            kind: FindingKind::Damaged,
            store: "west".to_owned(),
            database: "pets".to_owned(),
            snapshot: Some("20261122T100000Z-000007".to_owned()),
            table: Some("public.t".to_owned()),
            part: Some("pets/g/parts/aa/x.zst".to_owned()),
            detail: "its bytes are <others>".to_owned(),
        }],
        more_findings: 5,
        chosen: Some((9_000, 90_000)),
        files: Vec::new(),
    }
}

#[test]
fn every_form_names_the_worst_first_and_where_it_is() {
    let report = specimen(Standing::Failed);
    let text = markdown(&report);
    for wanted in [
        "1 check FAILED",
        "| FAILED | integrity | pets, store west | 1 finding Next: mend it |",
        "missing: 2026-11-22 11:00 to 12:00 UTC (2)",
        "worker 3 of 8",
        "table public.t, object pets/g/parts/aa/x.zst",
        "… and 5 more",
    ] {
        assert!(text.contains(wanted), "no `{wanted}` in\n{text}");
    }
    assert!(text.find("| FAILED |").unwrap() < text.find("| passed |").unwrap());
    assert!(text.contains("ann\\|&lt;on> ops-1"), "a table's cell ends at a bar: {text}");
    let page = html(&report);
    for wanted in ["verdict bad", "<svg", "class=\"missed\"", "class=\"damaged\"", "&lt;others&gt;"]
    {
        assert!(page.contains(wanted), "no `{wanted}`");
    }
    assert!(!page.contains("<script") && !page.contains("http"), "it needs nothing else");
    let read: AuditReport = serde_json::from_value(serde_json::to_value(&report).unwrap()).unwrap();
    assert_eq!(read, report);
}

#[test]
fn what_is_unverified_is_neither_good_nor_bad() {
    let report = specimen(Standing::Unverified);
    assert!(html(&report).contains("verdict fair"));
    assert!(
        markdown(&report).contains("Nothing is known to be wrong, but 1 check could not be made")
    );
    assert!(html(&specimen(Standing::Passed)).contains("verdict good"));
}
