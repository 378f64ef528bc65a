//! A PostgreSQL server of the test's own.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard};

use rustix::process::{Pid, Signal, kill_process};

use super::options::{Options, Version};
use super::process::{Process, free_port, run_tool};
use super::scratch::{Folder, Owner};

/// A server; ended by an immediate shutdown on drop. The superuser is `postgres`.
pub struct Postgres {
    version: Version,
    folder: Folder,
    port: u16,
    password: Option<String>,
    process: Mutex<Option<Process>>,
    /// The primary from which a standby was cut off.
    away_from: Mutex<Option<String>>,
}

impl Postgres {
    pub fn start(version: Version) -> Self {
        Self::options(version).start()
    }

    pub(super) fn away_from(&self) -> &Mutex<Option<String>> {
        &self.away_from
    }

    pub fn options(version: Version) -> Options {
        Options::new(version)
    }

    /// Starts a server on the data folder that lies in `folder`.
    pub(super) fn start_in(version: Version, folder: Folder, password: Option<String>) -> Self {
        let mut server = Self {
            version,
            folder,
            port: free_port(),
            password,
            process: Mutex::default(),
            away_from: Mutex::default(),
        };
        for _ in 0..5 {
            match server.launch() {
                Ok(()) => return server,
                // Another process took the port in between.
                Err(log) if log.contains("could not bind") => {
                    let _ = std::fs::remove_file(server.log_path());
                    server.port = free_port();
                }
                Err(log) => panic!("{log}"),
            }
        }
        panic!("found no free port for a PostgreSQL server in five attempts");
    }

    /// Starts the process and waits until it takes connections.
    fn launch(&self) -> Result<(), String> {
        let mut command = Command::new(self.bin_dir().join("postgres"));
        command.env_clear().env("LC_ALL", "C.UTF-8").current_dir(self.folder.path());
        command.arg("-D").arg(self.data_dir());
        command.arg("-p").arg(self.port.to_string()).arg("-k").arg(self.socket_dir());
        command.args(["-c", "listen_addresses=127.0.0.1"]);
        Owner::of_servers().run(&mut command);
        let what = format!("PostgreSQL {:?} on port {}", self.version, self.port);
        let mut process = Process::start(&what, command, &self.log_path(), Signal::QUIT);
        let pid_file = self.data_dir().join("postmaster.pid");
        let pid = process.pid().as_raw_nonzero().to_string();
        // The last line of the file says how far the server is; a killed one leaves its file behind.
        process.wait_until(|| {
            let text = std::fs::read_to_string(&pid_file).unwrap_or_default();
            text.lines().next() == Some(&pid)
                && text.lines().nth(7).is_some_and(|state| state.trim() == "ready")
        })?;
        *self.process() = Some(process);
        Ok(())
    }

