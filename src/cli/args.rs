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
    Init(Init),
    Doctor(Doctor),
    Snapshot(Snapshot),
    Unlock(Unlock),
    Completions(Completions),
    Man(Man),
}

impl Command {
    /// The command's name as it is typed.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Init(_) => "init",
            Self::Doctor(_) => "doctor",
            Self::Snapshot(_) => "snapshot",
            Self::Unlock(_) => "unlock",
            Self::Completions(_) => "completions",
            Self::Man(_) => "man",
        }
    }
}

/// Write a commented configuration, ready to be filled in
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl init --name petforce          two S3 buckets, one in each region
  drctl init --local --name petforce  two folders below ./drctl-stores: needs only a PostgreSQL URL
  drctl init --config /etc/drctl.toml write it there

A file that is there is never overwritten.")]
pub struct Init {
    /// Two folders below DIR in place of S3 buckets [default DIR: ./drctl-stores]
    #[arg(long, value_name = "DIR", num_args = 0..=1, default_missing_value = "drctl-stores")]
    pub local: Option<PathBuf>,
    /// The name of the project and of its database [default: the folder's name]
    #[arg(long)]
    pub name: Option<String>,
}

/// Check everything that a snapshot needs, and tell all of it at once
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl doctor                        all databases and their stores
  drctl doctor petforce               one database and its stores
  drctl doctor --json | jq '.findings[] | select(.severity == \"critical\")'

It writes and removes a small probe in every store, and changes nothing else.

Exit codes: 0 nothing critical; 1 something critical; 2 the configuration cannot be loaded.")]
pub struct Doctor {
    /// The database's name in the configuration; all if none is given
    pub database: Option<String>,
    /// How long any one step may take
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = humantime::parse_duration)]
    pub timeout: std::time::Duration,
}

/// Show who holds a lease, and break it with --force
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl unlock                            every lease of every store
  drctl unlock petforce                   the lease of the snapshots of petforce
  drctl unlock snapshot-petforce --force  take it from its holder

A lease ends by itself when its holder gives no sign of life. Break one only if you know that its
process is gone for good; a process that still lives notices at its next sign of life, and stops.

Exit codes: 0 done; 4 a store could not be asked; 6 broken in some stores only; 1 failed.")]
pub struct Unlock {
    /// A lease, or a database, whose snapshot lease is meant; all leases if none is given
    pub name: Option<String>,
    /// Break the lease
    #[arg(long, requires = "name")]
    pub force: bool,
    /// Only in this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<String>,
}

/// Print completions for a shell
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl completions bash > /etc/bash_completion.d/drctl
  drctl completions zsh > \"${fpath[1]}/_drctl\"
  drctl completions fish > ~/.config/fish/completions/drctl.fish")]
pub struct Completions {
    pub shell: clap_complete::Shell,
}

/// Print the manual page, or write a page for every command
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl man | man -l -
  drctl man --out /usr/local/share/man/man1")]
pub struct Man {
    /// Write drctl.1 and a page for every command into this folder
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
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
