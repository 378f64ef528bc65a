//! A physical standby of a server of the lab.

use std::net::SocketAddr;
use std::process::Command;
use std::time::{Duration, Instant};

use super::options::new_folder;
use super::postgres::Postgres;
use super::process::run_tool;
use super::scratch::Owner;

impl Postgres {
    /// A streaming standby made by `pg_basebackup`, with a replication slot of its own. It takes
    /// the primary's settings; wait for it with [`catch_up`](Self::catch_up).
    pub fn standby_of(primary: &Self) -> Self {
        Self::standby_by(primary, primary.program("pg_basebackup"))
    }

    /// Likewise, which follows the primary by way of an address that leads to it.
    pub fn standby_through(primary: &Self, way: SocketAddr) -> Self {
        let mut command = primary.program("pg_basebackup");
        command.env("PGHOST", way.ip().to_string()).env("PGPORT", way.port().to_string());
        if let Some(password) = primary.password() {
            command.env("PGPASSWORD", password);
        }
        Self::standby_by(primary, command)
    }

    fn standby_by(primary: &Self, mut command: Command) -> Self {
        let folder = new_folder(primary.version());
        let slot = super::unique("standby");
        command.arg("-D").arg(folder.join("data")).args(["-R", "-C", "-S", &slot]);
        command.args(["-X", "stream", "-c", "fast", "--no-sync"]);
        run_tool(Owner::of_servers().run(&mut command).current_dir(folder.path()));
        Self::start_in(primary.version(), folder, primary.password().map(str::to_owned))
    }

    /// This standby receives nothing more from its primary, which goes on, until
    /// [`receive_again`](Self::receive_again).
    pub fn stop_receiving(&self) {
        let way = self.psql("postgres", "SHOW primary_conninfo");
        *self.away_from().lock().unwrap() = Some(way);
        // Nobody listens there.
        self.set_primary("host=127.0.0.9 port=9");
        let gone = "SELECT count(*) = 0 FROM pg_stat_wal_receiver WHERE status = 'streaming'";
        let start = Instant::now();
        while self.psql("postgres", gone) != "t" {
            assert!(start.elapsed() < Duration::from_secs(30), "it still receives");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Where it was stopped.
    pub fn receive_again(&self) {
        if let Some(way) = self.away_from().lock().unwrap().take() {
            self.set_primary(&way);
        }
    }

    fn set_primary(&self, conninfo: &str) {
        let quoted = conninfo.replace('\'', "''");
        self.psql("postgres", &format!("ALTER SYSTEM SET primary_conninfo = '{quoted}'"));
        self.psql("postgres", "SELECT pg_reload_conf()");
    }

    /// Waits until this standby has replayed all that `primary` has written so far.
    pub fn catch_up(&self, primary: &Self) {
        let target = primary.psql("postgres", "SELECT pg_current_wal_flush_lsn()");
        let reached = format!("SELECT pg_last_wal_replay_lsn() >= '{target}'");
        let start = Instant::now();
        while self.psql("postgres", &reached) != "t" {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "the standby has not replayed up to {target} in a minute:\n{}",
                self.log()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
