//! Runs by the built binary: killed at any moment and resumed, two operators, approvals, aborts,
//! pauses and journals that were tampered with.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;
use crate::lab;

/// A step that leaves a line in the file `effects`, at once, and is told by it.
pub fn step(id: &str, needs: &[&str], more: &str) -> String {
    format!(
        "[[step]]\nid = \"{id}\"\nuses = \"command.run\"\nneeds = {needs:?}\ntimeout = \"20s\"\n\
         retries = 1\n{more}\n[step.with]\n\
         argv = [\"sh\", \"-c\", \"sleep 0.03; echo {id} >> effects\"]\n\
         observe = [\"grep\", \"-qx\", \"{id}\", \"effects\"]\n\
         compensate = [\"sh\", \"-c\", \"echo undo {id} >> effects\"]\n"
    )
}

const STEPS: [&str; 6] = ["freeze", "fence", "scale", "promote", "swap", "tell"];

pub fn failover(approve: &str) -> String {
    [
        "title = \"Region failure\"\nrto = \"5m\"\n".to_owned(),
        step("freeze", &[], ""),
        step("fence", &["freeze"], ""),
        step("scale", &["freeze"], ""),
        "[[step]]\nid = \"epoch\"\nuses = \"epoch.activate\"\nneeds = [\"fence\", \"scale\"]\n\
         timeout = \"20s\"\nwith = { region = \"${regions.standby}\" }\n"
            .to_owned(),
        step("promote", &["epoch"], &format!("point_of_no_return = true\n{approve}")),
        step("swap", &["promote"], ""),
        step("tell", &["swap"], "on_failure = \"continue\""),
    ]
    .join("\n")
}

pub fn home(runbook: &str) -> Home {
    let home = Home::local("host=nowhere", "");
    std::fs::create_dir(home.folder.join("runbooks")).unwrap();
    std::fs::write(home.folder.join("runbooks/region-failover.toml"), runbook).unwrap();
    std::fs::write(home.folder.join("effects"), "").unwrap();
    home
}

pub const BEGIN: [&str; 5] =
    ["failover", "--confirm", "us-west-2", "--skip-preflight", "a test without servers"];

pub fn effects(home: &Home) -> Vec<String> {
    let text = std::fs::read_to_string(home.folder.join("effects")).unwrap();
    text.lines().map(str::to_owned).collect()
}

pub fn counted(home: &Home) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for effect in effects(home) {
        *counts.entry(effect).or_default() += 1;
    }
    counts
}

pub fn once() -> BTreeMap<String, usize> {
    STEPS.iter().map(|step| ((*step).to_owned(), 1)).collect()
}

/// Waits until a run has left this effect.
pub fn until(home: &Home, effect: &str) {
    let begun = Instant::now();
    while !effects(home).iter().any(|e| e == effect) {
        assert!(begun.elapsed() < Duration::from_secs(30), "no {effect}: {:?}", effects(home));
        std::thread::sleep(Duration::from_millis(5));
    }
}

pub fn quiet(mut command: Command) -> Child {
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// A random number that a seed gives again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % n
    }
}

