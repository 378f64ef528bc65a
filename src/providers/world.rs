//! What actions may use: made once for each run by the composition root.

use std::collections::BTreeMap;
use std::sync::Arc;

use rustls::crypto::aws_lc_rs;

use super::aws;
use crate::config::Config;
use crate::error::{Attempt, Error, Kind, Result};
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

impl World {
    /// With an HTTP client that trusts the authorities of this machine.
    pub fn new(
        config: Arc<Config>,
        stores: BTreeMap<String, Arc<dyn ObjectStore>>,
        control: Arc<dyn ObjectStore>,
        keys: Keys,
    ) -> Result<Self> {
        let aws = aws::Clients::new(Arc::clone(&config));
        Ok(Self { config, stores, control, keys, aws, http: http()? })
    }
}

/// The provider is given explicitly, so that nothing depends on a process-wide default.
fn http() -> Result<reqwest::Client> {
    let tls = trusting_this_machine()?;
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("drctl/", env!("CARGO_PKG_VERSION")))
        .build()
        .attempt(Kind::Failed, || "make the HTTP client".to_owned())
}

/// TLS that trusts the authorities of this machine. One without any can still speak to those that
/// need none, so only what it then asks for fails.
pub(crate) fn trusting_this_machine() -> Result<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Bug, "choose TLS versions").caused_by(e))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
