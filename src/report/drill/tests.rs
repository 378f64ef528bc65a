//! Reports of drills, as people see them.

use chrono::{DateTime, TimeDelta, Utc};

use super::{html, markdown};
use crate::drill::account::{
    Account, Check, Chosen, Earlier, FORMAT, Failover, Failure, Objectives, Outcome, Passed, Phase,
    Regression, Rehearsal, ScratchFacts, Standing, Teardown, schema,
};

fn at() -> DateTime<Utc> {
    DateTime::parse_from_rfc3339("2026-11-22T13:45:12Z").unwrap().to_utc()
}

pub fn specimen() -> Account {
    let phase = |name: &str, began: f64, seconds: f64, recovery: bool| Phase {
        name: name.to_owned(),
        began,
        seconds,
        recovery,
        failed: false,
    };
    let check = |name: &str, standing, said: &str, details: &[&str]| Check {
        name: name.to_owned(),
        standing,
        said: said.to_owned(),
        details: details.iter().map(|d| (*d).to_owned()).collect(),
        seconds: 1.2,
    };
    let earlier = |days: i64, outcome, recovery| Earlier {
        id: format!("d202611{:02}T020000Z-00abcd", 22 - days),
        began: at() - TimeDelta::days(days),
        outcome,
        recovery_seconds: recovery,
        raw_bytes: Some(880 << 20),
    };
    Account {
        format: FORMAT,
        id: "d20261122T134512Z-3f9a1c".to_owned(),
        rehearsal: Rehearsal::Restore,
        project: "petforce".to_owned(),
        subject: "petforce".to_owned(),
        outcome: Outcome::Passed,
        said: "everything was restored and proven, within the objectives".to_owned(),
        began: at(),
        seconds: 27.4,
        operator: "ann on ops-1".to_owned(),
        program: "drctl 0.1.0".to_owned(),
        snapshot: Some(Chosen {
            id: "20261122T130000Z-000abc".to_owned(),
            generation: "g20261120T000000Z-000abc".to_owned(),
            how: "latest".to_owned(),
            taken: at() - TimeDelta::minutes(45),
            store: "west".to_owned(),
            source_version: "15.18".to_owned(),
            tables: 42,
            rows: 8_912_345,
            raw_bytes: 888 << 20,
            stored_bytes: 230 << 20,
        }),
        failover: None,
        scratch: ScratchFacts {
            kind: "embedded".to_owned(),
            place: "a server of drctl's own on ops-1, in /tmp/drctl-d20261122T134512Z-3f9a1c"
                .to_owned(),
            server_version: Some("15.18".to_owned()),
            role_stubs: vec!["app".to_owned(), "readonly".to_owned()],
        },
        objectives: Objectives {
            rto_seconds: 900.0,
            rpo_seconds: 3600.0,
            recovery_seconds: Some(19.3),
            rto_kept: Some(true),
            loss_seconds: Some(2700.0),
            rpo_kept: Some(true),
        },
        phases: vec![
            phase("choose", 0.0, 0.1, true),
            phase("verify", 0.1, 4.2, false),
            phase("scratch server", 0.1, 1.1, true),
            phase("restore: preparing", 4.3, 0.3, true),
            phase("restore: rows", 4.6, 9.0, true),
            phase("restore: proof", 13.6, 3.1, true),
            phase("restore: indexes and constraints", 16.7, 5.7, true),
            phase("catalogue", 22.4, 0.2, false),
            phase("structures", 22.6, 4.1, false),
            phase("tear down", 26.9, 0.5, false),
        ],
        checks: vec![
            check("rows", Standing::Passed, "42 tables with 8912345 rows, each row equal", &[]),
            check(
                "constraints",
                Standing::Noted,
                "80 of 81 are valid",
                &["age_check on app.pets is NOT VALID"],
            ),
            check("structures", Standing::Skipped, "the server does not have amcheck", &[]),
        ],
        allowed: vec![Passed {
            what: "extension pg_stat_statements 1.10".to_owned(),
            reason: "the target does not have it, and it is on the list".to_owned(),
        }],
        warnings: Vec::new(),
        regressions: vec![Regression {
            phase: "restore: rows".to_owned(),
            seconds: 9.0,
            usual_seconds: 5.5,
            drills: 4,
        }],
        history: vec![
            earlier(4, Outcome::Passed, Some(15.1)),
            earlier(3, Outcome::Failed, None),
            earlier(2, Outcome::Passed, Some(15.9)),
            earlier(1, Outcome::Passed, Some(15.4)),
        ],
        failure: None,
        teardown: Teardown::Clean { removed: vec!["folder /tmp/drctl-d2026".to_owned()] },
    }
}

