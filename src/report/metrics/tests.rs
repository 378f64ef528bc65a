//! What is exported of what is known, what is not of what is unknown, and what a file keeps.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};

use super::*;
use crate::model::{JobKind, Learned, Lsn, Severity, Verdict};
use crate::schedule::Standing;
use crate::schedule::standing::{
    JobStanding, JobState, Newest, Outcome, ReplicaSeen, ReplicaStanding, RpoLevel, RpoStanding,
    RunnerStanding, Running,
};

pub fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_000_000 + second, 0).unwrap()
}

/// One of everything, all known.
pub fn standing() -> Standing {
    let outcome = |second, verdict| Outcome {
        turn: at(second),
        began: at(second),
        ended: at(second + 30),
        runner: "ops-1".to_owned(),
        verdict,
        exit_code: Some(0),
        summary: "done".to_owned(),
        missed: 2,
    };
    Standing {
        at: at(0),
        project: "petforce".to_owned(),
        jobs: vec![JobStanding {
            job: "hourly".to_owned(),
            run: JobKind::Snapshot,
            database: Some("petforce".to_owned()),
            on: "hourly".to_owned(),
            state: Learned::Known(JobState {
                running: Some(Running { turn: at(0), began: at(0), runner: "ops-1".to_owned() }),
                last: Some(outcome(-3600, Verdict::TimedOut)),
                last_good: Some(outcome(-7200, Verdict::Done)),
                failures: 1,
            }),
            due: Some(at(-60)),
            next: Some(at(3600)),
        }],
        rpo: vec![RpoStanding {
            database: "petforce".to_owned(),
            store: "west".to_owned(),
            region: "us-west-2".to_owned(),
            objective: 3600.0,
            newest: Learned::Known(Some(Newest {
                id: "20261118T100640Z-3f9a1c".parse().unwrap(),
                taken: at(-3000),
                stored_bytes: 1000,
                new_bytes: 10,
            })),
            looked: at(0),
            level: RpoLevel::Near,
        }],
        replicas: vec![ReplicaStanding {
            database: "petforce".to_owned(),
            seen: Learned::Known(Some(ReplicaSeen {
                at: at(-5),
                timeline: Some(1),
                primary: Some(Lsn(5000)),
                received: Some(Lsn(4000)),
                replayed: Some(Lsn(3000)),
            })),
        }],
        runners: Learned::Known(vec![RunnerStanding {
            name: "ops-1".to_owned(),
            host: "ops-1".to_owned(),
            version: "0.1.0".to_owned(),
            started: at(-9000),
            heartbeat: at(-2),
            sampled: Some(at(-5)),
            silent: false,
        }]),
    }
}

fn seen(standing: &Standing, alerts: Learned<Vec<OpenAlert>>) -> String {
    let leases = [Held {
        name: "snapshot-petforce".to_owned(),
        store: "west".to_owned(),
        holder: "ann on ops-1 \"x\"".to_owned(),
    }];
    let seen = Seen { standing, alerts: &alerts, leases: &leases, now: at(0) };
    openmetrics(&of_schedule(seen)).unwrap()
}

fn one_alert() -> Learned<Vec<OpenAlert>> {
    Learned::Known(vec![OpenAlert {
        key: "rpo/petforce/west".to_owned(),
        severity: Severity::Warning,
        untold: 1,
    }])
}

