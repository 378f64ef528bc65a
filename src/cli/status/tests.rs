//! The screens of `drctl status`.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;
use crate::drill::account::Outcome;
use crate::model::{Lsn, SnapshotId};
use crate::postgres::replication::Slot;
use crate::providers::postgres::loss::{self, Primary, Standby};
use crate::report::status::{LastDrill, LeaseLine, Newest, OpenRun, Preflight};
use crate::store::epoch::Epoch;

fn at(seconds: i64) -> DateTime<Utc> {
    "2026-11-24T10:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::seconds(seconds)
}

fn terms() -> Terms {
    Terms { rpo: Duration::from_hours(1), preflight_max_age: Duration::from_hours(24) }
}

fn seen(role: Role, end: u64) -> Replication {
    let standby = role == Role::Standby;
    Replication {
        role,
        version: "15.18".to_owned(),
        asked: at(0),
        server_time: Some(at(0)),
        system_identifier: Some("7438".to_owned()),
        timeline: Some(1),
        read_only: Some(false),
        inserted: (!standby).then_some(Lsn(end)),
        flushed: (!standby).then_some(Lsn(end)),
        received: standby.then_some(Lsn(end)),
        replayed: standby.then_some(Lsn(end)),
        replayed_commit: standby.then(|| at(-7)),
        paused: standby.then_some(false),
        receiver: match standby {
            true => Receiver::Present {
                status: "streaming".to_owned(),
                timeline: Some(1),
                primary_at: Some(Lsn(end)),
                heard: Some(at(-1)),
                sender: None,
            },
            false => Receiver::Unknown,
        },
        slots: Some(Vec::<Slot>::new()),
        attached: None,
    }
}

fn server(region: &str, active: bool, seen: Learned<Replication>) -> ServerStatus {
    ServerStatus {
        region: region.to_owned(),
        active,
        seen,
        bytes_behind: None,
        seconds_behind: None,
    }
}

/// Fills in the lag as a look at both does.
fn lag(mut servers: Vec<ServerStatus>) -> Vec<ServerStatus> {
    let primary = servers[0].seen.known().filter(|p| p.role == Role::Primary).cloned();
    for server in &mut servers {
        let standby = server.seen.known().filter(|s| s.role == Role::Standby);
        let both = standby.zip(primary.as_ref());
        let lag = both.map(|(s, p)| (s.bytes_behind(p), s.seconds_behind(p)));
        (server.bytes_behind, server.seconds_behind) = lag.unwrap_or((None, None));
    }
    servers
}

fn store(name: &str, region: &str, age: Option<i64>) -> StoreStatus {
    let id: SnapshotId = "20261124T090000Z-3f9a1c".parse().unwrap();
    let newest = age.map(|age| Newest { id, taken: at(-age) });
    StoreStatus {
        store: name.to_owned(),
        region: region.to_owned(),
        newest: Learned::Known(newest),
    }
}

fn ready() -> Status {
    let servers = lag(vec![
        server("us-east-1", true, Learned::Known(seen(Role::Primary, 0x16_B374_D848))),
        server("us-west-2", false, Learned::Known(seen(Role::Standby, 0x16_B374_D848))),
    ]);
    let end = Lsn(0x16_B374_D848);
    let loss = loss::predict(
        Some(Primary { end, timeline: Some(1), fenced: false }),
        Some(Standby { secured: end, timeline: Some(1) }),
        &[crate::providers::postgres::samples::Sample {
            at: at(-2),
            primary: Some(end),
            timeline: Some(1),
            system_identifier: None,
            received: None,
            replayed: None,
        }],
        at(0),
    );
    Status {
        at: at(0),
        project: "petforce".to_owned(),
        active: "us-east-1".to_owned(),
        epoch: Learned::Known(None),
        databases: vec![DatabaseStatus {
            name: "petforce".to_owned(),
            servers,
            loss: Some(loss),
            stores: vec![
                store("east", "us-east-1", Some(723)),
                store("west", "us-west-2", Some(723)),
            ],
        }],
        preflight: Learned::Known(Some(Preflight {
            at: at(-10_800),
            not_ready: 0,
            warnings: 1,
            unproven: 2,
        })),
        runbook: "region-failover".to_owned(),
        drill: Learned::Known(Some(LastDrill {
            id: "d20261122T024512Z-3f9a1c".to_owned(),
            at: at(-39_600),
            what: "restore petforce".to_owned(),
            outcome: Outcome::Passed,
            recovery_seconds: Some(251.0),
        })),
        open_runs: Learned::Known(Vec::new()),
        leases: Vec::new(),
        leases_unknown: Vec::new(),
    }
}

