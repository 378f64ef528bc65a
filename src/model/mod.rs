//! The words of the tool as values: ids, digests, the manifest, findings and events. Pure, no I/O.

mod alert;
mod digest;
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
pub use digest::{Digest, DigestError, RowDigest};
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

/// The version of the stored format that this build writes, and the newest that it reads.
pub const FORMAT: u32 = 1;
