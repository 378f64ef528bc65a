//! A world in a process of its own, and orders to it over a Unix socket: one line each, answered by
//! `ok` or `error` and text.

use std::any::Any;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, mpsc};
use std::time::{Duration, Instant};

use super::background::Task;
use super::region::{Fault, Part, Region};
use super::world::{EAST, WEST, World, WorldOptions};
use super::writer::Writer;

/// Something to do with a world that runs.
#[derive(Debug)]
pub enum Order {
    Status,
    Down,
    Fail(Where, Kind),
    Heal(Where),
    Rebuild(String),
    Write(String),
    Writes { json: bool },
    Show(Option<String>),
}

/// What breaks.
#[derive(Debug)]
pub enum Where {
    Region(String),
    Part(String, Part),
    Route53,
}

/// How it breaks.
#[derive(Debug)]
pub enum Kind {
    Fault(Fault),
    Lag,
}

impl Order {
    pub fn read(words: &[&str]) -> Result<Self, String> {
        Ok(match words {
            ["status"] => Self::Status,
            ["down"] => Self::Down,
            ["fail", part, "lag"] => Self::Fail(place(part)?, Kind::Lag),
            ["fail", part, kind] => Self::Fail(place(part)?, Kind::Fault(kind.parse()?)),
            ["heal", part] => Self::Heal(place(part)?),
            ["rebuild", name] => Self::Rebuild(region(name)?),
            ["write"] => Self::Write("app".to_owned()),
            ["write", name] => Self::Write((*name).to_owned()),
            ["writes"] => Self::Writes { json: false },
            ["writes", "--json"] => Self::Writes { json: true },
            ["show"] => Self::Show(None),
            ["show", name] => Self::Show(Some((*name).to_owned())),
            other => return Err(format!("not understood: {}", other.join(" "))),
        })
    }
}

fn region(name: &str) -> Result<String, String> {
    match name {
        "east" | EAST => Ok(EAST.to_owned()),
        "west" | WEST => Ok(WEST.to_owned()),
        _ => Err(format!("no region `{name}`: it is east or west")),
    }
}

fn place(text: &str) -> Result<Where, String> {
    if text == "route53" {
        return Ok(Where::Route53);
    }
    let Some((name, part)) = text.split_once('.') else { return Ok(Where::Region(region(text)?)) };
    let part = Part::ALL.into_iter().find(|known| known.to_string() == part);
    Ok(Where::Part(region(name)?, part.ok_or(format!("no part `{text}`"))?))
}

fn options(words: &[&str]) -> Result<WorldOptions, String> {
    let mut options = WorldOptions { scale: 2000, ttl: 5, ..WorldOptions::default() };
    let words: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| {
            options.rds |= *word == "--rds";
            *word != "--rds"
        })
        .collect();
    for pair in words.chunks(2) {
        let wrong = || format!("not understood: {}", pair.join(" "));
        let [name, value] = pair else { return Err(wrong()) };
        match *name {
            "--scale" => options.scale = value.parse().map_err(|_| wrong())?,
            "--ttl" => options.ttl = value.parse().map_err(|_| wrong())?,
            "--standby-tasks" => options.standby_tasks = value.parse().map_err(|_| wrong())?,
            _ => return Err(wrong()),
        }
    }
    Ok(options)
}

