//! The server's folder, its making, its start and its end.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep};

use super::settings::{Means, memory, settings};
use super::user::User;
use crate::config::Secret;
use crate::drill::{password, processes};
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::DrillId;
use crate::postgres::programs::{Program, Tool};
use crate::postgres::{Conninfo, connect};

/// How long a server may take to start.
const START: Duration = Duration::from_mins(1);
const AGAIN: Duration = Duration::from_millis(15);
/// The longest path of a Unix socket is 107 bytes (unix(7)).
const LONGEST_SOCKET: usize = 107;
/// How often another free port is tried.
const PORTS: usize = 5;
/// What a server needs besides what it holds: its own catalogues and its WAL.
const OVERHEAD: u64 = 1536 << 20;

/// The server's programs, of one version.
#[derive(Debug, Clone)]
pub struct Programs {
    pub postgres: Program,
    pub initdb: PathBuf,
}

impl Programs {
    /// Those whose major version is nearest to `major` and not below it.
    pub async fn find(folder: Option<&Path>, major: u32) -> Result<Self> {
        let postgres = Program::find(Tool::Postgres, folder, major).await?;
        let initdb = postgres.path.with_file_name(Tool::Initdb.name());
        if !initdb.is_file() {
            let what = format!("find initdb beside {}", postgres.path.display());
            return Err(Error::new(Kind::Program, what).hint(format!(
                "install the whole server package of PostgreSQL {}, or set pg_bin in [drill]",
                postgres.major
            )));
        }
        Ok(Self { postgres, initdb })
    }
}

/// What a server is to be.
#[derive(Debug, Clone)]
pub struct Wishes {
    pub id: DrillId,
    pub programs: Programs,
    pub user: User,
    /// `Embedded::folder` of the place to be in.
    pub folder: PathBuf,
    pub jobs: usize,
    /// Whether programs must reach it over TCP: then on the loopback, with a password.
    pub loopback: bool,
    /// Of the rows that it will hold, as text.
    pub raw_bytes: u64,
}

/// A running server.
pub struct Embedded {
    wishes: Wishes,
    child: Child,
    port: u16,
    password: String,
}

impl Embedded {
    /// The folder of a drill's server.
    pub fn folder(place: Option<&Path>, id: &DrillId) -> PathBuf {
        place.map_or_else(std::env::temp_dir, Path::to_owned).join(format!("drctl-{id}"))
    }

    /// Makes a cluster and starts it. Dropped at any moment, it leaves what `clear` removes.
    pub async fn start(wishes: Wishes) -> Result<Self> {
        let Wishes { folder, user, .. } = &wishes;
        room(&wishes)?;
        if folder.join(".s.PGSQL.65535").as_os_str().len() > LONGEST_SOCKET {
            let what = format!("start a server in {}", folder.display());
            return Err(Error::new(Kind::Usage, what)
                .caused_by("the path is too long for a socket")
                .hint("set `folder` in [drill] to one with a shorter path, such as /var/tmp"));
        }
        make_folder(folder)?;
        user.give(folder)?;
        let password = password::random()?;
        wishes.initdb(&password).await?;
        let mut last = None;
        for _ in 0..PORTS {
            let loopback = wishes.loopback.then(free_port).transpose()?;
            wishes.write_settings(loopback)?;
            let mut server = wishes.launch(loopback.unwrap_or(5432), &password)?;
            match server.until_ready().await {
                Ok(()) => return Ok(server),
                // Another process took the port in between.
                Err(e) if e.one_line().contains("could not bind") => last = Some(e),
                Err(e) => return Err(e),
            }
        }
        Err(last.unwrap_or_else(|| Error::new(Kind::Bug, "a server was started no times")))
    }

    /// A superuser's way in, by the socket.
    pub fn conninfo(&self, database: &str) -> Result<Conninfo> {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        Conninfo::parse(&Secret::new(format!(
            "host={} port={} user=postgres dbname={} sslmode=disable",
            quoted(&self.wishes.folder.display().to_string()),
            self.port,
            quoted(database)
        )))
    }

    /// A URL for programs that know TCP alone; none where it does not listen there.
    pub fn url(&self, database: &str) -> Option<String> {
        let password = &self.password;
        self.wishes
            .loopback
            .then(|| format!("postgresql://postgres:{password}@127.0.0.1:{}/{database}", self.port))
    }

    /// The command line by which people reach it.
    pub fn reach(&self, database: &str) -> String {
        let Wishes { folder, .. } = &self.wishes;
        format!("psql -h {} -p {} -U postgres -d {database}", folder.display(), self.port)
    }

