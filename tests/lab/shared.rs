//! Servers that all tests of a binary share, each with a database or bucket of its own.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::moto::Moto;
use super::options::Version;
use super::postgres::Postgres;

/// Debian's server. Do not stop it or change its settings; start one of your own for that.
pub fn shared_pg15() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Version::V15))
}

/// As [`shared_pg15`].
pub fn shared_pg16() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Version::V16))
}

/// As [`shared_pg15`].
pub fn shared_pg18() -> &'static Postgres {
    static SERVER: OnceLock<Postgres> = OnceLock::new();
    SERVER.get_or_init(|| Postgres::start(Version::V18))
}

/// us-east-1. Do not pause or kill it; start one of your own for that.
pub fn shared_moto_east() -> &'static Moto {
    static REGION: OnceLock<Moto> = OnceLock::new();
    REGION.get_or_init(|| Moto::start("us-east-1"))
}

/// us-west-2; as [`shared_moto_east`].
pub fn shared_moto_west() -> &'static Moto {
    static REGION: OnceLock<Moto> = OnceLock::new();
    REGION.get_or_init(|| Moto::start("us-west-2"))
}

/// `prefix_<n>`, never the same twice in this process.
pub fn unique(prefix: &str) -> String {
    static NUMBER: AtomicU32 = AtomicU32::new(1);
    format!("{prefix}_{}", NUMBER.fetch_add(1, Ordering::Relaxed))
}