#[test]
fn everything_that_is_known_is_exported_with_its_unit() {
    let text = seen(&standing(), one_alert());
    let place = r#"{database="petforce",store="west",region="us-west-2"}"#;
    let job = r#"{job="hourly",run="snapshot",database="petforce"}"#;
    for line in [
        format!("drctl_snapshot_age_seconds{place} 3000.0\n"),
        format!("drctl_snapshot_objective_seconds{place} 3600.0\n"),
        format!("drctl_snapshot_stored_bytes{place} 1000.0\n"),
        format!("drctl_job_last_succeeded{job} 0.0\n"),
        format!("drctl_job_overdue_seconds{job} 60.0\n"),
        "# TYPE drctl_replica_lag_bytes gauge\n# UNIT drctl_replica_lag_bytes bytes\n".to_owned(),
        "drctl_replica_lag_bytes{database=\"petforce\"} 2000.0\n".to_owned(),
        "drctl_alerts_open{severity=\"warning\"} 1.0\n".to_owned(),
        "holder=\"ann on ops-1 \\\"x\\\"\"} 1.0\n".to_owned(),
        ",verdict=\"timed_out\"} 1.0\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    assert!(text.ends_with("# EOF\n"));
    // Every metric has a value here, so none is only in the catalogue.
    for family in super::schedule::families() {
        assert!(text.contains(&format!("\n{}", family.full_name())), "{}", family.full_name());
    }
}

#[test]
fn what_is_unknown_has_no_value_and_says_so() {
    let mut unknown = standing();
    unknown.jobs[0].state = Learned::Unknown("no store answers".to_owned());
    unknown.rpo[0].newest = Learned::Unknown("west does not answer".to_owned());
    unknown.rpo[0].level = RpoLevel::Unknown;
    if let Learned::Known(Some(look)) = &mut unknown.replicas[0].seen {
        look.primary = None;
    }
    unknown.runners = Learned::Unknown("no store answers".to_owned());
    let text = seen(&unknown, Learned::Unknown("no store answers".to_owned()));
    for absent in [
        "drctl_snapshot_age_seconds",
        "drctl_snapshot_taken_timestamp_seconds",
        "drctl_job_last",
        "drctl_job_running",
        "drctl_job_overdue",
        "drctl_replica_lag_bytes",
        "drctl_runner_silent",
        "drctl_alerts_open",
        "drctl_alerts_untold",
    ] {
        assert!(!text.contains(absent), "{absent} is in\n{text}");
    }
    for present in [
        "drctl_snapshot_known{database=\"petforce\",store=\"west\",region=\"us-west-2\"} 0.0",
        "state=\"unknown\"} 1.0",
        "drctl_replica_known{database=\"petforce\"} 0.0",
        "drctl_runners_known 0.0",
        "drctl_alerts_known 0.0",
    ] {
        assert!(text.contains(present), "{present} is not in\n{text}");
    }
}

fn ended(command: &'static str, second: i64, exit_code: u8) -> Ended {
    Ended {
        command,
        database: "petforce".to_owned(),
        at: at(second),
        seconds: 3.5,
        exit_code,
        snapshot: None,
        verify: None,
        recovery_seconds: None,
    }
}

#[test]
fn a_textfile_keeps_what_others_wrote_and_the_last_success() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drctl.prom");
    let snapshot = SnapshotOutcome {
        taken: at(-5),
        rows: 7,
        raw_bytes: 100,
        stored_bytes: 50,
        stores: [("east", true), ("west", false)]
            .map(|(store, complete)| StoreBytes {
                store: store.to_owned(),
                region: store.to_owned(),
                complete,
                new_bytes: 5,
            })
            .into(),
    };
    let good = Ended { snapshot: Some(snapshot), ..ended("snapshot", 0, 6) };
    write_textfile(&path, &of_command(&good), false).unwrap();
    let verify = VerifyOutcome { checked_objects: 3, checked_bytes: 9, findings: 0 };
    let verified = Ended { verify: Some(verify), ..ended("verify", 60, 0) };
    write_textfile(&path, &of_command(&verified), false).unwrap();
    write_textfile(&path, &of_command(&ended("snapshot", 3600, 1)), false).unwrap();
    let text = std::fs::read_to_string(&path).unwrap();
    let of = |command| format!("{{command=\"{command}\",database=\"petforce\"}}");
    let ago = |second: i64| format!("{}.0", at(second).timestamp());
    for line in [
        format!("drctl_command_last_ended_timestamp_seconds{} {}\n", of("snapshot"), ago(3600)),
        format!("drctl_command_last_success_timestamp_seconds{} {}\n", of("snapshot"), ago(0)),
        format!("drctl_command_last_success_timestamp_seconds{} {}\n", of("verify"), ago(60)),
        format!("drctl_command_last_exit_code{} 1.0\n", of("snapshot")),
        "drctl_command_snapshot_rows{database=\"petforce\"} 7.0\n".to_owned(),
        "drctl_command_verify_findings{database=\"petforce\"} 0.0\n".to_owned(),
    ] {
        assert!(text.contains(&line), "{line} is not in\n{text}");
    }
    let taken: Vec<_> =
        text.lines().filter(|l| l.starts_with("drctl_command_snapshot_taken")).collect();
    assert_eq!(taken.len(), 1, "a store that lacks some has no snapshot: {taken:?}");
    let heads = text.lines().filter(|l| l.starts_with("# TYPE drctl_command_last_ended")).count();
    assert_eq!(heads, 1);
    let left: BTreeSet<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(left, [".drctl.prom.lock", "drctl.prom"].map(str::to_owned).into());
}

#[test]
fn of_a_whole_set_what_is_gone_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("drctl.prom");
    write_textfile(&path, &of_command(&ended("snapshot", 0, 0)), false).unwrap();
    let full = standing();
    let empty = Standing { rpo: Vec::new(), ..full.clone() };
    for standing in [&full, &empty] {
        let alerts = one_alert();
        let seen = Seen { standing, alerts: &alerts, leases: &[], now: at(0) };
        write_textfile(&path, &of_schedule(seen), true).unwrap();
    }
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(!text.contains("drctl_snapshot_age"), "{text}");
    assert!(text.contains("drctl_job_failures") && text.contains("drctl_command_last"), "{text}");
}

#[test]
fn names_are_of_one_kind_and_each_has_one_meaning() {
    let all = catalogue();
    let names: BTreeSet<String> = all.iter().map(Family::full_name).collect();
    assert_eq!(names.len(), all.len());
    assert!(names.iter().all(|name| name.starts_with("drctl_")), "{names:?}");
    let page = include_str!("../../../docs/monitoring.md");
    let told: BTreeSet<String> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| `drctl_")?.split(['`', '{']).next())
        .map(|name| format!("drctl_{name}"))
        .collect();
    assert_eq!(told, names, "docs/monitoring.md");
}
