//! The operator's programs that break a region of a drill and mend it again.

use std::path::PathBuf;
use std::time::Duration;

use tokio::time::Instant;

use super::child::{Program, Unended};
use crate::config::Redaction;
use crate::drill;
use crate::error::{Error, Kind, Result};

/// As much of what a program printed as an error repeats.
const SHOWN: usize = 2000;

/// What breaks the region, and what mends it.
pub struct Fault {
    pub fault: Vec<String>,
    pub heal: Vec<String>,
    /// Where both run.
    pub dir: PathBuf,
    /// How long each may take.
    pub limit: Duration,
    /// The configuration of the regions that they are for, by its whole path.
    pub config: PathBuf,
    pub redaction: Redaction,
}

impl Fault {
    /// The program that breaks, as it would be typed.
    pub fn shown(&self) -> String {
        self.redaction.clean(&self.fault.join(" "))
    }

    /// Mends the region, again too. Gives what was mended.
    pub async fn mend(&self) -> Result<String> {
        self.run(&self.heal, None, "mend the region of the drill").await?;
        Ok(format!("the fault, by `{}`", self.redaction.clean(&self.heal.join(" "))))
    }

    /// Breaks the region. An error: whether it is broken is not known.
    pub async fn inject(&self, drill: &str) -> Result<()> {
        // So that what a killed drill left at work is found. What mends may start servers that stay.
        let mark = (drill::MARK.to_owned(), drill.to_owned());
        self.run(&self.fault, Some(mark), "break the region of the drill").await
    }

    async fn run(&self, argv: &[String], mark: Option<(String, String)>, what: &str) -> Result<()> {
        // It is the operator's own and needs what the operator's shell has: credentials of staging,
        // the way to a lab.
        let mut env: std::collections::BTreeMap<String, String> = std::env::vars_os()
            .filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?)))
            .collect();
        env.insert("DRCTL_DRILL".to_owned(), "1".to_owned());
        env.extend(mark);
        let dir = match self.dir.as_os_str().is_empty() {
            true => ".".into(),
            false => self.dir.clone(),
        };
        let program = Program { argv: argv.to_vec(), env, dir: Some(dir) };
        let what = format!("{what}: run `{}`", self.redaction.clean(&argv.join(" ")));
        let said = |out: &str, err: &str| {
            let text = self.redaction.clean(if err.trim().is_empty() { out } else { err });
            let text = text.trim();
            let from = text.char_indices().rev().nth(SHOWN).map_or(0, |(at, _)| at);
            text[from..].to_owned()
        };
        match program.run(Instant::now() + self.limit).await {
            Ok(ended) if ended.status.success() => Ok(()),
            Ok(ended) => Err(Error::new(Kind::Program, what).caused_by(format!(
                "{}: {}",
                ended.status,
                said(&ended.stdout, &ended.stderr)
            ))),
            Err(Unended::NotStarted(e)) => Err(e.during(what).hint(
                "give the program's whole path, or one that starts at the folder of the configuration",
            )),
            Err(Unended::Lost(e)) => Err(e.during(what)),
            Err(Unended::Killed { stdout, stderr }) => {
                Err(Error::new(Kind::Program, what).caused_by(format!(
                    "it did not end within {}, and was killed: {}",
                    humantime::format_duration(self.limit),
                    said(&stdout, &stderr)
                )))
            }
        }
    }
}
