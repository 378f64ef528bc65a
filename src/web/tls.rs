//! The server's side of TLS, with certificates of readers where they are asked for.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::config::WebTls;
use crate::error::{Attempt as _, Error, Kind, Result};

/// Reads the files. `Kind::Usage` where one of them is not what it should be.
pub fn configured(tls: &WebTls) -> Result<Arc<ServerConfig>> {
    let chain = certificates(&tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key)
        .attempt(Kind::Usage, || format!("read the private key in {}", tls.key.display()))?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .attempt(Kind::Bug, || "choose TLS versions".to_owned())?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).attempt(Kind::Usage, || {
                    format!("trust the authority in {}", path.display())
                })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .attempt(Kind::Usage, || format!("trust the authorities in {}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).attempt(Kind::Usage, || {
        format!("serve with {} and {}", tls.cert.display(), tls.key.display())
    })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let what = || format!("read the certificates in {}", path.display());
    let found: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .attempt(Kind::Usage, what)?;
    match found.is_empty() {
        true => Err(Error::new(Kind::Usage, what()).caused_by("there is none in it")),
        false => Ok(found),
    }
}
