//! The stock programs: finding pg_dump, pg_restore, psql and the server.

mod running;

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;

use super::conninfo::Conninfo;
use crate::error::{Error, Kind, Result};

pub use running::{Ended, Output, Running, Tail, run};

/// A program of PostgreSQL's client or server package.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tool {
    PgDump,
    PgRestore,
    Psql,
    /// The server itself.
    Postgres,
    Initdb,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::PgDump => "pg_dump",
            Self::PgRestore => "pg_restore",
            Self::Psql => "psql",
            Self::Postgres => "postgres",
            Self::Initdb => "initdb",
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

/// Where systems keep their certificate authorities in one file.
const SYSTEM_BUNDLES: &[&str] = &[
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
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

    /// The program, connecting as `info` says and as no variable of the caller's says.
    ///
    /// stdin is empty, its messages are in English, and it ends when the handle is dropped.
    pub fn command(&self, info: &Conninfo) -> Command {
        let mut command = self.bare_command();
        command.envs(info.child_env());
        // libpq 15 and older take `system` for the name of a file.
        if self.major < 16
            && info.trusts_the_system()
            && let Some(bundle) = SYSTEM_BUNDLES.iter().find(|path| Path::new(path).exists())
        {
            command.env("PGSSLROOTCERT", bundle);
        }
        command
    }

    /// The program without a server, for listing an archive.
    pub fn bare_command(&self) -> Command {
        let mut command = alone(&self.path);
        command.kill_on_drop(true);
        command
    }
}

impl fmt::Display for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}.{} ({})", self.tool, self.major, self.minor, self.path.display())
    }
}

/// What a program of PostgreSQL needs of the caller's environment: to be found and loaded, a home
/// for libpq's files, a place for temporary ones, and where OpenSSL looks. Nothing else is passed on:
/// the keys of the stores are not its business, nor are `PG*` variables of somebody's shell.
const PASSED_ON: &[&str] = &[
    "PATH",
    "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH",
    "HOME",
    "TMPDIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
];

/// A program with an empty stdin, English messages and no more of the environment than it needs.
fn alone(path: &Path) -> Command {
    let mut command = Command::new(path);
    command.env_clear();
    command.envs(PASSED_ON.iter().filter_map(|name| Some((name, env::var_os(name)?))));
    command.env("LC_ALL", "C").stdin(Stdio::null());
    command
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
    let output = alone(path).arg("--version").output().await.ok()?;
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
    let packages = match tool {
        Tool::Postgres | Tool::Initdb => {
            format!("postgresql-{major} (Debian, Ubuntu), postgresql{major}-server (RHEL)")
        }
        _ => format!("postgresql-client-{major} (Debian, Ubuntu), postgresql{major} (RHEL)"),
    };
    Error::new(Kind::Program, what).caused_by(cause).hint(format!(
        "install {packages} or postgresql@{major} (Homebrew), or set pg_bin to its folder"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

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
    async fn programs_inherit_no_secrets() {
        // cargo gives its tests variables of its own, which stand for whatever a shell holds.
        assert!(env::var_os("CARGO_MANIFEST_DIR").is_some());
        let program =
            Program { tool: Tool::Psql, path: "/usr/bin/env".into(), major: 18, minor: 0 };
        let info = Conninfo::parse(&Secret::new("postgres://me:secret@127.0.0.1/db")).unwrap();
        let output = run(program.command(&info)).await.unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let names: Vec<&str> = text.lines().filter_map(|l| Some(l.split_once('=')?.0)).collect();
        assert!(names.contains(&"PGPASSWORD") && names.contains(&"LC_ALL"), "{names:?}");
        let known = |n: &&&str| n.starts_with("PG") || **n == "LC_ALL" || PASSED_ON.contains(n);
        assert_eq!(names.iter().filter(|n| !known(n)).collect::<Vec<_>>(), Vec::<&&str>::new());
    }
}
