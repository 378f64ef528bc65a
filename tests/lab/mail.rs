//! A real SMTP server (aiosmtpd) that keeps what it is sent, with TLS and passwords as told.

use std::process::Command;
use std::sync::Mutex;

use rustix::process::Signal;

use super::process::{Process, free_port};
use super::scratch::{Folder, folder};
use super::setup::tool;
use super::tls::Tls;

/// How a mail server wants to be spoken to.
#[derive(Default)]
pub struct MailOptions {
    arguments: Vec<String>,
}

impl MailOptions {
    /// TLS from the first byte.
    pub fn smtps(self, tls: &Tls) -> Self {
        self.tls("smtps", tls)
    }

    /// TLS after STARTTLS, without which nothing is taken.
    pub fn starttls(self, tls: &Tls) -> Self {
        self.tls("starttls", tls)
    }

    fn tls(self, kind: &str, tls: &Tls) -> Self {
        let (cert, key) = (tls.server_cert(), tls.server_key());
        self.with(&[
            "--tls",
            kind,
            "--cert",
            cert.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
        ])
    }

    /// Mail is taken only from who gives these.
    pub fn login(self, user: &str, password: &str) -> Self {
        self.with(&["--user", user, "--password", password])
    }

    /// Refuses every recipient with this code.
    pub fn refuse(self, code: u16) -> Self {
        self.with(&["--refuse", &code.to_string()])
    }

    fn with(mut self, arguments: &[&str]) -> Self {
        self.arguments.extend(arguments.iter().map(|a| (*a).to_owned()));
        self
    }

    pub fn start(self) -> Mail {
        Mail::start_with(&self)
    }
}

/// An SMTP server; ends on drop.
pub struct Mail {
    port: u16,
    folder: Folder,
    process: Mutex<Process>,
}

impl Mail {
    pub fn options() -> MailOptions {
        MailOptions::default()
    }

    /// Without TLS or passwords.
    pub fn start() -> Self {
        Self::options().start()
    }

    fn start_with(options: &MailOptions) -> Self {
        let folder = folder("mail");
        let script = super::sql_file("mail_server.py");
        // In the virtual environment that scripts/setup made.
        let python = tool("MOTO_SERVER").with_file_name("python");
        for _ in 0..5 {
            let port = free_port();
            let mut command = Command::new(&python);
            command.arg(&script).arg(folder.path()).arg(port.to_string()).args(&options.arguments);
            let what = format!("mail server on port {port}");
            let log = folder.join(format!("log-{port}"));
            let mut process = Process::start(&what, command, &log, Signal::KILL);
            let says_ready =
                || std::fs::read_to_string(&log).is_ok_and(|log| log.lines().any(|l| l == "ready"));
            match process.wait_until(says_ready) {
                Ok(()) => return Self { port, folder, process: Mutex::new(process) },
                // Another process took the port in between.
                Err(log) if log.contains("in use") => {}
                Err(log) => panic!("{log}"),
            }
        }
        panic!("found no free port for a mail server in five attempts");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops answering; connections are still accepted by the system.
    pub fn pause(&self) {
        self.process.lock().unwrap().signal(Signal::STOP);
    }

    /// Every mail as it came, oldest first, headed by the envelope (tests/lab/mail_server.py).
    pub fn mails(&self) -> Vec<String> {
        let mail = |number: u32| std::fs::read(self.folder.join(format!("{number}.eml"))).ok();
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        (1..).map_while(mail).map(text).collect()
    }
}
