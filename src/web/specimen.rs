//! Views made up for tests: all is well, much is wrong, nothing is known.

use chrono::{DateTime, TimeDelta, Utc};

use super::history::{History, Taken};
use super::intake::{AlertStanding, Incident, Prepared};
use super::view::{DrillLine, OpenRun, PastRun, View};
use crate::model::{JobKind, Learned, Lsn, Verdict};
use crate::postgres::replication::{Receiver, Replication, Role};
use crate::providers::postgres::loss::Prediction;
use crate::report::status::{
    self, DatabaseStatus, LeaseLine, Newest, Preflight, ServerStatus, Status, StoreStatus, Terms,
};
use crate::report::{self};
use crate::schedule::Standing;
use crate::schedule::standing::{
    JobStanding, JobState, Newest as Kept, Outcome, RpoLevel, RpoStanding, RunnerStanding,
};
use crate::store::epoch::Epoch;

const HOUR: i64 = 3600;

/// Seconds after the moment of every specimen.
pub fn at(seconds: i64) -> DateTime<Utc> {
    // A minute after the made-up run of report/specimen.rs was confirmed.
    DateTime::from_timestamp(1_790_000_062 + seconds, 0).unwrap()
}

fn seen(role: Role, end: u64) -> Replication {
    let standby = role == Role::Standby;
    Replication {
        role,
        version: "16.4".to_owned(),
        asked: at(0),
        server_time: Some(at(0)),
        system_identifier: Some("7438".to_owned()),
        timeline: Some(1),
        read_only: Some(false),
        inserted: (!standby).then_some(Lsn(end)),
        flushed: (!standby).then_some(Lsn(end)),
        received: standby.then_some(Lsn(end)),
        replayed: standby.then_some(Lsn(end)),
        replayed_commit: standby.then(|| at(-2)),
        paused: standby.then_some(false),
        receiver: match standby {
            true => Receiver::Present {
                status: "streaming".to_owned(),
                timeline: Some(1),
                primary_at: Some(Lsn(end)),
                heard: Some(at(0)),
                sender: None,
            },
            false => Receiver::Unknown,
        },
        slots: Some(Vec::new()),
        attached: None,
    }
}

fn server(region: &str, active: bool, seen: Learned<Replication>) -> ServerStatus {
    let region = region.to_owned();
    ServerStatus { region, active, seen, bytes_behind: None, seconds_behind: None }
}

fn store(name: &str, region: &str, newest: Learned<Option<i64>>) -> StoreStatus {
    let newest =
        match newest {
            Learned::Unknown(why) => Learned::Unknown(why),
            Learned::Known(age) => Learned::Known(age.map(|age| Newest {
                id: "20260921T130000Z-3f9a1c".parse().unwrap(),
                taken: at(-age),
            })),
        };
    StoreStatus { store: name.to_owned(), region: region.to_owned(), newest }
}

fn history(late: bool) -> History {
    let both = ["east".to_owned(), "west".to_owned()];
    let taken = (0..49)
        .filter(|hour| !late || !(20..24).contains(hour))
        .map(|hour| Taken {
            id: format!("s{hour}"),
            at: at(-(48 - hour) * HOUR - 600),
            // The west was away at the end.
            complete_in: both[..if late && hour > 40 { 1 } else { 2 }].to_vec(),
            new_bytes: Some(if hour % 24 == 0 { 40 << 20 } else { (2 + hour as u64 % 7) << 20 }),
            stored_bytes: Some(400 << 20),
            troubles: if late && hour > 40 { vec!["not in west".to_owned()] } else { Vec::new() },
        })
        .collect();
    History {
        database: "petforce".to_owned(),
        stores: both.to_vec(),
        unknown: Vec::new(),
        taken,
        from: at(-48 * HOUR),
        to: at(0),
    }
}

fn job(name: &str, run: JobKind, state: Learned<JobState>, next: i64) -> JobStanding {
    JobStanding {
        job: name.to_owned(),
        run,
        database: Some("petforce".to_owned()),
        on: "hourly".to_owned(),
        state,
        due: None,
        next: Some(at(next)),
    }
}

fn ended(verdict: Verdict, summary: &str) -> Outcome {
    Outcome {
        turn: at(-660),
        began: at(-650),
        ended: at(-600),
        runner: "ops-1".to_owned(),
        verdict,
        exit_code: Some(i32::from(!verdict.is_good())),
        summary: summary.to_owned(),
        missed: 0,
    }
}

