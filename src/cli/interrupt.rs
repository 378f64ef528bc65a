//! Ctrl-C while a run goes on: pause, abort or go on.

use std::io::{IsTerminal as _, Write as _};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::runbook::decision::Wish;

const QUESTION: &str = "\n[p]ause after what is under way, [a]bort and undo, or [g]o on? (Ctrl-C \
                        again pauses) ";

/// Turns signals into wishes, for as long as it is polled.
pub async fn interrupts(wishes: watch::Sender<Wish>, by: String) {
    let pause = Wish::Pause { by: by.clone() };
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    loop {
        tokio::select! {
            _ = tokio::signal::ctrl_c() => {}
            _ = term.recv() => {
                wishes.send_replace(pause.clone());
                continue;
            }
        }
        if !terminal || *wishes.borrow() != Wish::GoOn {
            wishes.send_replace(pause.clone());
            let _ = writeln!(std::io::stderr(), "pauses after what is under way");
            continue;
        }
        let answer = tokio::select! {
            answer = asked() => answer,
            _ = tokio::signal::ctrl_c() => "p".to_owned(),
        };
        match answer.trim() {
            "g" | "go" | "go on" => {}
            "a" | "abort" => {
                let why = "the operator asked for it".to_owned();
                wishes.send_replace(Wish::Abort { by: by.clone(), why });
            }
            _ => {
                wishes.send_replace(pause.clone());
                let _ = writeln!(std::io::stderr(), "pauses after what is under way");
            }
        }
    }
}

async fn asked() -> String {
    let _ = write!(std::io::stderr(), "{QUESTION}");
    line().await
}

/// A line that somebody types; empty where nobody can.
pub async fn line() -> String {
    let read = tokio::task::spawn_blocking(|| {
        let mut line = String::new();
        let _ = std::io::stdin().read_line(&mut line);
        line
    });
    read.await.unwrap_or_default()
}