    fn process(&self) -> MutexGuard<'_, Option<Process>> {
        // A test that failed while holding it leaves nothing half done.
        self.process.lock().unwrap_or_else(|e| e.into_inner())
    }

    pub fn version(&self) -> Version {
        self.version
    }

    /// The superuser's password, if one was set.
    pub fn password(&self) -> Option<&str> {
        self.password.as_deref()
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.folder.path()
    }

    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    pub fn bin_dir(&self) -> PathBuf {
        self.version.bin_dir()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// What the server has logged, from warnings on.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// `postgresql://postgres[:password]@127.0.0.1:port/db`.
    pub fn url(&self, db: &str) -> String {
        let encode = |text: &str| -> String {
            url::form_urlencoded::byte_serialize(text.as_bytes())
                .collect::<String>()
                .replace('+', "%20")
        };
        let password =
            self.password.as_deref().map(|p| format!(":{}", encode(p))).unwrap_or_default();
        format!("postgresql://postgres{password}@127.0.0.1:{}/{}", self.port, encode(db))
    }

    /// `host=… port=… user=… dbname=… [password=…]`.
    pub fn conninfo(&self, db: &str) -> String {
        let quote = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let mut text =
            format!("host=127.0.0.1 port={} user=postgres dbname={}", self.port, quote(db));
        if let Some(password) = &self.password {
            text.push_str(&format!(" password={}", quote(password)));
        }
        text
    }

    /// A program of this version (`psql`, `pg_dump`, …) that connects to this server as the
    /// superuser over the socket, with nothing inherited from the environment but PATH.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.bin_dir().join(name));
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("LC_ALL", "C.UTF-8").env("PGHOST", self.socket_dir());
        command.env("PGPORT", self.port.to_string()).env("PGUSER", "postgres");
        command
    }

    /// Runs SQL as the superuser and returns the rows, unaligned (`|` between fields), without the
    /// final line break. Panics with psql's message when a statement fails.
    pub fn psql(&self, db: &str, sql: &str) -> String {
        match self.try_psql(db, sql) {
            Ok(output) => output,
            Err(message) => panic!("psql failed in `{db}`: {message}\nSQL: {sql}"),
        }
    }

    /// Like [`psql`](Self::psql), with psql's message as the error.
    pub fn try_psql(&self, db: &str, sql: &str) -> Result<String, String> {
        let mut command = self.program("psql");
        command.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", "-", "-d", db]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let sql = sql.to_owned();
        let writer = std::thread::spawn(move || {
            let _ = stdin.write_all(sql.as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        let _ = writer.join();
        if output.status.success() {
            let text = String::from_utf8(output.stdout).expect("psql wrote UTF-8");
            Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Loads a file with psql variables; panics when a statement fails.
    pub fn load(&self, db: &str, file: &Path, variables: &[(&str, &str)]) {
        let mut command = self.program("psql");
        command.args(["-X", "-q", "-v", "ON_ERROR_STOP=1", "-o", "/dev/null", "-d", db]);
        for (name, value) in variables {
            command.arg("-v").arg(format!("{name}={value}"));
        }
        run_tool(command.arg("-f").arg(file));
    }

    /// Loads `everything.sql`, and on 18 `everything18.sql`.
    pub fn load_everything(&self, db: &str) {
        self.load(db, &super::sql_file("everything.sql"), &[]);
        if self.version == Version::V18 {
            self.load(db, &super::sql_file("everything18.sql"), &[]);
        }
    }

    /// Loads `petforce.sql` with so many appointments.
    pub fn load_petforce(&self, db: &str, scale: u64) {
        self.load(db, &super::sql_file("petforce.sql"), &[("scale", &scale.to_string())]);
    }

    pub fn create_db(&self, name: &str) {
        self.psql("postgres", &format!("CREATE DATABASE \"{}\"", name.replace('"', "\"\"")));
    }

    /// A new empty database with a name of its own.
    pub fn fresh_db(&self, prefix: &str) -> String {
        let name = super::unique(prefix);
        self.create_db(&name);
        name
    }

    /// `ALTER SYSTEM SET <setting>` and a reload, for instance `work_mem = '1MB'`.
    pub fn set(&self, setting: &str) {
        self.psql("postgres", &format!("ALTER SYSTEM SET {setting}"));
        self.psql("postgres", "SELECT pg_reload_conf()");
    }

    /// Fast shutdown: clients are cut, a checkpoint is written.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            process.end_with(Signal::INT);
        }
    }

    /// Starts a stopped or killed server again, on the same port.
    pub fn start_again(&self) {
        assert!(self.process().is_none(), "the server runs already");
        if let Err(log) = self.launch() {
            panic!("{log}");
        }
    }

    pub fn restart(&self) {
        self.stop();
        self.start_again();
    }

    /// Kills all of the server's processes at once, as when its machine goes away.
    pub fn kill9(&self) {
        let Some(mut process) = self.process().take() else { return };
        // Stopped first, so that it starts no further children and none of them sees it go.
        process.signal(Signal::STOP);
        for child in children(process.pid()) {
            let _ = kill_process(child, Signal::KILL);
        }
        process.end_with(Signal::KILL);
    }

    /// Stops all of the server's processes, with connections left open, until
    /// [`resume`](Self::resume).
    pub fn pause(&self) {
        self.signal_all(Signal::STOP);
    }

    pub fn resume(&self) {
        self.signal_all(Signal::CONT);
    }

    fn signal_all(&self, signal: Signal) {
        let process = self.process();
        let process = process.as_ref().expect("the server runs");
        process.signal(signal);
        for child in children(process.pid()) {
            let _ = kill_process(child, signal);
        }
    }

    /// Whether its process is there, stopped or not.
    pub fn runs(&self) -> bool {
        self.process().as_mut().is_some_and(|process| process.has_ended().is_none())
    }

    /// Makes a standby a primary on a new timeline, and waits until it is one.
    pub fn promote(&self) {
        let done = self.psql("postgres", "SELECT pg_promote(true, 60)");
        assert_eq!(done, "t", "the standby was not promoted in a minute:\n{}", self.log());
    }
}

fn children(parent: Pid) -> Vec<Pid> {
    let pid = parent.as_raw_nonzero();
    let list = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(list).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}
