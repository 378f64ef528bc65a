//! A failover that drctl begins by itself, because the operator's policy says so: the runner hears two
//! monitors, the primary is really gone, and nobody is there.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{json as result, lost_only_the_newest, serves_west};
use crate::lab::{self, EAST, Fault, World, WorldOptions};

const TICKETS: [(&str, &str); 2] = [
    ("inside", "the-ticket-of-the-monitor-inside"),
    ("outside", "the-ticket-of-the-other-monitor"),
];

/// A runner that serves; ended on drop.
struct Runner<'w> {
    world: &'w World,
    child: Child,
    port: u16,
}

impl<'w> Runner<'w> {
    fn start(world: &'w World) -> Self {
        let port = lab::free_port();
        let path = world.home().join("drctl.toml");
        let mut text = std::fs::read_to_string(&path).unwrap();
        let auto = "[failover]\nauto = { quorum = 2, for = \"2s\", epoch = 0, max_loss = \"10min\", \
                    accept_unfenced = true }";
        text = text.replacen("[failover]", auto, 1);
        text.push_str(&format!(
            "\n[web]\nlisten = \"127.0.0.1:{port}\"\n\n[runner]\nsample_every = \"1s\"\n\n\
             [[job]]\nrun = \"prune\"\non = \"0 0 1 1 *\"\ncatch_up = \"none\"\n"
        ));
        for (name, ticket) in TICKETS {
            text.push_str(&format!(
                "\n[intake.{name}]\nkind = \"alertmanager\"\nsecret = \"{ticket}\"\n\
                 match = {{ alertname = \"PrimaryDown\" }}\n"
            ));
        }
        std::fs::write(&path, text).unwrap();
        let log = std::fs::File::create(world.home().join("runner.log")).unwrap();
        let mut command = world.drctl();
        command.arg("runner").stdout(Stdio::null()).stderr(log);
        Self { world, child: command.spawn().unwrap(), port }
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.world.home().join("runner.log")).unwrap()
    }

    #[track_caller]
    fn until(&mut self, what: &str, done: impl Fn(&str) -> bool) {
        let begun = Instant::now();
        while !done(&self.log()) {
            assert!(self.child.try_wait().unwrap().is_none(), "it ended: {}", self.log());
            assert!(begun.elapsed() < Duration::from_mins(3), "{what}: {}", self.log());
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Alertmanager tells one of the intakes that the primary is down.
    #[track_caller]
    fn tell(&self, intake: usize) {
        let (name, ticket) = TICKETS[intake];
        let began = chrono::Utc::now().to_rfc3339();
        let body = json!({
            "version": "4", "status": "firing", "receiver": "drctl",
            "alerts": [{
                "status": "firing", "labels": { "alertname": "PrimaryDown" },
                "annotations": { "summary": "the primary does not answer" },
                "startsAt": began, "endsAt": "0001-01-01T00:00:00Z", "fingerprint": name,
            }],
        });
        let bearer = format!("Bearer {ticket}");
        let (path, headers) = (format!("/intake/{name}"), [("Authorization", bearer.as_str())]);
        let answer =
            lab::request(self.port, "POST", &path, &headers, body.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 202, "{}", answer.text());
    }
}

impl Drop for Runner<'_> {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.child);
        let _ = kill_process(pid, Signal::TERM);
        let _ = self.child.wait();
    }
}

#[test]
fn a_policy_leaves_a_dead_region_once_and_only_when_two_monitors_say_so() {
    let world = World::start(&WorldOptions::default());
    let writer = world.writer("app");
    writer.more(10);
    result(&world, &[&["snapshot", "petforce"]], 0);
    // 4: moto cannot prove all of it.
    result(&world, &[&["preflight"]], 4);
    let mut runner = Runner::start(&world);
    runner.until("samples", |_| {
        !world.west.moto().keys("petforce-dr-usw2", "dr/state/replication-petforce").is_empty()
    });
    writer.more(10);
    world.lose(&world.east, Fault::Kill);

    runner.tell(0);
    runner.until("a look at the incident", |log| log.contains("not by itself"));
    assert!(runner.log().contains("1 of 2 intakes"), "{}", runner.log());
    assert_eq!(result(&world, &[&["runs", "list"]], 0)["runs"], json!([]));

    let open = result(&world, &[&["incidents"]], 1);
    let incident = open["incidents"][0]["id"].as_str().expect("one is open").to_owned();
    assert_eq!(open["incidents"][0]["alerts"].as_array().map(Vec::len), Some(1), "{open}");
    runner.tell(1);
    runner.until("the beginning", |log| log.contains("BEGINS THE FAILOVER BY ITSELF"));
    serves_west(&world, &writer, "app");
    lost_only_the_newest(&world, &writer);
    let begun = Instant::now();
    let run = loop {
        let run = result(&world, &[&["runs", "show", "latest"]], 0);
        if !run["ending"].is_null() {
            break run;
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{run}");
        std::thread::sleep(Duration::from_millis(200));
    };
    // What is left to do is the quarantine of the primary that is gone.
    assert_eq!(run["ending"], "succeeded_with_failures", "{run}");
    let report = result(&world, &[&["runs", "report", "latest"]], 0);
    assert_eq!(report["report"]["within_rto"], true, "{report}");
    assert!(!world.slack.requests().is_empty() && !world.mail.mails().is_empty());

    // The epoch that the policy was armed for is over: it does not act a second time.
    runner.until("the end of the incident", |log| log.contains("epoch 1 has overtaken it"));
    result(&world, &[&["incidents", "close", &incident, "--reason", "it is done"]], 2);
    runner.tell(0);
    runner.tell(1);
    let heard = runner.log().len();
    runner.until("another look", |log| {
        log[heard..].contains("not by itself") || log[heard..].contains("overtaken")
    });
    let runs = result(&world, &[&["runs", "list"]], 0);
    assert_eq!(runs["runs"].as_array().map(Vec::len), Some(1), "{runs}");
    // Somebody who knows better ends the incident, and the runner leaves it alone.
    let open = result(&world, &[&["incidents"]], 1);
    let id = open["incidents"][0]["id"].as_str().expect("one is open").to_owned();
    assert_ne!(id, incident);
    result(&world, &[&["incidents", "close", &id, "--reason", "we have moved"]], 0);
    assert_eq!(result(&world, &[&["incidents"]], 0)["incidents"], json!([]));
    let standing: Value = result(&world, &[&["status"]], 1);
    assert_ne!(standing["active"]["region"], EAST, "{standing}");
}
