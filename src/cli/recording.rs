//! A command that was run by hand or from cron, and is just what a [[job]] says, counts as a turn of
//! that job: it is recorded like one.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::args::{Cli, Command};
use super::render::Done;
use crate::app::{self, App};
use crate::error::Result;
use crate::model::Verdict;
use crate::schedule::Ended;

/// Nobody waits longer for a record.
const LIMIT: Duration = Duration::from_secs(10);

/// What has to be known of a command before it runs.
pub struct Begun {
    words: Vec<String>,
    began: DateTime<Utc>,
    config: Option<std::path::PathBuf>,
}

impl Begun {
    /// None: the command is none that jobs run, or a runner runs it and records it itself.
    pub fn of(cli: &Cli) -> Option<Self> {
        let scheduled = matches!(
            cli.command,
            Command::Snapshot(_)
                | Command::Verify(_)
                | Command::Prune(_)
                | Command::Copy(_)
                | Command::Audit(_)
                | Command::Preflight(_)
        );
        if !scheduled || std::env::var_os(app::child::ENDS_WITH_STDIN).is_some() {
            return None;
        }
        let words = words(std::env::args().skip(1));
        Some(Self { words, began: Utc::now(), config: cli.config.clone() })
    }

    /// Records how it ended, where a job says so; what cannot be recorded is no failure of the command.
    pub async fn record(self, outcome: &Result<Done>) {
        let Ok(app) = App::load(self.config.as_deref()) else { return };
        let (code, summary) = match outcome {
            Ok(done) => (done.code, "run beside the runners".to_owned()),
            Err(e) => (e.kind().exit_code(), e.one_line()),
        };
        // Somebody else was at it: that is his turn.
        if code == crate::error::Kind::LeaseHeld.exit_code() {
            return;
        }
        let verdict = match code {
            0 => Verdict::Done,
            6 => Verdict::Partial,
            _ => Verdict::Failed,
        };
        let ended = Ended { verdict, exit_code: Some(i32::from(code)), summary, hint: None };
        let recording = app.record_turn(&self.words, ended, self.began, Utc::now());
        let _ = tokio::time::timeout(LIMIT, recording).await;
    }
}

/// The words of a command line without the options that belong to no command.
fn words(args: impl Iterator<Item = String>) -> Vec<String> {
    let mut words = Vec::new();
    let mut args = args;
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--json" => {}
            "--config" => _ = args.next(),
            arg if arg.starts_with("--config=") => {}
            _ => words.push(arg),
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_known_by_its_words_whatever_stands_before_it() {
        let line = "--config x.toml --json snapshot petforce --full";
        let given = words(line.split(' ').map(str::to_owned));
        assert_eq!(given, ["snapshot", "petforce", "--full"]);
        assert_eq!(words(["--config=x", "prune"].map(str::to_owned).into_iter()), ["prune"]);
    }
}
