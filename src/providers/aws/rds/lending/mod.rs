//! RDS instances that are made for a drill and deleted after it.

mod blueprint;
mod lender;
mod ownership;
mod refusal;
mod requests;

pub use lender::RdsLender;
