//! What rustls does not read in a certificate and libpq does: the common name, version 1, and
//! what a channel is bound to.

use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::{CertificateError, Error};
use sha2::{Digest, Sha256, Sha384, Sha512};
use x509_cert::Certificate;
use x509_cert::der::asn1::{Ia5StringRef, PrintableStringRef, Utf8StringRef};
use x509_cert::der::oid::db::rfc4519::CN;
use x509_cert::der::oid::db::rfc5912::{
    ECDSA_WITH_SHA_256, ECDSA_WITH_SHA_384, ECDSA_WITH_SHA_512, SHA_1_WITH_RSA_ENCRYPTION,
    SHA_256_WITH_RSA_ENCRYPTION, SHA_384_WITH_RSA_ENCRYPTION, SHA_512_WITH_RSA_ENCRYPTION,
};
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

/// Whether the certificate's common name is the host's, where it has no alternative names of
/// hosts: libpq still honours it, and many certificates made by hand have nothing else.
pub(super) fn common_name_fits(cert: &CertificateDer<'_>, host: &ServerName<'_>) -> bool {
    let Ok(cert) = Certificate::from_der(cert) else { return false };
    match cert.tbs_certificate.get::<SubjectAltName>() {
        Ok(None) => {}
        Ok(Some((_, SubjectAltName(names)))) => {
            let of_host =
                |n: &GeneralName| matches!(n, GeneralName::DnsName(_) | GeneralName::IpAddress(_));
            if names.iter().any(of_host) {
                return false;
            }
        }
        Err(_) => return false,
    }
    let common_name = cert
        .tbs_certificate
        .subject
        .0
        .iter()
        .flat_map(|rdn| rdn.0.iter())
        .find(|attribute| attribute.oid == CN)
        .and_then(|attribute| {
            let value = &attribute.value;
            None.or_else(|| value.decode_as::<Utf8StringRef<'_>>().ok().map(|s| s.as_str()))
                .or_else(|| value.decode_as::<PrintableStringRef<'_>>().ok().map(|s| s.as_str()))
                .or_else(|| value.decode_as::<Ia5StringRef<'_>>().ok().map(|s| s.as_str()))
        });
    common_name.is_some_and(|pattern| name_fits(pattern, &host.to_str()))
}

/// Case does not count; a leading `*.` stands for one label.
fn name_fits(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    if pattern.eq_ignore_ascii_case(host) {
        return true;
    }
    match (pattern.strip_prefix("*."), host.split_once('.')) {
        (Some(domain), Some((label, rest))) => {
            !label.is_empty() && domain.contains('.') && domain.eq_ignore_ascii_case(rest)
        }
        _ => false,
    }
}

/// Whether `now` lies in the certificate's time.
pub(super) fn is_current(cert: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let cert = Certificate::from_der(cert).map_err(|_| CertificateError::BadEncoding)?;
    let validity = &cert.tbs_certificate.validity;
    if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
        return Err(CertificateError::NotValidYet.into());
    }
    if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
        return Err(CertificateError::Expired.into());
    }
    Ok(())
}

/// The certificate's public key, whatever the certificate's version.
pub(super) fn public_key(cert: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let cert = Certificate::from_der(cert).ok()?;
    cert.tbs_certificate.subject_public_key_info.to_der().ok().map(SubjectPublicKeyInfoDer::from)
}

/// The `tls-server-end-point` of RFC 5929: the certificate's hash by the algorithm that its
/// signature uses, SHA-256 in place of what is weaker. None where the algorithm names no hash of
/// its own (Ed25519, RSA-PSS); servers offer no binding for those either.
pub(super) fn end_point_hash(der: &CertificateDer<'_>) -> Option<Vec<u8>> {
    let cert = Certificate::from_der(der).ok()?;
    Some(match cert.signature_algorithm.oid {
        SHA_1_WITH_RSA_ENCRYPTION | SHA_256_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_256 => {
            Sha256::digest(der).to_vec()
        }
        SHA_384_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_384 => Sha384::digest(der).to_vec(),
        SHA_512_WITH_RSA_ENCRYPTION | ECDSA_WITH_SHA_512 => Sha512::digest(der).to_vec(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_stands_for_one_label_below_a_domain() {
        assert!(name_fits("DB.example", "db.Example"));
        assert!(name_fits("*.db.example", "a.db.example"));
        assert!(!name_fits("*.db.example", "a.b.db.example"));
        assert!(!name_fits("*.db.example", "db.example"));
        assert!(!name_fits("*.db.example", ".db.example"));
        assert!(!name_fits("*.example", "db.example"), "a whole top-level domain");
        assert!(!name_fits("*", "localhost"));
    }
}
