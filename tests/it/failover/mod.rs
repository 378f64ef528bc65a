//! Failovers end to end in the two-region world, by the runbooks that ship: servers are really killed,
//! a replica is really promoted, and a client that resolves the name goes on writing.

mod automatic;
mod corruption;
mod drill;
mod drill_ends;
mod operators;
mod rds;
mod region;
mod switchover;

use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::lab::{self, EAST, Ran, WEST, WORKER, World, Writer};

/// A client is back within the record's TTL once the world is in order.
pub const SOON: Duration = Duration::from_secs(20);

pub const FORCED: [&str; 11] = [
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
pub const LEFT: i32 = 6;

pub const UNCHECKED: [&str; 2] = ["--skip-preflight", "a test that is about something else"];

pub fn drctl(world: &World, args: &[&[&str]]) -> Command {
    let mut command = world.drctl();
    command.args(args.concat());
    command
}

#[track_caller]
pub fn run(world: &World, args: &[&[&str]], code: i32) -> Ran {
    lab::run(&mut drctl(world, args)).expect(code)
}

/// With `--json`: the result.
#[track_caller]
pub fn json(world: &World, args: &[&[&str]], code: i32) -> Value {
    run(world, &[&["--json"], &args.concat()], code).result()
}

/// The facts that a step of the last run left.
#[track_caller]
pub fn facts(world: &World, step: &str) -> Value {
    let shown = json(world, &[&["runs", "show", "latest"]], 0);
    let steps = shown["steps"].as_array().unwrap();
    let step = steps.iter().find(|known| known["step"] == step).expect("the step is in the plan");
    step["outcome"]["facts"].clone()
}

/// Waits until a step of the last run has begun and not ended.
#[track_caller]
pub fn until_under_way(world: &World, step: &str) {
    let begun = Instant::now();
    loop {
        let shown = lab::run(&mut drctl(world, &[&["--json", "runs", "show", "latest"]]));
        if shown.code == 0 {
            let result = shown.result();
            let steps = result["steps"].as_array().unwrap();
            if steps.iter().any(|s| s["step"] == step && s["standing"] == "started") {
                return;
            }
            assert!(result["ending"].is_null(), "it ended before {step}: {result}");
        }
        assert!(
            begun.elapsed() < Duration::from_mins(3),
            "{step}: {}{}",
            shown.stdout,
            shown.stderr
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Everything as it should be after a failover to us-west-2.
#[track_caller]
pub fn serves_west(world: &World, writer: &Writer, name: &str) {
    writer.first_from(WEST, SOON);
    assert_eq!(world.answered(name), Some(WEST));
    assert_eq!(world.west.role(), "primary");
    assert_eq!(world.west.service(), "running");
    assert_eq!(world.west.tasks(WORKER), Some(1));
    assert!(world.home().join("frozen").exists(), "deployments go on");
    let epoch = world.west.moto().get("petforce-dr-usw2", "dr/state/epoch.json");
    let epoch: Value = serde_json::from_slice(&epoch).unwrap();
    assert_eq!(epoch["region"], WEST);
}

/// What is lost is the newest that us-east-1 had acknowledged, and nothing before it.
#[track_caller]
pub fn lost_only_the_newest(world: &World, writer: &Writer) -> usize {
    writer.stop();
    let lost = writer.lost(&world.west.server());
    let old: Vec<_> = writer.acknowledged().into_iter().filter(|ack| ack.region == EAST).collect();
    let newest: Vec<_> = old[old.len() - lost.len()..].iter().map(|ack| ack.n).collect();
    assert_eq!(lost, newest);
    lost.len()
}
