//! The arguments of `drctl runner` and `drctl jobs`.

use clap::Args;

/// Run the jobs of the configuration when they are due, and watch the age of snapshots
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl runner                    until it is told to stop (SIGTERM, Ctrl-C)
  drctl runner --once             what is due now, once, and end: for cron and timers
  drctl runner --once --dry-run   what that would run

It runs the [[job]] tables of the configuration, each turn as a process of its own. Several runners
may work on one configuration: a lease in the stores decides who has a job, and when one dies, another
takes its jobs over as soon as its leases have run out. It warns, through the channels of the
configuration, of snapshots that grow too old, of jobs that fail or take too long, of stores that do
not answer and of runners that give no sign of life. SIGHUP reads the configuration anew; one that is
wrong is refused and the old one kept.

Exit codes: 0 stopped, or with --once all that was due is done; 1 with --once something was not;
2 the configuration cannot be used.")]
pub struct Runner {
    /// Run what is due now, once, and end
    #[arg(long)]
    pub once: bool,
    /// Show what would be run now, and do nothing
    #[arg(long, requires = "once")]
    pub dry_run: bool,
    /// Names this runner where several work [default: `name` of [runner], else the host's name]
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub name: Option<String>,
    /// How the log is written
    #[arg(long, value_enum, default_value_t = LogForm::Auto, value_name = "FORM")]
    pub log: LogForm,
}

/// The form of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogForm {
    /// Text on a terminal, JSON elsewhere
    Auto,
    /// A line of text for each thing that happens
    Text,
    /// A JSON object a line
    Json,
}

/// Show what is due, what ran and how it ended, and when each job comes next
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl jobs                      every job of every database
  drctl jobs petforce             those of one database
  drctl jobs || page-someone      for a monitor
  drctl jobs --json | jq '.standing.jobs[] | select(.due)'

It asks the stores, so it works on any machine, whoever runs the jobs, and changes nothing.

Exit codes: 0 all is well; 1 a job failed last or is overdue, or a snapshot is older than the RPO;
4 a store could not be asked.")]
pub struct Jobs {
    /// Only the jobs of this database
    pub database: Option<String>,
}

fn name(text: &str) -> Result<String, String> {
    match crate::model::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("must be 1 to 63 ASCII letters, digits, `-`, `_` and `.`".to_owned()),
    }
}