/// Starts the world in the background and waits for it.
pub fn up(folder: &Path, words: &[&str]) -> Result<String, String> {
    options(words)?;
    if UnixStream::connect(folder.join("socket")).is_ok() {
        return Err("it is up already; `scripts/lab down` ends it".to_owned());
    }
    std::fs::create_dir_all(folder).map_err(|e| format!("create {}: {e}", folder.display()))?;
    let log = File::create(folder.join("log")).map_err(|e| format!("write a log: {e}"))?;
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut server = Command::new(program)
        .arg("serve")
        .args(words)
        .env("LAB_WORLD", folder)
        .env_remove("RUST_BACKTRACE")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(|e| e.to_string())?;
    let start = Instant::now();
    while UnixStream::connect(folder.join("socket")).is_err() {
        if let Ok(Some(status)) = server.try_wait() {
            let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
            return Err(format!("the world ended with {status}:\n{log}"));
        }
        if start.elapsed() > Duration::from_secs(120) {
            let _ = server.kill();
            return Err("the world is not up after two minutes".to_owned());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let status = ask(folder, &Order::Status)?;
    let folder = folder.display();
    Ok(format!(
        "{status}\n\nTry:\n  . {folder}/env                   # drctl, and keys for it\n  \
         scripts/lab write                # a client that writes all the time\n  \
         drctl status\n  drctl preflight\n  drctl failover --dry-run\n  \
         scripts/lab fail east kill       # the region is lost\n  drctl failover\n  \
         scripts/lab writes               # what the client saw\n  scripts/lab down"
    ))
}

/// Runs the world until it is told to end, by an order or a signal.
pub fn serve(folder: &Path, words: &[&str]) -> Result<(), String> {
    let folder = folder.canonicalize().map_err(|e| format!("{}: {e}", folder.display()))?;
    let options = WorldOptions { home: Some(folder.clone()), ..options(words)? };
    let socket = folder.join("socket");
    let _ = std::fs::remove_file(&socket);
    let (end, ended) = mpsc::channel::<()>();
    let signalled = end.clone();
    let _signals = Task::start(async move {
        use tokio::signal::unix::{SignalKind, signal};
        let mut term = signal(SignalKind::terminate()).unwrap();
        let mut int = signal(SignalKind::interrupt()).unwrap();
        tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
        let _ = signalled.send(());
    });
    let world = World::start(&options);
    std::fs::write(folder.join("env"), environment(&folder)).map_err(|e| e.to_string())?;
    // Under its name only once it listens.
    let listener = UnixListener::bind(folder.join("socket.new")).map_err(|e| e.to_string())?;
    std::fs::rename(folder.join("socket.new"), &socket).map_err(|e| e.to_string())?;
    let desk = Desk { world, writer: Mutex::default() };
    std::thread::scope(|s| {
        let desk = &desk;
        s.spawn(move || {
            for stream in listener.incoming().flatten() {
                if desk.answer(stream).is_break() {
                    let _ = end.send(());
                    return;
                }
            }
        });
        let _ = ended.recv();
        // Wakes the listening thread, which ends when nobody answers at the door.
        if let Ok(mut stream) = UnixStream::connect(&socket) {
            let _ = stream.write_all(b"down\n");
        }
        let _ = std::fs::remove_file(&socket);
    });
    Ok(())
}

/// What a shell needs to run drctl here.
fn environment(folder: &Path) -> String {
    let programs = super::command::program();
    let programs = programs.parent().unwrap_or(Path::new("."));
    format!(
        "export PATH=\"{}:$PATH\" DRCTL_CONFIG=\"{}/drctl.toml\"\n\
         export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_EC2_METADATA_DISABLED=true\n",
        programs.display(),
        folder.display()
    )
}

/// Gives an order to the world that runs in `folder`.
pub fn ask(folder: &Path, order: &Order) -> Result<String, String> {
    let mut stream = UnixStream::connect(folder.join("socket"))
        .map_err(|_| "it is not up; `scripts/lab up` starts it".to_owned())?;
    let line = order.line();
    let mut answer = String::new();
    stream
        .write_all(format!("{line}\n").as_bytes())
        .and_then(|()| stream.read_to_string(&mut answer))
        .map_err(|e| format!("the world gave no answer to `{line}`: {e}"))?;
    match answer.split_once('\n') {
        Some(("ok", text)) => Ok(text.trim_end().to_owned()),
        Some(("error", text)) => Err(text.trim_end().to_owned()),
        _ => Err(format!("the world broke off at `{line}`; its log is in {}", folder.display())),
    }
}

impl Order {
    fn line(&self) -> String {
        match self {
            Self::Status => "status".to_owned(),
            Self::Down => "down".to_owned(),
            Self::Fail(place, Kind::Lag) => format!("fail {place} lag"),
            Self::Fail(place, Kind::Fault(fault)) => format!("fail {place} {fault}"),
            Self::Heal(place) => format!("heal {place}"),
            Self::Rebuild(region) => format!("rebuild {region}"),
            Self::Write(name) => format!("write {name}"),
            Self::Writes { json: false } => "writes".to_owned(),
            Self::Writes { json: true } => "writes --json".to_owned(),
            Self::Show(None) => "show".to_owned(),
            Self::Show(Some(name)) => format!("show {name}"),
        }
    }
}

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Region(name) => f.write_str(name),
            Self::Part(name, part) => write!(f, "{name}.{part}"),
            Self::Route53 => f.write_str("route53"),
        }
    }
}

/// Where orders are carried out.
struct Desk {
    world: World,
    writer: Mutex<Option<Writer>>,
}

