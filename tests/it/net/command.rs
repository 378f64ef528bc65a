//! `command.run`: real programs, ended in time, with nothing secret in what is kept of them.

use std::path::Path;
use std::time::Duration;

use drctl::error::Kind;
use drctl::providers::{DynAction, FailureClass, Observed, Standing};
use serde_json::{Value, json};

use super::scene::{LONG, Scene};
use crate::lab;

/// A run of its own: what another test runs for the same step of the same run would be ended as a
/// leftover of an earlier drctl.
fn scene() -> Scene {
    let mut scene = Scene::new("");
    scene.run.id = format!("{}-{}", lab::unique("run"), std::process::id());
    scene
}

fn run(scene: &Scene, with: Value) -> Box<dyn DynAction> {
    scene.action("command.run", with)
}

fn bash(script: &str) -> Value {
    json!(["bash", "-c", script])
}

async fn until_gone(pid: &str) {
    let path = format!("/proc/{pid}");
    let waiting = async {
        while Path::new(&path).exists() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), waiting)
        .await
        .unwrap_or_else(|_| panic!("{pid} lives"));
}

#[tokio::test]
async fn a_program_gets_its_arguments_the_run_and_no_more_variables() {
    let (scene, folder) = (scene(), lab::folder("command"));
    let action = run(
        &scene,
        json!({
            "argv": ["bash", "-c", "echo \"$1|$2\"; pwd; env", "x", "a b", "$HOME"],
            "env": { "COLOUR": "green" },
            "dir": folder.path(),
        }),
    );
    let applied = action.apply(&scene.cx(LONG)).await.unwrap();
    let stdout = applied.facts["stdout"].as_str().unwrap().to_owned();
    let mut lines = stdout.lines();
    assert_eq!(lines.next(), Some("a b|$HOME"), "no shell touches arguments");
    assert_eq!(lines.next(), folder.path().to_str());
    for line in [
        "COLOUR=green",
        "DRCTL_STEP=step",
        "DRCTL_MODE=forced",
        "DRCTL_FROM=us-east-1",
        "DRCTL_TO=us-west-2",
        "DRCTL_FENCE=7",
        "DRCTL_DRILL=0",
    ] {
        assert!(stdout.lines().any(|l| l == line), "{line} is not in {stdout}");
    }
    let mark = format!("DRCTL_RUN={}", scene.run.id);
    assert!(stdout.lines().any(|l| l == mark), "{mark} is not in {stdout}");
    // Those that bash sets by itself, and those that every program gets.
    let known = "COLOUR PWD OLDPWD SHLVL _ PATH HOME USER LOGNAME LANG LC_ALL TZ TMPDIR SSL_CERT_FILE SSL_CERT_DIR";
    for (name, _) in stdout.lines().skip(2).filter_map(|line| line.split_once('=')) {
        let known = name.starts_with("DRCTL_") || known.split(' ').any(|k| k == name);
        assert!(known, "{name} was passed on");
    }
    assert_eq!(applied.facts["exit_status"], 0);
}

#[tokio::test]
async fn nothing_secret_is_kept_of_what_a_program_says() {
    let scene = scene();
    let said = "echo out sesame-of-db $API_TOKEN; echo err sesame-of-db $API_TOKEN >&2";
    let env = json!({ "API_TOKEN": "sesame-of-env" });
    let action = run(&scene, json!({ "argv": bash(said), "env": env }));
    let applied = action.apply(&scene.cx(LONG)).await.unwrap();
    assert_eq!(applied.facts["stdout"], "out *** ***\n");
    let argv = bash(&format!("{said}; exit 3"));
    let action =
        run(&scene, json!({ "argv": argv, "env": env, "observe": argv, "idempotent": true }));
    let failure = action.apply(&scene.cx(LONG)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Transient);
    assert_eq!(failure.error.one_line(), "run bash: exit status: 3: err *** ***");
    let unclear = action.observe(&scene.cx(LONG)).await.unwrap_err();
    assert_eq!(unclear.class, FailureClass::Unknown);
    let all = format!(
        "{:?} {:?} {:?}",
        unclear.error,
        action.describe(),
        action.preflight(&scene.cx(LONG)).await
    );
    assert!(!all.contains("sesame"), "{all}");
}

#[tokio::test]
async fn at_the_deadline_the_whole_group_is_killed() {
    let (scene, folder) = (scene(), lab::folder("command"));
    // One child that heeds SIGTERM and one that does not.
    let script = "echo working; trap '' TERM; sleep 300 & echo $! > stubborn; \
                  (trap - TERM; exec sleep 300) & echo $! > tame; wait; wait";
    let action = run(&scene, json!({ "argv": bash(script), "dir": folder.path() }));
    let failure = action.apply(&scene.cx(Duration::from_secs(2))).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Unknown);
    let text = failure.error.one_line();
    assert!(text.contains("did not end in time") && text.ends_with(": working"), "{text}");
    for name in ["stubborn", "tame"] {
        until_gone(std::fs::read_to_string(folder.join(name)).unwrap().trim()).await;
    }
}

