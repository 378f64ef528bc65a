//! `drctl web` by the built binary: the page, who may read it, and the intake of alerts.

mod browser;
mod intake;
mod page;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::home::Home;
use crate::lab::{self, Response};

pub const TOKEN: &str = "an-admission-ticket-0123456789";

/// A `drctl web` that serves; ended on drop.
pub struct Web {
    child: Child,
    pub port: u16,
    said: Arc<Mutex<String>>,
}

impl Web {
    /// Starts it at a free port and waits until it serves.
    pub fn start(home: &Home) -> Self {
        let mut command = home.command(&["web", "--listen", "127.0.0.1:0"]);
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut port = None;
        let said = Arc::new(Mutex::new(String::new()));
        for line in lines.by_ref() {
            let line = line.unwrap();
            said.lock().unwrap().push_str(&format!("{line}\n"));
            if let Some((_, rest)) = line.split_once("serving http") {
                port = rest.rsplit(':').next().and_then(|port| port.trim().parse().ok());
                break;
            }
        }
        let heard = Arc::clone(&said);
        // Or it would block on a full pipe.
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                heard.lock().unwrap().push_str(&format!("{line}\n"));
            }
        });
        let port = port.unwrap_or_else(|| panic!("it does not serve: {}", said.lock().unwrap()));
        Self { child, port, said }
    }

    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    pub fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Response {
        lab::request(self.port, method, path, headers, body.as_bytes()).unwrap()
    }

    pub fn get(&self, path: &str) -> Response {
        self.ask("GET", path, &[], "")
    }

    pub fn state(&self) -> serde_json::Value {
        let response = self.get("/state.json");
        assert_eq!(response.status, 200, "{}", response.text());
        serde_json::from_slice(&response.body).unwrap()
    }

    /// Waits until the state is as wanted.
    pub fn until(
        &self,
        what: &str,
        wanted: impl Fn(&serde_json::Value) -> bool,
    ) -> serde_json::Value {
        let begun = Instant::now();
        loop {
            let state = self.state();
            if wanted(&state) {
                return state;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "no {what}: {state:#}\n{}",
                self.said()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Tells it to stop, and gives the exit code.
    pub fn stop(mut self) -> Option<i32> {
        self.signal();
        self.child.wait().unwrap().code()
    }

    fn signal(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::TERM);
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
