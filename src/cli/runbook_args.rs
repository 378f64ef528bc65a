//! The arguments of `drctl runbook` and `drctl preflight`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::providers::Mode;

/// Runbooks: list them, check them, show what they would do
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl runbook list
  drctl runbook show region-failover                 what it would do, in which order, in what time
  drctl runbook show region-failover --mode graceful
  drctl runbook check runbooks/*.toml                every problem of every file, with its line
  drctl runbook actions postgres.promote             what an action does, and its arguments
  drctl runbook schema > runbook.schema.json         for editors: completion and checks

None of these commands changes anything.")]
pub struct Runbook {
    #[command(subcommand)]
    pub command: RunbookCommand,
}

#[derive(Debug, Subcommand)]
pub enum RunbookCommand {
    /// List the runbooks of the configured folder
    List,
    /// Check runbooks: every problem of every file at once, with its line
    Check {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show what a runbook would do: order, times, what is lost, the point of no return
    Show {
        /// Its name in the configured folder, or its file
        name: String,
        /// Show it for this mode: graceful or forced [default: that of the runbook, else forced]
        #[arg(long, value_parser = mode)]
        mode: Option<Mode>,
    },
    /// Print the JSON Schema of runbooks
    Schema,
    /// List the actions, or describe one with its arguments
    Actions {
        /// The action's name
        name: Option<String>,
    },
}

/// Check the readiness of everything that a runbook needs, all at once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl preflight                     the runbook of `drctl failover`
  drctl preflight switchover
  drctl preflight --mode graceful --json | jq '.checks[] | select(.standing == \"notready\")'

Nothing is changed, but for the result, which is kept in the store of runs: a run refuses to start on
one that is older than `preflight_max_age`.

Exit codes: 0 ready, perhaps with warnings; 1 something is not ready; 4 something could not be proven.")]
pub struct Preflight {
    /// The runbook's name, or its file [default: the one of the configuration]
    pub runbook: Option<String>,
    /// Check the steps of this mode only: graceful or forced [default: all that it is for]
    #[arg(long, value_parser = mode)]
    pub mode: Option<Mode>,
    /// How long any one step's checks may take
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    pub timeout: std::time::Duration,
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "graceful" => Ok(Mode::Graceful),
        "forced" => Ok(Mode::Forced),
        _ => Err("it must be graceful or forced".to_owned()),
    }
}
