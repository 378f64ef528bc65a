//! A PgBouncer in front of a server of the lab.

use std::net::TcpStream;
use std::process::Command;

use rustix::process::Signal;

use super::postgres::Postgres;
use super::process::{Process, free_port};
use super::scratch::{Folder, Owner, folder};
use super::setup::tool;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PoolMode {
    Session,
    Transaction,
    Statement,
}

/// A pooler for all databases of one server, without passwords; ended on drop.
pub struct PgBouncer {
    port: u16,
    _process: Process,
    _folder: Folder,
}

impl PgBouncer {
    pub fn start(server: &Postgres, mode: PoolMode) -> Self {
        let folder = folder("pgbouncer");
        let owner = Owner::of_servers();
        owner.give(folder.path());
        let mode = match mode {
            PoolMode::Session => "session",
            PoolMode::Transaction => "transaction",
            PoolMode::Statement => "statement",
        };
        std::fs::write(folder.join("users"), "\"postgres\" \"\"\n").unwrap();
        for _ in 0..5 {
            let port = free_port();
            let config = format!(
                "[databases]\n* = host={} port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {port}\nunix_socket_dir =\nauth_type = trust\nauth_file = users\n\
                 pool_mode = {mode}\ndefault_pool_size = 4\nadmin_users = postgres\n",
                server.socket_dir().display(),
                server.port(),
            );
            std::fs::write(folder.join("pgbouncer.ini"), config).unwrap();
            let mut command = Command::new(tool("PGBOUNCER"));
            command.arg("pgbouncer.ini").current_dir(folder.path());
            owner.run(&mut command);
            let what = format!("PgBouncer on port {port}");
            let mut process = Process::start(&what, command, &folder.join("log"), Signal::KILL);
            match process.wait_until(|| TcpStream::connect(("127.0.0.1", port)).is_ok()) {
                Ok(()) => return Self { port, _process: process, _folder: folder },
                // Another process took the port in between.
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("{log}"),
            }
        }
        panic!("found no free port for PgBouncer in five attempts");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self, db: &str) -> String {
        format!("postgresql://postgres@127.0.0.1:{}/{db}", self.port)
    }
}
