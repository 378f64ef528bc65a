//! The page for people, the state for programs, and the intake of alerts, over HTTP. Shows and takes
//! in; changes nothing of the service.

mod access;
mod answers;
pub mod drawing;
mod drills;
mod history;
pub mod intake;
mod looking;
mod page;
mod routes;
mod server;
#[cfg(test)]
mod specimen;
#[cfg(test)]
mod tests;
mod tls;
mod view;

pub use access::Access;
pub use history::{History, Taken};
pub use looking::{Beside, Looker};
pub use routes::{Metrics, Reports, Site, router};
pub use server::{Limits, Server};
pub use view::{DrillLine, OpenRun, PastRun, View};
