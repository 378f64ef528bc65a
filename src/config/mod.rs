//! The configuration: what it means once loaded and checked.

mod build;
mod build_channel;
mod build_database;
mod build_drill;
mod build_failover;
mod build_store;
mod crosscheck;
pub(crate) mod document;
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

pub(crate) use nearest::did_you_mean;
pub use nearest::nearest;
pub use redaction::Redaction;
pub use secret::Secret;
pub use settings::{
    AppConfig, AwsConfig, ChangeDetection, ChannelConfig, ChannelKind, Config, DatabaseConfig,
    DatabaseDrill, DrillConfig, FailoverConfig, Keep, Objectives, Profile, Regions, ServerConfig,
    Sse, StoreConfig, StoreUrl, TargetConfig, Unresolved,
};
pub use template::{Form, template, write_new};

#[cfg(test)]
mod tests;
