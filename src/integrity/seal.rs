//! Sealing: a manifest's bytes carry their own SHA-256 and, where a key is configured, an Ed25519
//! signature.
//!
//! The file is one JSON document whose last line is `"seal":{…}}`. The digest and the signature are
//! over every byte before that line, so `head -n -1 manifest.json | sha256sum` checks it by hand.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey, DecodePublicKey, EncodePrivateKey, EncodePublicKey, KeypairBytes,
};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::encryption::{Access, Cipher};
use crate::config::Secret;
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{Digest, ENCRYPTED_FORMAT, Manifest};

const MARK: &[u8] = b"\"seal\":";

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Seal {
    digest: Digest,
    /// The public key in base64.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    signature: Option<String>,
}

/// The keys with which manifests are signed and by which they are trusted, and those to which
/// generations are encrypted and that open them.
#[derive(Clone, Default)]
pub struct Keys {
    signing: Option<SigningKey>,
    trusted: Vec<VerifyingKey>,
    access: Access,
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Keys {{ signing: {}, trusted: {} }}", self.signing.is_some(), self.trusted.len())
    }
}

impl Keys {
    /// Whether what is sealed is signed.
    pub fn signs(&self) -> bool {
        self.signing.is_some()
    }

    /// Whether a signature is asked for.
    pub fn trusts(&self) -> bool {
        !self.trusted.is_empty()
    }

    /// Reads a PKCS#8 PEM private key and SPKI PEM public keys.
    pub fn read(signing_pem: Option<&str>, trusted_pem: &[String]) -> Result<Self> {
        let signing = signing_pem
            .map(SigningKey::from_pkcs8_pem)
            .transpose()
            .attempt(Kind::Usage, || "read the Ed25519 signing key (PKCS#8 PEM)".to_owned())
            .map_err(|e| e.hint("make one with `openssl genpkey -algorithm ed25519`"))?;
        let trusted = trusted_pem
            .iter()
            .map(|pem| VerifyingKey::from_public_key_pem(pem.trim()))
            .collect::<std::result::Result<_, _>>()
            .attempt(Kind::Usage, || "read a trusted Ed25519 public key (SPKI PEM)".to_owned())
            .map_err(|e| e.hint("`openssl pkey -in KEY -pubout` prints one"))?;
        Ok(Self { signing, trusted, access: Access::default() })
    }

    /// The same, with what encrypts and opens generations.
    pub fn with_access(self, access: Access) -> Self {
        Self { access, ..self }
    }

    pub fn access(&self) -> &Access {
        &self.access
    }

    /// What opens the parts of a snapshot; errors as of `Recovery::open`.
    pub fn cipher(&self, manifest: &Manifest) -> Result<Cipher> {
        self.access.cipher(manifest)
    }
}

/// A public key as people tell it from others: `SHA256:` and the digest of its 32 bytes in base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PublicKey {
    pub fingerprint: String,
    /// SPKI PEM, as `trusted_keys` takes it.
    pub pem: String,
}

impl PublicKey {
    fn of(key: &VerifyingKey) -> Result<Self> {
        let pem = key
            .to_public_key_pem(LineEnding::LF)
            .attempt(Kind::Bug, || "write a public key as PEM".to_owned())?;
        let digest = Digest::of(key.as_bytes());
        let fingerprint =
            format!("SHA256:{}", BASE64.encode(digest.as_bytes()).trim_end_matches('='));
        Ok(Self { fingerprint, pem })
    }

    /// Reads an SPKI PEM.
    pub fn read(pem: &str) -> Result<Self> {
        let keys = Keys::read(None, &[pem.to_owned()])?;
        keys.trusted()?.pop().ok_or_else(|| Error::new(Kind::Bug, "a key was read and is gone"))
    }
}

impl Keys {
    /// The public half of the signing key.
    pub fn signer(&self) -> Result<Option<PublicKey>> {
        self.signing.as_ref().map(|key| PublicKey::of(&key.verifying_key())).transpose()
    }

    pub fn trusted(&self) -> Result<Vec<PublicKey>> {
        self.trusted.iter().map(PublicKey::of).collect()
    }
}

/// A new signing key, made of 32 random bytes: PKCS#8 PEM, in the form that OpenSSL reads too (without
/// the public half, which `ed25519-dalek` would add in a version that OpenSSL refuses).
pub fn generate(random: [u8; 32]) -> Result<(Secret, PublicKey)> {
    let private = KeypairBytes { secret_key: random, public_key: None };
    let pem = private
        .to_pkcs8_pem(LineEnding::LF)
        .attempt(Kind::Bug, || "write a signing key as PEM".to_owned())?;
    let public = PublicKey::of(&SigningKey::from_bytes(&random).verifying_key())?;
    Ok((Secret::new(pem.as_str()), public))
}

