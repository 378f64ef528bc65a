//! The command line: parsing, running, and everything that is printed.

mod action_help;
mod alert_args;
mod alerts;
mod approve;
mod args;
mod audit;
mod audit_args;
mod carrying;
#[cfg(test)]
mod carrying_tests;
mod completions;
mod copy;
mod doctor;
mod drill;
mod drill_account;
mod drill_args;
mod drill_failover;
mod failover;
mod foreseeing;
mod help_text;
mod incidents;
mod init;
mod interrupt;
mod jobs;
mod keys;
mod list;
mod live;
mod manual;
mod measured;
mod plan_view;
#[cfg(test)]
mod plan_view_tests;
mod preflight;
mod prune;
mod recording;
mod render;
mod repair;
mod report;
mod restore;
mod resume;
mod run_args;
mod run_report;
mod runbook;
mod runbook_args;
mod runner;
mod runner_args;
mod runs;
mod screen;
mod show;
mod snapshot;
mod status;
mod story;
mod unlock;
mod verify;
mod web;
mod wrapping;

pub use args::command;
use args::{Cli, Command};
use clap::FromArgMatches as _;
use std::process::ExitCode;

use crate::error::{Error, Kind, Result};

/// Runs the program: parses the arguments, runs the command, prints what came of it.
pub fn main() -> ExitCode {
    let given = command().try_get_matches();
    let cli = match given.and_then(|matches| Cli::from_arg_matches(&matches)) {
        Ok(cli) => cli,
        Err(e) => {
            // clap prints help and version to stdout with exit code 0, mistakes to stderr with 2.
            let _ = e.print();
            if e.use_stderr() && std::env::args_os().any(|arg| arg == "--json") {
                return render::finish(&meant(), true, Err(mistake(&e)));
            }
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(2));
        }
    };
    end_with_stdin(match &cli.command {
        Command::Drill(args) if matches!(args.command, drill_args::DrillCommand::Failover(_)) => {
            crate::app::child::TIDYING
        }
        _ => crate::app::child::GRACE,
    });
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(e) => {
            eprintln!("Error: start the runtime\nCaused by: {e}");
            return ExitCode::from(70);
        }
    };
    let json = cli.json;
    let name = cli.command.name();
    let begun = recording::Begun::of(&cli);
    let outcome = unless_panicked(|| {
        runtime.block_on(async {
            // What holds a lease gives it back when it is told to stop.
            match &cli.command {
                Command::Snapshot(_)
                | Command::Prune(_)
                | Command::Repair(_)
                | Command::Failover(_)
                | Command::Run(_)
                | Command::Resume(_)
                | Command::Abort(_)
                | Command::Runner(_)
                | Command::Takeover(_)
                | Command::Drill(_) => run(cli).await,
                // Watching ends so.
                Command::Status(args) if args.watch.is_some() => run(cli).await,
                Command::Web(_) => run(cli).await,
                _ => tokio::select! {
                    outcome = run(cli) => outcome,
                    stopped = stopped() => Err(stopped),
                },
            }
        })
    });
    if let Some(begun) = begun {
        runtime.block_on(begun.record(&outcome));
    }
    // Work on other threads must not hold up the exit.
    runtime.shutdown_timeout(std::time::Duration::from_secs(2));
    render::finish(name, json, outcome)
}

/// A job of a runner stops when its runner is gone, however that went: the pipe ends then.
fn end_with_stdin(grace: std::time::Duration) {
    if std::env::var_os(crate::app::child::ENDS_WITH_STDIN).is_none() {
        return;
    }
    std::thread::spawn(move || {
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        // As a signal, so that whatever is held is given back; and not for ever.
        let me = rustix::process::getpid();
        let _ = rustix::process::kill_process(me, rustix::process::Signal::TERM);
        std::thread::sleep(grace);
        let _ = rustix::process::kill_process(me, rustix::process::Signal::KILL);
    });
}

