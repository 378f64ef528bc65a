//! Commands and their arguments.

use std::path::PathBuf;

use clap::{Args, CommandFactory, Parser, Subcommand};

/// Disaster recovery for PostgreSQL in two AWS regions: snapshots into both, proof, restore.
#[derive(Debug, Parser)]
#[command(name = "drctl", version, about, max_term_width = 100)]
pub struct Cli {
    /// The configuration [default: ./drctl.toml if it is there, else $DRCTL_CONFIG]
    #[arg(long, global = true, value_name = "PATH")]
    pub config: Option<PathBuf>,

    /// Print events as JSON lines; the last one is the result
    #[arg(long, global = true)]
    pub json: bool,

    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Snapshot(Snapshot),
}

impl Command {
    /// The command's name as it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Snapshot(_) => "snapshot",
        }
    }
}

/// Take a snapshot of a database into all of its stores
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl snapshot petforce             the hourly one: only what changed is uploaded
  drctl snapshot petforce --full      begin a new generation
  drctl snapshot petforce --dry-run   show what would be read, and what is left out

Exit codes: 0 done in every store; 6 done in some stores only; 1 failed; 5 another snapshot runs.")]
pub struct Snapshot {
    /// The database's name in the configuration
    pub database: String,
    /// Begin a new generation: read and store everything
    #[arg(long)]
    pub full: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// The whole command line, for completions and the manual page.
pub fn command() -> clap::Command {
    Cli::command()
}
