//! Outside systems, one file or folder each. Each offers actions, which runbooks put together.

pub mod action;
pub mod arguments;
pub mod aws;
pub mod catalogue;
pub mod command;
pub mod dns;
pub mod dogstatsd;
pub mod epoch;
pub mod http;
pub mod human;
pub mod notify;
pub mod postgres;
pub mod probe;
pub mod references;
pub mod snapshot;
pub mod world;

pub use action::{
    Action, Applied, Check, Context, Description, Facts, Failure, FailureClass, Leaning, Mode,
    Observed, Plane, Progress, RunFacts, Standing,
};
pub use arguments::Arguments;
pub use catalogue::{ActionKind, find, kinds};
pub use world::World;
