//! Certificate and key files, with libpq's default places and its care for key permissions.

use std::env;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::{RootCert, SslMode, TlsSettings};
use crate::error::{Attempt, Error, Kind, Result};

type ClientCertificate = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl TlsSettings {
    /// The authorities to verify against; none where the mode does without.
    ///
    /// Unlike libpq, a file that is named and not there is an error in every mode: a misspelt
    /// path must not turn verification off.
    pub(super) fn roots(&self) -> Result<Option<Vec<CertificateDer<'static>>>> {
        match &self.root {
            Some(RootCert::System) => {
                let found = rustls_native_certs::load_native_certs();
                if found.certs.is_empty() {
                    let error =
                        Error::new(Kind::Usage, "load the system's certificate authorities");
                    let error = match found.errors.into_iter().next() {
                        Some(e) => error.caused_by(e),
                        None => error,
                    };
                    return Err(error.hint("install the ca-certificates package"));
                }
                Ok(Some(found.certs))
            }
            Some(RootCert::File(path)) => certificates(path, "sslrootcert").map(Some),
            None => match default_file("root.crt") {
                Some(path) if path.exists() => certificates(&path, "sslrootcert").map(Some),
                _ if self.mode >= SslMode::VerifyCa => Err(Error::new(
                    Kind::Usage,
                    format!("find the root certificate that sslmode={} needs", self.mode),
                )
                .hint(
                    "name it with sslrootcert=FILE (the provider offers it for download), or \
                     sslrootcert=system for a certificate of a public authority",
                )),
                _ => Ok(None),
            },
        }
    }

    /// `sslcrl`, else `~/.postgresql/root.crl`.
    pub(super) fn revocations(&self) -> Result<Vec<CertificateRevocationListDer<'static>>> {
        let path = match &self.crl {
            Some(path) => path.clone(),
            None => match default_file("root.crl") {
                Some(path) if path.exists() => path,
                _ => return Ok(Vec::new()),
            },
        };
        let what = || format!("read the revocation lists in {}", path.display());
        CertificateRevocationListDer::pem_file_iter(&path)
            .and_then(Iterator::collect)
            .attempt(Kind::Usage, what)
    }

    /// `sslcert` and `sslkey`, else `~/.postgresql/postgresql.crt` and `.key` if they are there.
    pub(super) fn client_certificate(&self) -> Result<Option<ClientCertificate>> {
        if !self.send_certificate {
            return Ok(None);
        }
        let cert = match (&self.cert, default_file("postgresql.crt")) {
            (Some(path), _) => path.clone(),
            (None, Some(path)) if path.exists() => path,
            _ => return Ok(None),
        };
        let chain = certificates(&cert, "sslcert")?;
        let Some(key) = self.key.clone().or_else(|| default_file("postgresql.key")) else {
            return Err(Error::new(Kind::Usage, "find the key of the client certificate")
                .hint("name it with sslkey=FILE"));
        };
        Ok(Some((chain, private_key(&key)?)))
    }
}

fn default_file(name: &str) -> Option<PathBuf> {
    env::home_dir().map(|home| home.join(".postgresql").join(name))
}

fn certificates(path: &Path, parameter: &str) -> Result<Vec<CertificateDer<'static>>> {
    let what = || format!("read the certificates in {} ({parameter})", path.display());
    let certs: Vec<_> = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .attempt(Kind::Usage, what)?;
    if certs.is_empty() {
        return Err(Error::new(Kind::Usage, what())
            .caused_by("it holds no PEM certificate")
            .hint("a PEM certificate starts with -----BEGIN CERTIFICATE-----"));
    }
    Ok(certs)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>> {
    let what = || format!("read the client key {} (sslkey)", path.display());
    let meta = fs::metadata(path).attempt(Kind::Usage, what)?;
    if !meta.is_file() {
        return Err(Error::new(Kind::Usage, what()).caused_by("it is not a regular file"));
    }
    // libpq's rule: nobody else, except that a key of root's may be readable by its group.
    let forbidden = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.mode() & forbidden != 0 {
        return Err(Error::new(Kind::Usage, what())
            .caused_by(format!("others may read it (mode {:04o})", meta.mode() & 0o7777))
            .hint(format!("chmod 600 {}", path.display())));
    }
    let pem = fs::read(path).attempt(Kind::Usage, what)?;
    let encrypted = |mark: &[u8]| memchr::memmem::find(&pem, mark).is_some();
    if encrypted(b"BEGIN ENCRYPTED PRIVATE KEY") || encrypted(b"Proc-Type: 4,ENCRYPTED") {
        return Err(Error::new(Kind::Usage, what())
            .caused_by("it is encrypted, and nobody is there to type its passphrase")
            .hint(format!(
                "write it without one: openssl pkey -in {} -out client.key && chmod 600 client.key",
                path.display()
            )));
    }
    PrivateKeyDer::from_pem_slice(&pem).attempt(Kind::Usage, what)
}
