//! The processes that belong to a drill, found by its id: every one that it starts has the id in its
//! environment, and what those start works in the drill's folder. A number alone names no process,
//! so each is known by its number and the time of its start.

use std::fs;
use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::error::{Error, Kind, Result};
use crate::model::DrillId;

/// The variable that every process of a drill has.
pub const MARK: &str = "DRCTL_DRILL_ID";
/// The variable that every program of a step has (docs/runbooks.md).
const RUN_MARK: &str = "DRCTL_RUN";

/// How long they may take to be gone after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a server may take to end by itself.
const POLITE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);

/// A process by its number and start.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Found {
    pid: i32,
    started: String,
}

/// Ends every process of a drill, and gives how many there were. Only where there is /proc (Linux)
/// are they found.
pub async fn end(id: &DrillId, folder: Option<&Path>) -> Result<usize> {
    end_marked(id, &format!("{MARK}={id}"), folder).await
}

/// Ends the programs that steps of a drill's run started.
pub async fn end_of_run(id: &DrillId, run: &str) -> Result<usize> {
    end_marked(id, &format!("{RUN_MARK}={run}"), None).await
}

async fn end_marked(id: &DrillId, mark: &str, folder: Option<&Path>) -> Result<usize> {
    let all = belonging(Path::new("/proc"), mark, folder);
    // A server that is told to quit takes its own children along.
    signal(&all, Signal::QUIT);
    if !gone(mark, folder, POLITE, None).await {
        gone(mark, folder, PATIENCE, Some(Signal::KILL)).await;
    }
    let left = belonging(Path::new("/proc"), mark, folder);
    match left.is_empty() {
        true => Ok(all.len()),
        false => {
            let pids: Vec<_> = left.iter().map(|found| found.pid.to_string()).collect();
            let what = format!("end the processes {} of drill {id}", pids.join(", "));
            Err(Error::new(Kind::Failed, what).hint("end them by hand, then run a drill again"))
        }
    }
}

/// Waits until no process of the drill is left; with a signal, sends that again and again.
async fn gone(mark: &str, folder: Option<&Path>, limit: Duration, with: Option<Signal>) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        let left = belonging(Path::new("/proc"), mark, folder);
        if left.is_empty() {
            return true;
        }
        if Instant::now() >= deadline {
            return false;
        }
        if let Some(with) = with {
            signal(&left, with);
        }
        sleep(AGAIN).await;
    }
}

fn signal(all: &[Found], signal: Signal) {
    for found in all {
        // Its number may have gone to another process meanwhile.
        if started(Path::new("/proc"), found.pid).as_deref() == Some(found.started.as_str())
            && let Some(pid) = Pid::from_raw(found.pid)
        {
            // One that has ended just now is what was wanted.
            let _ = kill_process(pid, signal);
        }
    }
}

fn belonging(proc: &Path, mark: &str, folder: Option<&Path>) -> Vec<Found> {
    let Ok(entries) = fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.flatten().filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let mut found: Vec<Found> = pids
        .filter(|pid| pid.cast_unsigned() != std::process::id())
        .filter(|pid| {
            let its = proc.join(pid.to_string());
            // Of other users' processes these cannot be read; those are not ours.
            let marked = fs::read(its.join("environ"))
                .is_ok_and(|e| e.split(|b| *b == 0).any(|v| v == mark.as_bytes()));
            let inside = || {
                let cwd = fs::read_link(its.join("cwd"));
                folder.is_some_and(|folder| cwd.is_ok_and(|cwd| cwd.starts_with(folder)))
            };
            marked || inside()
        })
        .filter_map(|pid| Some(Found { pid, started: started(proc, pid)? }))
        .collect();
    found.sort();
    found
}

/// When a process was started, in clock ticks since boot: the 22nd field of `/proc/PID/stat`
/// (proc(5)). None: it has ended, and only waits for somebody to ask how.
fn started(proc: &Path, pid: i32) -> Option<String> {
    let stat = fs::read_to_string(proc.join(pid.to_string()).join("stat")).ok()?;
    let mut after_name = stat.rsplit_once(')')?.1.split_whitespace();
    match after_name.next()? {
        "Z" | "X" => None,
        _ => after_name.nth(18).map(str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_the_drill_are_found() {
        let id: DrillId = "d20261122T134512Z-3f9a1c".parse().unwrap();
        let proc = tempfile::tempdir().unwrap();
        let stat = |state: &str| {
            format!("1 (post (x) gres) {state} 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 777 1")
        };
        for (pid, environ, cwd, state) in [
            (101, format!("PATH=/bin\0{MARK}={id}\0"), "/", "S"),
            (102, format!("{MARK}={id}0\0"), "/", "S"),
            (103, "postgres: checkpointer".to_owned(), "/tmp/drctl-x/data", "S"),
            (104, String::new(), "/tmp/drctl-xy/data", "S"),
            (105, format!("{MARK}={id}\0"), "/", "Z"),
        ] {
            let its = proc.path().join(pid.to_string());
            fs::create_dir(&its).unwrap();
            fs::write(its.join("environ"), environ).unwrap();
            fs::write(its.join("stat"), stat(state)).unwrap();
            std::os::unix::fs::symlink(cwd, its.join("cwd")).unwrap();
        }
        let found =
            belonging(proc.path(), &format!("{MARK}={id}"), Some(Path::new("/tmp/drctl-x")));
        let started = "777".to_owned();
        let both = [101, 103].map(|pid| Found { pid, started: started.clone() });
        assert_eq!(found, both);
    }
}
