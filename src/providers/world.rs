//! What actions may use: made once for each run by the composition root.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;

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
    /// Clients of AWS services, made when they are first asked for.
    pub aws: aws::Clients,
    /// For every HTTP request but those of the AWS SDK. No proxy, no redirects, no timeout of its
    /// own: each request sets one.
    pub http: reqwest::Client,
    /// For every TLS connection but those of PostgreSQL and of the AWS SDK.
    pub tls: rustls::ClientConfig,
    /// Whom `tls` trusts.
    pub authorities: Vec<CertificateDer<'static>>,
}

impl World {
    /// Trusting the authorities of this machine.
    pub fn new(
        config: Arc<Config>,
        stores: BTreeMap<String, Arc<dyn ObjectStore>>,
        control: Arc<dyn ObjectStore>,
        keys: Keys,
    ) -> Result<Self> {
        Self::trusting(authorities_of_this_machine(), config, stores, control, keys)
    }

    /// As `new`, trusting these.
    pub fn trusting(
        authorities: Vec<CertificateDer<'static>>,
        config: Arc<Config>,
        stores: BTreeMap<String, Arc<dyn ObjectStore>>,
        control: Arc<dyn ObjectStore>,
        keys: Keys,
    ) -> Result<Self> {
        let tls = trusting(&authorities)?;
        let http = finish(client(&tls))?;
        let aws = aws::Clients::new(Arc::clone(&config));
        Ok(Self { config, stores, control, keys, aws, http, tls, authorities })
    }

    /// A client like `http` without open connections, which goes to `pin`'s address for its host,
    /// whatever DNS says; a port in the url counts more than the address's. TLS still asks for the
    /// host.
    pub(super) fn fresh_http(&self, pin: Option<(&str, SocketAddr)>) -> Result<reqwest::Client> {
        let client = client(&self.tls);
        finish(match pin {
            Some((host, address)) => client.resolve(host, address),
            None => client,
        })
    }
}

/// A client for HTTP requests where there is no world, like `World::http`.
pub(super) fn plain_http() -> Result<reqwest::Client> {
    finish(client(&trusting(&authorities_of_this_machine())?))
}

/// The provider is given explicitly, so that nothing depends on a process-wide default.
fn client(tls: &rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls.clone())
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("drctl/", env!("CARGO_PKG_VERSION")))
}

fn finish(client: reqwest::ClientBuilder) -> Result<reqwest::Client> {
    client.build().attempt(Kind::Failed, || "make the HTTP client".to_owned())
}

/// A client of the outside that trusts the authorities of this machine.
pub(super) fn machine_client() -> Result<reqwest::Client> {
    finish(client(&trusting(&authorities_of_this_machine())?))
}

/// Those that can be read: bundles carry certificates that nobody needs and that rustls cannot read.
pub(super) fn authorities_of_this_machine() -> Vec<CertificateDer<'static>> {
    let certs = rustls_native_certs::load_native_certs().certs;
    let readable =
        |cert: &CertificateDer<'static>| RootCertStore::empty().add(cert.clone()).is_ok();
    certs.into_iter().filter(readable).collect()
}

/// A client like `World`'s, for who needs no world.
pub(super) fn http_client(authorities: &[CertificateDer<'static>]) -> Result<reqwest::Client> {
    finish(client(&trusting(authorities)?))
}

/// Without any authority it still speaks to those that need none, so only what it then asks for fails.
fn trusting(authorities: &[CertificateDer<'static>]) -> Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities.iter().cloned());
    Ok(rustls::ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| Error::new(Kind::Bug, "choose TLS versions").caused_by(e))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
