//! TLS to PostgreSQL as libpq's `sslmode` means it, through rustls.

mod certificate;
mod files;
mod stream;
mod verify;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::aws_lc_rs;
use rustls::version::{TLS12, TLS13};

use crate::error::{Attempt, Kind, Result};

pub(in crate::postgres) use stream::Connector;

/// How much a connection asks of TLS, weakest first.
///
/// As in libpq, a root certificate that is configured, or found in `~/.postgresql/root.crt`, is
/// verified against in *every* mode that ends up using TLS; `verify-ca` and `verify-full` only
/// make it an error to have none. (libpq documents this for `require` and does it for all.)
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum SslMode {
    Disable,
    /// Plain; TLS if the server insists.
    Allow,
    /// TLS; plain if the server has none or refuses.
    Prefer,
    /// TLS, by whomever it is offered.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// TLS with a certificate of a known authority for this very host.
    VerifyFull,
}

impl SslMode {
    pub const ALL: [Self; 6] =
        [Self::Disable, Self::Allow, Self::Prefer, Self::Require, Self::VerifyCa, Self::VerifyFull];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Allow => "allow",
            Self::Prefer => "prefer",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

impl fmt::Display for SslMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How TLS begins: after PostgreSQL's own request, or at once (PostgreSQL 17).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SslNegotiation {
    Postgres,
    Direct,
}

/// Whom to trust.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RootCert {
    /// The operating system's authorities.
    System,
    File(PathBuf),
}

impl RootCert {
    pub fn as_text(&self) -> String {
        match self {
            Self::System => "system".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }
}

/// rustls speaks no older ones, and libpq's default starts here too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    V12,
    V13,
}

impl TlsVersion {
    pub fn is_13(self) -> bool {
        self == Self::V13
    }
}

/// The `ssl*` parameters of a connection string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsSettings {
    pub mode: SslMode,
    pub negotiation: SslNegotiation,
    pub root: Option<RootCert>,
    pub crl: Option<PathBuf>,
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
    /// `sslcertmode` other than `disable`.
    pub send_certificate: bool,
    /// Whether the host name is sent in the clear, for proxies that choose by it.
    pub sni: bool,
    pub min_version: TlsVersion,
    pub max_version: TlsVersion,
}

impl TlsSettings {
    /// Reads the certificate files and builds what makes TLS connections.
    ///
    /// The provider is given explicitly, so that nothing depends on a process-wide default.
    pub fn connector(&self) -> Result<Connector> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = Arc::new(verify::Verifier::new(self, &provider)?);
        let versions = match (self.min_version, self.max_version) {
            (TlsVersion::V13, _) => vec![&TLS13],
            (_, TlsVersion::V12) => vec![&TLS12],
            _ => vec![&TLS13, &TLS12],
        };
        let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&versions)
            .attempt(Kind::Bug, || "choose TLS versions".to_owned())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.client_certificate()? {
            Some((chain, key)) => {
                builder.with_client_auth_cert(chain, key).attempt(Kind::Usage, || {
                    "use the client certificate with its private key".to_owned()
                })?
            }
            None => builder.with_no_client_auth(),
        };
        config.enable_sni = self.sni;
        if self.negotiation == SslNegotiation::Direct {
            // The server refuses a direct start that does not name the protocol.
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Connector::new(config))
    }
}
