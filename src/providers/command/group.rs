//! A child process and all in its group, which live no longer than this.

use rustix::process::{Pid, Signal, kill_process_group, setpriority_process};
use tokio::process::{Child, Command};
use tokio::time::Instant;

/// The process and all in its group; killed on drop unless it is over.
pub struct Group {
    pub child: Child,
    leader: Option<Pid>,
    over: bool,
}

impl Group {
    /// Starts it in a group of its own, so that what it starts can be ended with it.
    pub fn start(command: &mut Command) -> std::io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let leader = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        Ok(Self { child, leader, over: false })
    }

    /// Has it, and all that it starts from now on, give way to what else runs on this machine: `nice`
    /// from 1 to 19. Only for one that was just started: threads that it has already keep theirs.
    pub fn gives_way(&self, nice: i32) {
        if let Some(leader) = self.leader {
            // Where it may not be done, it is as it was.
            let _ = setpriority_process(Some(leader), nice);
        }
    }

    /// It has ended, and what it left in its group may live on.
    pub fn let_go(&mut self) {
        self.over = true;
    }

    /// Tells it to stop, waits for it until `deadline`, and kills what is left of the group: also what
    /// it left behind, where it heeded the signal itself.
    pub async fn end(&mut self, deadline: Instant) {
        self.signal(Signal::TERM);
        let _ = tokio::time::timeout_at(deadline, self.child.wait()).await;
        self.signal(Signal::KILL);
        let _ = self.child.wait().await;
        self.over = true;
    }

    fn signal(&self, signal: Signal) {
        if let Some(leader) = self.leader {
            // One that has ended meanwhile is what was wanted.
            let _ = kill_process_group(leader, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.over {
            self.signal(Signal::KILL);
        }
    }
}
