//! The configuration: what it means once loaded and checked.

mod settings;

pub use settings::{
    ChangeDetection, Config, DatabaseConfig, Keep, Profile, Regions, Secret, Sse, StoreConfig,
    StoreUrl, TargetConfig,
};
