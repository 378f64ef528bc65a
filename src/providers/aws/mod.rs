//! AWS: clients that lean on no other region, and the actions of each service.

mod clients;
mod cloudwatch;
mod ecs;
mod elb;
mod failure;
mod identity;
mod rds;
mod route53;
mod sns;
mod waiting;

pub use clients::{Clients, GLOBAL};
pub use cloudwatch::put_metrics;
pub use identity::identity;
pub use rds::RdsLender;
pub use sns::SnsMessage;

use super::catalogue::ActionKind;

/// The actions of this system.
pub(super) fn actions() -> Vec<ActionKind> {
    let all = [ecs::actions(), elb::actions(), rds::actions(), route53::actions()];
    all.into_iter().flatten().collect()
}
