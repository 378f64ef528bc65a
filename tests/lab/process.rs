//! Server processes that end with their guard, or with the test process.

use std::fs::File;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{LazyLock, Mutex, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

type Order = (Command, mpsc::Sender<std::io::Result<Child>>);

/// The thread that starts all servers. Linux sends the parent-death signal when the *thread* that
/// forked ends, and the thread of a test ends long before a shared server should.
static STARTER: LazyLock<Mutex<mpsc::Sender<Order>>> = LazyLock::new(|| {
    let (sender, orders) = mpsc::channel::<Order>();
    std::thread::Builder::new()
        .name("lab starter".into())
        .spawn(move || {
            for (mut command, answer) in orders {
                let _ = answer.send(command.spawn());
            }
        })
        .unwrap();
    Mutex::new(sender)
});

/// A running server; on drop it gets its end signal, and SIGKILL if it does not heed it.
pub struct Process {
    child: Child,
    what: String,
    log: PathBuf,
    end: Signal,
}

impl Process {
    /// Starts `command` with its output appended to `log`. `end` is the signal for a quick end; the
    /// process gets it also when the test process dies.
    pub fn start(what: &str, mut command: Command, log: &Path, end: Signal) -> Self {
        let output = File::options().create(true).append(true).open(log).unwrap();
        command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
        // A group of its own: a Ctrl-C in the terminal is for the tests, which then end the server.
        command.process_group(0);
        // SAFETY: the closure only makes one system call, which is async-signal-safe. It runs after
        // the change of user, which would clear the setting.
        unsafe {
            command.pre_exec(move || Ok(set_parent_process_death_signal(Some(end))?));
        }
        let program = command.get_program().to_owned();
        let (answer, started) = mpsc::channel();
        STARTER.lock().unwrap().send((command, answer)).unwrap();
        let child = started.recv().unwrap().unwrap_or_else(|e| {
            panic!("cannot start {what} ({}): {e}; run scripts/setup", program.display())
        });
        Self { child, what: what.to_owned(), log: log.to_owned(), end }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What the process has written.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(&self.log).unwrap_or_default()).into_owned()
    }

    pub fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// Polls `ready` until it is true. Fails with the log when the process ends instead, and panics
    /// with it after a minute.
    pub fn wait_until(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), String> {
        let start = Instant::now();
        while !ready() {
            if let Some(status) = self.has_ended() {
                return Err(format!("{} ended with {status}:\n{}", self.what, self.log()));
            }
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "{} is not ready after a minute:\n{}",
                self.what,
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Sends `signal` and waits for the end.
    pub fn end_with(&mut self, signal: Signal) {
        if self.has_ended().is_some() {
            return;
        }
        self.signal(signal);
        let start = Instant::now();
        while self.has_ended().is_none() {
            if start.elapsed() > Duration::from_secs(20) {
                let _ = self.child.kill();
                let _ = self.child.wait();
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Stopped processes do not heed other signals.
        let _ = kill_process(self.pid(), Signal::CONT);
        self.end_with(self.end);
    }
}

/// A port that was free a moment ago; whoever binds it must be ready to take another.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Runs a tool to its end and panics with its output when it fails.
pub fn run_tool(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| {
        panic!("cannot run {}: {e}; run scripts/setup", command.get_program().display())
    });
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).into_owned()
}
