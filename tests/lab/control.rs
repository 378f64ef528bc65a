//! A world in a process of its own, and orders to it over a Unix socket: one line each, answered by
//! `ok` or `error` and text.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use super::background::Task;
use super::desk::Desk;
use super::world::{World, WorldOptions};

pub use super::order::Order;

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
         scripts/lab writes               # what the client saw\n  \
         drctl drill failover --lab {folder}   # all of that as a drill, measured\n  scripts/lab down"
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
    let mut config = world.config();
    config.push_str(&drills(&folder, &world));
    std::fs::write(folder.join("drctl.toml"), config).map_err(|e| e.to_string())?;
    std::fs::write(folder.join("env"), environment(&folder)).map_err(|e| e.to_string())?;
    // Under its name only once it listens.
    let listener = UnixListener::bind(folder.join("socket.new")).map_err(|e| e.to_string())?;
    std::fs::rename(folder.join("socket.new"), &socket).map_err(|e| e.to_string())?;
    let desk = Desk::of(world);
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

/// How `drctl drill failover --lab` breaks this world and mends it. Afterwards the service is home
/// again, so that another drill can be made.
fn drills(folder: &Path, world: &World) -> String {
    let lab = std::env::current_exe().unwrap_or_default();
    let drctl = super::command::program();
    let (lab, drctl, folder) = (lab.display(), drctl.display(), folder.display());
    let home = match world.rds.is_empty() {
        // It is refused where us-west-2 has no primary: then the service never left.
        true => format!(
            "; if '{lab}' rebuild east; then '{drctl}' --config '{folder}/drctl.toml' run failback \
             --mode graceful --confirm us-east-1 --as lab --reason 'after a drill' \
             --skip-preflight 'a lab'; '{lab}' rebuild west; fi"
        ),
        false => String::new(),
    };
    format!(
        r#"
[drill.failover]
fault = ["env", "LAB_WORLD={folder}", "{lab}", "fail", "east", "kill"]
heal = ["env", "LAB_WORLD={folder}", "sh", "-ec", "'{lab}' heal east{home}"]
url = "http://app.petforce.test:{port}/health/ready"
resolver = "{resolver}"
sql = "SELECT count(*) > 0 FROM petforce.pets"
hold = "5s"
"#,
        port = world.web_port(),
        resolver = world.resolver.address(),
    )
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
