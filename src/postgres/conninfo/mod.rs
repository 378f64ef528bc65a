//! Where and as whom to connect: libpq's connection strings, without libpq's environment.

mod encryption;
mod endpoints;
mod given;
mod keyvalue;
mod parameters;
mod uri;

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::Secret;
use crate::error::{Error, Kind, Result};
use crate::postgres::passfile::{self, Password};
use crate::postgres::tls::{RootCert, SslMode, SslNegotiation, TlsSettings};

pub use parameters::{ChannelBinding, TargetSession};

/// A host as libpq understands one: a name or address, or a folder of Unix sockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Host {
    Tcp(String),
    Socket(PathBuf),
}

/// One server to try.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// What TLS verifies and `.pgpass` is searched for.
    pub host: Host,
    /// The address to use instead of asking DNS for `host`.
    pub address: Option<IpAddr>,
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{}", self.port),
            Host::Tcp(name) => write!(f, "{name}:{}", self.port),
            Host::Socket(dir) => write!(f, "{}/.s.PGSQL.{}", dir.display(), self.port),
        }
    }
}

/// TCP keepalives of a connection; libpq leaves the times to the kernel, whose two hours are too
/// long for an unattended run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Keepalives {
    pub enabled: bool,
    pub idle: Duration,
    pub interval: Duration,
    pub retries: u32,
}

impl Default for Keepalives {
    fn default() -> Self {
        Self {
            enabled: true,
            idle: Duration::from_secs(30),
            interval: Duration::from_secs(10),
            retries: 3,
        }
    }
}

/// A parsed connection string.
///
/// It means what libpq would make of it, with these differences: none of the `PG*` variables is
/// consulted (a cron job must not depend on somebody's shell), an unset host is the first of
/// `/var/run/postgresql`, `/tmp` and `localhost` that has a server's socket, and
/// `connect_timeout` is 10 s unless given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conninfo {
    pub(in crate::postgres) endpoints: Vec<Endpoint>,
    pub(in crate::postgres) user: String,
    pub(in crate::postgres) password: Option<Password>,
    pub(in crate::postgres) database: String,
    pub(in crate::postgres) passfile: Option<PathBuf>,
    pub(in crate::postgres) tls: TlsSettings,
    pub(in crate::postgres) channel_binding: ChannelBinding,
    pub(in crate::postgres) application_name: Option<String>,
    pub(in crate::postgres) options: Option<String>,
    /// None: wait as long as the kernel does.
    pub(in crate::postgres) connect_timeout: Option<Duration>,
    pub(in crate::postgres) tcp_user_timeout: Option<Duration>,
    pub(in crate::postgres) keepalives: Keepalives,
    pub(in crate::postgres) target: TargetSession,
    pub(in crate::postgres) shuffle_hosts: bool,
    warnings: Vec<String>,
}

impl Conninfo {
    /// Reads a URI (`postgres://`, `postgresql://`) or a `key=value` connection string.
    ///
    /// Errors name the parameter at fault and never repeat the text, which may hold a password.
    pub fn parse(text: &Secret) -> Result<Self> {
        let text = text.expose()?.trim();
        let pairs = if text.is_empty() {
            return Err(refused("it is empty").hint(
                "give a URI such as postgresql://user@host:5432/database, or key=value pairs",
            ));
        } else if let Some(rest) = uri::strip_scheme(text) {
            uri::parse(rest)?
        } else if let Some(scheme) = uri::foreign_scheme(text) {
            return Err(refused(format!("`{scheme}` is not a scheme that PostgreSQL knows"))
                .hint("start it with postgresql:// or postgres://"));
        } else {
            keyvalue::parse(text)?
        };
        parameters::interpret(pairs)
    }

    /// Where it leads, for messages: `db.example:5432/petforce as drctl`.
    pub fn host_for_people(&self) -> String {
        let hosts: Vec<_> = self.endpoints.iter().map(Endpoint::to_string).collect();
        format!("{}/{} as {}", hosts.join(","), self.database, self.user)
    }

    pub fn database(&self) -> &str {
        &self.database
    }

    pub fn user(&self) -> &str {
        &self.user
    }

    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Whether both log in as the same role with what may be the same password: they differ only
    /// where the names differ, or where both passwords are known and differ.
    pub fn shares_credentials(&self, other: &Self) -> bool {
        let password = |info: &Self| {
            let first = info.endpoints.first();
            first.and_then(|e| Some(info.password_for(e).password?.expose().to_owned()))
        };
        self.user == other.user
            && match (password(self), password(other)) {
                (Some(ours), Some(theirs)) => ours == theirs,
                _ => true,
            }
    }

