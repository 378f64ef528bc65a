//! A real Alertmanager that sends what it is told to nobody, and says what it has.

use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;

use super::http::request;
use super::process::{Process, free_port};
use super::scratch::{Folder, folder};
use super::setup::tool;

/// An Alertmanager; ends on drop.
pub struct Alertmanager {
    port: u16,
    _process: Mutex<Process>,
    _folder: Folder,
}

impl Alertmanager {
    pub fn start() -> Self {
        let folder = folder("alertmanager");
        let config = folder.join("config.yml");
        std::fs::write(&config, "route:\n  receiver: nobody\nreceivers:\n  - name: nobody\n")
            .unwrap();
        for _ in 0..5 {
            let port = free_port();
            let mut command = Command::new(tool("ALERTMANAGER"));
            command.current_dir(folder.path()).args([
                &format!("--config.file={}", config.display()),
                &format!("--storage.path={}", folder.join("data").display()),
                &format!("--web.listen-address=127.0.0.1:{port}"),
                // Alone: no cluster, no port for it.
                "--cluster.listen-address=",
            ]);
            let what = format!("Alertmanager on port {port}");
            let mut process = Process::start(&what, command, &folder.join("log"), Signal::KILL);
            let ready = process.wait_until(|| {
                request(port, "GET", "/-/ready", &[], b"").is_ok_and(|r| r.status == 200)
            });
            match ready {
                Ok(()) => return Self { port, _process: Mutex::new(process), _folder: folder },
                // Another process took the port in between.
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("{log}"),
            }
        }
        panic!("found no free port for an Alertmanager in five attempts");
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The alerts that it has now.
    pub fn alerts(&self) -> Vec<serde_json::Value> {
        let answer = request(self.port, "GET", "/api/v2/alerts", &[], b"").unwrap();
        serde_json::from_slice(&answer.body).unwrap()
    }
}
