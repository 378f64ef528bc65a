//! Commands and their arguments.

use std::path::PathBuf;

use super::alert_args::Alerts;
use super::audit_args::{Audit, Keys, Repair, Report};
use super::drill_args::Drill;
use super::help_text;
use super::incidents::Incidents;
use super::run_args::{Abort, Approve, Failover, Resume, Run, Runs, Takeover};
use super::runbook_args::{Preflight, Runbook};
use super::runner_args::{Jobs, Runner};
use super::web::Web;
use crate::integrity::verify::Depth;
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
    Status(Status),
    Alerts(Alerts),
    Incidents(Incidents),
    Snapshot(Snapshot),
    List(List),
    Show(Show),
    Verify(Verify),
    Audit(Audit),
    Repair(Repair),
    Report(Report),
    Restore(Restore),
    Drill(Drill),
    Copy(Copy),
    Prune(Prune),
    Runbook(Runbook),
    Preflight(Preflight),
    Failover(Failover),
    Run(Run),
    Runs(Runs),
    Resume(Resume),
    Abort(Abort),
    Approve(Approve),
    Takeover(Takeover),
    Web(Web),
    Runner(Runner),
    Jobs(Jobs),
    Keys(Keys),
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
            Self::Status(_) => "status",
            Self::Alerts(_) => "alerts",
            Self::Incidents(_) => "incidents",
            Self::Snapshot(_) => "snapshot",
            Self::List(_) => "list",
            Self::Show(_) => "show",
            Self::Verify(_) => "verify",
            Self::Audit(_) => "audit",
            Self::Repair(_) => "repair",
            Self::Report(_) => "report",
            Self::Keys(_) => "keys",
            Self::Restore(_) => "restore",
            Self::Drill(_) => "drill",
            Self::Copy(_) => "copy",
            Self::Prune(_) => "prune",
            Self::Runbook(_) => "runbook",
            Self::Preflight(_) => "preflight",
            Self::Failover(_) => "failover",
            Self::Run(_) => "run",
            Self::Runs(_) => "runs",
            Self::Resume(_) => "resume",
            Self::Abort(_) => "abort",
            Self::Approve(_) => "approve",
            Self::Takeover(_) => "takeover",
            Self::Web(_) => "web",
            Self::Runner(_) => "runner",
            Self::Jobs(_) => "jobs",
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

It writes and removes small probes in every store, and changes nothing else.

Exit codes: 0 nothing critical; 1 something critical; 2 the configuration cannot be loaded.")]
pub struct Doctor {
    /// The database's name in the configuration; all if none is given
    pub database: Option<String>,
    /// How long any one step may take
    #[arg(long, value_name = "DURATION", default_value = "20s", value_parser = limit)]
    pub timeout: std::time::Duration,
}

/// Show on one screen whether a failover could go ahead now
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl status                  one look
  drctl status --watch          a look every 2 seconds, until Ctrl-C
  drctl status || page-someone  for a monitor
  drctl status --json | jq .reasons

Shown: the active region and its epoch; each database's servers with role, timeline, positions and
lag; the age of the newest complete snapshot in each store; the last preflight, open runs, leases.
What cannot be read is shown as unknown and never counts as ready. Every look leaves a sample in
the control store: without samples the loss of a failover cannot be told once the primary is gone,
so run it every minute.

