//! The arguments of audits, repairs and keys.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::args::{depth, percent};
use super::run_args::ReportFormat;
use crate::integrity::audit::Shard;
use crate::integrity::verify::Depth;

/// Check everything that lies in the stores, and keep a report of it
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  drctl audit                                      everything, by the stores' own checksums
  drctl audit --depth content --budget 10GB        read on where the last audit ended
  drctl audit --depth content --budget 50GB --shard 3/8
  drctl audit --since 7d --store west
  drctl audit list
  drctl audit report latest --out /tmp/audit

Over all databases, stores and snapshots: what `verify` checks, each part once; that both regions
hold the same; that no snapshot is missing in the row of them, by the RPO; that what has expired is
gone, and generations end in time; signatures; the journals of runs; encryption, public access,
versioning, object lock and replication of each bucket; that nobody but drctl wrote there; and that
everything is read in time. What cannot be read is UNVERIFIED, never fine.

With --budget the parts that were never looked at come first, then those looked at longest ago. What
was looked at is remembered in the store, so an audit that was stopped is gone on with by the next,
on any machine; --shard shares the work. At depth checksums, parts that the listing of S3 shows
unchanged since they were compared are not asked for again (--afresh asks for all).

The report (JSON, Markdown, HTML) is kept in every audited store under audits/, sealed, and signed
where a signing key is configured.

Exit codes: 0 all is well; 3 something is missing, damaged or not as it has to be; 4 something could
not be looked at; 1 the report could not be kept anywhere."
)]
pub struct Audit {
    #[command(subcommand)]
    pub command: Option<AuditCommand>,
    /// Only this database
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Only this store
    #[arg(long, value_name = "NAME")]
    pub store: Option<String>,
    /// How closely to look: listing, checksums or content
    #[arg(long, default_value_t = Depth::default(), value_parser = depth)]
    pub depth: Depth,
    /// Look at a share of the parts only, another one each time
    #[arg(long, value_name = "PERCENT", value_parser = percent, conflicts_with_all = ["budget", "shard"])]
    pub sample: Option<f64>,
    /// Only snapshots begun within this time
    #[arg(long, value_name = "DURATION", value_parser = since)]
    pub since: Option<Duration>,
    /// Look into so many stored bytes at most, the longest unread first
    #[arg(long, value_name = "BYTES", value_parser = budget)]
    pub budget: Option<u64>,
    /// Do the third of eight shares of the work
    #[arg(long, value_name = "3/8", value_parser = shard)]
    pub shard: Option<Shard>,
    /// Everything is to be read at least once in this time
    #[arg(long, value_name = "DURATION", default_value = "30d", value_parser = since)]
    pub within: Duration,
    /// Ask for every checksum, also where the listing shows that nothing has changed
    #[arg(long)]
    pub afresh: bool,
    /// Processors to use [default: the database's jobs]
    #[arg(long, value_parser = super::args::jobs)]
    pub jobs: Option<usize>,
}

#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// List the audits that the stores keep, newest first
    List,
    /// Show one audit, proven by its seal
    Show {
        /// An id, the beginning of one, or `latest`
        audit: String,
    },
    /// The report of one audit: printed, or with --out as an HTML page, Markdown and JSON
    Report {
        /// An id, the beginning of one, or `latest`
        audit: String,
        /// What is printed: markdown, html or json
        #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
        format: ReportFormat,
        /// Write AUDIT.html, AUDIT.md and AUDIT.json into this folder
        #[arg(long, value_name = "DIR", conflicts_with = "format")]
        out: Option<PathBuf>,
    },
}

/// Make good in one store what is damaged or missing there, from another
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl repair petforce --dry-run              what is wrong, and what would mend it
  drctl repair petforce                        asks first
  drctl repair --depth content --yes           every database, by reading everything

An object is written only when the copy in another store is proven by the digest that the manifest
or the part list promises. What is damaged is kept aside under quarantine/ first. Nothing that is as
promised is touched; a snapshot that a store lacks as a whole is copied. In a bucket with object lock
a new version is put above the damaged one. Afterwards everything is looked at again.

Exit codes: 0 all is as promised; 3 something is still missing or damaged; 4 something could not be
looked at; 5 a prune or another repair runs; 1 failed.")]
pub struct Repair {
    /// The database's name in the configuration; all if none is given
    pub database: Option<String>,
    /// How closely to look: listing, checksums or content
    #[arg(long, default_value_t = Depth::default(), value_parser = depth)]
    pub depth: Depth,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Do not ask
    #[arg(long)]
    pub yes: bool,
    /// Processors to use [default: the database's jobs]
    #[arg(long, value_parser = super::args::jobs)]
    pub jobs: Option<usize>,
}

