//! How a PostgreSQL server of the lab is set up.

use std::io::Write;
use std::path::PathBuf;
use std::process::Command;

use super::postgres::Postgres;
use super::process::run_tool;
use super::scratch::{Folder, Owner, folder, set_mode};
use super::setup::tool;
use super::tls::Tls;

/// Which of the installed servers. `V15` is Debian's, and on a distribution without 15 the one it
/// has; 16 and 18 are builds without TLS, ICU, XML, lz4 and contrib modules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Version {
    V15,
    V16,
    V18,
}

impl Version {
    pub const ALL: [Self; 3] = [Self::V15, Self::V16, Self::V18];

    /// The folder of `postgres`, `psql`, `pg_dump` and the rest.
    pub fn bin_dir(self) -> PathBuf {
        tool(match self {
            Self::V15 => "PG15_BIN",
            Self::V16 => "PG16_BIN",
            Self::V18 => "PG18_BIN",
        })
    }
}

/// How a server is set up before its first start; from [`Postgres::options`].
#[derive(Clone)]
pub struct Options {
    version: Version,
    password: Option<String>,
    hba: Option<String>,
    conf: String,
    tls: Option<(PathBuf, PathBuf, PathBuf)>,
}

impl Options {
    pub(super) fn new(version: Version) -> Self {
        Self { version, password: None, hba: None, conf: String::new(), tls: None }
    }

    /// The superuser's password; connections over TCP then need it (scram-sha-256).
    pub fn password(mut self, password: &str) -> Self {
        self.password = Some(password.to_owned());
        self
    }

    /// Lines of pg_hba.conf for TCP. Connections over the socket stay trusted: the lab uses them.
    pub fn hba(mut self, lines: &str) -> Self {
        self.hba = Some(lines.to_owned());
        self
    }

    /// Lines of postgresql.conf, after the lab's own.
    pub fn conf(mut self, lines: &str) -> Self {
        self.conf.push_str(lines);
        self.conf.push('\n');
        self
    }

    /// TLS with the server certificate of `tls`, and its CA for client certificates. Plain
    /// connections stay possible unless `hba` says otherwise. Only `V15` is built with TLS.
    pub fn tls(mut self, tls: &Tls) -> Self {
        self.tls = Some((tls.server_cert(), tls.server_key(), tls.ca()));
        self
    }

    pub fn start(self) -> Postgres {
        let folder = new_folder(self.version);
        let data = folder.join("data");
        let owner = Owner::of_servers();
        let auth = if self.password.is_some() { "scram-sha-256" } else { "trust" };
        let mut initdb = Command::new(self.version.bin_dir().join("initdb"));
        initdb.arg("-D").arg(&data).args(["-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--no-sync", "-A", auth]);
        if let Some(password) = &self.password {
            let file = folder.join("password");
            std::fs::write(&file, password).unwrap();
            owner.give(&file);
            initdb.arg("--pwfile").arg(file);
        }
        run_tool(owner.run(&mut initdb).current_dir(folder.path()));

        let loopback = "127.0.0.1/32";
        let hba = self.hba.clone().unwrap_or_else(|| {
            format!("host all all {loopback} {auth}\nhost replication all {loopback} {auth}\n")
        });
        let hba = format!("local all all trust\nlocal replication all trust\n{hba}\n");
        std::fs::write(data.join("pg_hba.conf"), hba).unwrap();

        let mut conf = String::from(LAB_CONF);
        if let Some((cert, key, ca)) = &self.tls {
            for (from, to) in [(cert, "server.crt"), (key, "server.key"), (ca, "root.crt")] {
                let to = data.join(to);
                std::fs::copy(from, &to).unwrap();
                set_mode(&to, 0o600);
                owner.give(&to);
            }
            conf.push_str("ssl = on\nssl_ca_file = 'root.crt'\n");
        }
        conf.push_str(&self.conf);
        let mut file =
            std::fs::File::options().append(true).open(data.join("postgresql.conf")).unwrap();
        file.write_all(conf.as_bytes()).unwrap();
        Postgres::start_in(self.version, folder, self.password)
    }
}

/// Durability is for servers that outlive their machine.
const LAB_CONF: &str = "
fsync = off
full_page_writes = off
shared_buffers = 16MB
max_wal_size = 512MB
max_connections = 100
max_prepared_transactions = 10
wal_level = logical
autovacuum_naptime = 1d
log_min_messages = warning
log_line_prefix = '%m [%p] %q%u@%d '
timezone = 'UTC'
lc_messages = 'C'
";

/// An empty folder of the servers' user.
pub(super) fn new_folder(version: Version) -> Folder {
    let folder = folder(&format!("pg-{version:?}"));
    Owner::of_servers().give(folder.path());
    folder
}