#[tokio::test]
async fn a_step_that_is_cut_off_leaves_no_program_behind() {
    let (scene, folder) = (scene(), lab::folder("command"));
    let file = folder.join("pid");
    let script = "sleep 300 & echo $! > pid.part; mv pid.part pid; wait";
    let action = run(&scene, json!({ "argv": bash(script), "dir": folder.path() }));
    let cx = scene.cx(LONG);
    let started = async {
        while !file.exists() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::select! {
        ended = action.apply(&cx) => panic!("it ended: {ended:?}"),
        () = started => {}
    }
    until_gone(std::fs::read_to_string(&file).unwrap().trim()).await;
}

#[tokio::test]
async fn something_left_running_does_not_hold_the_step_up() {
    let scene = scene();
    let action = run(&scene, json!({ "argv": bash("sleep 40 & echo $!") }));
    let applied = action.apply(&scene.cx(Duration::from_secs(20))).await.unwrap();
    let pid = applied.facts["stdout"].as_str().unwrap().trim().to_owned();
    assert!(Path::new(&format!("/proc/{pid}")).exists(), "what it left is its own affair");
    assert_eq!(lab::run(std::process::Command::new("kill").arg(pid)).code, 0);
}

/// As after a kill -9 of drctl: what it started goes on, and is ended before anything is run again.
#[tokio::test]
async fn what_an_earlier_drctl_left_at_work_is_ended_first() {
    let (scene, folder) = (scene(), lab::folder("command"));
    let leave = |step: &str| {
        let mut command = std::process::Command::new("sleep");
        command.arg("300").env("DRCTL_RUN", &scene.run.id).env("DRCTL_STEP", step);
        command.spawn().unwrap()
    };
    let with = json!({
        "argv": bash("echo x >> log"),
        "observe": bash("test -e done"),
        "dir": folder.path(),
    });
    let (mut same, mut other) = (leave("step"), leave("another"));
    run(&scene, with.clone()).apply(&scene.cx(LONG)).await.unwrap();
    assert!(!same.wait().unwrap().success());
    assert!(other.try_wait().unwrap().is_none(), "another step's was ended");
    assert_eq!(std::fs::read_to_string(folder.join("log")).unwrap(), "x\n");
    // It had come to its end just before it was ended.
    std::fs::write(folder.join("done"), "").unwrap();
    let mut same = leave("step");
    let applied = run(&scene, with).apply(&scene.cx(LONG)).await.unwrap();
    assert!(applied.summary.ends_with("it was done already"), "{}", applied.summary);
    assert!(!same.wait().unwrap().success());
    assert_eq!(std::fs::read_to_string(folder.join("log")).unwrap(), "x\n");
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_flood_of_output_is_bounded() {
    let scene = scene();
    let argv = bash("yes noise | head -c 5000000; echo last words");
    let applied = run(&scene, json!({ "argv": argv })).apply(&scene.cx(LONG)).await.unwrap();
    let kept = applied.facts["stdout"].as_str().unwrap();
    assert!(kept.len() < 5000 && kept.starts_with("[…] "), "{}", kept.len());
    assert!(kept.ends_with("last words\n"));
}

#[tokio::test]
async fn what_observe_says_counts() {
    let (scene, folder) = (scene(), lab::folder("command"));
    let with = json!({
        "argv": bash("echo x >> done"),
        "observe": bash("test -e done"),
        "compensate": ["rm", "-f", "done"],
        "dir": folder.path(),
    });
    let action = run(&scene, with.clone());
    let done = async || matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::Done(_));
    assert!(!done().await);
    action.apply(&scene.cx(LONG)).await.unwrap();
    assert!(done().await);
    assert_eq!(action.describe().compensation.as_deref(), Some("run `rm -f done`"));
    for _ in 0..2 {
        action.compensate(&scene.cx(LONG)).await.unwrap();
        assert!(!done().await);
    }
    for (script, class) in
        [("exit 2", FailureClass::Unknown), ("kill -9 $$", FailureClass::Unknown)]
    {
        let mut unclear = with.clone();
        unclear["observe"] = bash(script);
        let failure = run(&scene, unclear).observe(&scene.cx(LONG)).await.unwrap_err();
        assert_eq!(failure.class, class, "{script}");
    }
}

#[tokio::test]
async fn without_observe_only_what_may_run_twice_is_run_again() {
    let scene = scene();
    let action = run(&scene, json!({ "argv": ["true"] }));
    let failure = action.observe(&scene.cx(LONG)).await.unwrap_err();
    assert_eq!((failure.class, failure.error.kind()), (FailureClass::Permanent, Kind::Unverified));
    assert!(action.describe().details.iter().any(|d| d.contains("the run stops there")));
    let failure =
        run(&scene, json!({ "argv": ["false"] })).apply(&scene.cx(LONG)).await.unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    let action = run(&scene, json!({ "argv": ["true"], "idempotent": true }));
    assert!(matches!(action.observe(&scene.cx(LONG)).await.unwrap(), Observed::NotDone(_)));
}

#[tokio::test]
async fn a_program_that_is_not_there_is_found_out_beforehand() {
    let scene = scene();
    let standings = async |with: Value| {
        let checks = run(&scene, with).preflight(&scene.cx(LONG)).await;
        checks.iter().map(|check| check.standing).collect::<Vec<_>>()
    };
    use Standing::{NotReady, Ready, Unproven, Warning};
    assert_eq!(standings(json!({ "argv": ["no-such-program"] })).await, [NotReady]);
    assert_eq!(standings(json!({ "argv": ["true"] })).await, [Ready, Warning, Unproven]);
    let observed = json!({ "argv": ["true"], "observe": ["false"] });
    assert_eq!(standings(observed).await, [Ready, Ready, Ready, Unproven]);
    let unset = json!({ "argv": ["true"], "pass_env": ["DRCTL_NO_SUCH_VARIABLE"] });
    assert_eq!(standings(unset).await, [NotReady]);
    let failure = run(&scene, json!({ "argv": ["no-such-program"] }))
        .apply(&scene.cx(LONG))
        .await
        .unwrap_err();
    assert_eq!(failure.class, FailureClass::Permanent);
    let Err(e) = scene.try_action("command.run", json!({ "argv": [] })) else { panic!() };
    assert_eq!(e.kind(), Kind::Usage);
}
