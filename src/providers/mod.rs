//! Outside systems, one file or folder each. Each offers actions, which runbooks put together.

pub mod action;
pub mod agreement;
pub mod arguments;
pub mod aws;
pub mod catalogue;
pub mod command;
mod counting;
pub mod dns;
pub mod dogstatsd;
pub mod epoch;
pub mod http;
pub mod human;
pub mod leaves;
pub mod notify;
pub mod postgres;
pub mod probe;
pub mod references;
pub mod snapshot;
pub mod world;

pub use action::{
    Action, Applied, Check, Context, Description, DynAction, ExpectedLoss, Facts, Failure,
    FailureClass, Leaning, Mode, Observed, Plane, Progress, RunFacts, Standing,
};
pub use arguments::Arguments;
pub use catalogue::{ActionKind, find, kinds};
pub use world::World;
