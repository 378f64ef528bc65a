//! Failover drills: `drctl drill failover` from a production configuration, carried out against the
//! two-region world as its staging.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::{UNCHECKED, json};
use crate::lab::{self, EAST, Fault, Folder, WEST, World, WorldOptions, folder};

/// What production is: nothing answers at its addresses.
pub(super) struct Production {
    folder: Folder,
    text: String,
}

impl Production {
    pub(super) fn of(world: &World) -> Self {
        let folder = folder("production");
        let place = folder.path().display();
        let waits = |order: &str| {
            format!(
                r#"["sh", "-c", "touch {order} && until [ -e {order}.done ]; do sleep 0.05; done"]"#
            )
        };
        let text = format!(
            r#"[project]
name = "petforce"
[regions]
primary = "{EAST}"
standby = "{WEST}"
[store.east]
url = "file://{place}/east"
region = "{EAST}"
[store.west]
url = "file://{place}/west"
region = "{WEST}"
[database.petforce]
url = "host=127.0.9.1 port=1 user=drctl dbname=petforce connect_timeout=1"
stores = ["east", "west"]
[objectives]
rto = "15m"
[failover]
runbooks = "{place}"
[vars]
zone = "ZPRODUCTION"
[drill.failover]
config = "{staging}"
fault = {fault}
heal = {heal}
url = "http://app.petforce.test:{port}/health/ready"
resolver = "{resolver}"
sql = "SELECT count(*) >= 0 FROM petforce.writes"
hold = "3s"
"#,
            staging = world.home().join("drctl.toml").display(),
            fault = waits("fault"),
            heal = waits("heal"),
            port = world.web_port(),
            resolver = world.resolver.address(),
        );
        Self { folder, text }
    }

    pub(super) fn write(&self, from: &str, to: &str) {
        assert!(self.text.contains(from), "{from}");
        let text = self.text.replacen(from, to, 1);
        std::fs::write(self.folder.path().join("drctl.toml"), text).unwrap();
    }

    pub(super) fn drctl(&self, args: &[&str]) -> Command {
        let mut command = lab::drctl(self.folder.path());
        command.args(args);
        command
    }

    pub(super) fn place(&self) -> &Path {
        self.folder.path()
    }

    #[track_caller]
    pub(super) fn run(&self, args: &[&str], code: i32) -> lab::Ran {
        lab::run(&mut self.drctl(args)).expect(code)
    }

