//! Failovers end to end in the two-region world: servers are really killed, a replica is really
//! promoted, and a client that resolves the name goes on writing.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{self, EAST, Fault, Part, Ran, WEST, World, WorldOptions, Writer};

/// A client is back within the record's TTL once the world is in order.
const SOON: Duration = Duration::from_secs(20);

const FORCED: [&str; 11] = [
    "--mode",
    "forced",
    "--confirm",
    WEST,
    "--accept-loss",
    "unknown",
    "--accept-unfenced",
    "--as",
    "ann",
    "--reason",
    "us-east-1 does not answer",
];

/// Done, and left to do: the quarantine of the primary that is gone.
const LEFT: i32 = 6;

const UNCHECKED: [&str; 2] = ["--skip-preflight", "a test that is about something else"];

fn drctl(world: &World, args: &[&[&str]]) -> Command {
    let mut command = world.drctl();
    command.args(args.concat());
    command
}

#[track_caller]
fn run(world: &World, args: &[&[&str]], code: i32) -> Ran {
    lab::run(&mut drctl(world, args)).expect(code)
}

/// With `--json`: the result.
#[track_caller]
fn json(world: &World, args: &[&[&str]], code: i32) -> Value {
    run(world, &[&["--json"], &args.concat()], code).result()
}

/// The facts that a step of the last run left.
#[track_caller]
fn facts(world: &World, step: &str) -> Value {
    let shown = json(world, &[&["runs", "show", "latest"]], 0);
    let steps = shown["steps"].as_array().unwrap();
    let step = steps.iter().find(|known| known["step"] == step).expect("the step is in the plan");
    step["outcome"]["facts"].clone()
}

/// Everything as it should be after a failover to us-west-2.
#[track_caller]
fn serves_west(world: &World, writer: &Writer, name: &str) {
    writer.first_from(WEST, SOON);
    assert_eq!(world.answered(name), Some(WEST));
    assert_eq!(world.west.role(), "primary");
    assert_eq!(world.west.service(), "running");
    let epoch = world.west.moto().get("petforce-dr-usw2", "dr/state/epoch.json");
    let epoch: Value = serde_json::from_slice(&epoch).unwrap();
    assert_eq!(epoch["region"], WEST);
}

/// What is lost is the newest that us-east-1 had acknowledged, and nothing before it.
#[track_caller]
fn lost_only_the_newest(world: &World, writer: &Writer) -> usize {
    writer.stop();
    let lost = writer.lost(&world.west.server());
    let old: Vec<_> = writer.acknowledged().into_iter().filter(|ack| ack.region == EAST).collect();
    let newest: Vec<_> = old[old.len() - lost.len()..].iter().map(|ack| ack.n).collect();
    assert_eq!(lost, newest);
    lost.len()
}

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
    world.west.server().psql("postgres", "ALTER SYSTEM SET primary_conninfo = 'host=127.0.0.9'");
    world.west.server().psql("postgres", "SELECT pg_reload_conf()");
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
    let writer = world.writer("app");
    writer.more(10);
    let back = ["--mode", "graceful", "--confirm", EAST, "--as", "ann", "--reason", "all is well"];
    json(&world, &[&["run", "failback"], &back, &UNCHECKED], 0);
    writer.first_from(EAST, SOON);
    writer.stop();
    assert_eq!(writer.lost(&world.east.server()), Vec::<i64>::new());
    assert_eq!(world.answered("app"), Some(EAST));
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

/// Route 53 answers and takes no changes: the switch object moves the service.
#[test]
fn the_name_moves_without_route_53s_control_plane() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("api");
    writer.more(10);
    world.lose(&world.east, Fault::Kill);
    world.fail_route53(Fault::Hang).unwrap();
    json(
        &world,
        &[&["failover", "--runbook", "region-failover-dataplane"], &FORCED, &UNCHECKED],
        LEFT,
    );
    serves_west(&world, &writer, "api");
    lost_only_the_newest(&world, &writer);
    assert_eq!(world.answered("app"), Some(EAST), "nothing was changed at Route 53");
}

/// Once here; `DRCTL_SWITCHOVERS=20` is the long form.
#[test]
fn a_switchover_loses_nothing() {
    let rounds = std::env::var("DRCTL_SWITCHOVERS").ok().and_then(|n| n.parse().ok()).unwrap_or(1);
    for round in 0..rounds {
        let world = World::start(&WorldOptions::default());
        let writer = world.writer("app");
        writer.more(10);
        let well =
            ["--mode", "graceful", "--confirm", WEST, "--as", "ann", "--reason", "maintenance"];
        json(&world, &[&["run", "switchover"], &well, &UNCHECKED], 0);
        serves_west(&world, &writer, "app");
        assert_eq!(lost_only_the_newest(&world, &writer), 0, "round {round}");
        assert_eq!(facts(&world, "promote")["lost_bytes"], 0);
    }
}

/// Two people at once: one runs, the other is told who. Then the first is killed, again and again,
/// and somebody else goes on to the same end.
#[test]
fn one_operator_at_a_time_and_any_of_them_may_die() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(10);
    world.lose(&world.east, Fault::Kill);
    let first = begin(drctl(&world, &[&["failover"], &FORCED, &UNCHECKED]));
    until_a_run_is_open(&world);
    let bob = FORCED.map(|word| if word == "ann" { "bob" } else { word });
    let second = lab::run(&mut drctl(&world, &[&["failover"], &bob, &UNCHECKED]));
    // By the lease, or by the run that is open.
    assert_eq!(second.code, 5, "{}{}", second.stdout, second.stderr);
    assert!(second.stderr.contains("ann"), "{}", second.stderr);
    end(first);
    let mut killed = 1;
    let code = loop {
        let resumed = begin(drctl(&world, &[&["resume", "latest", "--as", "bob"]]));
        match wait(resumed, Duration::from_millis(700 + 400 * killed)) {
            Some(code) => break code,
            None => killed += 1,
        }
        assert!(killed < 30, "no resume comes to an end");
    };
    assert_eq!(code, LEFT);
    serves_west(&world, &writer, "app");
    lost_only_the_newest(&world, &writer);
    // Nothing happened twice: it was promoted once.
    world.west.server().psql("postgres", "CHECKPOINT");
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    assert_eq!(world.west.server().psql("postgres", timeline), "2");
    json(&world, &[&["runs", "verify"]], 0);
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

fn begin(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// kill -9.
fn end(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// The exit code, or `None` when it was killed after `limit`.
fn wait(mut child: Child, limit: Duration) -> Option<i32> {
    let begun = Instant::now();
    while begun.elapsed() < limit {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    end(child);
    None
}

fn until_a_run_is_open(world: &World) {
    let begun = Instant::now();
    let open = || world.west.moto().keys("petforce-dr-usw2", "dr/runs/");
    while !open().iter().any(|key| key.ends_with("00000001.json")) {
        assert!(begun.elapsed() < SOON, "no run is open: {:?}", open());
        std::thread::sleep(Duration::from_millis(5));
    }
}
