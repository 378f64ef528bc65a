//! A program on a terminal, as somebody sits before it: `script` of util-linux lends one.

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// How long something may take to appear.
const PATIENCE: Duration = Duration::from_secs(60);

pub struct Terminal {
    child: Child,
    keys: Option<ChildStdin>,
    screen: Arc<Mutex<Vec<u8>>>,
    reader: Option<std::thread::JoinHandle<()>>,
}

impl Terminal {
    /// Starts a program on a terminal of 100 columns and 40 lines.
    pub fn start(command: &Command) -> Self {
        let quoted =
            |word: &std::ffi::OsStr| format!("'{}'", word.to_str().unwrap().replace('\'', "'\\''"));
        let words = std::iter::once(command.get_program()).chain(command.get_args());
        let line = words.map(quoted).collect::<Vec<_>>().join(" ");
        let mut script = Command::new("script");
        let line = format!("stty cols 100 rows 40; exec {line}");
        script.args(["--quiet", "--flush", "--return", "--command", &line, "/dev/null"]);
        script.env_clear().env("TERM", "xterm").env("SHELL", "/bin/sh");
        if let Some(folder) = command.get_current_dir() {
            script.current_dir(folder);
        }
        for (name, value) in command.get_envs() {
            script.env(name, value.unwrap_or_default());
        }
        script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = script.spawn().unwrap_or_else(|e| panic!("cannot run script: {e}"));
        let keys = child.stdin.take();
        let mut output = child.stdout.take().unwrap();
        let screen = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&screen);
        let reader = std::thread::spawn(move || {
            let mut piece = [0; 4096];
            while let Ok(n @ 1..) = output.read(&mut piece) {
                seen.lock().unwrap().extend_from_slice(&piece[..n]);
            }
        });
        Self { child, keys, screen, reader: Some(reader) }
    }

    /// All that was written to it so far, without the sequences that colour and move.
    pub fn text(&self) -> String {
        console::strip_ansi_codes(&String::from_utf8_lossy(&self.screen.lock().unwrap())).into()
    }

    /// Waits until `piece` is there.
    #[track_caller]
    pub fn until(&mut self, piece: &str) {
        let begun = Instant::now();
        while !self.text().contains(piece) {
            let ended = self.child.try_wait().unwrap().is_some() && !self.text().contains(piece);
            assert!(!ended, "it ended without {piece:?}: {}", self.text());
            assert!(begun.elapsed() < PATIENCE, "no {piece:?}: {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub fn types(&mut self, keys: &str) {
        let input = self.keys.as_mut().unwrap();
        input.write_all(keys.as_bytes()).unwrap();
        input.flush().unwrap();
    }

    /// Ctrl-C.
    pub fn interrupts(&mut self) {
        self.types("\x03");
    }

    /// Waits for the end; the exit code and all that was written.
    #[track_caller]
    pub fn ends(mut self) -> (i32, String) {
        let begun = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end: {}", self.text());
            std::thread::sleep(Duration::from_millis(20));
        };
        let _ = self.reader.take().unwrap().join();
        (status.code().unwrap_or(-1), self.text())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its end hangs the terminal up, and with it the program.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
