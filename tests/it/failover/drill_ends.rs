//! Failover drills that do not come to their end, and one that nobody stands beside.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::drill::{Production, meant_for_drills, obeying};
use super::{LEFT, drctl, json};
use crate::lab::{self, WORKER, World, WorldOptions};

/// A drill in the background.
struct Under {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
}

impl Under {
    /// Begins one and goes on until it has begun a step of its run.
    fn way(production: &Production, step: &str) -> Self {
        let mut command = production.drctl(&["--json", "drill", "failover"]);
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("drctl starts");
        let mut told = BufReader::new(child.stdout.take().unwrap());
        let mut all = String::new();
        loop {
            let mut line = String::new();
            if told.read_line(&mut line).unwrap() == 0 {
                panic!("it ended before step {step}: {all}{:?}", child.wait_with_output());
            }
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "step_started" && event["step"] == step {
                return Self { child, told };
            }
            all.push_str(&line);
        }
    }

    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Ctrl-C, and what it then says; the last line is the result.
    fn interrupt(mut self) -> (Option<i32>, String, Value) {
        kill_process(Pid::from_child(&self.child), Signal::INT).unwrap();
        let mut told = String::new();
        self.told.read_to_string(&mut told).unwrap();
        let code = self.child.wait().unwrap().code();
        let result = serde_json::from_str(told.lines().last().unwrap()).unwrap();
        (code, told, result)
    }
}

/// Every run of the regions, the newest first, by its end.
fn endings(world: &World) -> Vec<Value> {
    let runs = json(world, &[&["runs", "list"]], 0);
    runs["runs"].as_array().unwrap().iter().map(|run| run["ending"].clone()).collect()
}

#[test]
fn a_drill_that_dies_before_there_is_no_way_back_leaves_nothing() {
    let world = World::start(&WorldOptions::default());
    meant_for_drills(&world);
    let production = Production::of(&world);
    production.write("rto", "rto");
    obeying(&world, production.place(), || {
        Under::way(&production, "web-room").kill();
        assert_eq!(endings(&world), [Value::Null]);
        assert!(!world.east.server().runs(), "the fault is mended already");

        // The next one undoes it, and is stopped where the fence is being built.
        let second = Under::way(&production, "fence");
        let runs = endings(&world);
        assert_eq!(runs, [Value::Null, "aborted".into()]);
        let (code, told, result) = second.interrupt();
        assert_eq!(code, Some(1), "{told}");
        let drill = &result["drill"];
        assert_eq!(drill["outcome"], "failed", "{drill}");
        assert_eq!(drill["teardown"]["state"], "clean", "{drill}");
        let removed = drill["teardown"]["removed"].to_string();
        assert!(
            removed.contains("of which was undone: ") && removed.contains("scale-web"),
            "{drill}"
        );
        assert_eq!(endings(&world), ["aborted", "aborted"]);
        assert!(world.east.server().runs(), "the region is not mended");
        assert_eq!(world.west.role(), "standby");
        assert_eq!(world.west.tasks(WORKER), Some(0), "the standby is still scaled up");
        assert!(!world.home().join("frozen").exists(), "deployments are still frozen");

        // Nothing is in the way of one that nobody stands beside: the runner's.
        let file = production.place().join("drctl.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        text.push_str("[[job]]\nrun = \"failover-drill\"\non = \"0 0 1 1 *\"\n");
        std::fs::write(&file, text).unwrap();
        production.run(&["runner", "--once"], 0);
        // Production has no snapshots here, which is told as well.
        let jobs = production.run(&["--json", "jobs"], 1).result();
        let job = &jobs["standing"]["jobs"][0];
        assert_eq!(job["run"], "failover-drill", "{jobs}");
        let last = &job["state"]["known"]["last"];
        assert_eq!(last["verdict"], "done", "{jobs}");
        assert!(last["summary"].as_str().unwrap().contains("passed: a region was lost"), "{jobs}");
    });
    assert_eq!(endings(&world)[1..], ["aborted", "aborted"]);
    assert_eq!(world.west.role(), "primary");
    let drills = production.run(&["--json", "drill", "list"], 0).result();
    let outcomes: Vec<&Value> =
        drills["drills"].as_array().unwrap().iter().map(|drill| &drill["outcome"]).collect();
    assert_eq!(outcomes.len(), 3, "{drills}");
}

#[test]
fn a_drill_that_dies_after_the_point_of_no_return_is_for_a_person_to_end() {
    let world = World::start(&WorldOptions::default());
    meant_for_drills(&world);
    let production = Production::of(&world);
    production.write("rto", "rto");
    let told = obeying(&world, production.place(), || {
        Under::way(&production, "repoint-web").kill();
        production.run(&["drill", "failover"], 5).stderr
    });
    let told = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(told.contains("its point of no return is passed, or may be"), "{told}");
    assert!(told.contains("resume r"), "{told}");
    assert!(world.east.server().runs(), "the region is not mended");
    // What is said to be done is done, and leads on.
    let resumed = lab::run(&mut drctl(&world, &[&["resume", "latest"]]));
    assert!([0, LEFT].contains(&resumed.code), "{}{}", resumed.stdout, resumed.stderr);
    assert_eq!(endings(&world), ["succeeded"]);
    assert_eq!(world.west.role(), "primary");
    // Now it is cleared away, once; the old primary is in quarantine, and nothing is begun.
    let told = production.refused(1);
    assert!(told.contains("what it left was removed"), "{told}");
    assert!(told.contains("not currently accepting connections"), "{told}");
    let told = production.refused(1);
    assert!(!told.contains("ended without a word"), "it is told again: {told}");
}