impl Desk {
    /// Reads one order, carries it out and answers; `Break` ends the world.
    fn answer(&self, mut stream: UnixStream) -> std::ops::ControlFlow<()> {
        let mut line = String::new();
        let _ = BufReader::new(&stream).read_line(&mut line);
        let words: Vec<&str> = line.split_whitespace().collect();
        let order = Order::read(&words);
        let ends = matches!(order, Ok(Order::Down));
        // A part that cannot do what it is told panics, which must not take the world down.
        let done = order.and_then(|order| {
            let carried = AssertUnwindSafe(|| self.carry_out(&order));
            catch_unwind(carried).unwrap_or_else(|panic| Err(told(&*panic)))
        });
        let answer = match done {
            Ok(text) => format!("ok\n{text}"),
            Err(why) => format!("error\n{why}"),
        };
        let _ = stream.write_all(answer.as_bytes());
        if ends { std::ops::ControlFlow::Break(()) } else { std::ops::ControlFlow::Continue(()) }
    }

    fn writer(&self) -> MutexGuard<'_, Option<Writer>> {
        // An order that failed while it had it leaves nothing half done.
        self.writer.lock().unwrap_or_else(|e| e.into_inner())
    }

    fn carry_out(&self, order: &Order) -> Result<String, String> {
        let world = &self.world;
        let region = |name: &str| -> &Region { world.region(name) };
        match order {
            Order::Down => {}
            Order::Status => return Ok(self.status()),
            Order::Fail(Where::Part(name, Part::Db), Kind::Lag) => {
                region(name).server().psql("postgres", "SELECT pg_wal_replay_pause()");
            }
            Order::Fail(_, Kind::Lag) => {
                return Err("only a standby's database lags: west.db".to_owned());
            }
            Order::Fail(Where::Region(name), Kind::Fault(fault)) => region(name).fail_all(*fault),
            Order::Fail(Where::Part(name, part), Kind::Fault(fault)) => {
                region(name).fail(*part, *fault);
            }
            Order::Fail(Where::Route53, Kind::Fault(fault)) => world.fail_route53(*fault)?,
            Order::Heal(Where::Region(name)) => world.revive(region(name)),
            Order::Heal(Where::Part(name, Part::Aws)) => world.revive_aws(region(name)),
            Order::Heal(Where::Part(name, part)) => region(name).heal(*part),
            Order::Heal(Where::Route53) => world.heal_route53(),
            Order::Rebuild(name) => {
                let other = if name == EAST { WEST } else { EAST };
                if region(other).role() != "primary" {
                    return Err(format!("{other} has no primary to follow"));
                }
                world.rebuild(region(name), region(other));
            }
            Order::Write(name) => {
                *self.writer() = Some(world.writer(name));
            }
            Order::Writes { json } => return self.writes(*json),
            Order::Show(name) => return world.show(name.as_deref()),
        }
        Ok(String::new())
    }

    fn status(&self) -> String {
        let mut lines = self.world.status();
        if let Some(writer) = &*self.writer() {
            lines.push(format!("client      {}", writer.tale()));
        }
        lines.join("\n")
    }

    fn writes(&self, json: bool) -> Result<String, String> {
        let writer = self.writer();
        let writer = writer.as_ref().ok_or("nobody writes; `scripts/lab write` starts a client")?;
        let Some(server) = self.world.primary() else {
            return match json {
                true => Err("no database takes writes, so what is lost is not known".to_owned()),
                false => Ok(format!("{}\nno database takes writes", writer.tale())),
            };
        };
        let lost = writer.lost(&server);
        if json {
            let seen: Vec<_> = writer.acknowledged();
            let first = |region| seen.iter().find(|ack| ack.region == region).map(|ack| ack.at);
            let last = |region| seen.iter().rfind(|ack| ack.region == region).map(|ack| ack.at);
            let regions = [EAST, WEST].map(|region| {
                let count = seen.iter().filter(|ack| ack.region == region).count();
                let told = serde_json::json!({
                    "acknowledged": count, "first": first(region), "last": last(region),
                });
                (region, told)
            });
            let told = serde_json::json!({
                "acknowledged": seen.len(), "lost": lost.len(), "refused": writer.refused().0,
                "regions": std::collections::BTreeMap::from(regions),
            });
            return Ok(told.to_string());
        }
        Ok(format!("{}\n{} acknowledged writes are lost", writer.tale(), lost.len()))
    }
}

/// What a panic said.
fn told(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("the log says why").to_owned()
}
