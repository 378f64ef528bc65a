//! What a server and its catalogue say: identity, relations, columns, types, roles.

mod columns;
mod privileges;
mod references;
mod relations;
mod server;
mod surroundings;

pub use columns::{Columns, columns};
pub use privileges::{
    LargeObjects, closed_schemas, exclusive_locks, free_sessions, large_objects, without_select,
};
pub use references::{Reference, Referrer, references};
pub use relations::{Relation, RelationKind, relations, schemas, sizes};
pub use server::{OLDEST, Server, Window, server, window};
pub use surroundings::{
    Sequences, extensions, large_object_count, large_objects_query, roles, sequence_values,
};
