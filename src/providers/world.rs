//! What actions may use: made once for each run by the composition root.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::aws;
use crate::config::Config;
use crate::integrity::seal::Keys;
use crate::store::ObjectStore;

/// The configuration and the ways to the outside. Cheap to share; opens nothing by itself.
pub struct World {
    pub config: Arc<Config>,
    /// Every store that could be opened, by name; given up soon when it does not answer.
    pub stores: BTreeMap<String, Arc<dyn ObjectStore>>,
    /// The store of the standby region in which runs, leases and the epoch lie.
    pub control: Arc<dyn ObjectStore>,
    pub keys: Keys,
    /// Clients of AWS services by region; made when they are first asked for.
    pub aws: aws::Clients,
    /// For every HTTP request but those of the AWS SDK. No proxy, no redirects, no timeout of its
    /// own: each request sets one.
    pub http: reqwest::Client,
}