#[test]
fn a_run_leaves_each_effect_once_and_an_intact_journal() {
    let home = home(&failover(""));
    let planned = home.json(&["failover", "--dry-run"], 0);
    assert_eq!(planned["plan"]["steps"].as_array().unwrap().len(), 7);
    assert!(effects(&home).is_empty() && home.west.keys_with("runs/").is_empty());
    home.run(&["failover"], 4); // no preflight
    home.run(&["failover", "--confirm", "us-east-1"], 2);
    home.run(&["failover", "--skip-preflight", "test"], 2); // nobody can be asked
    assert!(effects(&home).is_empty());

    let ran = home.run(&BEGIN, 0);
    assert_eq!(counted(&home), once());
    assert!(ran.stdout.contains("Done: Region failure"), "{}", ran.stdout);
    for piece in ["THE POINT OF NO RETURN", "promote: done in", "RTO 05:00", "left"] {
        assert!(ran.stderr.contains(piece), "no {piece} in {}", ran.stderr);
    }
    let epoch: serde_json::Value =
        serde_json::from_slice(&home.west.get("state/epoch.json")).unwrap();
    assert_eq!((&epoch["number"], &epoch["region"]), (&1.into(), &"us-west-2".into()));
    // The service is not where this runbook takes it from any more.
    let again = home.run(&["failover", "--confirm", "us-west-2"], 4).stderr;
    assert!(again.contains("starts from us-east-1, and us-west-2 is the active region"), "{again}");
    let listed = home.json(&["runs", "list"], 0);
    assert_eq!(listed["runs"][0]["ending"], "succeeded");
    let shown = home.run(&["runs", "show", "latest"], 0).stdout;
    assert!(shown.contains("succeeded") && shown.contains("promote"), "{shown}");
    home.json(&["runs", "verify"], 0);

    let told = home.run(&["runs", "report", "latest"], 0).stdout;
    let pages = tempfile::tempdir().unwrap();
    let out = pages.path().to_str().unwrap();
    let report = home.json(&["runs", "report", "latest", "--out", out], 0);
    let files: Vec<String> = serde_json::from_value(report["files"].clone()).unwrap();
    let [html, markdown, json] = files
        .iter()
        .map(|f| std::fs::read_to_string(f).unwrap())
        .collect::<Vec<_>>()
        .try_into()
        .unwrap();
    assert_eq!(markdown, told);
    let id = listed["runs"][0]["run"].as_str().unwrap();
    assert!(html.starts_with("<!DOCTYPE html>") && html.contains("<svg") && html.contains(id));
    assert!(markdown.contains(id), "{markdown}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json, report["report"]);
    home.run(&["resume", "latest"], 2);
    home.run(&["abort", "latest"], 2);

    let entries = home.west.keys_with("/00000003.json");
    let text = String::from_utf8(home.west.get(&entries[0])).unwrap();
    home.west.put(&entries[0], text.replace("\"at\":\"20", "\"at\":\"19").as_bytes());
    let shown = home.run(&["runs", "verify"], 3).stdout;
    assert!(shown.contains("entry 3"), "{shown}");
    home.run(&["runs", "show", "latest"], 3);
}

/// A quick form; `DRCTL_KILL_RUNS=200` is the long one.
#[test]
fn killed_at_any_moment_and_resumed_anywhere_it_ends_the_same() {
    let runs = std::env::var("DRCTL_KILL_RUNS").ok().and_then(|n| n.parse().ok()).unwrap_or(8);
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    // How long one takes, to spread the kills over.
    let first = home(&failover(""));
    let begun = Instant::now();
    first.run(&BEGIN, 0);
    let whole = u64::try_from(begun.elapsed().as_millis()).unwrap().max(100);
    let mut killed = 0;
    for round in 0..runs {
        let home = home(&failover(""));
        let mut tries = 0;
        loop {
            tries += 1;
            assert!(tries < 60, "round {round} does not end");
            // The same machine, or another.
            let machine = home.folder.join(format!("state-{}", dice.below(2)));
            let begun = !home.west.keys_with("/00000000.json").is_empty();
            let args: &[&str] = if begun { &["resume", "latest"] } else { &BEGIN };
            let mut command = home.command(args);
            command.env("DRCTL_STATE_DIR", &machine);
            if tries > 12 {
                // Let it come to its end.
                let ran = lab::run(&mut command);
                assert_eq!(ran.code, 0, "round {round}: {}{}", ran.stdout, ran.stderr);
                break;
            }
            let mut child = quiet(command);
            let moment = Duration::from_millis(dice.below(whole));
            let began = Instant::now();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    break Some(status);
                }
                if began.elapsed() >= moment {
                    break None;
                }
                std::thread::sleep(Duration::from_millis(1));
            };
            match ended {
                None => {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    killed += 1;
                }
                Some(status) if status.code() == Some(0) => break,
                // Killed after the end was written: nothing is left to do.
                Some(status) => {
                    assert_eq!(status.code(), Some(2), "round {round}");
                    let listed = home.json(&["runs", "list"], 0);
                    assert_eq!(listed["runs"][0]["ending"], "succeeded", "round {round}");
                    break;
                }
            }
        }
        assert_eq!(counted(&home), once(), "round {round}, after {tries} tries");
        let epoch: serde_json::Value =
            serde_json::from_slice(&home.west.get("state/epoch.json")).unwrap();
        assert_eq!(epoch["number"], 1, "round {round}");
        let listed = home.json(&["runs", "list"], 0);
        assert_eq!(listed["runs"].as_array().unwrap().len(), 1, "round {round}");
        assert_eq!(listed["runs"][0]["ending"], "succeeded", "round {round}");
        proven(&home, &home.folder.join("nowhere"));
    }
    assert!(killed >= runs, "only {killed} kills in {runs} runs");
}

