//! Whether to believe a server's certificate.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{SslMode, TlsSettings, certificate};
use crate::error::{Error, Kind, Result};

/// Believes what the mode and the root certificates at hand allow it to.
#[derive(Debug)]
pub(super) struct Verifier {
    /// None: any certificate will do, like `sslmode=require` without root certificates.
    trust: Option<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
}

#[derive(Debug)]
struct Trust {
    chain: Arc<WebPkiServerVerifier>,
    /// Certificates that are believed when the server itself shows them.
    given: Vec<CertificateDer<'static>>,
    /// `verify-full`.
    name_counts: bool,
}

impl Verifier {
    pub fn new(settings: &TlsSettings, provider: &Arc<CryptoProvider>) -> Result<Self> {
        let algorithms = provider.signature_verification_algorithms;
        let Some(certificates) = settings.roots()? else {
            return Ok(Self { trust: None, algorithms });
        };
        let unusable = |why: String| {
            Error::new(Kind::Usage, "use the root certificates (sslrootcert)").caused_by(why)
        };
        let mut roots = RootCertStore::empty();
        // Bundles carry certificates that nobody needs and that webpki cannot read.
        let (usable, _) = roots.add_parsable_certificates(certificates.iter().cloned());
        if usable == 0 {
            return Err(unusable("none of them can be read as an X.509 certificate".to_owned()));
        }
        let revocations = settings.revocations()?;
        let given = if revocations.is_empty() { certificates } else { Vec::new() };
        let chain =
            WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
                .with_crls(revocations)
                .build()
                .map_err(|e| unusable(e.to_string()))?;
        let name_counts = settings.mode == SslMode::VerifyFull;
        Ok(Self { trust: Some(Trust { chain, given, name_counts }), algorithms })
    }
}

impl Trust {
    /// A server's own certificate that is named as the root: PostgreSQL's manual makes self-signed
    /// certificates in this way, and webpki refuses them as authorities in a server's role.
    fn is_given(&self, cert: &CertificateDer<'_>) -> bool {
        self.given.iter().any(|given| given == cert)
    }

    fn name(&self, cert: &CertificateDer<'_>, host: &ServerName<'_>) -> Result<(), rustls::Error> {
        if !self.name_counts || certificate::common_name_fits(cert, host) {
            return Ok(());
        }
        verify_server_name(&ParsedCertificate::try_from(cert)?, host)
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        cert: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        host: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let Some(trust) = &self.trust else { return Ok(ServerCertVerified::assertion()) };
        if trust.is_given(cert) {
            certificate::is_current(cert, now)?;
            trust.name(cert, host)?;
            return Ok(ServerCertVerified::assertion());
        }
        let verdict = trust.chain.verify_server_cert(cert, intermediates, host, ocsp_response, now);
        match verdict {
            // rustls looks at the name last, so the chain has been found good by now; a test with
            // a wrong authority *and* a wrong name holds that.
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => {
                trust.name(cert, host)?;
                Ok(ServerCertVerified::assertion())
            }
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    /// Checked even where any certificate will do: channel binding rests on it.
    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        // webpki reads version 3 only; `openssl x509 -req` without extensions makes version 1, and
        // whether such a certificate is believed was decided above.
        match (ParsedCertificate::try_from(cert), certificate::public_key(cert)) {
            (Err(_), Some(key)) => {
                verify_tls13_signature_with_raw_key(message, &key, signed, &self.algorithms)
            }
            _ => verify_tls13_signature(message, cert, signed, &self.algorithms),
        }
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
