//! The loss of a region, by `region-failover` and `region-failover-dataplane`.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{
    FORCED, LEFT, SOON, UNCHECKED, drctl, facts, json, lost_only_the_newest, run, serves_west,
    until_under_way,
};
use crate::lab::{EAST, Fault, Manners, Part, SWITCH, World, WorldOptions};

#[test]
fn a_killed_region_is_left_and_comes_back_as_a_standby() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(10);
    run(&world, &[&["snapshot", "petforce"]], 0);
    // 4: moto cannot prove all of it.
    let ready = json(&world, &[&["preflight"]], 4);
    assert!(!ready.to_string().contains("not_ready"), "{ready}");
    let planned = json(&world, &[&["failover", "--dry-run"], &FORCED], 0);
    assert!(planned["plan"]["steps"].as_array().unwrap().len() > 8);

    // A primary that answers is not given up by force.
    let refused = run(&world, &[&["failover"], &FORCED], 1);
    assert!(refused.stderr.contains("graceful"), "{}", refused.stderr);
    run(&world, &[&["abort", "latest", "--as", "ann"]], 0);

    // The standby receives nothing for a while, so that something is lost.
    world.west.server().stop_receiving();
    writer.more(10);
    world.lose(&world.east, Fault::Kill);
    let ran = json(&world, &[&["failover"], &FORCED], LEFT);
    assert_eq!(ran["ending"], "succeeded_with_failures");
    assert_eq!(ran["within_rto"], true);
    serves_west(&world, &writer, "app");
    let lost = lost_only_the_newest(&world, &writer);
    assert!(lost >= 9, "{lost} lost although the standby received nothing");
    json(&world, &[&["runs", "verify"]], 0);
    assert!(!world.slack.requests().is_empty() && !world.pager.requests().is_empty());
    assert!(!world.mail.mails().is_empty());

    // The old primary comes back with what only it has, and is kept from taking writes.
    world.revive(&world.east);
    let missing_there = writer.lost(&world.east.server());
    let gone = writer.lost(&world.west.server());
    assert_eq!(gone.len(), lost);
    assert!(gone.iter().all(|n| !missing_there.contains(n)), "only the standby lacks what is lost");
    json(&world, &[&["run", "quarantine"], &FORCED, &UNCHECKED], 0);
    let refused = world.east.server().try_psql("petforce", "CREATE TABLE t ()");
    assert!(refused.is_err(), "the old primary takes writes");

    // It becomes a standby, and the service goes back without loss.
    world.rebuild(&world.east, &world.west);
    go_home(&world);
}

/// The loss as the report has it is the loss as the client has it, write by write.
#[test]
fn the_report_counts_what_the_client_lost() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(10);
    world.west.server().catch_up(&world.east.server());
    world.west.server().stop_receiving();
    writer.more(23);
    writer.stop();
    world.lose(&world.east, Fault::Kill);
    // The zone's server does not tell the new answer, so the run waits for it, until the old primary is back.
    world.dns.behave(Manners::Silent);
    let mut failover = drctl(&world, &[&["failover"], &FORCED, &UNCHECKED]);
    let failover = failover.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    until_under_way(&world, "resolvers");
    world.east.heal(Part::Db);
    world.dns.behave(Manners::Answers);
    assert_eq!(failover.wait_with_output().unwrap().status.code(), Some(0));
    let report = json(&world, &[&["runs", "report", "latest"]], 0);
    let measured = &report["report"]["losses"][0]["measured"];
    let lost = writer.lost(&world.west.server());
    assert!(lost.len() >= 23, "{lost:?}");
    assert_eq!(measured["transactions"], lost.len(), "{measured}");
    assert!(world.east.server().try_psql("petforce", "CREATE TABLE t ()").is_err());
}

/// By `failback`, without loss.
#[track_caller]
fn go_home(world: &World) {
    let writer = world.writer("app");
    writer.more(10);
    let back = ["--mode", "graceful", "--confirm", EAST, "--as", "ann", "--reason", "all is well"];
    json(world, &[&["run", "failback"], &back, &UNCHECKED], 0);
    writer.first_from(EAST, SOON);
    writer.stop();
    assert_eq!(writer.lost(&world.east.server()), Vec::<i64>::new());
    assert_eq!(world.answered("app"), Some(EAST));
    assert_eq!(facts(world, "promote")["lost_bytes"], 0);
}

/// As when packets vanish: every connection to us-east-1 is accepted and hears nothing.
#[test]
fn a_region_that_swallows_every_packet_is_left() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(10);
    world.lose(&world.east, Fault::Hang);
    let begun = Instant::now();
    json(&world, &[&["failover"], &FORCED, &UNCHECKED], LEFT);
    assert!(begun.elapsed() < Duration::from_mins(2), "{:?}", begun.elapsed());
    serves_west(&world, &writer, "app");
    lost_only_the_newest(&world, &writer);
}

/// Everything in us-east-1 accepts connections and never answers, Route 53's control plane too: the
/// switch object moves the service.
#[test]
fn the_name_moves_without_route_53s_control_plane() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(10);
    let records = world.records();
    world.lose(&world.east, Fault::Hang);
    world.fail_route53(Fault::Hang).unwrap();
    json(
        &world,
        &[&["failover", "--runbook", "region-failover-dataplane"], &FORCED, &UNCHECKED],
        LEFT,
    );
    serves_west(&world, &writer, "app");
    lost_only_the_newest(&world, &writer);
    assert_eq!(world.records(), records, "nothing was changed at Route 53");

    // The way home takes the switch object away.
    world.heal_route53();
    world.revive(&world.east);
    world.rebuild(&world.east, &world.west);
    go_home(&world);
    assert_eq!(world.records(), records);
    assert_eq!(world.west.moto().keys(SWITCH.0, ""), Vec::<String>::new());
}

/// One part at a time may be away from what a step needs; it says what it waited for.
#[test]
fn a_standby_that_is_away_stops_the_run_and_it_goes_on() {
    let world = World::start(&WorldOptions::default());
    world.lose(&world.east, Fault::Kill);
    world.west.fail(Part::Db, Fault::Refuse);
    let stopped = run(&world, &[&["failover"], &FORCED, &UNCHECKED], 1);
    assert!(stopped.stdout.contains("drctl resume"), "{}", stopped.stdout);
    world.west.heal(Part::Db);
    let writer = world.writer("app");
    run(&world, &[&["resume", "latest", "--as", "ann"]], LEFT);
    serves_west(&world, &writer, "app");
}
