//! The configuration: what it means once loaded and checked.

mod build;
mod build_alerts;
mod build_channel;
mod build_database;
mod build_drill;
mod build_drill_rds;
mod build_failover;
mod build_job;
mod build_store;
mod build_web;
mod crosscheck;
pub(crate) mod document;
mod drills;
mod encryption;
mod job;
mod keys;
mod load;
mod lookup;
mod nearest;
mod redaction;
mod references;
mod secret;
mod settings;
mod store_url;
pub(crate) mod table;
mod template;
mod units;
mod values;
mod web;

pub use drills::{DrillConfig, FailoverDrillConfig, RdsDrillConfig};
pub use encryption::EncryptionConfig;
pub use job::{CatchUp, JobConfig, On, RunnerConfig};
pub(crate) use nearest::did_you_mean;
pub use nearest::nearest;
pub use redaction::Redaction;
pub use secret::Secret;
pub use settings::{
    AlertsConfig, AppConfig, AwsConfig, ChangeDetection, ChannelConfig, ChannelKind, Config,
    DatabaseConfig, DatabaseDrill, FailoverConfig, Keep, MetricsConfig, Objectives, Profile,
    Regions, RouteConfig, ServerConfig, Sse, StoreConfig, StoreUrl, TargetConfig, Unresolved,
};
pub use template::{Form, template, write_new};
pub use web::{AutoPolicy, IntakeConfig, IntakeKind, WebConfig, WebTls};

#[cfg(test)]
mod tests;
