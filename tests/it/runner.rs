//! `drctl runner` and `drctl jobs` with a real database, two stores, and real processes that die.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, kill_process_group};
use serde_json::Value;

use crate::home::Home;
use crate::lab::{self, Answer, Postgres, Receiver};

/// Due at once, as it never ran, and then not before a new year.
const JOB: &str = "[[job]]\nrun = \"snapshot\"\non = \"0 0 1 1 *\"\n";

fn home(server: &Postgres, more: &str) -> Home {
    let db = server.fresh_db("runner");
    server.psql(&db, "CREATE TABLE t AS SELECT generate_series(1, 1000) AS n");
    let bin = server.bin_dir();
    let more = format!("pg_bin = \"{}\"\n{more}", bin.display());
    Home::local(&format!("{}?sslmode=disable", server.url(&db)), &more)
}

/// A runner in the background; killed with all it started when the test ends.
struct Running {
    child: Child,
    log: PathBuf,
}

impl Running {
    fn start(home: &Home, name: &str) -> Self {
        let log = home.folder.join(format!("{name}.log"));
        let mut command = home.command(&["runner", "--name", name, "--log", "json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let child = command.stderr(File::create(&log).unwrap()).spawn().unwrap();
        let running = Self { child, log };
        running.until("it starts", |log| happened(log, "runner_started", "").next().is_some());
        running
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    fn log(&self) -> Vec<Value> {
        let text = std::fs::read_to_string(&self.log).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }

    #[track_caller]
    fn until(&self, what: &str, done: impl Fn(&[Value]) -> bool) {
        let begun = Instant::now();
        while !done(&self.log()) {
            let log = std::fs::read_to_string(&self.log).unwrap();
            assert!(begun.elapsed() < Duration::from_secs(120), "not within 2 min: {what}\n{log}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Tells it to stop and gives its exit code.
    fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.child.wait().unwrap().code()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Its jobs end with their stdin.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The events of a kind, of a unit where one is named.
fn happened<'l>(
    log: &'l [Value],
    event: &'l str,
    unit: &'l str,
) -> impl Iterator<Item = &'l Value> {
    log.iter()
        .filter(move |line| line["event"] == event && (unit.is_empty() || line["unit"] == unit))
}

fn ended(log: &[Value], verdict: &str) -> usize {
    happened(log, "job_ended", "").filter(|line| line["outcome"]["verdict"] == verdict).count()
}

/// The only job, as `drctl jobs` has it.
fn job(home: &Home, code: i32) -> Value {
    home.json(&["jobs"], code)["standing"]["jobs"][0].clone()
}

/// The processes that have `pid` for their parent.
fn children(pid: Pid) -> Vec<Pid> {
    let tasks = format!("/proc/{0}/task", pid.as_raw_nonzero());
    let tasks = std::fs::read_dir(tasks).into_iter().flatten().flatten();
    let lists = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    let all: String = lists.collect();
    all.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().unwrap())).collect()
}

#[test]
fn a_runner_takes_snapshots_into_both_stores_and_jobs_tells_of_them() {
    let server = lab::shared_pg15();
    let receiver = Receiver::start();
    let beat = format!("heartbeat = \"{}\"\n", receiver.url("/beat"));
    let home = home(server, &format!("{JOB}{beat}"));
    assert_eq!(job(&home, 1)["state"]["known"]["last"], Value::Null);
    let runner = Running::start(&home, "one");
    runner.until("a snapshot", |log| ended(log, "done") == 1);
    let known = job(&home, 0);
    let last = &known["state"]["known"]["last"];
    assert_eq!((&last["verdict"], &last["runner"]), (&"done".into(), &"one".into()), "{known}");
    assert!(last["summary"].as_str().unwrap().contains("1000 rows"), "{last}");
    assert_eq!(known["due"], Value::Null, "{known}");
    for store in [&home.east, &home.west] {
        assert_eq!(store.keys_with("manifest.json").len(), 1);
        assert_eq!(store.keys_with("state/job-snapshot.petforce.json").len(), 1);
    }
    let begun = Instant::now();
    while receiver.requests().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the heartbeat was not called");
        std::thread::sleep(Duration::from_millis(20));
    }
    let shown = home.run(&["jobs"], 0).stdout;
    assert!(shown.contains("runner one on "), "{shown}");
    assert_eq!(runner.stop(), Some(0));
    // Nothing is held, nobody is missed, and the turn is done whoever asks.
    let shown = home.run(&["jobs"], 0).stdout;
    assert!(shown.contains("no runner gives a sign of life"), "{shown}");
    assert!(!home.run(&["unlock"], 0).stdout.contains(": held;"), "{}", home.said());
    let again = home.run(&["runner", "--once"], 0);
    assert!(again.stdout.contains("Nothing was due"), "{}", again.stdout);
    assert!(!home.said().contains("sslmode"), "{}", home.said());
}

/// Keeps a snapshot waiting for its table locks for as long as it lives.
struct Lock<'s> {
    server: &'s Postgres,
    db: String,
    psql: Child,
}

impl<'s> Lock<'s> {
    fn take(server: &'s Postgres, home: &Home) -> Self {
        let text = std::fs::read_to_string(home.folder.join("drctl.toml")).unwrap();
        let url = text.split("'''").nth(1).unwrap().to_owned();
        let mut psql = server.program("psql");
        psql.args([
            "-d",
            &url,
            "-c",
            "BEGIN; LOCK t IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(300)",
        ]);
        let psql = psql.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let db = url.rsplit('/').next().unwrap().split('?').next().unwrap().to_owned();
        let begun = Instant::now();
        let held = "SELECT count(*) FROM pg_locks WHERE mode = 'AccessExclusiveLock' AND granted \
                    AND relation = 't'::regclass";
        while server.psql(&db, held).trim() != "1" {
            assert!(begun.elapsed() < Duration::from_secs(30), "the lock was not taken");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { server, db, psql }
    }

    fn let_go(self) {
        drop(self);
    }
}

#[test]
fn a_job_of_a_runner_that_is_killed_or_stopped_gives_back_what_it_holds() {
    let server = lab::shared_pg15();
    let home = home(server, &format!("lock_timeout = \"10min\"\n{JOB}"));
    for signal in [Signal::KILL, Signal::TERM] {
        let lock = Lock::take(server, &home);
        let mut runner = Running::start(&home, "one");
        runner.until("a snapshot under way", |log| happened(log, "job_started", "").count() == 1);
        let begun = Instant::now();
        while !home.run(&["unlock"], 0).stdout.contains("snapshot-petforce") {
            assert!(begun.elapsed() < Duration::from_secs(60), "the snapshot took no lease");
            std::thread::sleep(Duration::from_millis(50));
        }
        let jobs = children(runner.pid());
        assert_eq!(jobs.len(), 1, "{jobs:?}");
        runner.signal(signal);
        runner.child.wait().unwrap();
        let begun = Instant::now();
        while rustix::process::test_kill_process(jobs[0]).is_ok() {
            assert!(begun.elapsed() < Duration::from_secs(30), "the job outlives its runner");
            std::thread::sleep(Duration::from_millis(50));
        }
        assert_eq!(ended(&runner.log(), "interrupted"), usize::from(signal == Signal::TERM));
        drop(lock);
    }
    // The next one goes on at once: nothing is held.
    let next = Running::start(&home, "two");
    next.until("a snapshot", |log| ended(log, "done") == 1);
    assert_eq!(home.west.keys_with("manifest.json").len(), 1);
}

impl Drop for Lock<'_> {
    fn drop(&mut self) {
        // The server notices the end of a client only when it has something to tell it.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> \
                   pg_backend_pid() AND datname = current_database() AND query LIKE '%pg_sleep%'";
        let _ = self.server.try_psql(&self.db, end);
        let _ = self.psql.kill();
        let _ = self.psql.wait();
    }
}

/// As on a machine that lost power: runner and job end at once and give nothing back, and nobody can
/// know that their processes are gone.
#[test]
fn a_runner_that_dies_with_its_job_is_replaced_when_the_lease_has_run_out() {
    const TTL: u64 = 60;
    let server = lab::shared_pg15();
    let home =
        home(server, &format!("lock_timeout = \"10min\"\n{JOB}[objectives]\nrpo = \"5min\"\n"));
    // The age of this one is what people would be warned of; it is no turn of the job.
    home.json(&["snapshot", "petforce", "--full"], 0);
    let lock = Lock::take(server, &home);
    let mut one = Running::start(&home, "one");
    one.until("a snapshot under way", |log| happened(log, "job_started", "").count() == 1);
    let begun = Instant::now();
    while !home.run(&["unlock"], 0).stdout.contains("snapshot-petforce") {
        assert!(begun.elapsed() < Duration::from_secs(60), "the snapshot took no lease");
        std::thread::sleep(Duration::from_millis(50));
    }
    let two = Running::start(&home, "two");
    two.until("it sees the other", |log| happened(log, "job_elsewhere", "").next().is_some());
    let jobs = children(one.pid());
    one.signal(Signal::KILL);
    kill_process_group(jobs[0], Signal::KILL).unwrap();
    one.child.wait().unwrap();
    let died = Instant::now();
    for store in [&home.east, &home.west] {
        for key in store.keys_with("leases/") {
            let mut lease: Value = serde_json::from_slice(&store.get(&key)).unwrap();
            if lease["holder"]["pid"] == two.child.id() {
                continue;
            }
            // What tells that its process is gone, on this one machine.
            lease["holder"].as_object_mut().unwrap().remove("process");
            store.put(&key, lease.to_string().as_bytes());
        }
    }
    lock.let_go();
    two.until("the snapshot", |log| ended(log, "done") == 1);
    let after = died.elapsed();
    assert!(after >= Duration::from_secs(TTL - 5), "it was taken over too soon: {after:?}");
    let log = two.log();
    let begun = happened(&log, "job_started", "").last().unwrap();
    let ended = happened(&log, "job_ended", "").last().unwrap();
    let at = |line: &Value| {
        line["at"].as_str().unwrap().parse::<chrono::DateTime<chrono::Utc>>().unwrap()
    };
    let took = (at(ended) - at(begun)).to_std().unwrap();
    println!("replaced {:?} after the death, snapshot after {after:?}", after.saturating_sub(took));
    assert!(after.saturating_sub(took) <= Duration::from_secs(TTL + 5), "{after:?} less {took:?}");
    assert!(happened(&log, "alert", "").all(|line| {
        !line["alert"]["key"].as_str().unwrap().starts_with("rpo/")
            || line["alert"]["resolved"] == true
    }));
    // The diary hears of the end first, the record next.
    let begun = Instant::now();
    let record = loop {
        let record: Value =
            serde_json::from_slice(&home.west.get("state/job-snapshot.petforce.json")).unwrap();
        if record["running"].is_null() || begun.elapsed() > Duration::from_secs(30) {
            break record;
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    let verdicts: Vec<_> =
        record["outcomes"].as_array().unwrap().iter().map(|o| o["verdict"].clone()).collect();
    assert_eq!(verdicts, ["interrupted", "done"], "{record}");
}

#[test]
fn a_configuration_is_read_anew_and_a_wrong_one_is_refused() {
    let server = lab::shared_pg15();
    let home = home(server, JOB);
    let runner = Running::start(&home, "one");
    runner.until("a snapshot", |log| ended(log, "done") == 1);
    let path = home.folder.join("drctl.toml");
    let good = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, format!("{good}\n[[job]]\nrun = \"verfiy\"\non = \"0 0 1 1 *\"\n"))
        .unwrap();
    runner.signal(Signal::HUP);
    runner.until("the refusal", |log| happened(log, "config_refused", "").count() == 1);
    let log = runner.log();
    let refused = happened(&log, "config_refused", "").next().unwrap();
    assert!(refused["error"].as_str().unwrap().contains("did you mean `verify`"), "{refused}");
    std::fs::write(&path, format!("{good}\n[[job]]\nrun = \"verify\"\non = \"0 0 1 1 *\"\n"))
        .unwrap();
    runner.signal(Signal::HUP);
    runner.until("the new job", |log| {
        happened(log, "job_ended", "verify.petforce")
            .any(|line| line["outcome"]["verdict"] == "done")
    });
    assert_eq!(ended(&runner.log(), "done"), 2, "the snapshot is not taken again");
    assert_eq!(runner.stop(), Some(0));
}

#[test]
fn what_fails_is_told_with_its_reason_and_tried_again() {
    let server = lab::shared_pg15();
    let home = home(server, JOB);
    let path = home.folder.join("drctl.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let url = text.split("'''").nth(1).unwrap();
    std::fs::write(&path, text.replace(url, "postgresql://geheim:geheim@127.0.0.1:1/none"))
        .unwrap();
    let ran = home.run(&["runner", "--once", "--log", "text"], 1);
    assert!(ran.stdout.contains("1 job run, 1 not well"), "{}", ran.stdout);
    assert!(ran.stderr.contains("warning: snapshot.petforce: failed"), "{}", ran.stderr);
    let shown = home.run(&["jobs"], 1).stdout;
    assert!(
        shown.contains("snapshot of petforce failed") && shown.contains("127.0.0.1"),
        "{shown}"
    );
    assert!(!home.said().contains("geheim"), "{}", home.said());
    let known = job(&home, 1);
    assert_eq!(known["state"]["known"]["failures"], 1, "{known}");
    // Too soon for another try.
    assert!(home.run(&["runner", "--once"], 0).stdout.contains("Nothing was due"));
}

#[test]
fn a_command_of_a_job_that_is_run_by_hand_counts_as_its_turn() {
    let server = lab::shared_pg15();
    let home = home(server, JOB);
    let due = home.json(&["runner", "--once", "--dry-run"], 0);
    assert_eq!(due["due"].as_array().unwrap().len(), 1, "{due}");
    home.snapshot();
    let known = job(&home, 0);
    let last = &known["state"]["known"]["last"];
    assert!(last["runner"].as_str().unwrap().contains(" on "), "{last}");
    assert!(home.run(&["runner", "--once"], 0).stdout.contains("Nothing was due"));
}

#[test]
fn a_runner_without_jobs_or_with_impossible_ones_says_what_to_write() {
    let home = Home::local("postgresql://h/d", "");
    let ran = home.run(&["runner"], 2);
    assert!(
        ran.stderr.contains("has no [[job]]") && ran.stderr.contains("Hint:"),
        "{}",
        ran.stderr
    );
    home.write(
        "postgresql://h/d",
        "[[job]]\nrun = \"verify\"\non = \"hourly\"\nargs = [\"--dept\"]\n",
    );
    let ran = home.run(&["runner"], 2);
    assert!(ran.stderr.contains("drctl verify petforce --dept"), "{}", ran.stderr);
    home.write("postgresql://h/d", "[[job]]\nrun = \"verify\"\non = \"every hour\"\n");
    let ran = home.run(&["runner"], 2);
    assert!(ran.stderr.contains("five fields of cron"), "{}", ran.stderr);
}

#[test]
fn a_heartbeat_that_fails_fails_no_job() {
    let server = lab::shared_pg15();
    let receiver = Receiver::start();
    receiver.answers(Answer::says(500, "no"));
    let home = home(server, &format!("{JOB}heartbeat = \"{}\"\n", receiver.url("/secret-path")));
    let ran = home.run(&["runner", "--once", "--log", "text"], 0);
    assert!(ran.stderr.contains("call the heartbeat at 127.0.0.1: status 500"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("secret-path"), "{}", ran.stderr);
}