fn rpo(store: &str, age: i64, level: RpoLevel) -> RpoStanding {
    RpoStanding {
        database: "petforce".to_owned(),
        store: store.to_owned(),
        region: "us-west-2".to_owned(),
        objective: 3600.0,
        newest: Learned::Known(Some(Kept {
            id: "20260921T130000Z-3f9a1c".parse().unwrap(),
            taken: at(-age),
            stored_bytes: 400 << 20,
            new_bytes: 3 << 20,
        })),
        looked: at(-5),
        level,
    }
}

fn schedule(good: bool) -> Standing {
    let well = JobState {
        running: None,
        last: Some(ended(Verdict::Done, "3.1 MiB new in 2 stores")),
        last_good: Some(ended(Verdict::Done, "3.1 MiB new in 2 stores")),
        failures: 0,
    };
    let failed = JobState {
        last: Some(ended(Verdict::Failed, "store `west`: no answer")),
        failures: 7,
        ..well.clone()
    };
    let runner = RunnerStanding {
        name: "ops-1".to_owned(),
        host: "ops-1".to_owned(),
        version: "0.1.0".to_owned(),
        started: at(-90_000),
        heartbeat: at(if good { -3 } else { -400 }),
        sampled: Some(at(-2)),
        silent: !good,
    };
    Standing {
        at: at(0),
        project: "petforce".to_owned(),
        jobs: vec![
            job(
                "snapshot",
                JobKind::Snapshot,
                Learned::Known(if good { well.clone() } else { failed }),
                2938,
            ),
            job(
                "verify",
                JobKind::Verify,
                Learned::Known(if good { well } else { JobState::default() }),
                40_000,
            ),
        ],
        rpo: match good {
            true => vec![rpo("east", 600, RpoLevel::Fine), rpo("west", 600, RpoLevel::Fine)],
            false => vec![rpo("east", 600, RpoLevel::Fine), rpo("west", 29_400, RpoLevel::Broken)],
        },
        replicas: Vec::new(),
        runners: Learned::Known(vec![runner]),
    }
}

fn status() -> Status {
    let end = 0x16_B374_D848;
    let mut servers = vec![
        server("us-east-1", true, Learned::Known(seen(Role::Primary, end))),
        server("us-west-2", false, Learned::Known(seen(Role::Standby, end - 8192))),
    ];
    (servers[1].bytes_behind, servers[1].seconds_behind) = (Some(8192), Some(1.4));
    Status {
        at: at(0),
        project: "petforce".to_owned(),
        active: "us-east-1".to_owned(),
        epoch: Learned::Known(Some(Epoch {
            number: 3,
            region: "us-east-1".to_owned(),
            since: at(-900_000),
            run: Some("r20260910T100000Z-3f9a1c".to_owned()),
            by: "ann on ops-1".to_owned(),
            fence: 7,
        })),
        databases: vec![DatabaseStatus {
            name: "petforce".to_owned(),
            servers,
            loss: Some(Prediction {
                seconds: Some(1.4),
                bytes: Some(8192),
                bytes_at_least: 8192,
                safe_until: Some(at(-1)),
                basis: "the standby has all that the primary had at 14:27:00 UTC".to_owned(),
            }),
            stores: vec![
                store("east", "us-east-1", Learned::Known(Some(600))),
                store("west", "us-west-2", Learned::Known(Some(600))),
            ],
        }],
        preflight: Learned::Known(Some(Preflight {
            at: at(-HOUR),
            not_ready: 0,
            warnings: 1,
            unproven: 0,
        })),
        runbook: "region-failover".to_owned(),
        drill: Learned::Known(None),
        open_runs: Learned::Known(Vec::new()),
        leases: Vec::new(),
        leases_unknown: Vec::new(),
    }
}

fn view(status: Status) -> View {
    let terms = Terms {
        rpo: std::time::Duration::from_secs(3600),
        preflight_max_age: std::time::Duration::from_hours(24),
    };
    View {
        reasons: status::reasons(&status, &terms),
        status,
        rpo_seconds: 3600.0,
        rto_seconds: 900.0,
        histories: vec![history(false)],
        open_runs: Vec::new(),
        past_runs: Learned::Known(vec![PastRun {
            id: "r20260910T100000Z-3f9a1c".to_owned(),
            runbook: "switchover".to_owned(),
            drill: true,
            began: at(-900_000),
            seconds: 252.0,
            ending: Some("Done: every step ended well".to_owned()),
            well: true,
        }]),
        drills: Learned::Known(vec![DrillLine {
            id: "d20260920T030000Z-3f9a1c".to_owned(),
            what: "restore of petforce".to_owned(),
            at: at(-36_000),
            passed: true,
            rto_seconds: Some(191.0),
            rpo_seconds: Some(1260.0),
        }]),
        schedule: Learned::Known(schedule(true)),
        incidents: Learned::Known(Vec::new()),
    }
}