    /// The same server and role, another database.
    pub fn with_database(&self, database: &str) -> Self {
        Self { database: database.to_owned(), ..self.clone() }
    }

    /// The same, but only this one server: so that a second session meets the snapshot that the
    /// first one exported.
    pub(in crate::postgres) fn pinned_to(&self, endpoint: Endpoint) -> Self {
        Self { endpoints: vec![endpoint], target: TargetSession::Any, ..self.clone() }
    }

    /// What was ignored while parsing, for `doctor`.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The password for one server: the given one, else that of the password file.
    pub(in crate::postgres) fn password_for(&self, endpoint: &Endpoint) -> passfile::Found {
        match (&self.password, self.passfile()) {
            (Some(password), _) => passfile::Found::password(password.clone()),
            (None, Some(path)) => passfile::look_up(&path, endpoint, &self.database, &self.user),
            (None, None) => passfile::Found::default(),
        }
    }

    fn passfile(&self) -> Option<PathBuf> {
        self.passfile.clone().or_else(passfile::default_path)
    }

    /// The environment that makes pg_dump, pg_restore and psql connect in the same way.
    ///
    /// It is to be laid over an environment free of other `PG*` variables. The password is in it
    /// and nowhere else: never among the arguments, which every user of the machine can read.
    pub fn child_env(&self) -> Vec<(String, String)> {
        let mut env: Vec<(String, String)> = Vec::new();
        let mut set = |name: &str, value: String| env.push((name.to_owned(), value));
        let listed = |each: &dyn Fn(&Endpoint) -> String| {
            self.endpoints.iter().map(each).collect::<Vec<_>>().join(",")
        };
        set(
            "PGHOST",
            listed(&|e| match &e.host {
                Host::Tcp(name) => name.clone(),
                Host::Socket(dir) => dir.display().to_string(),
            }),
        );
        set("PGPORT", listed(&|e| e.port.to_string()));
        if self.endpoints.iter().any(|e| e.address.is_some()) {
            set("PGHOSTADDR", listed(&|e| e.address.map(|a| a.to_string()).unwrap_or_default()));
        }
        set("PGUSER", self.user.clone());
        set("PGDATABASE", self.database.clone());
        // With one server the password file is read here, so that a server behind a pinned
        // address is still found under its name.
        let password = match self.endpoints.as_slice() {
            [only] => self.password_for(only).password,
            _ => self.password.clone(),
        };
        if let Some(password) = password {
            set("PGPASSWORD", password.expose().to_owned());
        } else if let Some(path) = self.passfile() {
            set("PGPASSFILE", path.display().to_string());
        }
        let path_of = |path: &Path| path.display().to_string();
        set("PGSSLMODE", self.tls.mode.as_str().to_owned());
        if let Some(root) = &self.tls.root {
            set("PGSSLROOTCERT", root.as_text());
        }
        if let Some(path) = &self.tls.cert {
            set("PGSSLCERT", path_of(path));
        }
        if let Some(path) = &self.tls.key {
            set("PGSSLKEY", path_of(path));
        }
        if let Some(path) = &self.tls.crl {
            set("PGSSLCRL", path_of(path));
        }
        if !self.tls.sni {
            set("PGSSLSNI", "0".to_owned());
        }
        if self.tls.min_version.is_13() {
            set("PGSSLMINPROTOCOLVERSION", "TLSv1.3".to_owned());
        }
        if self.tls.negotiation == SslNegotiation::Direct {
            set("PGSSLNEGOTIATION", "direct".to_owned());
        }
        set("PGCHANNELBINDING", self.channel_binding.as_str().to_owned());
        // This program speaks no GSSAPI, and its children shall not wait for a ticket either.
        set("PGGSSENCMODE", "disable".to_owned());
        if let Some(limit) = self.connect_timeout {
            set("PGCONNECT_TIMEOUT", limit.as_secs().max(2).to_string());
        }
        if let Some(options) = &self.options {
            set("PGOPTIONS", options.clone());
        }
        if let Some(name) = &self.application_name {
            set("PGAPPNAME", name.clone());
        }
        if self.target != TargetSession::Any {
            set("PGTARGETSESSIONATTRS", self.target.as_str().to_owned());
        }
        env
    }

    /// `sslrootcert=system`.
    pub(in crate::postgres) fn trusts_the_system(&self) -> bool {
        self.tls.root == Some(RootCert::System)
    }

    pub(in crate::postgres) fn ssl_mode(&self) -> SslMode {
        self.tls.mode
    }
}

/// A connection string that cannot be used.
fn refused(why: impl Into<String>) -> Error {
    Error::new(Kind::Usage, "read the connection string").caused_by(why.into())
}

#[cfg(test)]
mod tests;
