//! Whether the process that holds a lease is gone, where that can be known for certain: on the same
//! boot of the same machine, in the same process namespace.

use std::fs;

use super::Holder;

/// Names this process so that no other, now or after a restart, has the same name: boot, process
/// namespace, and when it was started. Unknown where there is no `/proc`.
pub fn identity() -> Option<String> {
    let (boot, namespace) = here()?;
    Some(format!("{boot}/{namespace}/{}", started(std::process::id())?))
}

/// The holder ran where this process runs, and has ended.
pub fn is_gone(holder: &Holder) -> bool {
    let Some((there, its_start)) = holder.process.as_deref().and_then(|p| p.rsplit_once('/'))
    else {
        return false;
    };
    let Some((boot, namespace)) = here() else { return false };
    there == format!("{boot}/{namespace}") && started(holder.pid).as_deref() != Some(its_start)
}

fn here() -> Option<(String, String)> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some((boot.trim().to_owned(), namespace.to_str()?.to_owned()))
}

/// When a process was started, in clock ticks since boot: the 22nd field of `/proc/PID/stat`
/// (proc(5)). The second, its name, may hold spaces and brackets.
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let after_name = stat.rsplit_once(')')?.1;
    after_name.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_process_known_to_have_ended_is_gone() {
        let holder = |pid, process: Option<String>| Holder {
            host: "h".to_owned(),
            pid,
            user: "u".to_owned(),
            purpose: "p".to_owned(),
            process,
        };
        let me = std::process::id();
        assert!(!is_gone(&holder(me, identity())));
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let (boot, namespace) = here().unwrap();
        let its = format!("{boot}/{namespace}/{}", started(child.id()).unwrap());
        assert!(!is_gone(&holder(child.id(), Some(its.clone()))));
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(is_gone(&holder(child.id(), Some(its.clone()))));
        // Another boot, or nothing known: no verdict.
        assert!(!is_gone(&holder(child.id(), Some(its.replace(&boot, "another")))));
        assert!(!is_gone(&holder(child.id(), None)));
    }
}