/// Sum up a period for an auditor: snapshots, drills, runs, audits, findings and how they ended
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl report                                  the last 90 days, as Markdown
  drctl report --since 365d --out /tmp/soc2     an HTML page, Markdown and sealed JSON

It reads what the stores keep: snapshots, the reports of drills and audits (each proven by its seal),
and the journals of runs. What could not be read is named, and never counts as fine.
docs/report.schema.json describes the JSON.

Exit codes: 0 made; 4 made, but something could not be read; 1 failed.")]
pub struct Report {
    /// How far back
    #[arg(long, value_name = "DURATION", default_value = "90d", value_parser = since)]
    pub since: Duration,
    /// What is printed: markdown, html or json
    #[arg(long, value_enum, default_value_t = ReportFormat::Markdown)]
    pub format: ReportFormat,
    /// Write report.html, report.md and report.json into this folder
    #[arg(long, value_name = "DIR", conflicts_with = "format")]
    pub out: Option<PathBuf>,
}

/// Make and show the keys that sign snapshots and reports
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  drctl keys generate --out /etc/drctl/signing.key   a new key, readable by you alone
  drctl keys show                                    what signs and what is trusted
  drctl keys trust signing.key.pub                   look at a public key before you trust it

Keys are Ed25519. What is signed shows who wrote it: damage shows without. To change keys, trust the
new one beside the old one first; the old one is needed for as long as snapshots that it signed are
kept.")]
pub struct Keys {
    #[command(subcommand)]
    pub command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub enum KeysCommand {
    /// Make a signing key: a private key file, and its public half beside it
    Generate {
        /// The file of the private key; the public one gets `.pub` behind it
        #[arg(long, value_name = "FILE", default_value = "drctl-signing.key")]
        out: PathBuf,
    },
    /// Show the signing key's public half and the trusted keys, by fingerprint
    Show,
    /// Show what trusting a public key means: its fingerprint, and what it signed
    Trust {
        /// A public key in PEM
        file: PathBuf,
    },
}

/// `90d`, `12h`.
fn since(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time.is_zero() => Err("nothing lies within no time".to_owned()),
        // Beyond what a date can be reckoned with.
        Ok(time) if time > Duration::from_hours(24 * 36_500) => Err("that is too long".to_owned()),
        Ok(time) => Ok(time),
        Err(e) => Err(format!("{e}; give it as `90d` or `12h`")),
    }
}

/// `10GB` or `10GiB`.
fn budget(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
    let unit = text[digits.len()..].trim().to_ascii_lowercase();
    let factor: u64 = match unit.as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1_000_000,
        "gb" => 1_000_000_000,
        "tb" => 1_000_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        "tib" => 1 << 40,
        _ => return Err(format!("`{unit}` is no unit: give it as `10GB` or `500MiB`")),
    };
    let number: f64 = digits.parse().map_err(|_| format!("`{text}` is no size such as `10GB`"))?;
    // The cast saturates.
    match (number * factor as f64) as u64 {
        0 => Err("nothing can be looked at with that".to_owned()),
        bytes => Ok(bytes),
    }
}

/// `3/8`.
fn shard(text: &str) -> Result<Shard, String> {
    let wrong = || format!("`{text}` is no share such as `3/8`");
    let (number, of) = text.split_once('/').ok_or_else(wrong)?;
    let shard = Shard {
        number: number.trim().parse().map_err(|_| wrong())?,
        of: of.trim().parse().map_err(|_| wrong())?,
    };
    match shard.number {
        n if n >= 1 && n <= shard.of && shard.of <= 256 => Ok(shard),
        _ => Err("the shares of N workers are 1/N to N/N, of 256 at most".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_shares_are_read_or_refused() {
        assert_eq!(budget("10GB"), Ok(10_000_000_000));
        assert_eq!(budget("1.5 GiB"), Ok(3 << 29));
        assert_eq!(budget("4096"), Ok(4096));
        for bad in ["", "GB", "10XB", "-1GB", "0"] {
            assert!(budget(bad).is_err(), "{bad}");
        }
        assert_eq!(shard("3/8"), Ok(Shard { number: 3, of: 8 }));
        for bad in ["", "3", "0/8", "9/8", "1/1000", "a/b"] {
            assert!(shard(bad).is_err(), "{bad}");
        }
    }
}
