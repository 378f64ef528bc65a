//! How commands end up in the metrics' textfile.

use std::time::Instant;

use chrono::Utc;

use super::render::Done;
use super::screen;
use crate::app::App;
use crate::error::Result;
use crate::model::Level;
use crate::report::metrics::{Ended, SnapshotOutcome, VerifyOutcome};

/// A command under way.
pub struct Measured<'a> {
    pub app: &'a App,
    pub command: &'static str,
    pub database: &'a str,
    pub begun: Instant,
    pub json: bool,
}

impl Measured<'_> {
    /// Writes how it ended. That this fails is told, and does not change how the command ended.
    pub fn keep(
        &self,
        outcome: &Result<Done>,
        snapshot: Option<SnapshotOutcome>,
        verify: Option<VerifyOutcome>,
    ) {
        let exit_code = match outcome {
            Ok(done) => done.code,
            Err(e) => e.kind().exit_code(),
        };
        let ended = Ended {
            command: self.command,
            database: self.database.to_owned(),
            at: Utc::now(),
            seconds: self.begun.elapsed().as_secs_f64(),
            exit_code,
            snapshot,
            verify,
            recovery_seconds: None,
        };
        if let Err(e) = self.app.keep_outcome(&ended) {
            screen::sink(self.json).notice(Level::Warning, e.one_line());
        }
    }
}
