//! The metrics of one command that ended: for cron, where nobody runs all the time.

use chrono::{DateTime, Utc};

use crate::model::{Family, Unit};

/// How a command on a database ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Ended {
    /// `snapshot`, `verify` and the like.
    pub command: &'static str,
    pub database: String,
    pub at: DateTime<Utc>,
    pub seconds: f64,
    /// Of docs/exit-codes.md.
    pub exit_code: u8,
    pub snapshot: Option<SnapshotOutcome>,
    pub verify: Option<VerifyOutcome>,
    /// How long a drill took until the service would have been back.
    pub recovery_seconds: Option<f64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotOutcome {
    pub taken: DateTime<Utc>,
    pub rows: u64,
    pub raw_bytes: u64,
    pub stored_bytes: u64,
    pub stores: Vec<StoreBytes>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreBytes {
    pub store: String,
    pub region: String,
    /// Whether it has all of the snapshot.
    pub complete: bool,
    pub new_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifyOutcome {
    pub checked_objects: u64,
    pub checked_bytes: u64,
    pub findings: u64,
}

impl Ended {
    /// Whether what the command is for was reached, as `Verdict::is_good` has it: 6 is done in some
    /// stores only.
    fn is_good(&self) -> bool {
        matches!(self.exit_code, 0 | 6)
    }
}

/// The metrics of one outcome. Absent is what it says nothing of: a failure leaves the time of the
/// last success as it was.
pub fn of_command(ended: &Ended) -> Vec<Family> {
    let mut all = empty();
    let [
        last,
        good,
        took,
        code,
        taken,
        rows,
        raw,
        stored,
        written,
        objects,
        bytes,
        findings,
        recovery,
    ] = &mut all;
    let at = ended.at.timestamp_millis() as f64 / 1000.0;
    let labels = [("command", ended.command), ("database", ended.database.as_str())];
    last.add(&labels, Some(at));
    good.add(&labels, ended.is_good().then_some(at));
    took.add(&labels, Some(ended.seconds));
    code.add(&labels, Some(f64::from(ended.exit_code)));
    let database = [("database", ended.database.as_str())];
    if let Some(snapshot) = &ended.snapshot {
        for place in &snapshot.stores {
            let labels = [
                ("database", ended.database.as_str()),
                ("store", place.store.as_str()),
                ("region", place.region.as_str()),
            ];
            let shown = snapshot.taken.timestamp_millis() as f64 / 1000.0;
            taken.add(&labels, place.complete.then_some(shown));
            written.add(&labels, Some(place.new_bytes as f64));
        }
        rows.add(&database, Some(snapshot.rows as f64));
        raw.add(&database, Some(snapshot.raw_bytes as f64));
        stored.add(&database, Some(snapshot.stored_bytes as f64));
    }
    if let Some(verify) = &ended.verify {
        objects.add(&database, Some(verify.checked_objects as f64));
        bytes.add(&database, Some(verify.checked_bytes as f64));
        findings.add(&database, Some(verify.findings as f64));
    }
    recovery.add(&database, ended.recovery_seconds);
    all.into()
}

/// Those metrics without values.
pub(super) fn families() -> Vec<Family> {
    empty().into()
}

fn empty() -> [Family; 13] {
    let family = Family::new;
    [
        family("drctl_command_last_ended_timestamp", Unit::Seconds, "When the command last ended"),
        family(
            "drctl_command_last_success_timestamp",
            Unit::Seconds,
            "When the command last reached what it is for",
        ),
        family("drctl_command_last_duration", Unit::Seconds, "How long the command took last"),
        family("drctl_command_last_exit_code", Unit::None, "Its exit code (docs/exit-codes.md)"),
        family(
            "drctl_command_snapshot_taken_timestamp",
            Unit::Seconds,
            "The moment that the last snapshot taken here shows, where the store has all of it",
        ),
        family("drctl_command_snapshot_rows", Unit::None, "Rows of the last snapshot"),
        family("drctl_command_snapshot_raw", Unit::Bytes, "Its rows before compression"),
        family("drctl_command_snapshot_stored", Unit::Bytes, "What it needs in a store"),
        family("drctl_command_snapshot_written", Unit::Bytes, "What was written to the store"),
        family("drctl_command_verify_objects", Unit::None, "Objects that the last verify checked"),
        family("drctl_command_verify_checked", Unit::Bytes, "Bytes that the last verify checked"),
        family("drctl_command_verify_findings", Unit::None, "What the last verify found wrong"),
        family(
            "drctl_drill_recovery",
            Unit::Seconds,
            "How long the last drill took until the service would have been back",
        ),
    ]
}
