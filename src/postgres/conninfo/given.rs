//! Typed access to the parameters that were given.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::refused;
use super::uri::Pairs;
use crate::error::{Error, Result};

/// The parameters that are understood.
pub(super) const KNOWN: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "channel_binding",
    "connect_timeout",
    "options",
    "application_name",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "sslmode",
    "sslnegotiation",
    "sslrootcert",
    "sslcert",
    "sslkey",
    "sslcrl",
    "sslsni",
    "sslcertmode",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "target_session_attrs",
    "load_balance_hosts",
    "client_encoding",
];

/// Each parameter at most once, all of them known.
pub(super) struct Given {
    pairs: Pairs,
}

impl Given {
    pub fn new() -> Self {
        Self { pairs: Vec::new() }
    }

    /// The last one of a name wins, as in libpq.
    pub fn set(&mut self, name: String, value: String) {
        self.pairs.retain(|(n, _)| *n != name);
        self.pairs.push((name, value));
    }

    /// None where it is not given or empty, which is the same to libpq.
    pub fn text(&self, name: &str) -> Option<String> {
        debug_assert!(KNOWN.contains(&name));
        let (_, value) = self.pairs.iter().find(|(n, _)| n == name)?;
        (!value.is_empty()).then(|| value.clone())
    }

    pub fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>> {
        self.text(name)
            .map(|text| text.trim().parse().map_err(|_| invalid(name, "a whole number")))
            .transpose()
    }

    pub fn seconds(&self, name: &str, default: Duration) -> Result<Duration> {
        Ok(match self.number::<u64>(name)? {
            None | Some(0) => default,
            Some(seconds) => Duration::from_secs(seconds),
        })
    }

    pub fn choice<T: Copy + Default>(
        &self,
        name: &str,
        all: &[T],
        word: fn(T) -> &'static str,
    ) -> Result<T> {
        let Some(text) = self.text(name) else { return Ok(T::default()) };
        all.iter().copied().find(|&one| word(one) == text).ok_or_else(|| {
            let words: Vec<_> = all.iter().map(|&one| word(one)).collect();
            invalid(name, words.join(", "))
        })
    }
}

/// The value is not shown: a value in the wrong place may be the password.
pub(super) fn invalid(name: &str, wanted: impl fmt::Display) -> Error {
    refused(format!("`{name}` must be {wanted}"))
}