    #[track_caller]
    pub(super) fn refused(&self, code: i32) -> String {
        let ran = self.run(&["drill", "failover"], code);
        assert!(!self.folder.path().join("fault").exists(), "the region was broken");
        ran.stderr.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}

/// Breaks and mends us-east-1 when the programs of `[drill.failover]` ask for it, while `act` goes on.
pub(super) fn obeying<T>(world: &World, production: &Path, act: impl FnOnce() -> T) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|s| {
        s.spawn(|| {
            let asked = |order: &str| std::fs::remove_file(production.join(order)).is_ok();
            let done = |order: &str| std::fs::write(production.join(order), "").unwrap();
            while !over.load(Ordering::Relaxed) {
                if asked("fault") {
                    let _ = std::fs::remove_file(production.join("heal.done"));
                    world.lose(&world.east, Fault::Kill);
                    done("fault.done");
                }
                if asked("heal") {
                    let _ = std::fs::remove_file(production.join("fault.done"));
                    world.revive(&world.east);
                    done("heal.done");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        // Also where the test fails in the middle: the other thread must end.
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        over.store(true, Ordering::Relaxed);
        ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

pub(super) fn meant_for_drills(world: &World) {
    let mark = "ALTER ROLE postgres SET drctl.drill = 'on'";
    world.east.server().psql("postgres", mark);
    world.west.server().catch_up(&world.east.server());
}

#[test]
fn nothing_is_broken_that_may_be_productions() {
    let world = World::start(&WorldOptions::default());
    let production = Production::of(&world);
    let own = "host=127.0.9.1 port=1";

    production.write(own, own);
    let told = production.refused(2);
    assert!(told.contains("does not say that it is meant for drills"), "{told}");
    meant_for_drills(&world);

    // The server that staging names is the one that production names.
    let (ip, port) = (world.east.ip, world.east.db.port());
    production.write(own, &format!("host={ip} port={port}"));
    let told = production.refused(2);
    assert!(told.contains("database `petforce` is production's database `petforce`"), "{told}");
    // By its identity, where the addresses have nothing in common.
    let direct = world.east.server().port();
    production.write(own, &format!("host=127.0.0.1 port={direct}"));
    let told = production.refused(2);
    assert!(told.contains("has the system identifier of production's database"), "{told}");

    production.write("ZPRODUCTION", &world.zone_id);
    let told = production.refused(2);
    assert!(told.contains(&format!("hosted zone {} is production's", world.zone_id)), "{told}");

    production.write(
        "[vars]",
        &format!("[aws.global]\nendpoint = \"{}\"\n[vars]", world.route53.endpoint()),
    );
    let told = production.refused(2);
    assert!(told.contains("the default chain of credentials"), "{told}");

    let itself = production.folder.path().join("drctl.toml");
    production.write(
        &world.home().join("drctl.toml").display().to_string(),
        &itself.display().to_string(),
    );
    let told = production.refused(2);
    assert!(told.contains("the configuration of production itself"), "{told}");

    production.write("hold =", "holt =");
    let told = production.refused(2);
    assert!(told.contains("unknown key `holt` in [drill.failover]; did you mean `hold`"), "{told}");

    // A lab is all on this machine, and this one is.
    production.write(own, own);
    let seen = production.run(&["drill", "failover", "--dry-run"], 0);
    assert!(seen.stdout.contains("none of it is production's"), "{}", seen.stdout);
    assert!(world.east.server().runs());
}

#[test]
fn a_region_is_lost_in_a_drill_and_measured() {
    let world = World::start(&WorldOptions::default());
    meant_for_drills(&world);
    let production = Production::of(&world);
    let place = production.place();
    production.write("rto", "rto");

    // One that is killed with its fault under way is found by the next.
    let mut killed = production.drctl(&["drill", "failover"]);
    let mut killed = killed.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let begun = Instant::now();
    while !place.join("fault").exists() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no fault");
        std::thread::sleep(Duration::from_millis(20));
    }
    killed.kill().unwrap();
    killed.wait().unwrap();
    std::fs::remove_file(place.join("fault")).unwrap();
    let open = production.run(&["drill", "list"], 0).stdout;
    assert!(open.contains("under way, or killed"), "{open}");

    let passed = obeying(&world, place, || production.run(&["--json", "drill", "failover"], 0));
    let told = format!("{}{}", passed.stdout, passed.stderr);
    assert!(told.contains("ended without a word; what it left was removed"), "{told}");
    let drill = &passed.result()["drill"];
    assert_eq!(drill["outcome"], "passed", "{drill}");
    assert_eq!(drill["failover"]["ending"], "succeeded_with_failures", "{drill}");
    assert_eq!(drill["objectives"]["rto_kept"], true);
    assert_eq!(drill["objectives"]["rpo_kept"], true);
    let recovery = drill["objectives"]["recovery_seconds"].as_f64().unwrap();
    assert!((0.5..120.0).contains(&recovery), "{recovery}");
    let standing = |name: &str| {
        let checks = drill["checks"].as_array().unwrap();
        checks.iter().find(|c| c["name"] == name).expect(name)["standing"].clone()
    };
    assert_eq!((standing("fault"), standing("served")), ("passed".into(), "passed".into()));
    assert_eq!(drill["teardown"]["state"], "clean", "{drill}");
    assert_eq!(world.west.role(), "primary");
    assert_eq!(world.answered("app"), Some(WEST));
    let messages = world.slack.requests();
    let all_marked = messages.iter().all(|m| m.body.contains("DRILL"));
    assert!(!messages.is_empty() && all_marked, "a message is not marked");

    // It is told wherever drills are, and in the words of its schema.
    let status = production.run(&["drill", "show", "latest"], 0).stdout;
    assert!(status.contains("Failover drill"), "{status}");
    let status = lab::run(&mut production.drctl(&["status"])).stdout;
    assert!(status.contains("failover region-failover"), "{status}");
    let out = place.join("report");
    production.run(&["drill", "report", "latest", "--out", out.to_str().unwrap()], 0);
    let page = std::fs::read_to_string(out.join("report.html")).unwrap();
    assert!(page.contains("Failover drill: region-failover"));
    let report: Value =
        serde_json::from_slice(&std::fs::read(out.join("report.json")).unwrap()).unwrap();
    let schema = production.run(&["--json", "drill", "schema"], 0).result()["schema"].clone();
    let known = schema["$defs"]["Failover"]["properties"].as_object().unwrap();
    let told = report["failover"].as_object().unwrap();
    assert!(told.keys().all(|key| known.contains_key(key)), "{told:?}");

    // The service is not where the runbook takes it from: nothing to lose there.
    let told = production.refused(4);
    assert!(told.contains("us-west-2 is the active region"), "{told}");

    // Home again, and a drill against an objective that nothing can keep.
    world.rebuild(&world.east, &world.west);
    let back =
        ["--mode", "graceful", "--confirm", EAST, "--as", "ann", "--reason", "after a drill"];
    json(&world, &[&["run", "failback"], &back, &UNCHECKED], 0);
    world.rebuild(&world.west, &world.east);
    production.write("rto = \"15m\"", "rto = \"1s\"");
    let missed = obeying(&world, place, || production.run(&["--json", "drill", "failover"], 1));
    let drill = &missed.result()["drill"];
    assert_eq!(drill["outcome"], "failed", "{drill}");
    assert_eq!(drill["objectives"]["rto_kept"], false, "{drill}");
    assert_eq!(drill["said"], "clients are served again, and the RTO was missed");
    let earlier = drill["history"].as_array().unwrap();
    assert_eq!(earlier.len(), 1, "{earlier:?}");
    assert_eq!(earlier[0]["outcome"], "passed");
}
