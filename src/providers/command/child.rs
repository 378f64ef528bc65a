//! A child process with its whole group: started, listened to, and ended at the deadline.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::group::Group;
use crate::error::{Attempt, Error, Kind, Result};
use crate::postgres::programs::Tail;

/// How long a program may tidy up between SIGTERM and SIGKILL, at most.
const GRACE: Duration = Duration::from_secs(2);
/// How long output is waited for once the program itself has ended: something that it left running
/// may hold the pipe open for ever.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A program to run: no shell, no variables but these.
#[derive(Debug, Clone)]
pub struct Program {
    pub argv: Vec<String>,
    pub env: BTreeMap<String, String>,
    pub dir: Option<PathBuf>,
}

/// How a program ended, with the last 64 KiB of each of its outputs.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    pub stdout: String,
    pub stderr: String,
}

/// Why there is no [`Ended`].
#[derive(Debug)]
pub enum Unended {
    /// It did not start, so nothing happened.
    NotStarted(Error),
    /// It was killed at the deadline, with what it had written by then.
    Killed { stdout: String, stderr: String },
    /// It is not known how it ended.
    Lost(Error),
}

impl Program {
    /// Runs it to its end. At `deadline` its process group gets SIGTERM, and SIGKILL when it does not
    /// heed that; when the future is dropped, SIGKILL at once.
    pub async fn run(&self, deadline: Instant) -> Result<Ended, Unended> {
        let mut group = self.start().map_err(Unended::NotStarted)?;
        let outputs = Outputs::of(&mut group.child);
        let left = deadline.saturating_duration_since(Instant::now());
        let gentle_end = deadline.checked_sub(GRACE.min(left / 4)).unwrap_or(deadline);
        match tokio::time::timeout_at(gentle_end, group.child.wait()).await {
            Ok(Ok(status)) => {
                group.let_go();
                let (stdout, stderr) = outputs.read().await;
                Ok(Ended { status, stdout, stderr })
            }
            Ok(Err(e)) => {
                let what = format!("wait for the end of {}", self.name());
                Err(Unended::Lost(Error::new(Kind::Program, what).caused_by(e)))
            }
            Err(_) => {
                group.end(deadline).await;
                let (stdout, stderr) = outputs.read().await;
                Err(Unended::Killed { stdout, stderr })
            }
        }
    }

    fn start(&self) -> Result<Group> {
        let mut command = Command::new(self.argv.first().map_or("", String::as_str));
        command.args(self.argv.iter().skip(1)).env_clear().envs(&self.env);
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Group::start(&mut command).attempt(Kind::Program, || format!("start {}", self.name()))
    }

    /// The program's name, for messages; arguments may say more than they should.
    pub fn name(&self) -> &str {
        self.argv.first().map_or("", String::as_str)
    }
}

struct Outputs {
    stdout: JoinHandle<()>,
    stderr: JoinHandle<()>,
    kept: [Tail; 2],
}

impl Outputs {
    fn of(child: &mut Child) -> Self {
        let kept = [Tail::default(), Tail::default()];
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let [out, err] = [kept[0].clone(), kept[1].clone()];
        Self {
            stdout: tokio::spawn(async move {
                if let Some(stdout) = stdout {
                    out.read(stdout).await;
                }
            }),
            stderr: tokio::spawn(async move {
                if let Some(stderr) = stderr {
                    err.read(stderr).await;
                }
            }),
            kept,
        }
    }

    async fn read(mut self) -> (String, String) {
        let both = async { tokio::join!(&mut self.stdout, &mut self.stderr) };
        let _ = tokio::time::timeout(LAST_WORDS, both).await;
        self.stdout.abort();
        self.stderr.abort();
        let [stdout, stderr] = self.kept;
        (stdout.text(), stderr.text())
    }
}