/// The journal in the store, without a local copy beside it, is intact.
fn proven(home: &Home, machine: &Path) {
    let mut command = home.command(&["runs", "verify", "--json"]);
    let ran = lab::run(command.env("DRCTL_STATE_DIR", machine));
    let result = ran.result();
    assert_eq!(result["runs"][0]["intact"], true, "{result}");
}

#[test]
fn a_second_operator_is_told_and_takes_over_once_the_first_is_dead() {
    let slow = failover("").replace("sleep 0.03; echo promote", "sleep 30; echo promote");
    let home = home(&slow);
    let mut first = quiet(home.command(&BEGIN));
    until(&home, "scale");
    while home.west.keys_with("state/epoch.json").is_empty() {
        std::thread::sleep(Duration::from_millis(5));
    }
    let second = home.run(&BEGIN, 5).stderr;
    for piece in ["has not ended", "drctl runs show"] {
        assert!(second.contains(piece), "no {piece} in {second}");
    }
    let resumed = home.run(&["resume", "latest"], 5).stderr;
    for piece in ["held by", "since", "pid", "drctl takeover"] {
        assert!(resumed.contains(piece), "no {piece} in {resumed}");
    }
    let status = home.run(&["runs", "list"], 0).stdout;
    assert!(status.contains("open"), "{status}");
    first.kill().unwrap();
    first.wait().unwrap();
    // `promote` may have happened, so there is no way back any more.
    home.run(&["abort", "latest"], 2);
}

#[test]
fn a_step_waits_for_a_second_person() {
    let home = home(&failover("approve = { who = \"second-person\", timeout = \"30s\" }"));
    let mut run = home.command(&BEGIN);
    run.args(["--as", "ann"]);
    let mut run = quiet(run);
    let asked = Instant::now();
    loop {
        let shown = lab::run(&mut home.command(&["runs", "show", "latest"]));
        if shown.stdout.contains("WAITS FOR APPROVAL: drctl approve") {
            break;
        }
        assert!(asked.elapsed() < Duration::from_secs(30), "{}{}", shown.stdout, shown.stderr);
    }
    home.run(&["approve", "latest", "promote", "--as", "ann"], 2);
    home.run(&["approve", "latest", "nothing", "--as", "bob"], 2);
    assert!(!effects(&home).contains(&"promote".to_owned()));
    home.run(&["approve", "latest", "promote", "--as", "bob", "--reason", "agreed"], 0);
    assert_eq!(run.wait().unwrap().code(), Some(0));
    assert_eq!(counted(&home), once());
    let again = home.run(&["approve", "latest", "promote", "--as", "eve"], 2).stderr;
    assert!(again.contains("is over"), "{again}");
}

#[test]
fn an_approval_that_comes_late_lets_resume_go_on() {
    let home = home(&failover("approve = { who = \"second-person\", timeout = \"1s\" }"));
    let mut run = home.command(&BEGIN);
    run.args(["--as", "ann"]);
    let stopped = lab::run(&mut run).expect(1);
    assert!(stopped.stdout.contains("nobody approved within 1s"), "{}", stopped.stdout);
    let late = home.run(&["approve", "latest", "promote", "--as", "bob"], 0).stdout;
    assert!(late.contains("To go on: drctl resume"), "{late}");
    home.run(&["resume", "latest", "--as", "ann"], 0);
    assert_eq!(counted(&home), once());
}

#[test]
fn a_signal_pauses_and_an_abort_undoes_in_reverse() {
    let slow = failover("").replace("sleep 0.03; echo scale", "sleep 1; echo scale");
    let home = home(&slow);
    let mut run = quiet(home.command(&BEGIN));
    until(&home, "fence");
    let pid = Pid::from_child(&run);
    kill_process(pid, Signal::INT).unwrap();
    assert_eq!(run.wait().unwrap().code(), Some(1));
    assert_eq!(effects(&home), ["freeze", "fence", "scale"], "what was under way is waited for");
    let listed = home.json(&["runs", "list"], 0);
    assert_eq!(listed["runs"][0]["paused"], true);
    let ran = home.run(&["abort", "latest", "--reason", "the region is back"], 0);
    assert!(ran.stdout.contains("Aborted"), "{}", ran.stdout);
    let undone = &effects(&home)[3..];
    assert_eq!(undone.len(), 3);
    assert_eq!(undone[2], "undo freeze");
    home.run(&["resume", "latest"], 2);
    home.json(&["runs", "verify"], 0);
}
