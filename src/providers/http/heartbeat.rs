//! Calling the URL of a dead man's switch: a service that tells people when the calls stop.

use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::providers::world;

/// How long one call may take.
const LIMIT: Duration = Duration::from_secs(5);
/// Calls of one heartbeat: whoever misses it wakes somebody.
const TRIES: u32 = 3;

/// A client for heartbeats.
#[derive(Debug, Clone)]
pub struct Heartbeats(reqwest::Client);

impl Heartbeats {
    /// Trusting the authorities of this machine.
    pub fn new() -> Result<Self> {
        world::machine_client().map(Self)
    }

    /// Calls `url`, again where that may help. The error names the host alone: who knows the URL can
    /// keep the switch from ever telling.
    pub async fn call(&self, url: &str) -> Result<()> {
        let host = url::Url::parse(url).ok().and_then(|url| url.host_str().map(str::to_owned));
        let mut why = String::new();
        for _ in 0..TRIES {
            match self.0.get(url).timeout(LIMIT).send().await {
                Ok(answer) if answer.status().is_success() => return Ok(()),
                Ok(answer) => why = format!("status {}", answer.status().as_u16()),
                Err(e) => why = super::trouble(e),
            }
        }
        let what = format!("call the heartbeat at {}", host.as_deref().unwrap_or("?"));
        Err(Error::new(Kind::Failed, what).caused_by(why))
    }
}
