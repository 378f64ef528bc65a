//! The password file of libpq: `~/.pgpass`, `PGPASSFILE` or `passfile=`.

use std::env;
use std::fmt;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::conninfo::{Endpoint, Host};

/// A password that is never shown. (A `Secret` of the configuration may be one without a value; by
/// the time there is a connection string, there is one.)
#[derive(Clone, PartialEq, Eq)]
pub(in crate::postgres) struct Password(String);

impl Password {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// What was found, and why nothing was where that is worth saying.
#[derive(Debug, Clone, Default)]
pub(in crate::postgres) struct Found {
    pub password: Option<Password>,
    pub warning: Option<String>,
}

impl Found {
    pub fn password(password: Password) -> Self {
        Self { password: Some(password), warning: None }
    }

    fn nothing_because(warning: String) -> Self {
        Self { password: None, warning: Some(warning) }
    }
}

/// `$PGPASSFILE`, else `~/.pgpass`.
pub(in crate::postgres) fn default_path() -> Option<PathBuf> {
    env::var_os("PGPASSFILE")
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".pgpass")))
}

/// The password of the first line that matches. A file that is not there is none; one that is not
/// a regular file or that others may read is not used, as in libpq, and the warning says so.
pub(in crate::postgres) fn look_up(
    path: &Path,
    endpoint: &Endpoint,
    database: &str,
    user: &str,
) -> Found {
    let Ok(meta) = fs::metadata(path) else { return Found::default() };
    if !meta.is_file() {
        return Found::nothing_because(format!(
            "the password file {} is not a regular file and was not used",
            path.display()
        ));
    }
    if meta.mode() & 0o077 != 0 {
        return Found::nothing_because(format!(
            "the password file {} can be read by others and was not used: chmod 600 it",
            path.display()
        ));
    }
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) => {
            return Found::nothing_because(format!(
                "the password file {} could not be read: {e}",
                path.display()
            ));
        }
    };
    let host = match &endpoint.host {
        Host::Tcp(name) => name.clone(),
        // libpq looks for its compiled-in socket folder under the name localhost.
        Host::Socket(dir) if is_default_socket_dir(dir) => "localhost".to_owned(),
        Host::Socket(dir) => dir.display().to_string(),
    };
    let port = endpoint.port.to_string();
    let password = text.lines().find_map(|line| matching(line, [&host, &port, database, user]));
    Found { password: password.filter(|p| !p.is_empty()).map(Password::new), warning: None }
}

fn is_default_socket_dir(dir: &Path) -> bool {
    ["/var/run/postgresql", "/run/postgresql", "/tmp"].iter().any(|d| dir == Path::new(d))
}

/// The password of `host:port:database:user:password` where the four fields match.
fn matching(line: &str, wanted: [&str; 4]) -> Option<String> {
    if line.starts_with('#') {
        return None;
    }
    let mut rest = line;
    for want in wanted {
        let (raw, after) = field(rest)?;
        if raw != "*" && unescaped(raw) != want {
            return None;
        }
        rest = after;
    }
    // The password ends at a colon too, unless that is escaped.
    Some(unescaped(field(rest).map_or(rest, |(raw, _)| raw)))
}

/// The text before the first colon that no backslash escapes, and the text after it.
fn field(text: &str) -> Option<(&str, &str)> {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ':' => return Some((&text[..at], &text[at + 1..])),
            _ => {}
        }
    }
    None
}

fn unescaped(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => plain.extend(chars.next()),
            c => plain.push(c),
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: [&str; 4] = ["db.example", "5432", "pet:force", "drctl"];

    #[test]
    fn wildcards_and_escapes_match_as_in_libpq() {
        let line = r"db.example:*:pet\:force:drctl:s\:e\\cret";
        assert_eq!(matching(line, WANTED).as_deref(), Some(r"s:e\cret"));
        assert_eq!(matching("*:*:*:*:open", WANTED).as_deref(), Some("open"));
        assert_eq!(matching("*:5433:*:*:other port", WANTED), None);
        assert_eq!(matching(r"\*:*:*:*:a host named star", WANTED), None);
        assert_eq!(matching("#*:*:*:*:comment", WANTED), None);
        assert_eq!(matching("too:few:fields", WANTED), None);
    }

    #[test]
    fn the_first_matching_line_wins_and_a_readable_file_is_not_used() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pass");
        fs::write(&path, "# x\n*:1:*:*:no\nlocalhost:2:d:u:first\r\n*:*:*:*:second\n").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let at = |host: Host, port| Endpoint { host, address: None, port };
        let find =
            |e: &Endpoint| look_up(&path, e, "d", "u").password.map(|p| p.expose().to_owned());

        assert_eq!(find(&at(Host::Tcp("localhost".into()), 2)).as_deref(), Some("first"));
        assert_eq!(find(&at(Host::Socket("/tmp".into()), 2)).as_deref(), Some("first"));
        assert_eq!(find(&at(Host::Socket("/elsewhere".into()), 2)).as_deref(), Some("second"));
        assert_eq!(find(&at(Host::Tcp("h".into()), 1)).as_deref(), Some("no"));

        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let found = look_up(&path, &at(Host::Tcp("h".into()), 1), "d", "u");
        assert!(found.password.is_none());
        assert!(found.warning.unwrap().contains("chmod 600"));
        assert!(
            look_up(&dir.path().join("none"), &at(Host::Tcp("h".into()), 1), "d", "u")
                .warning
                .is_none()
        );
    }
}