    async fn until_ready(&mut self) -> Result<()> {
        let what = || format!("start a server with {}", self.wishes.programs.postgres);
        let info = self.conninfo("postgres")?;
        let deadline = Instant::now() + START;
        loop {
            if let Some(status) = self.child.try_wait().attempt(Kind::Program, what)? {
                return Err(Error::new(Kind::Program, what())
                    .caused_by(format!("{status}: {}", last_words(&self.wishes.folder))));
            }
            // Until the socket is there every attempt fails.
            if self.wishes.folder.join(format!(".s.PGSQL.{}", self.port)).exists()
                && let Ok(session) = connect(&info, "drctl drill").await
            {
                session.close().await;
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Error::new(Kind::Program, what()).caused_by(format!(
                    "it is not ready after a minute: {}",
                    last_words(&self.wishes.folder)
                )));
            }
            sleep(AGAIN).await;
        }
    }

    /// Ends the server and removes its folder. Also for one that an earlier drill left.
    pub async fn clear(id: &DrillId, folder: &Path) -> Result<Vec<String>> {
        let mut removed = Vec::new();
        let ended = processes::end(id, Some(folder)).await?;
        if ended > 0 {
            removed.push(format!("{ended} processes of drill {id}"));
        }
        // The folder is named by the drill; whatever a record says, no other is removed.
        if folder.file_name() != Some(format!("drctl-{id}").as_ref()) {
            let what = format!("{} is no folder of drill {id}", folder.display());
            return Err(
                Error::new(Kind::Failed, what).hint("remove it by hand if it is not needed")
            );
        }
        match fs::remove_dir_all(folder) {
            Ok(()) => removed.push(format!("folder {}", folder.display())),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {}
            Err(e) => {
                let what = format!("remove {}", folder.display());
                return Err(Error::new(Kind::Failed, what).caused_by(e).hint("remove it by hand"));
            }
        }
        Ok(removed)
    }

    /// Ends the server and removes its folder.
    pub async fn stop(mut self) -> Result<Vec<String>> {
        let reaped = async {
            // Without somebody who asks how it ended, it would stay in the table of processes.
            let _ = self.child.wait().await;
        };
        let (cleared, ()) =
            tokio::join!(Self::clear(&self.wishes.id, &self.wishes.folder), async {
                let _ = tokio::time::timeout(START, reaped).await;
            });
        cleared
    }
}

impl Wishes {
    /// A program of the server's: as its user, in its folder, known by the drill.
    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command.env_clear().env("LC_ALL", "C").env(processes::MARK, self.id.as_str());
        for name in ["PATH", "LD_LIBRARY_PATH"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        // A group of its own: a Ctrl-C in the terminal is for drctl, which then tidies up.
        command.current_dir(&self.folder).stdin(Stdio::null()).process_group(0);
        self.user.run(&mut command);
        command
    }

    async fn initdb(&self, password: &str) -> Result<()> {
        let file = self.folder.join("password");
        fs::write(&file, format!("{password}\n"))
            .and_then(|()| private(&file))
            .attempt(Kind::Failed, || format!("write {}", file.display()))?;
        self.user.give(&file)?;
        let mut command = self.command(&self.programs.initdb);
        command.args(["-D", "data", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-sync"]);
        command.args(["--auth-local=trust", "--auth-host=scram-sha-256", "--pwfile=password"]);
        let what = || format!("make a cluster with {}", self.programs.initdb.display());
        let output = command.output().await.attempt(Kind::Program, what)?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        let error =
            Error::new(Kind::Program, what()).caused_by(format!("{}: {said}", output.status));
        Err(match said.contains("ermission denied") {
            true => error.hint(format!(
                "the user of the server must be able to reach {}: set `folder` in [drill] to one \
                 below /var/tmp, say",
                self.folder.display()
            )),
            false => error,
        })
    }

    fn write_settings(&self, loopback: Option<u16>) -> Result<()> {
        let path = self.folder.join("data/postgresql.auto.conf");
        let means = Means { memory_bytes: memory(), jobs: self.jobs, loopback };
        fs::write(&path, settings(means))
            .attempt(Kind::Failed, || format!("write {}", path.display()))
    }

    fn launch(&self, port: u16, password: &str) -> Result<Embedded> {
        let path = self.folder.join("log");
        let log = fs::File::create(&path)
            .attempt(Kind::Failed, || format!("write {}", path.display()))?;
        let errors = log.try_clone().attempt(Kind::Failed, || "share a log".to_owned())?;
        let mut command = self.command(&self.programs.postgres.path);
        command.args(["-D", "data"]).stdout(log).stderr(errors);
        let child = command
            .spawn()
            .attempt(Kind::Program, || format!("start {}", self.programs.postgres))?;
        Ok(Embedded { wishes: self.clone(), child, port, password: password.to_owned() })
    }
}

/// Refuses a place that cannot hold what is to be restored.
fn room(wishes: &Wishes) -> Result<()> {
    let place = wishes.folder.parent().unwrap_or(Path::new("/"));
    let found = rustix::fs::statvfs(place)
        .attempt(Kind::Failed, || format!("ask how much room {} has", place.display()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    // Rows, indexes and the row headers together take about twice the rows as text.
    let needed = wishes.raw_bytes.saturating_mul(2).saturating_add(OVERHEAD);
    if free >= needed {
        return Ok(());
    }
    let mib = |n: u64| n >> 20;
    Err(Error::new(Kind::Failed, format!("{} has too little room", place.display()))
        .caused_by(format!("{} MiB are free, about {} MiB are needed", mib(free), mib(needed)))
        .hint("set `folder` in [drill] to a place with more, or `target` to a staging server"))
}

fn make_folder(folder: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .mode(0o700)
        .create(folder)
        .attempt(Kind::Failed, || format!("make the folder {}", folder.display()))
        .map_err(|e| e.hint("set `folder` in [drill] to a folder that drctl may write to"))
}

fn private(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))
}

/// A port that is free now; whoever takes it must be ready to try another.
fn free_port() -> Result<u16> {
    TcpListener::bind("127.0.0.1:0")
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .attempt(Kind::Failed, || "find a free port on the loopback".to_owned())
}

fn last_words(folder: &Path) -> String {
    let log = fs::read(folder.join("log")).unwrap_or_default();
    let from = log.len().saturating_sub(2000);
    String::from_utf8_lossy(&log[from..]).trim().to_owned()
}
