//! Runs whose control store is away, and runs that are taken from an operator who gives no sign of
//! life.

use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::{Home, Vault};
use crate::lab;
use crate::runs::{BEGIN, counted, effects, failover, home, once, quiet, until};

/// The runbook without its epoch, which only the control store can give.
fn without_epoch() -> String {
    let text = failover("");
    let (before, rest) = text.split_once("[[step]]\nid = \"epoch\"").unwrap();
    let rest = &rest[rest.find("[[step]]").unwrap()..];
    format!("{before}{rest}").replace("needs = [\"epoch\"]", "needs = [\"fence\", \"scale\"]")
}

/// The control store is away while `act` runs: its folder is no folder.
fn while_away<T>(home: &Home, act: impl FnOnce() -> T) -> T {
    let Vault::Dir(folder) = &home.west else { unreachable!("the stores are folders") };
    let aside = folder.with_extension("aside");
    std::fs::rename(folder, &aside).unwrap();
    std::fs::write(folder, "").unwrap();
    let result = act();
    std::fs::remove_file(folder).unwrap();
    std::fs::rename(&aside, folder).unwrap();
    result
}

#[test]
fn without_its_control_store_a_run_goes_on_only_when_told_to() {
    let home = home(&without_epoch());
    home.run(&["doctor"], 1);
    while_away(&home, || {
        let refused = home.run(&BEGIN, 1).stderr;
        assert!(refused.contains("--local-journal"), "{refused}");
        assert!(effects(&home).is_empty());

        let ran = home.run(&[&BEGIN[..], &["--local-journal"]].concat(), 0);
        assert_eq!(counted(&home), once());
        for piece in ["NO LEASE", "which region is active is not known"] {
            assert!(ran.stderr.contains(piece), "no {piece} in {}", ran.stderr);
        }
        let shown = home.run(&["runs", "show", "latest"], 0);
        assert!(shown.stdout.contains("succeeded"), "{}", shown.stdout);
    });
    assert!(home.west.keys_with("runs/").is_empty());
    // It is over, and what the store missed is brought to it.
    home.run(&["resume", "latest"], 2);
    assert!(!home.west.keys_with("runs/").is_empty());
    home.json(&["runs", "verify"], 0);
    assert_eq!(counted(&home), once());
}

#[test]
fn a_run_is_taken_from_a_silent_operator_who_then_stops() {
    let slow = failover("").replace("sleep 0.03; echo scale", "sleep 2; echo scale");
    let home = home(&slow);
    let mut first = quiet(home.command(&BEGIN));
    until(&home, "fence");
    let pid = Pid::from_child(&first);
    kill_process(pid, Signal::STOP).unwrap();

    home.run(&["resume", "latest", "--as", "bob"], 5);
    let begun = Instant::now();
    let ran = home.run(&["takeover", "latest", "--as", "bob"], 0);
    // Not before the lease has run out: it might only have been slow.
    assert!(begun.elapsed() > Duration::from_secs(10), "after {:?}", begun.elapsed());
    assert!(ran.stderr.contains("for a sign of life of"), "{}", ran.stderr);
    assert_eq!(counted(&home), once());

    kill_process(pid, Signal::CONT).unwrap();
    let code = first.wait().unwrap().code();
    assert!(matches!(code, Some(1 | 5)), "{code:?}");
    assert_eq!(counted(&home), once(), "the first did nothing more");
    home.json(&["runs", "verify"], 0);
    let shown = lab::run(&mut home.command(&["runs", "list"])).stdout;
    assert!(shown.contains("succeeded"), "{shown}");
}
