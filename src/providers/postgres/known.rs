//! What earlier steps of a run and samples of old tell of a database, by well-known names of facts.

use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::samples::Sample;
use crate::model::Lsn;
use crate::postgres::replication::Replication;
use crate::providers::{Applied, Facts};

/// A run may go on on another machine, whose clock is another.
const CLOCKS_DIFFER: TimeDelta = TimeDelta::minutes(5);

/// What is known of a database before it is promoted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Known {
    /// The primary takes no writes.
    pub fenced: bool,
    /// The end of the fenced primary's WAL.
    pub last_lsn: Option<Lsn>,
    /// The timeline that is to be left.
    pub timeline: Option<u32>,
    pub system_identifier: Option<String>,
    /// Slots that the primary had.
    pub slots: Option<Vec<String>>,
    /// Where recovery ended, and on what timeline, once it has.
    pub ended_at: Option<Lsn>,
    pub new_timeline: Option<u32>,
    /// The first transaction that the promoted standby never saw.
    pub next_transaction: Option<u64>,
    /// Until when everything is safe, by the assessment.
    pub safe_until: Option<String>,
}

/// What steps left about `database`.
pub fn of(facts: &BTreeMap<String, Facts>, database: &str) -> Known {
    let mut known = Known::default();
    let ours = |left: &&Facts| left.get("database").and_then(Value::as_str) == Some(database);
    for left in facts.values().filter(ours) {
        let text = |name: &str| left.get(name).and_then(Value::as_str);
        let number = |name: &str| left.get(name).and_then(Value::as_u64);
        let timeline = |name: &str| number(name).and_then(|n| u32::try_from(n).ok());
        known.fenced |= left.get("fenced").and_then(Value::as_bool).unwrap_or(false);
        known.last_lsn = known.last_lsn.max(text("last_lsn").and_then(|t| t.parse().ok()));
        known.timeline = known.timeline.max(timeline("old_timeline"));
        known.ended_at = known.ended_at.max(text("ended_at").and_then(|t| t.parse().ok()));
        known.new_timeline = known.new_timeline.max(timeline("new_timeline"));
        known.next_transaction = known.next_transaction.max(number("next_transaction"));
        if let Some(identifier) = text("system_identifier") {
            known.system_identifier = Some(identifier.to_owned());
        }
        if let Some(safe) = text("safe_until").filter(|t| *t != "unknown") {
            known.safe_until = Some(safe.to_owned());
        }
        if let Some(Value::Array(slots)) = left.get("slots") {
            let names = slots.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            known.slots = Some(names);
        }
    }
    known
}

impl Known {
    /// Filled up from samples, newest first, where steps left nothing. A timeline to be left is that
    /// of a standby that was seen since `began`; whose copy it is, only a primary can say.
    pub fn or_sampled(mut self, samples: &[Sample], began: DateTime<Utc>) -> Self {
        let lately = began - CLOCKS_DIFFER;
        for sample in samples.iter().rev() {
            let standby = sample.received.is_some() || sample.replayed.is_some();
            if standby && sample.at >= lately {
                self.timeline = self.timeline.or(sample.timeline);
            }
            if sample.primary.is_some() && self.system_identifier.is_none() {
                self.system_identifier = sample.system_identifier.clone();
            }
        }
        self
    }
}

/// Leaves the timeline that later steps compare with.
pub fn note_timeline(applied: Applied, seen: &Replication) -> Applied {
    match seen.timeline {
        Some(timeline) => applied.fact("old_timeline", timeline),
        None => applied,
    }
}
