//! The arguments of `drctl drill`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// Drills: really restore, or really fail over, away from production, prove it, and leave a report
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl drill restore                             the newest snapshot, on a server of drctl's own
  drctl drill restore petforce --snapshot random  any snapshot of the last 30 days
  drctl drill restore --into staging              on the server of [target.staging]
  drctl drill restore --into rds                  on an RDS instance, made as [drill.rds.rds] says
  drctl drill failover                            the runbook, in the regions of [drill.failover]
  drctl drill failover --lab                      in the lab that `scripts/lab up` started
  drctl drill list
  drctl drill report latest --out report          report.html, report.md and report.json

docs/drills.md tells what a drill proves, and how to run one every night.")]
pub struct Drill {
    #[command(subcommand)]
    pub command: DrillCommand,
}

#[derive(Debug, Subcommand)]
pub enum DrillCommand {
    Restore(Restore),
    Failover(Failover),
    /// List drills, newest first: how they ended, and the recovery time that was measured
    List {
        /// How many
        #[arg(long, default_value_t = 30)]
        limit: usize,
    },
    /// Show one drill, and prove its report against its seal
    Show {
        /// An id, the beginning of one, or `latest`
        drill: String,
    },
    /// Write the report of a drill into a folder, proven against its seal
    Report {
        /// An id, the beginning of one, or `latest`
        drill: String,
        /// The folder for report.html, report.md and report.json
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
    },
    /// Remove what a drill was to keep, or what a killed one left
    Clear {
        /// An id, the beginning of one, or `latest`
        drill: String,
    },
    /// Print the JSON Schema of the reports of drills
    Schema,
}

/// Restore a snapshot into a scratch target, prove it, measure it, and remove it again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl drill restore                             the newest snapshot of the only database
  drctl drill restore petforce --snapshot random  so that old snapshots are proven too
  drctl drill restore petforce --store west       as if the other region were gone
  drctl drill restore petforce --keep             leave the restored database to look at

Without --into, and without `target` in [drill], drctl starts a PostgreSQL of its own from the
programs that are installed here, in a temporary folder, reachable by nobody else. With the name of a
[drill.rds.NAME] it makes an RDS instance as its template is, and deletes it again. Production is
refused as a target whatever the configuration says. A drill that was killed is cleared away by the
next one. An encrypted snapshot is opened by the `identity` in [encryption], as after a disaster.

Exit codes: 0 passed; 3 the snapshot is damaged or the proof came out different; 4 it could not be
found out; 1 failed, or an objective was missed; 2 not begun; 5 another drill of it is at work.")]
pub struct Restore {
    /// The database's name in the configuration; needed where there are several
    pub database: Option<String>,
    /// `latest`, `random` (within `window` of [drill]), an id or the beginning of one
    #[arg(long, default_value = "latest", value_name = "SNAPSHOT")]
    pub snapshot: String,
    /// Read from this store only [default: the nearest that has each object intact]
    #[arg(long, value_name = "NAME")]
    pub store: Option<String>,
    /// A target of the configuration, a [drill.rds.NAME], or `embedded` [default: `target` in [drill],
    /// else embedded]
    #[arg(long, value_name = "TARGET")]
    pub into: Option<String>,
    /// Leave the restored database, until `drctl drill clear`
    #[arg(long)]
    pub keep: bool,
}

/// Lose a region of staging, answer it by runbook, measure what clients see, and mend it again
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl drill failover --dry-run                  proves the isolation, and shows the plan
  drctl drill failover                            in the regions that [drill.failover] names
  drctl drill failover --runbook switchover
  drctl drill failover --lab                      in the lab of .lab/world (scripts/lab up)
  drctl drill failover --lab /srv/lab             in another one

[drill.failover] names the configuration of staging, the program that breaks its region (`fault`) and
the one that mends it (`heal`). First it is proven that staging shares no server, store, hosted zone and
AWS credentials with production; then the region is broken, and the clock starts. It passes where
clients are served again within the RTO and until the end, and no more is lost than the RPO allows. A
lab must be all on this machine. Messages of the run are marked DRILL.

Exit codes: 0 passed; 1 failed, or an objective was missed; 2 not begun: the regions are not apart from
production; 4 it could not be found out, or the regions are not in order; 5 another drill or run is at
work there.")]
pub struct Failover {
    /// The runbook, of the regions of the drill [default: `runbook` in [drill.failover], else in
    /// [failover], of their configuration]
    #[arg(long, value_name = "NAME")]
    pub runbook: Option<String>,
    /// In the lab that is up in this folder [default: .lab/world]
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, default_missing_value = ".lab/world")]
    pub lab: Option<PathBuf>,
    /// Why, for the report of the run
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,
    /// Prove the isolation, show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
}
