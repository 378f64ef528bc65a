//! What is asked of a restored database besides the proof of its rows.

mod amcheck;
mod assertions;
mod catalogue;

use std::time::Instant;

use super::account::{Check, Standing};
use crate::error::Result;
use crate::model::Manifest;
use crate::postgres::Conninfo;
use crate::restore::{Proof, Restored};

pub use amcheck::structures;
pub use assertions::assertions;
pub use catalogue::catalogue;

/// How many details are told of one check.
const TOLD: usize = 20;

/// The application name of the sessions that check.
const APPLICATION: &str = "drctl drill";

/// What a check found, before its time is known.
pub(super) struct Finding {
    standing: Standing,
    said: String,
    details: Vec<String>,
}

impl Finding {
    fn new(standing: Standing, said: impl Into<String>) -> Self {
        Self { standing, said: said.into(), details: Vec::new() }
    }

    /// Passed where there is nothing wrong, else failed with all of it.
    fn of(wrong: Vec<String>, good: String, bad: &str) -> Self {
        match wrong.len() {
            0 => Self::new(Standing::Passed, good),
            n => Self::new(Standing::Failed, format!("{n} {bad}")).details(wrong),
        }
    }

    fn details(mut self, mut details: Vec<String>) -> Self {
        let more = details.len().saturating_sub(TOLD);
        details.truncate(TOLD);
        if more > 0 {
            details.push(format!("and {more} more"));
        }
        self.details = details;
        self
    }
}

/// Runs a check and measures it. One that cannot be carried out is unknown, and never passes.
pub(super) async fn timed(name: &str, check: impl Future<Output = Result<Finding>>) -> Check {
    let began = Instant::now();
    let found = check.await.unwrap_or_else(|e| Finding::new(Standing::Unknown, e.one_line()));
    Check {
        name: name.to_owned(),
        standing: found.standing,
        said: found.said,
        details: found.details,
        seconds: began.elapsed().as_secs_f64(),
    }
}

/// The proof that the restore came to, as a check.
pub fn rows(restored: &Restored, manifest: &Manifest, seconds: f64) -> Check {
    let finding = match &restored.proof {
        Proof::Equal => Finding::new(
            Standing::Passed,
            format!(
                "{} tables with {} rows read back, each row equal; {} sequences and {} large \
                 objects equal",
                restored.tables,
                restored.rows,
                manifest.sequences.len(),
                manifest.large_objects.objects
            ),
        ),
        Proof::Different(differences) => {
            let wrong = differences
                .iter()
                .map(|d| format!("{}: expected {}, found {}", d.what, d.expected, d.found))
                .collect();
            Finding::of(wrong, String::new(), "differ from what was snapshotted")
        }
    };
    Check {
        name: "rows".to_owned(),
        standing: finding.standing,
        said: finding.said,
        details: finding.details,
        seconds,
    }
}

/// That an encrypted snapshot was opened as after a disaster: its key came out of the manifest by the
/// configured identity. Nothing that this machine keeps was asked.
pub fn recovery_key(manifest: &Manifest) -> Option<Check> {
    let encryption = manifest.encryption.as_ref()?;
    let said = format!(
        "the configured identity opened the key of generation {} out of the manifest; it is \
         encrypted to {} recipients",
        manifest.generation,
        encryption.recipients.len()
    );
    Some(Check {
        name: "recovery key".to_owned(),
        standing: Standing::Passed,
        said,
        details: Vec::new(),
        seconds: 0.0,
    })
}

/// What the checks need.
pub struct Subject<'a> {
    pub info: &'a Conninfo,
    pub manifest: &'a Manifest,
    /// Extensions that may be lacking.
    pub allowed: &'a [String],
    pub jobs: usize,
}