Exit codes: 0 ready; 1 not ready; 2 the configuration cannot be loaded.")]
pub struct Status {
    /// Look again every so often [default: 2s]
    #[arg(long, value_name = "DURATION", num_args = 0..=1, default_missing_value = "2s", value_parser = humantime::parse_duration)]
    pub watch: Option<std::time::Duration>,
    /// How long each server and each store may take to answer
    #[arg(long, value_name = "DURATION", default_value = "4s", value_parser = humantime::parse_duration)]
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

/// List snapshots: how old, how large, and in which stores they are complete
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl list              every database
  drctl list petforce     one database
  drctl list --json | jq '.snapshots[-1]'

Exit codes: 0 done; 4 a store could not be asked.")]
pub struct List {
    /// The database's name in the configuration; all if none is given
    pub database: Option<String>,
}

/// Show what one snapshot holds, and what it leaves out
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl show latest
  drctl show 20261122T134512Z-3f9a1c
  drctl show 20261122T13              the beginning of an id is enough if no other shares it")]
pub struct Show {
    /// An id, the beginning of one, or `latest`
    pub snapshot: String,
    /// The database whose snapshot it is; needed where several are configured and `latest` is asked
    #[arg(long)]
    pub database: Option<String>,
}

/// Prove that what lies in the stores is what the manifests promise
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl verify                                   newest snapshot of every database, every store
  drctl verify petforce --depth content          download, undo and count every row
  drctl verify petforce --snapshot all --depth listing
  drctl verify petforce --store west --depth content --sample 5%

Depths:
  listing    the manifest is sealed and every object is there with its size
  checksums  the store's own SHA-256 of every object is the promised one; nothing is downloaded
  content    every object is downloaded, hashed, undone, hashed again, and its rows are counted

Of encrypted snapshots, `content` needs `identity` in [encryption]; the other depths need no key.

Exit codes: 0 intact; 3 something is missing or damaged; 4 something could not be looked at.")]
pub struct Verify {
    /// The database's name in the configuration; all if none is given
    pub database: Option<String>,
    /// `latest`, `all`, an id or the beginning of one
    #[arg(long, default_value = "latest", value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Only this store
    #[arg(long)]
    pub store: Option<String>,
    /// How closely to look: listing, checksums or content
    #[arg(long, default_value_t = Depth::default(), value_parser = depth)]
    pub depth: Depth,
    /// Look at a share of the parts only, another one each time
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub sample: Option<f64>,
    /// Processors to use [default: the database's jobs]
    #[arg(long, value_parser = jobs)]
    pub jobs: Option<usize>,
}

/// Restore a snapshot into a database, and prove every row
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl restore petforce --to postgres://me@standby/petforce_restored --create
  drctl restore petforce --to staging --snapshot 20261122T134512Z-3f9a1c
  drctl restore petforce --to staging --store west --table petforce.invoices --table 'audit.*'
  drctl restore petforce --to staging --replace --dry-run

The target is a connection string or the name of a [target.NAME] of the configuration. It must be
empty. With --create the database is made; with --replace the one that is there is dropped, but only
once the restored one is proven. A configured source database is never written to. A password in a
connection string can be seen by others on this machine: use a [target], ~/.pgpass or a service that
needs none.

An encrypted snapshot needs `identity` in [encryption]: an age identity of one of its recipients.

Exit codes: 0 restored and every row proven; 3 the proof came out different; 4 the identity that opens
it is not to be had, or not the right one; 1 failed.")]
pub struct Restore {
    /// The database's name in the configuration: whose snapshot to restore
    pub database: String,
    /// Where to: a connection string, or a target of the configuration
    #[arg(long, value_name = "CONNINFO_OR_TARGET")]
    pub to: String,
    /// `latest`, an id or the beginning of one
    #[arg(long, default_value = "latest", value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Read from this store only [default: the nearest that has each object intact]
    #[arg(long)]
    pub store: Option<String>,
    /// Only these tables: schema.name, with * and ?
    #[arg(long, value_name = "PATTERN")]
    pub table: Vec<String>,
    /// Make the target database
    #[arg(long, conflicts_with = "replace")]
    pub create: bool,
    /// Replace the target database by the restored one, once that is proven
    #[arg(long)]
    pub replace: bool,
    /// What to do about roles that the target does not have
    #[arg(long, value_enum, default_value_t = MissingRoles::Refuse)]
    pub roles: MissingRoles,
    /// Connections that load, prove and build indexes [default: the database's jobs]
    #[arg(long, value_parser = jobs)]
    pub jobs: Option<usize>,
    /// Gather planner statistics at the end
    #[arg(long)]
    pub analyze: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// What to do about missing roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum MissingRoles {
    /// Refuse before anything is changed, naming all of them
    Refuse,
    /// Make them, without login and without privileges of their own
    Create,
    /// Go on without them: what they own belongs to you, what they were granted is left out
    Skip,
}

/// Copy snapshots from one store to another
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl copy petforce --from east --to west                  what the newest snapshot lacks in west
  drctl copy petforce --from east --to west --snapshot all
  drctl copy petforce --from east --to archive --dry-run

It creates objects and never changes one, so it can be stopped and run again at any time.

Exit codes: 0 complete; 3 something was damaged and not copied; 4 something could not be read.")]
pub struct Copy {
    /// The database's name in the configuration
    pub database: String,
    /// The store to read from
    #[arg(long)]
    pub from: String,
    /// The store to write to
    #[arg(long)]
    pub to: String,
    /// `latest`, `all`, an id or the beginning of one
    #[arg(long, default_value = "latest", value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Show what would be copied, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// Remove generations of which every snapshot has expired
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl prune petforce --dry-run    what would go, what stays, and why
  drctl prune                       every database

A generation goes as a whole, when `keep` wants none of its snapshots. The newest generation, one
that changed within 24 hours, the last good snapshot of a store, and a generation whose newest
snapshot was never verified in that store always stay.

Exit codes: 0 done; 1 something could not be removed; 5 another prune runs.")]
pub struct Prune {
    /// The database's name in the configuration; all if none is given
    pub database: Option<String>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}

/// A duration that leaves time for anything at all.
fn limit(text: &str) -> Result<std::time::Duration, String> {
    match humantime::parse_duration(text) {
        Ok(limit) if limit.is_zero() => Err("nothing can be asked in no time".to_owned()),
        Ok(limit) => Ok(limit),
        Err(e) => Err(format!("{e}; give it as `20s` or `2min`")),
    }
}

/// As `jobs` in the configuration.
pub(super) fn jobs(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(jobs @ 1..=64) => Ok(jobs),
        _ => Err("it must be from 1 to 64".to_owned()),
    }
}

/// A depth by its name, with all of them where it is none.
pub(super) fn depth(text: &str) -> Result<Depth, String> {
    text.parse().map_err(|e: crate::error::Error| match e.advice() {
        Some(hint) => format!("{e}; {hint}"),
        None => e.to_string(),
    })
}

/// `5%` or `5`, above 0 and up to 100, as a share.
pub(super) fn percent(text: &str) -> Result<f64, String> {
    let number: f64 = text
        .trim_end_matches('%')
        .trim()
        .parse()
        .map_err(|_| format!("`{text}` is not a percentage such as `5%`"))?;
    match number > 0.0 && number <= 100.0 {
        true => Ok(number / 100.0),
        false => Err("a sample is above 0% and up to 100%".to_owned()),
    }
}

/// The whole command line, for completions and the manual page.
pub fn command() -> clap::Command {
    help_text::flowing(Cli::command())
}
