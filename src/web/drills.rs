//! The last drills, as the page lists them.

use super::view::DrillLine;
use crate::drill::account::Outcome;
use crate::drill::history::Known;
use crate::model::{DrillId, Learned};
use crate::report::status::{Sources, newest_drills};

/// Drills that the page looks at.
const LISTED: usize = 10;

/// The last drills that ended, newest first; unknown where no store could be asked in time.
pub async fn drills(sources: &Sources) -> Learned<Vec<DrillLine>> {
    match newest_drills(sources, LISTED).await {
        Learned::Known(newest) => Learned::Known(newest.into_iter().filter_map(line).collect()),
        Learned::Unknown(why) => Learned::Unknown(why),
    }
}

fn line((id, known): (DrillId, Known)) -> Option<DrillLine> {
    match known {
        Known::Ended(account) => Some(DrillLine {
            id: id.to_string(),
            what: format!("{} {}", account.rehearsal.as_str(), account.subject),
            at: account.began,
            passed: account.outcome == Outcome::Passed,
            rto_seconds: account.objectives.recovery_seconds,
            rpo_seconds: account.objectives.loss_seconds,
        }),
        // One whose end nobody can tell has not passed.
        Known::Unreadable(why) => Some(DrillLine {
            id: id.to_string(),
            what: format!("a drill whose report cannot be read: {why}"),
            at: id.began(),
            passed: false,
            rto_seconds: None,
            rpo_seconds: None,
        }),
        Known::Cleared(..) | Known::Open(_) => None,
    }
}
