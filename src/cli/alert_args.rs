//! The arguments of `drctl alerts`.

use clap::{Args, Subcommand};

use crate::model::Severity;

/// Show what is wrong and who was told, try the channels, take an alert on
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl alerts                       what is wrong now, and who was told
  drctl alerts test                  a test along every route, and what came of each
  drctl alerts test --channel oncall
  drctl alerts test --resolve        ends the incidents that a test opened
  drctl alerts ack rpo/petforce/west no more reminders: you see to it
  drctl alerts resolve job/old       an alert that nobody will end by itself

Exit codes: 0 nothing is wrong, or done; 1 something is wrong, or a channel took no test; 2 there
is no such alert or channel; 4 the control store does not say.")]
pub struct Alerts {
    #[command(subcommand)]
    pub act: Option<AlertAct>,
}

#[derive(Debug, Subcommand)]
pub enum AlertAct {
    /// Show the open alerts
    List,
    /// Send a marked test to every channel that alerts go to
    Test(AlertTest),
    /// Take an alert on: reminders end, and whoever was told of it is told that
    #[command(visible_alias = "acknowledge")]
    Ack(AlertNamed),
    /// Say that an alert is over
    Resolve(AlertNamed),
}

#[derive(Debug, Args)]
pub struct AlertTest {
    /// Only this channel, also one that no route leads to
    #[arg(long, value_name = "NAME")]
    pub channel: Option<String>,
    /// Only channels for alerts of this severity: info, warning or critical
    #[arg(long, value_parser = severity)]
    pub severity: Option<Severity>,
    /// End what an earlier test opened
    #[arg(long)]
    pub resolve: bool,
}

#[derive(Debug, Args)]
pub struct AlertNamed {
    /// The alert's key, as `drctl alerts` shows it
    pub key: String,
    /// Who you are [default: your user name]
    #[arg(long = "as", value_name = "NAME")]
    pub name: Option<String>,
}

fn severity(text: &str) -> Result<Severity, String> {
    match text {
        "info" => Ok(Severity::Info),
        "warning" => Ok(Severity::Warning),
        "critical" => Ok(Severity::Critical),
        _ => Err("it is `info`, `warning` or `critical`".to_owned()),
    }
}
