//! What a server and its catalogue say: identity, relations, columns, types, roles.

mod columns;
mod relations;
mod server;
mod surroundings;

pub use columns::{Columns, columns};
pub use relations::{Relation, RelationKind, relations};
pub use server::{OLDEST, Server, Window, server, window};
pub use surroundings::{
    Sequences, extensions, large_object_count, large_objects_query, roles, sequence_values,
};