/// A panic is a bug, and ends with the exit code of one; the panic itself has been printed.
fn unless_panicked<T>(run: impl FnOnce() -> Result<T>) -> Result<T> {
    // Nothing is used afterwards that a panic could have left half changed.
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|_| {
        Err(Error::new(Kind::Bug, "drctl broke off: this is a bug in it").hint(
            "what was committed before is as it was; report it with the lines above and the output \
             of `drctl --version`",
        ))
    })
}

/// A mistake on the command line, without the colours and the usage that people are shown.
fn mistake(e: &clap::Error) -> Error {
    let text = e.render().to_string();
    let what = text.split("\n\n").next().unwrap_or_default();
    Error::new(Kind::Usage, what.trim_start_matches("error: ").trim())
        .hint("`drctl help COMMAND` shows what it takes")
}

/// The command of a line that could not be parsed; empty if none can be made out.
fn meant() -> String {
    let known = command();
    let mut args = std::env::args().skip(1);
    args.find(|arg| known.get_subcommands().any(|c| c.get_name() == arg)).unwrap_or_default()
}

/// A signal to stop, as an error that says so.
async fn stopped() -> Error {
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

async fn run(cli: Cli) -> Result<render::Done> {
    match &cli.command {
        Command::Init(args) => init::run(&cli, args),
        Command::Doctor(args) => doctor::run(&cli, args).await,
        Command::Status(args) => status::run(&cli, args).await,
        Command::Alerts(args) => alerts::run(&cli, args).await,
        Command::Incidents(args) => incidents::run(&cli, args).await,
        Command::Unlock(args) => unlock::run(&cli, args).await,
        Command::Completions(args) => completions::run(args),
        Command::Man(args) => manual::run(args),
        Command::Snapshot(args) => snapshot::run(&cli, args).await,
        Command::List(args) => list::run(&cli, args).await,
        Command::Show(args) => show::run(&cli, args).await,
        Command::Verify(args) => verify::run(&cli, args).await,
        Command::Audit(args) => audit::run(&cli, args).await,
        Command::Report(args) => report::run(&cli, args).await,
        Command::Repair(args) => repair::run(&cli, args).await,
        Command::Keys(args) => keys::run(&cli, args).await,
        Command::Restore(args) => restore::run(&cli, args).await,
        Command::Drill(args) => drill::run(&cli, args).await,
        Command::Copy(args) => copy::run(&cli, args).await,
        Command::Prune(args) => prune::run(&cli, args).await,
        Command::Runbook(args) => runbook::run(&cli, args),
        Command::Preflight(args) => preflight::run(&cli, args).await,
        Command::Failover(args) => failover::failover(&cli, args).await,
        Command::Run(args) => failover::run(&cli, args).await,
        Command::Runs(args) => runs::run(&cli, args).await,
        Command::Resume(args) => resume::resume(&cli, args).await,
        Command::Abort(args) => resume::abort(&cli, args).await,
        Command::Approve(args) => approve::run(&cli, args).await,
        Command::Takeover(args) => resume::takeover(&cli, args).await,
        Command::Web(args) => web::run(&cli, args).await,
        Command::Runner(args) => runner::run(&cli, args).await,
        Command::Jobs(args) => jobs::run(&cli, args).await,
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[test]
    fn a_panic_ends_with_the_exit_code_of_a_bug() {
        let outcome: Result<()> = unless_panicked(|| panic!("on purpose"));
        assert_eq!(outcome.unwrap_err().kind().exit_code(), 70);
        assert_eq!(unless_panicked(|| Ok(1)).unwrap(), 1);
    }

    #[test]
    fn a_mistake_is_told_to_programs_in_a_line() {
        let e = Cli::try_parse_from(["drctl", "verify", "--depth", "deep"]).unwrap_err();
        let e = mistake(&e);
        assert_eq!(e.kind().exit_code(), 2);
        assert!(e.what().starts_with("invalid value 'deep' for '--depth <DEPTH>'"), "{e:?}");
        let e = mistake(&Cli::try_parse_from(["drctl", "copy", "petforce"]).unwrap_err());
        assert!(e.what().contains("--from <FROM>") && !e.what().contains("Usage"), "{e:?}");
    }
}
