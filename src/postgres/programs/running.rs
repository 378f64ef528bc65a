//! Running a program to its end, with its last words.

use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use crate::error::{Attempt, Error, Kind, Result};

/// What a program wrote.
#[derive(Debug)]
pub struct Output {
    pub stdout: Vec<u8>,
    /// The last 64 KiB.
    pub stderr: String,
}

/// How a program ended.
#[derive(Debug)]
pub struct Ended {
    pub status: ExitStatus,
    /// The last 64 KiB.
    pub stderr: String,
    /// There was more.
    pub stderr_cut: bool,
}

/// A program under way. Dropping it ends the program.
pub struct Running {
    name: String,
    child: Child,
    stderr: JoinHandle<()>,
    said: Tail,
}

impl Running {
    /// Starts it with stdout piped; stdin is piped if the caller asked for that.
    pub fn start(mut command: Command) -> Result<Self> {
        let program = Path::new(command.as_std().get_program());
        let name =
            program.file_name().unwrap_or(program.as_os_str()).to_string_lossy().into_owned();
        let path = program.display().to_string();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .attempt(Kind::Program, || format!("start {path}"))?;
        let stderr = child.stderr.take();
        let said = Tail::default();
        let tail = said.clone();
        let stderr = tokio::spawn(async move {
            if let Some(stderr) = stderr {
                tail.read(stderr).await;
            }
        });
        Ok(Self { name, child, stderr, said })
    }

    /// Its output, once; it must be read to the end before [`Running::finish`].
    pub fn stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub fn stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for the end and gives what it wrote to stderr; an exit status other than 0 is an error.
    pub async fn finish(self) -> Result<String> {
        let name = self.name.clone();
        let Ended { status, stderr, .. } = self.ended().await?;
        if status.success() {
            return Ok(stderr);
        }
        // Arguments are not shown: they say little, and stderr says it better.
        let said = stderr.trim();
        let cause = if said.is_empty() { status.to_string() } else { format!("{status}: {said}") };
        Err(Error::new(Kind::Program, format!("run {name}")).caused_by(cause))
    }

    /// Waits for the end, whatever the exit status: for programs whose errors have degrees.
    pub async fn ended(mut self) -> Result<Ended> {
        let what = || format!("run {}", self.name);
        // What nobody has taken is not read, so nothing must be left to fill the pipe.
        drop(self.child.stdout.take());
        let status = self.child.wait().await.attempt(Kind::Program, what)?;
        // It ends with the pipe; only a panic in it is an error.
        let _ = self.stderr.await;
        Ok(Ended { status, stderr: self.said.text(), stderr_cut: self.said.is_cut() })
    }
}

/// Runs a program to its end and keeps what it writes, so for short outputs only.
pub async fn run(command: Command) -> Result<Output> {
    let mut running = Running::start(command)?;
    let mut stdout = Vec::new();
    if let Some(mut pipe) = running.stdout() {
        pipe.read_to_end(&mut stdout)
            .await
            .attempt(Kind::Program, || format!("read the output of {}", running.name))?;
    }
    Ok(Output { stdout, stderr: running.finish().await? })
}

/// The end of a stream whose length nobody knows: its last 64 KiB. Clones share it, so that it can
/// be had while somebody still reads.
#[derive(Debug, Clone, Default)]
pub struct Tail(Arc<Mutex<Kept>>);

#[derive(Debug, Default)]
struct Kept {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    const KEPT: usize = 64 * 1024;

    /// Reads to the end.
    pub async fn read(&self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            let mut kept = self.kept();
            kept.bytes.extend_from_slice(&buffer[..n]);
            if kept.bytes.len() > 2 * Self::KEPT {
                let surplus = kept.bytes.len() - Self::KEPT;
                kept.bytes.drain(..surplus);
                kept.cut = true;
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there was more.
    fn is_cut(&self) -> bool {
        let kept = self.kept();
        kept.cut || kept.bytes.len() > Self::KEPT
    }

    /// What was read; `[…]` stands for what is not kept.
    pub fn text(&self) -> String {
        let kept = self.kept();
        let from = kept.bytes.len().saturating_sub(Self::KEPT);
        let text = String::from_utf8_lossy(&kept.bytes[from..]);
        if kept.cut || from > 0 { format!("[…] {text}") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_failed_program_tells_its_last_words_and_not_its_arguments() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "echo it broke >&2; exit 3", "secret"]);
        let error = run(command).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Program);
        let text = error.one_line();
        assert!(text.contains("it broke") && text.contains("exit status: 3"), "{text}");
        assert!(!text.contains("secret"), "{text}");
    }

    #[tokio::test]
    async fn only_the_end_of_a_flood_of_messages_is_kept() {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "yes noise | head -c 3000000 >&2; echo last words >&2; echo out"]);
        let output = run(command).await.unwrap();
        assert_eq!(output.stdout, b"out\n");
        assert!(output.stderr.len() < 66 * 1024);
        assert!(output.stderr.ends_with("last words\n"));
    }
}
