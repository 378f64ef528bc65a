//! The stock programs: finding pg_dump, pg_restore and psql, and running them.

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::task::JoinHandle;

use super::conninfo::Conninfo;
use crate::error::{Attempt, Error, Kind, Result};

/// A program of PostgreSQL's client package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    PgDump,
    PgRestore,
    Psql,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::PgDump => "pg_dump",
            Self::PgRestore => "pg_restore",
            Self::Psql => "psql",
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where packages put programs that PATH does not name; `*` stands for a version.
const USUAL_PLACES: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/opt/homebrew/opt/libpq/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/usr/local/opt/libpq/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// A program that was found, and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Program {
    pub tool: Tool,
    pub path: PathBuf,
    /// 15 of `pg_dump (PostgreSQL) 15.18 (Debian …)`.
    pub major: u32,
    pub minor: u32,
}

impl Program {
    /// Finds the program whose major version is nearest to the server's and not below it: pg_dump
    /// refuses newer servers, while an archive of a much newer pg_dump needs as new a pg_restore
    /// and sets parameters that older servers do not know.
    ///
    /// `folder` is the configured one, and then the only one; else PATH and the usual places.
    pub async fn find(tool: Tool, folder: Option<&Path>, server_major: u32) -> Result<Self> {
        let candidates = match folder {
            Some(folder) => vec![folder.join(tool.name())],
            None => candidates(tool),
        };
        let mut found = Vec::new();
        for path in candidates.iter().filter(|path| path.is_file()) {
            // One that does not even tell its version is as good as none.
            if let Some((major, minor)) = version(path).await {
                found.push(Self { tool, path: path.clone(), major, minor });
            }
        }
        let enough = found.iter().filter(|p| p.major >= server_major);
        match enough.min_by_key(|p| (p.major, std::cmp::Reverse(p.minor))) {
            Some(program) => Ok(program.clone()),
            None => Err(not_found(tool, folder, server_major, &found)),
        }
    }

    /// The program, connecting as `info` says and as no `PG*` variable of the caller's says.
    ///
    /// stdin is empty, its messages are in English, and it ends when the handle is dropped.
    pub fn command(&self, info: &Conninfo) -> Command {
        let mut command = self.bare_command();
        command.envs(info.child_env());
        command
    }

    /// The program without a server, for listing an archive.
    pub fn bare_command(&self) -> Command {
        let mut command = Command::new(&self.path);
        for (name, _) in env::vars_os().filter(|(name, _)| is_of_postgres(name)) {
            command.env_remove(name);
        }
        command.env_remove("LANGUAGE").env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        command
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{} ({})", self.tool, self.major, self.minor, self.path.display())
    }
}

fn is_of_postgres(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b"PG")
}

/// Every path where the program may be, each once, PATH first.
fn candidates(tool: Tool) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut paths: Vec<PathBuf> = Vec::new();
    let folders =
        env::split_paths(&path).chain(USUAL_PLACES.iter().flat_map(|place| folders(place)));
    for folder in folders {
        let candidate = folder.join(tool.name());
        let Ok(real) = fs::canonicalize(&candidate) else { continue };
        // Debian's wrapper chooses a version by its own lights; the programs it chooses from are
        // among the usual places.
        if real.file_name() == Some(OsStr::new("pg_wrapper")) || paths.contains(&real) {
            continue;
        }
        paths.push(real);
    }
    paths
}

/// The folders that a pattern with at most one `*` names.
fn folders(pattern: &str) -> Vec<PathBuf> {
    let Some((before, after)) = pattern.split_once('*') else {
        return vec![PathBuf::from(pattern)];
    };
    let (parent, start) = before.rsplit_once('/').unwrap_or((".", before));
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(start))
        .map(|entry| entry.path().join(after.trim_start_matches('/')))
        .collect()
}

