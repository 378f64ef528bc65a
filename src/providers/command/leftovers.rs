//! What an earlier drctl started for the same step of the same run and did not live to end: it may
//! still be at work. Every program of a step carries the run and the step in its environment, and so
//! does all that it starts.

use std::path::Path;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::Instant;

/// How long they may take to be gone after SIGKILL.
const PATIENCE: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(20);

/// Ends them all, and gives how many there were. On this machine only, and only where there is
/// /proc (Linux).
pub async fn end(run: &str, step: &str) -> Result<usize, String> {
    let found = find(Path::new("/proc"), run, step);
    let deadline = Instant::now() + PATIENCE;
    let mut left = found.clone();
    while !left.is_empty() {
        for pid in &left {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process(*pid, Signal::KILL);
        }
        if Instant::now() >= deadline {
            let pids: Vec<_> = left.iter().map(|pid| pid.as_raw_nonzero().to_string()).collect();
            return Err(format!("processes {} do not end", pids.join(", ")));
        }
        tokio::time::sleep(AGAIN).await;
        left = find(Path::new("/proc"), run, step);
    }
    Ok(found.len())
}

fn find(proc: &Path, run: &str, step: &str) -> Vec<Pid> {
    let marks = [format!("DRCTL_RUN={run}"), format!("DRCTL_STEP={step}")];
    let Ok(entries) = std::fs::read_dir(proc) else { return Vec::new() };
    let pids = entries.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| pid.cast_unsigned() != std::process::id())
        .filter(|pid| {
            // Of other users' processes it cannot be read; those are not ours.
            let environ = std::fs::read(proc.join(pid.to_string()).join("environ"));
            environ.is_ok_and(|environ| {
                let has = |mark: &String| environ.split(|b| *b == 0).any(|v| v == mark.as_bytes());
                marks.iter().all(has)
            })
        })
        .filter_map(Pid::from_raw)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_processes_of_the_same_step_of_the_same_run_are_found() {
        let proc = tempfile::tempdir().unwrap();
        for (pid, environ) in [
            ("101", "PATH=/bin\0DRCTL_RUN=r1\0DRCTL_STEP=s\0"),
            ("102", "DRCTL_RUN=r1\0DRCTL_STEP=s2\0"),
            ("103", "DRCTL_RUN=r12\0DRCTL_STEP=s\0"),
            ("104", "X=DRCTL_RUN=r1\0DRCTL_STEP=s\0"),
            ("self", "DRCTL_RUN=r1\0DRCTL_STEP=s\0"),
        ] {
            std::fs::create_dir(proc.path().join(pid)).unwrap();
            std::fs::write(proc.path().join(pid).join("environ"), environ).unwrap();
        }
        std::fs::create_dir(proc.path().join("105")).unwrap();
        assert_eq!(find(proc.path(), "r1", "s"), [Pid::from_raw(101).unwrap()]);
    }
}