/// The bytes of a sealed manifest.
pub fn seal(manifest: &Manifest, keys: &Keys) -> Result<Bytes> {
    seal_document(manifest, keys)
}

/// The bytes of any sealed document; it must be an object with a field at least.
pub fn seal_document(document: &impl Serialize, keys: &Keys) -> Result<Bytes> {
    let mut body = serde_json::to_vec_pretty(document)
        .attempt(Kind::Bug, || "write a document as JSON".to_owned())?;
    // The document's closing brace moves behind the seal.
    if body.pop() != Some(b'}') || body.pop() != Some(b'\n') {
        return Err(Error::new(Kind::Bug, "a document's JSON does not end with a brace"));
    }
    body.extend_from_slice(b",\n");
    let mut seal = Seal { digest: Digest::of(&body), key: None, signature: None };
    if let Some(key) = &keys.signing {
        seal.key = Some(BASE64.encode(key.verifying_key().as_bytes()));
        seal.signature = Some(BASE64.encode(key.sign(&body).to_bytes()));
    }
    body.extend_from_slice(&seal_line(&seal)?);
    Ok(body.into())
}

fn seal_line(seal: &Seal) -> Result<Vec<u8>> {
    let json = serde_json::to_vec(seal).attempt(Kind::Bug, || "write a seal".to_owned())?;
    Ok([MARK, &json, b"}\n"].concat())
}

fn damaged(why: impl Into<String>) -> Error {
    Error::new(Kind::Damaged, why)
}

/// Reads a manifest and proves that it is what was sealed.
///
/// `Kind::Damaged`: the seal does not fit the bytes. `Kind::Unverified`: it is of a newer format, or
/// trusted keys are configured and none of them signed it.
pub fn open(bytes: &[u8], keys: &Keys) -> Result<Manifest> {
    let manifest: Manifest = open_document(bytes, keys, ENCRYPTED_FORMAT)?;
    match manifest.format == manifest.kept().format() {
        true => Ok(manifest),
        false => Err(damaged("its format does not fit what it says of encryption")),
    }
}

/// Reads a sealed document with a `format` of at most `newest`; errors as of `open`.
pub fn open_document<T: DeserializeOwned>(bytes: &[u8], keys: &Keys, newest: u32) -> Result<T> {
    let end = bytes.strip_suffix(b"\n").ok_or_else(|| damaged("it does not end with a seal"))?;
    let at = memchr::memrchr(b'\n', end).map_or(0, |i| i + 1);
    let (body, line) = bytes.split_at(at);
    let json = line
        .strip_prefix(MARK)
        .and_then(|l| l.strip_suffix(b"}\n"))
        .ok_or_else(|| damaged("its last line is not a seal"))?;
    let seal: Seal = serde_json::from_slice(json)
        .map_err(|e| damaged("its seal cannot be read").caused_by(e))?;
    // A seal has one spelling, so that no byte of the file can change unseen.
    if seal_line(&seal)? != line {
        return Err(damaged("its seal is not as drctl writes it"));
    }
    let seen = Digest::of(body);
    if seen != seal.digest {
        return Err(damaged(format!(
            "its bytes have the SHA-256 {seen}, its seal says {}",
            seal.digest
        )));
    }
    check_signature(body, &seal, keys)?;
    #[derive(Deserialize)]
    struct Version {
        format: u32,
    }
    let unread =
        |e: serde_json::Error| damaged("it is sealed, but not what it should be").caused_by(e);
    let Version { format } = serde_json::from_slice(bytes).map_err(unread)?;
    if format > newest {
        return Err(Error::new(
            Kind::Unverified,
            format!("it is of format {format}; this drctl reads up to format {newest}"),
        )
        .hint("use the drctl that wrote it, or a newer one"));
    }
    serde_json::from_slice(bytes).map_err(unread)
}

fn check_signature(body: &[u8], seal: &Seal, keys: &Keys) -> Result<()> {
    if keys.trusted.is_empty() {
        return Ok(());
    }
    let bytes = seal.signature.as_deref().and_then(|s| BASE64.decode(s).ok());
    let Some(signature) = bytes.and_then(|b| Signature::from_slice(&b).ok()) else {
        return Err(Error::new(
            Kind::Unverified,
            "it is not signed, and trusted keys are configured",
        ));
    };
    match keys.trusted.iter().any(|k| k.verify_strict(body, &signature).is_ok()) {
        true => Ok(()),
        false => Err(Error::new(Kind::Unverified, "none of the trusted keys signed it")
            .hint("add the public key of whoever wrote it to [signing] trusted_keys")),
    }
}
