//! Who carries a failover out: one at a time, and any of them may die.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::{FORCED, LEFT, SOON, UNCHECKED, drctl, json, lost_only_the_newest, serves_west};
use crate::lab::{self, Fault, World, WorldOptions};

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
    // One that was killed between the run's end and its own leaves nothing to resume.
    assert!(code == LEFT || code == 2, "exit code {code}");
    let run = json(&world, &[&["runs", "show", "latest"]], 0);
    assert_eq!(run["ending"], "succeeded_with_failures", "{run}");
    serves_west(&world, &writer, "app");
    lost_only_the_newest(&world, &writer);
    // Nothing happened twice: it was promoted once.
    world.west.server().psql("postgres", "CHECKPOINT");
    let timeline = "SELECT timeline_id FROM pg_control_checkpoint()";
    assert_eq!(world.west.server().psql("postgres", timeline), "2");
    let verified = lab::run(&mut drctl(&world, &[&["--json", "runs", "verify"]]));
    let result = verified.result();
    let proven = &result["runs"][0];
    assert!(proven["intact"] == true && proven["flaws"].as_array().unwrap().is_empty(), "{result}");
    // One that was killed behind the run's end may have told the store what the copy of this machine
    // lacks, which is told.
    let short = code != LEFT && proven["unproven"].to_string().contains("local");
    assert_eq!(verified.code, if short { 4 } else { 0 }, "{result}");
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