fn failed() -> Account {
    Account {
        outcome: Outcome::Different,
        said: "it ended in the phase `verify`: 1 finding".to_owned(),
        failure: Some(Failure {
            phase: "verify".to_owned(),
            error: "verify snapshot x: part of <script>alert(1)</script> is damaged".to_owned(),
            hint: Some("`drctl repair petforce`".to_owned()),
        }),
        objectives: Objectives { recovery_seconds: None, rto_kept: None, ..specimen().objectives },
        checks: Vec::new(),
        ..specimen()
    }
}

fn failover() -> Account {
    Account {
        rehearsal: Rehearsal::Failover,
        subject: "region-failover".to_owned(),
        said: "a region was lost and clients were served again, within the objectives".to_owned(),
        snapshot: None,
        failover: Some(Failover {
            run: "r20261122T134512Z-3f9a1c".to_owned(),
            mode: "forced".to_owned(),
            from: "us-east-1".to_owned(),
            to: "us-west-2".to_owned(),
            fault: "staging/region break".to_owned(),
            fault_at: Some(at()),
            ending: Some("succeeded".to_owned()),
            losses: vec!["`petforce`: 0.4 s of writes; it had all until then".to_owned()],
        }),
        ..specimen()
    }
}

#[test]
fn a_failover_drill_tells_its_fault_and_its_run() {
    let text = markdown(&failover());
    for told in [
        "# Failover drill: region-failover",
        "| Fault | `staging/region break`, at 2026-11-22 13:45:12 UTC |",
        "| Run | `r20261122T134512Z-3f9a1c`, forced, us-east-1 to us-west-2: succeeded |",
        "| Lost | `petforce`: 0.4 s of writes; it had all until then |",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    let page = html(&failover());
    assert!(page.contains("lost at most") && page.contains("staging/region break"), "{page}");
}

#[test]
fn a_page_stands_alone_and_tells_how_it_ended() {
    let page = html(&specimen());
    assert!(page.contains("PASSED: everything was restored"), "{page}");
    for alone in ["<script", "http://", "https://", "src=", "<link", "@import", "url("] {
        assert!(!page.contains(alone), "{alone}");
    }
    assert!(page.contains("Slower than before") && page.contains("restore: rows"));
    let page = html(&failed());
    assert!(page.contains("DIFFERENT: ") && page.contains("&lt;script&gt;"), "{page}");
    assert!(!page.contains("<script"), "{page}");
}

#[test]
fn markdown_tells_the_same() {
    let text = markdown(&specimen());
    for told in [
        "**PASSED: everything was restored and proven, within the objectives**",
        "| Recovery time | 19 s, within the RTO of 15 min |",
        "| Data loss | the newest snapshot was 45 min old, within the RPO of 1 h |",
        "| constraints | noted | 80 of 81 are valid<br>age_check on app.pets is NOT VALID | 1.2 s |",
        "- `restore: rows` took 9.0 s, usually 5.5 s (4 drills)",
        "| `d20261119T020000Z-00abcd` | 2026-11-19 13:45:12 UTC | FAILED | none |",
    ] {
        assert!(text.contains(told), "{told}\n{text}");
    }
    assert!(markdown(&failed()).contains("Next: `drctl repair petforce`"));
}

#[test]
fn the_schema_knows_every_field_of_a_report() {
    let schema = schema();
    let report = serde_json::to_value(specimen()).unwrap();
    let known = schema["properties"].as_object().unwrap();
    for field in report.as_object().unwrap().keys() {
        assert!(known.contains_key(field), "{field}");
    }
    assert_eq!(known.len(), report.as_object().unwrap().len());
}

/// Writes the pages to the folder in `DRCTL_PAGES`, to be looked at.
#[test]
fn pages_to_look_at() {
    let Some(dir) = std::env::var_os("DRCTL_PAGES") else { return };
    let dir = std::path::Path::new(&dir);
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("passed.html"), html(&specimen())).unwrap();
    std::fs::write(dir.join("failed.html"), html(&failed())).unwrap();
}