async fn version(path: &Path) -> Option<(u32, u32)> {
    let output = Command::new(path).arg("--version").stdin(Stdio::null()).output().await.ok()?;
    if !output.status.success() {
        return None;
    }
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// `pg_dump (PostgreSQL) 15.18 (Debian …)`, `psql (PostgreSQL) 19beta1`.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (_, number) = text.split_once("(PostgreSQL) ")?;
    let digits = |s: &str| s.bytes().take_while(u8::is_ascii_digit).count();
    let (major, rest) = number.split_at(digits(number));
    let minor = rest.strip_prefix('.').map(|rest| &rest[..digits(rest)]);
    Some((major.parse().ok()?, minor.and_then(|m| m.parse().ok()).unwrap_or(0)))
}

fn not_found(tool: Tool, folder: Option<&Path>, major: u32, found: &[Program]) -> Error {
    let place = folder.map_or_else(
        || "on PATH and in the usual places".to_owned(),
        |folder| format!("in {} (pg_bin)", folder.display()),
    );
    let what = format!("find {tool} {major} or newer {place}");
    let cause = if found.is_empty() {
        format!("there is no {tool}")
    } else {
        let names: Vec<_> = found.iter().map(Program::to_string).collect();
        format!("only {} is there", names.join(", "))
    };
    Error::new(Kind::Program, what).caused_by(cause).hint(format!(
        "install postgresql-client-{major} (Debian, Ubuntu), postgresql{major} (RHEL) or \
         postgresql@{major} (Homebrew), or set pg_bin to its folder"
    ))
}

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
    stderr: JoinHandle<Tail>,
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
        let stderr = tokio::spawn(async move {
            let mut tail = Tail::default();
            if let Some(stderr) = stderr {
                tail.read(stderr).await;
            }
            tail
        });
        Ok(Self { name, child, stderr })
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
        let tail = self.stderr.await.unwrap_or_default();
        let stderr_cut = tail.cut || tail.bytes.len() > Tail::KEPT;
        Ok(Ended { status, stderr: tail.into_text(), stderr_cut })
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

/// The end of a stream whose length nobody knows.
#[derive(Default)]
struct Tail {
    bytes: Vec<u8>,
    cut: bool,
}

impl Tail {
    const KEPT: usize = 64 * 1024;

    async fn read(&mut self, mut from: impl AsyncRead + Unpin) {
        let mut buffer = [0; 8192];
        while let Ok(n @ 1..) = from.read(&mut buffer).await {
            self.bytes.extend_from_slice(&buffer[..n]);
            if self.bytes.len() > 2 * Self::KEPT {
                self.bytes.drain(..self.bytes.len() - Self::KEPT);
                self.cut = true;
            }
        }
    }

    fn into_text(self) -> String {
        let from = self.bytes.len().saturating_sub(Self::KEPT);
        let text = String::from_utf8_lossy(&self.bytes[from..]);
        if self.cut || from > 0 { format!("[…] {text}") } else { text.into_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_programs_print() {
        let debian = "pg_dump (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)\n";
        assert_eq!(parse_version(debian), Some((15, 18)));
        assert_eq!(parse_version("psql (PostgreSQL) 19beta1"), Some((19, 0)));
        assert_eq!(parse_version("pg_restore (PostgreSQL) 9.6.24"), Some((9, 6)));
        assert_eq!(parse_version("mysqldump 8.0"), None);
    }

    /// Programs that print a version and nothing else.
    fn folder_of(versions: &[(&str, &str)]) -> tempfile::TempDir {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (name, version) in versions {
            let path = dir.path().join(name);
            fs::write(&path, format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        dir
    }

    #[tokio::test]
    async fn a_configured_folder_is_the_only_one_and_what_is_too_old_is_named() {
        let dir = folder_of(&[("pg_dump", "14.3")]);
        let found = Program::find(Tool::PgDump, Some(dir.path()), 14).await.unwrap();
        assert_eq!((found.major, found.minor), (14, 3));

        let error = Program::find(Tool::PgDump, Some(dir.path()), 17).await.unwrap_err();
        assert!(error.one_line().contains("pg_dump 17 or newer"), "{error:?}");
        assert!(error.one_line().contains("only pg_dump 14.3"), "{error:?}");
        assert!(error.advice().unwrap().contains("postgresql-client-17"), "{error:?}");

        let error = Program::find(Tool::Psql, Some(dir.path()), 14).await.unwrap_err();
        assert!(error.one_line().contains("there is no psql"), "{error:?}");
    }

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
