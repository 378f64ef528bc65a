//! The plan of a region failover, as an engineer sees it at 3 am.

use std::path::Path;

use super::plan_view;
use crate::config::Config;
use crate::providers::Mode;
use crate::runbook::{self, Circumstances, plan};

fn screen(name: &str, mode: Mode) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/petforce.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let url = "postgresql://drctl@127.0.0.1:1/petforce";
    let config = Config::parse(&text, &path, &|name| match name {
        "SLACK_WEBHOOK_URL" => Some("https://hooks.slack.example/x".to_owned()),
        _ => Some(url.to_owned()),
    });
    let config = config.unwrap();
    let circumstances = Circumstances::of_a_look(&config);
    let book = runbook::load(&config, name, &circumstances).unwrap();
    let plan = plan::make(&book, &config, mode, &circumstances).unwrap();
    let text = plan_view::text(&plan, None);
    for line in text.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    text
}

#[test]
fn a_region_failover() {
    insta::assert_snapshot!(screen("region-failover", Mode::Forced), @r#"
    Region failure: us-east-1 to us-west-2
      Runbook region-failover, forced mode
      Where   from us-east-1 to us-west-2
      Means   us-east-1 is taken to be lost: us-west-2 takes over with what it has
              received
      Loss    writes that us-west-2 never received; step `loss` says how much,
              against the RPO of 1h
      Time    at most 13m 10s of the RTO of 15m: 1m 50s to spare
              longest path: detect → loss → fence → drain → epoch → promote → check
              → repoint-web → web-steady → web-healthy → smoke → swap → resolvers →
              clients → quarantine
      Steps   23; 13 change something (*)

    Steps under one number run at the same time. On the right: the longest each may
    take.
      1  detect          find out from 3 places whether the primary of          20s!
                         `petforce` in us-east-1 is down
                         - asks the primary of `petforce` in us-east-1;
                           goes on without
      2 *alert           tell oncall, team: PetForce moves from us-east-1       15s
                         to us-west-2: no reason given
                         - if it fails, the run goes on
        *freeze          stop deployments and everything else that changes      20s
                         ECS or DNS by itself
                         - if it fails, the run goes on
         loss            tell how much of `petforce` is lost when us-west-2      2m!
                         is promoted, and insist on agreement
                         - asks the primary of `petforce` in us-east-1;
                           goes on without
      3 *scale-web       scale service `web` of cluster `petforce` in           30s
                         us-west-2 to at least 4 tasks
        *scale-worker    scale service `worker` of cluster `petforce` in        30s
                         us-west-2 to at least 2 tasks
        *fence           fence `petforce` in us-east-1: close it to              1m!
                         everybody, end its sessions, default to read-only
                         - asks the primary of `petforce` in us-east-1;
                           goes on without
      4  web-room        wait until service `web` of cluster `petforce` in   2m 30s
                         us-west-2 is steady
         drain           wait until `petforce` in us-west-2 has replayed        30s!
                         all that it has received
    ──── POINT OF NO RETURN: from here on only forward ─────────────────────────────
      5 *epoch           write the next epoch: us-west-2 is active              15s!
      6 *promote         promote `petforce` in us-west-2 with pg_promote()   1m 30s!
      7 *check           prove that `petforce` in us-west-2 is a primary        30s!
                         that takes writes
      8 *repoint-web     replace the tasks of service `web` of cluster          20s!
                         `petforce` in us-west-2
        *repoint-worker  replace the tasks of service `worker` of cluster       20s
                         `petforce` in us-west-2
      9  web-steady      wait until service `web` of cluster `petforce` in   2m 45s!
                         us-west-2 is steady
     10  web-healthy     wait until `petforce-web` in us-west-2 has 4           45s!
                         healthy targets
     11  smoke           wait until                                             30s!
                         https://app.petforce.example/health/ready at
                         petforce-west-1234567890.us-west-2.elb.amazonaws.com:443
                         answers with status 200, /region = "us-west-2"
     12 *swap            swap app.petforce.example A (us-east-1) in zone        30s!
                         Z0123456789ABCDEFGHIJ
                         - NEEDS the control plane of Route 53 in
                           us-east-1: fails if that is lost too
     13  insync          wait until the change of step `swap` is at all of   1m 15s
                         Route 53's servers
                         - NEEDS the control plane of Route 53 in
                           us-east-1: fails if that is lost too
                         - if it fails, the run goes on
         resolvers       wait until DNS gives the addresses of               1m 15s!
                         petforce-west-1234567890.us-west-2.elb.amazonaws.com
                         for app.petforce.example A
     14  clients         wait until                                             30s!
                         https://app.petforce.example/health/ready answers
                         with status 200, /region = "us-west-2"
     15 *tell            tell oncall, team that it is over: PetForce runs       15s
                         in us-west-2
                         - if it fails, the run goes on
        *quarantine      keep `petforce` in us-east-1 from taking writes        30s!
                         when it comes back: close it, end its sessions
                         - asks the old primary of `petforce` in us-east-1;
                           goes on without
                         - if it fails, the run goes on
        ! on the longest path

    Way back     Until `epoch` begins, `drctl abort RUN` undoes what was done.
                 freeze: run `/opt/petforce/bin/freeze off`
                 scale-web: the old count is set again
                 scale-worker: the old count is set again
                 fence: open `petforce` in us-east-1 again
                 After it there is only forward: `drctl resume RUN` goes on after
                 any failure.

    Lost region  swap, insync need something in us-east-1.
    "#);
}

#[test]
fn a_switchover() {
    insta::assert_snapshot!(screen("switchover", Mode::Graceful), @r#"
    Switchover: us-east-1 to us-west-2
      Runbook switchover, graceful mode
      Where   from us-east-1 to us-west-2
      Means   us-east-1 still works: it is asked to stop taking writes, and
              us-west-2 takes over when it has everything
      Loss    none: no write is taken while the sides change
      Time    at most 14m 5s of the RTO of 15m: 55s to spare
              longest path: loss → scale-web → web-room → fence → drain → epoch →
              promote → check → repoint-web → web-steady → web-healthy → smoke →
              swap → resolvers → clients → quarantine
      Steps   22; 13 change something (*)

    Steps under one number run at the same time. On the right: the longest each may
    take.
      1 *alert           tell oncall, team: PetForce moves from us-east-1       15s
                         to us-west-2: no reason given
                         - if it fails, the run goes on
        *freeze          stop deployments and everything else that changes      20s
                         ECS or DNS by itself
                         - if it fails, the run goes on
         loss            tell how much of `petforce` is lost when us-west-2     30s!
                         is promoted, and insist on agreement
                         - asks the primary of `petforce` in us-east-1;
                           goes on without
      2 *scale-web       scale service `web` of cluster `petforce` in           30s!
                         us-west-2 to at least 4 tasks
        *scale-worker    scale service `worker` of cluster `petforce` in        30s
                         us-west-2 to at least 2 tasks
      3  web-room        wait until service `web` of cluster `petforce` in   2m 30s!
                         us-west-2 is steady
      4 *fence           fence `petforce` in us-east-1: close it to              1m!
                         everybody, end its sessions, default to read-only
                         - asks the primary of `petforce` in us-east-1;
                           goes on without
                         - if it fails, what was done is undone
      5  drain           wait until `petforce` in us-west-2 has replayed        30s!
                         all that it has received
                         - if it fails, what was done is undone
    ──── POINT OF NO RETURN: from here on only forward ─────────────────────────────
      6 *epoch           write the next epoch: us-west-2 is active              15s!
      7 *promote         promote `petforce` in us-west-2 with pg_promote()   1m 30s!
      8 *check           prove that `petforce` in us-west-2 is a primary        30s!
                         that takes writes
      9 *repoint-web     replace the tasks of service `web` of cluster          20s!
                         `petforce` in us-west-2
        *repoint-worker  replace the tasks of service `worker` of cluster       20s
                         `petforce` in us-west-2
     10  web-steady      wait until service `web` of cluster `petforce` in   2m 30s!
                         us-west-2 is steady
     11  web-healthy     wait until `petforce-web` in us-west-2 has 4           45s!
                         healthy targets
     12  smoke           wait until                                             30s!
                         https://app.petforce.example/health/ready at
                         petforce-west-1234567890.us-west-2.elb.amazonaws.com:443
                         answers with status 200, /region = "us-west-2"
     13 *swap            swap app.petforce.example A (us-east-1) in zone        30s!
                         Z0123456789ABCDEFGHIJ
                         - needs the control plane of Route 53 in us-east-1
     14  insync          wait until the change of step `swap` is at all of   1m 15s
                         Route 53's servers
                         - needs the control plane of Route 53 in us-east-1
                         - if it fails, the run goes on
         resolvers       wait until DNS gives the addresses of               1m 15s!
                         petforce-west-1234567890.us-west-2.elb.amazonaws.com
                         for app.petforce.example A
     15  clients         wait until                                             30s!
                         https://app.petforce.example/health/ready answers
                         with status 200, /region = "us-west-2"
     16 *tell            tell oncall, team that it is over: PetForce runs       15s
                         in us-west-2
                         - if it fails, the run goes on
        *quarantine      keep `petforce` in us-east-1 from taking writes        30s!
                         when it comes back: close it, end its sessions
                         - asks the old primary of `petforce` in us-east-1;
                           goes on without
                         - if it fails, the run goes on
        ! on the longest path

    Way back     Until `epoch` begins, `drctl abort RUN` undoes what was done.
                 freeze: run `/opt/petforce/bin/freeze off`
                 scale-web: the old count is set again
                 scale-worker: the old count is set again
                 fence: open `petforce` in us-east-1 again
                 After it there is only forward: `drctl resume RUN` goes on after
                 any failure.
    "#);
}

#[test]
fn a_way_back_to_a_good_snapshot() {
    insta::assert_snapshot!(screen("data-corruption", Mode::Forced), @r"
    Data corruption: back to the last good snapshot
      Runbook data-corruption, forced mode
      Where   in us-east-1, which stays the active region
      Means   the service is repaired where it runs, in us-east-1
      Loss    what was written since the snapshot that is chosen; the RPO is 1h
      Time    at most 53m 15s of the RTO of 1h: 6m 45s to spare
              longest path: find → restore → verify → accept → fence → swap →
              resume-web → web-steady → clients → tell
      Steps   12; 7 change something (*), 1 waits for a person

    Steps under one number run at the same time. On the right: the longest each may
    take.
      1 *alert          tell oncall, team: PetForce goes back to its last       15s
                        good snapshot: no reason given
                        - if it fails, the run goes on
         find           find the newest snapshot of `petforce` that answers     20m!
                        3 questions right
      2 *restore        restore snapshot [snapshot left by find] of             20m!
                        `petforce` beside, as new database
                        `petforce_restored` in us-east-1
      3  verify         ask database [name left by restore] in us-east-1 3       2m!
                        questions
      4  accept         wait until a second person approves: All writes          5m!
                        since the snapshot that `find` chose leave the
                        service. They stay in the bad copy. Swap?
      5 *fence          fence `petforce` in us-east-1: close it to               1m!
                        everybody, end its sessions, default to read-only
    ──── POINT OF NO RETURN: from here on only forward ─────────────────────────────
      6 *swap           put database `[name left by restore]` in the place       1m!
                        of `petforce` in us-east-1, in one transaction
      7 *resume-web     replace the tasks of service `web` of cluster           30s!
                        `petforce` in us-east-1
        *resume-worker  replace the tasks of service `worker` of cluster        30s
                        `petforce` in us-east-1
      8  web-steady     wait until service `web` of cluster `petforce` in        3m!
                        us-east-1 is steady
      9  clients        wait until                                              30s!
                        https://app.petforce.example/health/ready answers
                        with status 200
     10 *tell           tell oncall, team that it is over: PetForce is back     15s!
                        on a good snapshot. The bad copy is kept.
                        - if it fails, the run goes on
        ! on the longest path

    Way back     Until `swap` begins, `drctl abort RUN` undoes what was done.
                 fence: open `petforce` in us-east-1 again
                 After it there is only forward: `drctl resume RUN` goes on after
                 any failure.
    ");
}
