//! The words of the tool as values: ids, digests, the manifest, findings and events. Pure, no I/O.

mod alert;
mod digest;
mod encryption;
mod event;
mod finding;
mod ids;
mod job;
mod learned;
mod lsn;
mod manifest;
mod metric;
mod part;
mod span;

pub use alert::{Alert, AlertSink, Severity};
pub use digest::{Digest, DigestError, RowDigest, RowHash};
pub use encryption::{Encryption, Kept, Recipient, identities};
pub use event::{Event, Level, RunStep, Silent, Sink, StoreOutcome};
pub use finding::{Finding, FindingKind};
pub use ids::{AuditId, DrillId, GenerationId, IdError, RESERVED, RunId, SnapshotId, is_name};
pub use job::{JobKind, Verdict};
pub use learned::Learned;
pub use lsn::{Lsn, LsnError};
pub use manifest::{
    Extension, LargeObjects, LeftOut, Manifest, MaterializedView, Role, RowFormat, SchemaArchive,
    Sequence, Source, Table, TableName, Totals,
};
pub use metric::{Family, Sample, Unit};
pub use part::{BasePart, Part, PartList, PartName};
pub use span::Span;

/// The version of the stored format that this build writes.
pub const FORMAT: u32 = 1;

/// The version of manifests and part lists of what is encrypted, and the newest that this build
/// reads.
pub const ENCRYPTED_FORMAT: u32 = 2;
