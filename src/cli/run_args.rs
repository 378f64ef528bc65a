//! The arguments of the commands that carry runs out.

use clap::{Args, Subcommand};

use crate::providers::Mode;

/// Move the service to the standby region, by runbook
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl failover --dry-run                       what would happen, in which order, in what time
  drctl failover                                 shows the plan and asks for the region's name
  drctl failover --mode graceful                 the primary still answers: nothing is lost
  drctl failover --confirm us-west-2 --accept-loss unknown --reason 'us-east-1 is down'

Without --mode it is the runbook's, or `forced`; a primary that answers is then found out, and the run
refused.
Ctrl-C asks whether to pause, abort or go on. After a crash: `drctl resume RUN`, on any machine.

The loss to expect is shown before anything is asked. One that is unknown, or more than the RPO, must be
agreed to: with --accept-loss, or by typing it.

Exit codes: 0 done; 6 done, but a step that may fail has failed, and the text says what is left to do;
1 stopped, paused or aborted; 2 not begun; 4 not begun: no fresh preflight, or nobody agreed to the
loss; 5 somebody else is at it.")]
pub struct Failover {
    /// The runbook [default: `runbook` in [failover]]
    #[arg(long, value_name = "NAME")]
    pub runbook: Option<String>,
    #[command(flatten)]
    pub how: How,
}

/// Carry a runbook out
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl run switchover --dry-run
  drctl run failback

As `drctl failover`, for any runbook.")]
pub struct Run {
    /// Its name, or the path of a file
    pub runbook: String,
    #[command(flatten)]
    pub how: How,
}

/// How a run is carried out.
#[derive(Debug, Args)]
pub struct How {
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// `graceful`: the primary still answers; `forced`: it is lost [default: that of the runbook, else
    /// forced]
    #[arg(long, value_parser = mode)]
    pub mode: Option<Mode>,
    /// The name of the region that becomes active; asked for where it is not given
    #[arg(long, value_name = "REGION")]
    pub confirm: Option<String>,
    /// How much may be lost: a time (5m), bytes of WAL (16MiB), or `unknown`
    #[arg(long, value_name = "DURATION|BYTES|unknown")]
    pub accept_loss: Option<String>,
    /// Go on although the old primary cannot be kept from taking writes
    #[arg(long)]
    pub accept_unfenced: bool,
    /// Why a primary that answers is not serving
    #[arg(long, value_name = "REASON")]
    pub primary_is_broken: Option<String>,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Why, for the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Go on without the control store: the journal is then on this machine only
    #[arg(long)]
    pub local_journal: bool,
    /// Begin without a fresh preflight, for this reason
    #[arg(long, value_name = "REASON")]
    pub skip_preflight: Option<String>,
    /// Begin although this run has not ended
    #[arg(long, value_name = "RUN")]
    pub leave_open: Vec<String>,
}

/// List runs, show one, report on one, prove their journals
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl runs list
  drctl runs show latest                 how far it is, and what it waits for
  drctl runs report latest --out report  report.json, report.md and report.html
  drctl runs verify                      the journals of all runs: changed, missing, added entries

RUN is an id, the beginning of one, or `latest`.")]
pub struct Runs {
    #[command(subcommand)]
    pub command: RunsCommand,
}

#[derive(Debug, Subcommand)]
pub enum RunsCommand {
    /// List all runs, newest first
    List,
    /// Show one run: its steps, times and state
    Show { run: String },
    /// The report of one run: printed, or with --out as an HTML page, Markdown and JSON
    Report {
        run: String,
        /// What is printed: markdown, html or json
        #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
        format: ReportFormat,
        /// Write RUN.html, RUN.md and RUN.json into this folder
        #[arg(long, value_name = "DIR", conflicts_with = "format")]
        out: Option<std::path::PathBuf>,
    },
    /// Recompute the chain of a run's journal, or of all runs
    Verify { run: Option<String> },
}

/// How a report is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ReportFormat {
    Markdown,
    Html,
    Json,
}

/// Go on with a run that stopped, was paused or crashed
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl resume latest

Steps that were begun and have no end are looked for before anything is done again. It works on any
machine that reaches the control store.")]
pub struct Resume {
    /// An id, the beginning of one, or `latest`
    pub run: String,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Go on without the control store, from the journal of this machine
    #[arg(long)]
    pub local_journal: bool,
}

/// Undo what a run did, before its point of no return
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl abort latest --reason 'us-east-1 is back'

Steps are undone in the reverse of the order in which they were begun. After the point of no return
there is only `drctl resume`, and later a failback.")]
pub struct Abort {
    /// An id, the beginning of one, or `latest`
    pub run: String,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Why, for the report
    #[arg(long, value_name = "TEXT", default_value = "no reason given")]
    pub reason: String,
    /// Go on without the control store, from the journal of this machine
    #[arg(long)]
    pub local_journal: bool,
}

/// Agree to a step of somebody else's run
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl approve latest promote
  drctl approve r20261124T100000Z-3f9a1c promote --as bob --reason 'checked with the vendor'

The first approval counts and cannot be taken back. `drctl runs show RUN` shows what waits for one.")]
pub struct Approve {
    /// An id, the beginning of one, or `latest`
    pub run: String,
    /// The step's id
    pub step: String,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
    /// Why, for the report
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
}

/// Take over a run whose operator is gone, and go on with it
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl takeover latest

Waits until the lease of the old operator has run out (30 s after the last sign of life). One that
gives a sign of life meanwhile is not dead, and keeps the run.")]
pub struct Takeover {
    /// An id, the beginning of one, or `latest`
    pub run: String,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
}

fn mode(text: &str) -> Result<Mode, String> {
    match text {
        "graceful" => Ok(Mode::Graceful),
        "forced" => Ok(Mode::Forced),
        _ => Err("it is `graceful` or `forced`".to_owned()),
    }
}