pub fn good() -> View {
    view(status())
}

/// A failover is under way, its step waits, the west lacks snapshots, a runner is silent.
pub fn bad() -> View {
    let mut status = status();
    status.databases[0].servers[0].seen =
        Learned::Unknown("connect to db.use1.petforce.test: no answer within 4s".to_owned());
    (status.databases[0].servers[1].bytes_behind, status.databases[0].servers[1].seconds_behind) =
        (None, None);
    status.databases[0].stores[1] = store("west", "us-west-2", Learned::Known(Some(29_400)));
    status.databases[0].loss = Some(Prediction {
        seconds: Some(44.0),
        bytes: None,
        bytes_at_least: 8192,
        safe_until: Some(at(-44)),
        basis: "the standby has all that the primary had at 14:26:18 UTC".to_owned(),
    });
    let run = "r20260921T141300Z-3f9a1c";
    status.open_runs = Learned::Known(vec![status::OpenRun {
        id: run.to_owned(),
        runbook: "region-failover".to_owned(),
        operator: "ann on ops-1".to_owned(),
        began: at(-62),
        state: "not ended",
    }]);
    status.leases = vec![LeaseLine {
        name: "failover".to_owned(),
        store: "west".to_owned(),
        holder: "ann on ops-1".to_owned(),
        since: at(-62),
        left: None,
    }];
    let entries = report::specimen::entries();
    let under_way: Vec<_> = entries.iter().filter(|e| e.at < at(0)).cloned().collect();
    let report = report::make(&report::specimen::plan(), &under_way).unwrap();
    let command = format!("drctl approve {run} promote");
    let heard = |source: &str, summary: &str| AlertStanding {
        source: source.to_owned(),
        key: "k".to_owned(),
        summary: summary.to_owned(),
        since: at(-200),
        heard: at(-199),
        over: None,
    };
    View {
        histories: vec![history(true)],
        open_runs: vec![OpenRun {
            id: run.to_owned(),
            report: Learned::Known(report),
            asks: vec![("promote".to_owned(), command)],
        }],
        schedule: Learned::Known(schedule(false)),
        incidents: Learned::Known(vec![Incident {
            id: "region-failover-e3-1".to_owned(),
            runbook: "region-failover".to_owned(),
            forced: true,
            epoch: 3,
            opened: at(-199),
            alerts: vec![
                heard("alertmanager", "PrimaryDown: <b>db</b> does not answer"),
                heard("cloudwatch", "petforce-use1-down: Threshold Crossed"),
            ],
            prepared: Some(Prepared {
                at: at(-190),
                by: "ops-1".to_owned(),
                args: Vec::new(),
                command: "drctl failover --runbook region-failover --mode forced --confirm \
                          us-west-2 --reason 'incident region-failover-e3-1'"
                    .to_owned(),
                loss: "petforce: at most the last 44.0 s, 8192 bytes of WAL or more".to_owned(),
                preflight: "1 not ready, 0 unproven, 1 warnings, 21 ready".to_owned(),
                steps: 14,
                seconds: 540.0,
                troubles: vec!["image `web:41` in us-west-2: not there".to_owned()],
            }),
            begun: None,
        }]),
        drills: Learned::Known(Vec::new()),
        ..view(status)
    }
}

pub fn unknown() -> View {
    let why = || "no answer within 4s".to_owned();
    let mut status = status();
    status.epoch = Learned::Unknown(why());
    for server in &mut status.databases[0].servers {
        server.seen = Learned::Unknown(why());
        (server.bytes_behind, server.seconds_behind) = (None, None);
    }
    for store in &mut status.databases[0].stores {
        store.newest = Learned::Unknown(why());
    }
    status.databases[0].loss = Some(Prediction {
        seconds: None,
        bytes: None,
        bytes_at_least: 0,
        safe_until: None,
        basis: "the standby's position could not be read".to_owned(),
    });
    status.preflight = Learned::Unknown(why());
    status.open_runs = Learned::Unknown(why());
    status.leases_unknown = vec![("west".to_owned(), why())];
    let window = TimeDelta::hours(48);
    View {
        histories: vec![History::unknown("petforce", why(), window, at(0))],
        past_runs: Learned::Unknown(why()),
        drills: Learned::Unknown(why()),
        schedule: Learned::Unknown(why()),
        incidents: Learned::Unknown(why()),
        ..view(status)
    }
}
