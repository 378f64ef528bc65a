//! The command line: parsing, running, and everything that is printed.

mod action_help;
mod args;
mod completions;
mod copy;
mod doctor;
mod init;
mod list;
mod manual;
mod plan_view;
mod preflight;
mod prune;
mod render;
mod restore;
mod runbook;
mod runbook_args;
mod screen;
mod show;
mod snapshot;
mod unlock;
mod verify;
mod wrapping;

pub use args::command;
use args::{Cli, Command};
use clap::Parser as _;
use std::process::ExitCode;

/// Runs the program: parses the arguments, runs the command, prints what came of it.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // clap prints help and version to stdout with exit code 0, mistakes to stderr with 2.
            let _ = e.print();
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("Error: start the runtime\nCaused by: {e}");
            return ExitCode::from(70);
        }
    };
    let json = cli.json;
    let name = cli.command.name();
    let outcome = runtime.block_on(async {
        // What holds a lease gives it back when it is told to stop.
        match &cli.command {
            Command::Snapshot(_) | Command::Prune(_) => run(cli).await,
            _ => tokio::select! {
                outcome = run(cli) => outcome,
                stopped = stopped() => Err(stopped),
            },
        }
    });
    // Work on other threads must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    render::finish(name, json, outcome)
}

/// A signal to stop, as an error that says so.
async fn stopped() -> crate::error::Error {
    use crate::error::{Error, Kind};
    use tokio::signal::unix::{SignalKind, signal};
    let what = "the command was stopped by a signal";
    let Ok(mut term) = signal(SignalKind::terminate()) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = term.recv() => {}
    }
    Error::new(Kind::Failed, what)
        .hint("what was committed before is as it was; run the command again")
}

async fn run(cli: Cli) -> crate::error::Result<render::Done> {
    match &cli.command {
        Command::Init(args) => init::run(&cli, args),
        Command::Doctor(args) => doctor::run(&cli, args).await,
        Command::Unlock(args) => unlock::run(&cli, args).await,
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => manual::run(args),
        Command::Snapshot(args) => snapshot::run(&cli, args).await,
        Command::List(args) => list::run(&cli, args).await,
        Command::Show(args) => show::run(&cli, args).await,
        Command::Verify(args) => verify::run(&cli, args).await,
        Command::Restore(args) => restore::run(&cli, args).await,
        Command::Copy(args) => copy::run(&cli, args).await,
        Command::Prune(args) => prune::run(&cli, args).await,
        Command::Runbook(args) => runbook::run(&cli, args),
        Command::Preflight(args) => preflight::run(&cli, args).await,
    }
}
