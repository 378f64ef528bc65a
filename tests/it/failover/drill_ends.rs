//! Failover drills that do not come to their end, and one that nobody stands beside.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::drill::{Production, meant_for_drills, obeying};
use super::{drctl, json};
use crate::lab::{self, WORKER, World, WorldOptions};

/// A drill in the background.
struct Under {
    child: Child,
    told: BufReader<std::process::ChildStdout>,
}

impl Under {
    /// Begins one and goes on until it has begun a step of its run.
    #[track_caller]
    fn way(production: &Production, step: &str) -> Self {
        let mut command = production.drctl(&["--json", "drill", "failover"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let told = BufReader::new(child.stdout.take().unwrap());
        let mut under = Self { child, told };
        let mut all = String::new();
        loop {
            let mut line = String::new();
            under.told.read_line(&mut line).unwrap();
            if line.is_empty() {
                under.child.stderr.take().unwrap().read_to_string(&mut all).unwrap();
                panic!("it ended before step {step}: {all}{:?}", under.child.wait());
            }
            let event: Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "step_started" && event["step"] == step {
                return under;
            }
            all.push_str(&line);
        }
    }

    fn kill(self) {
        drop(self);
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

/// Also where the test fails in the middle.
impl Drop for Under {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every run of the regions, the newest first, by its end.
fn endings(world: &World) -> Vec<Value> {
    let runs = json(world, &[&["runs", "list"]], 0);
    runs["runs"].as_array().unwrap().iter().map(|run| run["ending"].clone()).collect()
}

/// A step before the point of no return that waits until the file `open` is there, and that can be
/// undone, but not at the first attempt.
fn gated(world: &World, place: &Path) {
    let books = place.join("staging");
    std::fs::create_dir(&books).unwrap();
    let place = place.display();
    let ships = concat!(env!("CARGO_MANIFEST_DIR"), "/runbooks");
    let book = std::fs::read_to_string(Path::new(ships).join("region-failover.toml")).unwrap();
    let gate = format!(
        r#"
[[step]]
id = "gate"
uses = "command.run"
with = {{ argv = ["sh", "-c", "until [ -e {place}/open ]; do sleep 0.05; done"], compensate = ["sh", "-c", "[ -e {place}/tried ] || {{ touch {place}/tried; exit 1; }}"], idempotent = true, effect = "wait" }}
needs = ["drain", "web-room", "freeze"]
timeout = "10s"

"#
    );
    let epoch = book.find("[[step]]\nid = \"epoch\"").unwrap();
    let (before, after) = book.split_at(epoch);
    let after = after.replacen("needs = [\"drain\"]", "needs = [\"gate\"]", 1);
    assert!(after.contains("needs = [\"gate\"]"));
    std::fs::write(books.join("region-failover.toml"), format!("{before}{gate}{after}")).unwrap();
    let file = world.home().join("drctl.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    let ships = format!("runbooks = \"{ships}\"");
    assert!(config.contains(&ships));
    let ours = format!("runbooks = \"{}\"", books.display());
    std::fs::write(&file, config.replace(&ships, &ours)).unwrap();
}

/// As the operator of the regions left it, before any drill.
fn untouched(world: &World) {
    assert!(world.east.server().runs(), "the region is not mended");
    assert_eq!(world.west.role(), "standby");
    assert_eq!(world.west.tasks(WORKER), Some(0), "the standby is still scaled up");
    assert!(!world.home().join("frozen").exists(), "deployments are still frozen");
}

#[test]
fn a_drill_that_dies_before_there_is_no_way_back_leaves_nothing() {
    let world = World::start(&WorldOptions::default());
    meant_for_drills(&world);
    let production = Production::of(&world);
    let place = production.place();
    gated(&world, place);
    let own = "host=127.0.9.1 port=1";
    obeying(&world, place, || {
        production.write(own, own);
        Under::way(&production, "gate").kill();
        assert_eq!(endings(&world), [Value::Null]);
        assert!(!world.east.server().runs(), "the fault is mended already");

        // What staging names may be production's by now: then nothing is undone there.
        let (ip, port) = (world.east.ip, world.east.db.port());
        production.write(own, &format!("host={ip} port={port}"));
        let told = production.refused(2);
        assert!(told.contains("is production's database `petforce`"), "{told}");
        assert_eq!(endings(&world), [Value::Null]);
        production.write(own, own);

        // The next one undoes it, though not at once, and is stopped in the same place.
        let second = Under::way(&production, "gate");
        assert_eq!(endings(&world), [Value::Null, "aborted".into()]);
        let (code, told, result) = second.interrupt();
        assert_eq!(code, Some(1), "{told}");
        let drill = &result["drill"];
        assert_eq!(drill["outcome"], "failed", "{drill}");
        assert_eq!(drill["teardown"]["state"], "clean", "{drill}");
        assert_eq!(drill["warnings"], Value::Array(Vec::new()), "{drill}");
        let removed = drill["teardown"]["removed"].to_string();
        let undone = removed.split_once("of which was undone: ").expect(&removed).1;
        assert!(
            ["gate", "scale-web", "freeze"].iter().all(|step| undone.contains(step)),
            "{drill}"
        );
        assert_eq!(endings(&world), ["aborted", "aborted"]);
        untouched(&world);

        // Nothing is in the way of one that nobody stands beside: the runner's.
        std::fs::write(place.join("open"), "").unwrap();
        let file = place.join("drctl.toml");
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
    let outcomes = drills["drills"].as_array().unwrap().iter().map(|drill| &drill["outcome"]);
    assert_eq!(outcomes.collect::<Vec<_>>(), ["passed", "failed", "broken_off"], "{drills}");
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
    let (swept, refused) = told.split_once("Error: ").expect(&told);
    assert!(swept.contains("its point of no return is passed, or may be"), "{told}");
    assert!(swept.contains("run failback"), "{told}");
    assert!(refused.contains("has not ended"), "{told}");
    assert!(world.east.server().runs(), "the region is not mended");
    // What is said to be done is done, and leads on.
    let resumed = lab::run(&mut drctl(&world, &[&["resume", "latest"]]));
    resumed.expect(0);
    assert_eq!(endings(&world), ["succeeded"]);
    assert_eq!(world.west.role(), "primary");
    // It is not told again; the old primary is in quarantine, and nothing is begun.
    let told = production.refused(1);
    assert!(told.contains("not currently accepting connections"), "{told}");
    assert!(!told.contains("ended without a word"), "it is told again: {told}");
}
