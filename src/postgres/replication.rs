//! What a server tells of its replication: its role, how far it is, who feeds on it.

mod reading;

use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;

use crate::model::Lsn;

pub use reading::{Limits, bounded, look, look_in, reach, reach_beside, reach_server};

/// What a server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    Primary,
    Standby,
}

impl Role {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
        }
    }
}

/// A server's replication as one session saw it. `None` is always "could not be read".
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Replication {
    pub role: Role,
    /// `15.18`.
    pub version: String,
    /// This machine's clock before anything was asked: what was acknowledged by then is at or below
    /// `inserted`.
    pub asked: DateTime<Utc>,
    /// The server's clock.
    pub server_time: Option<DateTime<Utc>>,
    pub system_identifier: Option<String>,
    pub timeline: Option<u32>,
    /// Whether new sessions may not write unless they ask to.
    pub read_only: Option<bool>,
    /// On a primary: the end of what is in its WAL buffers.
    pub inserted: Option<Lsn>,
    /// On a primary: the end of what is safe on its disk.
    pub flushed: Option<Lsn>,
    /// On a standby: the end of what is safe on its disk.
    pub received: Option<Lsn>,
    /// On a standby: the end of what can be seen. On a server that left recovery: where that ended.
    pub replayed: Option<Lsn>,
    /// The commit time, by the primary's clock, of the last transaction that was replayed.
    pub replayed_commit: Option<DateTime<Utc>>,
    /// On a standby: whether somebody paused the replay.
    pub paused: Option<bool>,
    pub receiver: Receiver,
    pub slots: Option<Vec<Slot>>,
    /// On a primary: who streams from it.
    pub attached: Option<Vec<Attached>>,
}

/// The WAL receiver of a standby.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Receiver {
    /// It could not be asked for, or the role may not see more than that there is one.
    Unknown,
    /// There is none: nothing arrives.
    Absent,
    Present {
        /// `streaming`, `waiting`, …
        status: String,
        timeline: Option<u32>,
        /// Where the primary was at its last message.
        primary_at: Option<Lsn>,
        /// When the last message came, by the standby's clock.
        heard: Option<DateTime<Utc>>,
        sender: Option<String>,
    },
}

/// A replication slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slot {
    pub name: String,
    /// `None`: physical.
    pub plugin: Option<String>,
    pub database: Option<String>,
    pub active: bool,
    /// `reserved`, `extended`, `unreserved` or `lost`.
    pub wal_status: Option<String>,
}

/// A standby that streams from a primary.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    pub name: String,
    pub address: Option<String>,
    pub state: Option<String>,
    pub flushed: Option<Lsn>,
    pub replayed: Option<Lsn>,
    pub sync: Option<String>,
}

impl Replication {
    /// The end of what promoting this standby would keep: what it has received it replays first.
    /// After a restart the receiver's position begins at a segment boundary, below the replay's.
    pub fn secured(&self) -> Option<Lsn> {
        self.received.max(self.replayed)
    }

    /// How long ago the primary was last heard of, by the standby's own clock.
    pub fn silence(&self) -> Option<TimeDelta> {
        match &self.receiver {
            Receiver::Present { heard: Some(heard), .. } => Some(self.server_time? - heard),
            _ => None,
        }
    }

    /// Whether WAL arrives; `None`: unknown.
    pub fn is_streaming(&self) -> Option<bool> {
        match &self.receiver {
            Receiver::Unknown => None,
            Receiver::Absent => Some(false),
            Receiver::Present { status, .. } => Some(status == "streaming"),
        }
    }

    /// Bytes of the primary's WAL that the standby has not replayed.
    pub fn bytes_behind(&self, primary: &Replication) -> Option<u64> {
        Some(primary.flushed?.0.saturating_sub(self.replayed?.0))
    }

    /// Seconds that the standby's data is old. With nothing left to replay it is 0; without that an
    /// old last commit may only mean that nobody wrote.
    pub fn seconds_behind(&self, primary: &Replication) -> Option<f64> {
        if self.bytes_behind(primary)? == 0 {
            return Some(0.0);
        }
        let behind = self.server_time? - self.replayed_commit?;
        Some((behind.num_milliseconds() as f64 / 1000.0).max(0.0))
    }
}