fn shown(status: &Status) -> String {
    let text = text(status, &reasons(status, &terms()), &terms());
    for line in text.lines() {
        assert!(line.chars().count() <= WIDTH, "{line}");
    }
    text
}

#[test]
fn a_service_that_is_ready() {
    insta::assert_snapshot!(shown(&ready()), @r"
    petforce, 2026-11-24 10:00:00 UTC
    active     us-east-1, as configured: no epoch yet

    database petforce
      us-east-1  primary, timeline 1, at 16/B374D848
      us-west-2  standby, timeline 1, received 16/B374D848, replayed 16/B374D848
                 streaming, 0 B and 0 s behind
      failover now would lose  at most the last 2.0 s, 0 bytes of WAL
      snapshots  east 12 min 3 s old; west 12 min 3 s old (RPO 1h)

    preflight  region-failover: 3 h 0 min ago, 1 warning, 2 unproven
    drill      restore petforce: 11 h 0 min ago, passed, recovery time 4 min 11 s
    runs       none open
    lease      none held

    ready
    ");
}

#[test]
fn a_region_that_is_gone() {
    let mut status = ready();
    let gone = "connect to db.east.example:5432/petforce as drctl: no answer within 4s";
    let standby = seen(Role::Standby, 0x16_B374_D848);
    let standby = Replication { receiver: Receiver::Absent, ..standby };
    status.databases[0].servers = lag(vec![
        server("us-east-1", true, Learned::Unknown(gone.to_owned())),
        server("us-west-2", false, Learned::Known(standby)),
    ]);
    status.databases[0].loss = Some(loss::predict(
        None,
        Some(Standby { secured: Lsn(0x16_B374_D848), timeline: Some(1) }),
        &[],
        at(0),
    ));
    status.databases[0].stores[0].newest =
        Learned::Unknown("look for snapshots in store `east`: no answer within 4s".to_owned());
    status.preflight = Learned::Known(None);
    status.drill = Learned::Known(None);
    status.leases_unknown.push(("east".to_owned(), "no answer within 4s".to_owned()));
    insta::assert_snapshot!(shown(&status), @r"
    petforce, 2026-11-24 10:00:00 UTC
    active     us-east-1, as configured: no epoch yet

    database petforce
      us-east-1  NO ANSWER: connect to db.east.example:5432/petforce as drctl: no
                 answer within 4s
      us-west-2  standby, timeline 1, received 16/B374D848, replayed 16/B374D848
                 NOT STREAMING, lag unknown
      failover now would lose  an unknown time, an unknown amount of WAL
      snapshots  east UNKNOWN: look for snapshots in store `east`: no answer within
                 4s; west 12 min 3 s old (RPO 1h)

    preflight  region-failover: none yet; drctl preflight region-failover
    drill      none yet
    runs       none open
    lease      unknown in east: no answer within 4s

    not ready: the primary of petforce in us-east-1 does not answer; nothing streams
      to petforce in us-west-2; how far petforce in us-west-2 is behind is unknown;
      the snapshots of petforce in east could not be read; region-failover had no
      preflight yet
    ");
}

#[test]
fn what_cannot_be_read_is_unknown() {
    let mut status = ready();
    let blind = Replication {
        system_identifier: None,
        timeline: None,
        received: None,
        replayed: None,
        replayed_commit: None,
        paused: None,
        receiver: Receiver::Unknown,
        ..seen(Role::Standby, 1)
    };
    status.databases[0].servers = lag(vec![
        server("us-east-1", true, Learned::Known(seen(Role::Primary, 0x16_B374_D848))),
        server("us-west-2", false, Learned::Known(blind)),
    ]);
    status.epoch = Learned::Unknown("read the epoch in store `west`: access denied".to_owned());
    status.preflight = Learned::Unknown("access denied".to_owned());
    status.drill = Learned::Unknown("access denied".to_owned());
    status.open_runs = Learned::Unknown("access denied".to_owned());
    insta::assert_snapshot!(shown(&status), @r"
    petforce, 2026-11-24 10:00:00 UTC
    active     unknown (us-east-1 is the configured primary): read the epoch in
               store `west`: access denied

    database petforce
      us-east-1  primary, timeline 1, at 16/B374D848
      us-west-2  standby, timeline unknown, received unknown, replayed unknown
                 streaming unknown: GRANT pg_monitor to the role, lag unknown
      failover now would lose  at most the last 2.0 s, 0 bytes of WAL
      snapshots  east 12 min 3 s old; west 12 min 3 s old (RPO 1h)

    preflight  region-failover: unknown: access denied
    drill      unknown: access denied
    runs       unknown: access denied
    lease      none held

    not ready: which region is active could not be read; whether petforce in
      us-west-2 streams is unknown; how far petforce in us-west-2 is behind is
      unknown; the last preflight of region-failover could not be read; whether runs
      are open could not be read
    ");
}

#[test]
fn after_a_failover_that_stopped_half_way() {
    let mut status = ready();
    status.active = "us-west-2".to_owned();
    status.epoch = Learned::Known(Some(Epoch {
        number: 2,
        region: "us-west-2".to_owned(),
        since: at(-600),
        run: Some("r1".to_owned()),
        by: "ann on ops-1".to_owned(),
        fence: 3,
    }));
    let behind = Replication {
        replayed: Some(Lsn(0x16_B370_0000)),
        replayed_commit: Some(at(-4000)),
        paused: Some(true),
        ..seen(Role::Standby, 0x16_B374_D848)
    };
    let primary = Replication { timeline: Some(2), ..seen(Role::Primary, 0x16_B374_D848) };
    status.databases[0].servers = lag(vec![
        server("us-west-2", true, Learned::Known(primary)),
        server("us-east-1", false, Learned::Known(behind)),
    ]);
    status.databases[0].servers.push(server(
        "eu-west-1",
        false,
        Learned::Known(seen(Role::Primary, 0x16_B374_0000)),
    ));
    status.databases[0].stores =
        vec![store("east", "us-east-1", None), store("west", "us-west-2", Some(7200))];
    status.preflight =
        Learned::Known(Some(Preflight { at: at(-90_000), not_ready: 1, warnings: 0, unproven: 0 }));
    status.open_runs = Learned::Known(vec![OpenRun {
        id: "20261124T095000Z-abcdef".to_owned(),
        runbook: "region-failover".to_owned(),
        operator: "ann on ops-1".to_owned(),
        began: at(-600),
        state: "stopped",
    }]);
    status.leases = vec![LeaseLine {
        name: "failover".to_owned(),
        store: "west".to_owned(),
        holder: "ann on ops-1 (pid 77), to carry out run 20261124T095000Z-abcdef".to_owned(),
        since: at(-600),
        left: None,
    }];
    insta::assert_snapshot!(shown(&status), @r"
    petforce, 2026-11-24 10:00:00 UTC
    active     us-west-2, epoch 2 since 2026-11-24 09:50 UTC

    database petforce
      us-west-2  primary, timeline 2, at 16/B374D848
      us-east-1  standby, timeline 1, received 16/B374D848, replayed 16/B3700000
                 streaming, replay PAUSED, 310.1 KiB and 1 h 6 min behind
      eu-west-1  PRIMARY, timeline 1, at 16/B3740000
      failover now would lose  at most the last 2.0 s, 0 bytes of WAL
      snapshots  east NONE; west 2 h 0 min old (RPO 1h)

    preflight  region-failover: 1 d 1 h ago, 1 NOT READY
    drill      restore petforce: 11 h 0 min ago, passed, recovery time 4 min 11 s
    runs       20261124T095000Z-abcdef stopped: region-failover, by ann on ops-1;
               drctl runs show 20261124T095000Z-abcdef
    lease      failover in west since 09:50:00 UTC: ann on ops-1 (pid 77), to carry
               out run 20261124T095000Z-abcdef; RUN OUT: no sign of its holder

    not ready: petforce in us-east-1 is on timeline 1, its primary on 2; the replay
      of petforce in us-east-1 is paused; petforce in us-east-1 is behind by more
      than the RPO; petforce in eu-west-1 is a second primary; east has no snapshot
      of petforce; the last snapshot of petforce in west is older than the RPO; the
      last preflight of region-failover found it not ready; run
      20261124T095000Z-abcdef is stopped
    ");
}

#[test]
fn time_behind_is_nothing_only_where_nothing_is_left_to_replay() {
    let primary = seen(Role::Primary, 100);
    let standby = |replayed, commit| Replication {
        replayed: Some(Lsn(replayed)),
        replayed_commit: commit,
        ..seen(Role::Standby, 100)
    };
    // Idle for an hour: the last commit is old, and nothing is behind.
    assert_eq!(standby(100, Some(at(-3600))).seconds_behind(&primary), Some(0.0));
    assert_eq!(standby(90, Some(at(-3600))).seconds_behind(&primary), Some(3600.0));
    assert_eq!(standby(90, None).seconds_behind(&primary), None);
    let blind = Replication { flushed: None, ..seen(Role::Primary, 100) };
    assert_eq!(standby(100, Some(at(0))).seconds_behind(&blind), None);
}
