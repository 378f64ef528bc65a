//! The key of one generation: made as it begins, wrapped for its recipients, and what is derived
//! from it.

use std::io::{Read as _, Write as _};

use age::armor::{ArmoredReader, ArmoredWriter, Format};
use age::secrecy::{ExposeSecret as _, SecretString};
use age::x25519::Identity;
use age::{DecryptError, Decryptor, Encryptor};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{Encryption, Recipient, identities};

/// A wrapped key is some 100 bytes; more than this is none.
const LONGEST: u64 = 4 << 10;

/// What each derived key is for, as docs/format.md has it.
const OF_PARTS: &str = "drctl parts";
const OF_ROWS: &str = "drctl rows";

/// A generation's private key. It is wiped from memory when it is dropped, and never shown.
#[derive(Clone)]
pub struct GenerationKey {
    identity: Identity,
    public: Recipient,
}

impl std::fmt::Debug for GenerationKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "GenerationKey({})", self.public)
    }
}

impl GenerationKey {
    /// A new one, from the system's random numbers.
    pub fn generate() -> Self {
        Self::of(Identity::generate())
    }

    fn of(identity: Identity) -> Self {
        let public = identity.to_public().into();
        Self { identity, public }
    }

    /// Reads an identity file that holds this key alone.
    pub fn read(text: &str) -> Option<Self> {
        let mut all = identities(text)?;
        let identity = all.pop()?;
        all.is_empty().then(|| Self::of(identity))
    }

    /// The one line of its identity file.
    pub fn text(&self) -> SecretString {
        self.identity.to_string()
    }

    /// The public half.
    pub fn public(&self) -> &Recipient {
        &self.public
    }

    pub(super) fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The key as manifests hold it: encrypted to the recipients.
    pub fn wrap(&self, recipients: &[Recipient]) -> Result<Encryption> {
        let what = || "encrypt a generation's key to its recipients".to_owned();
        let all = recipients.iter().map(|r| r.as_age() as &dyn age::Recipient);
        let encryptor = Encryptor::with_recipients(all).attempt(Kind::Bug, what)?;
        let text = Zeroizing::new(format!("{}\n", self.text().expose_secret()));
        let write = || -> std::io::Result<Vec<u8>> {
            let armor = ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor)?;
            let mut writer = encryptor.wrap_output(armor)?;
            writer.write_all(text.as_bytes())?;
            writer.finish()?.finish()
        };
        let wrapped = String::from_utf8(write().attempt(Kind::Bug, what)?);
        Ok(Encryption {
            key: self.public.clone(),
            recipients: recipients.to_vec(),
            wrapped: wrapped.attempt(Kind::Bug, what)?,
        })
    }

    /// Opens a wrapped key. `None`: none of the identities is one of its recipients.
    ///
    /// `Kind::Damaged`: it is no wrapped key, or not the one that the manifest names.
    pub(super) fn unwrap(encryption: &Encryption, with: &[Identity]) -> Result<Option<Self>> {
        let damaged = |why: &str| Error::new(Kind::Damaged, format!("the wrapped key {why}"));
        let reader = ArmoredReader::new(encryption.wrapped.as_bytes());
        let decryptor = Decryptor::new_buffered(reader)
            .map_err(|e| damaged("is no age file").caused_by(e.to_string()))?;
        let opened = decryptor.decrypt(with.iter().map(|i| i as &dyn age::Identity));
        let reader = match opened {
            Ok(reader) => reader,
            Err(DecryptError::NoMatchingKeys) => return Ok(None),
            Err(e) => return Err(damaged("cannot be opened").caused_by(e.to_string())),
        };
        let mut text = Zeroizing::new(String::new());
        reader
            .take(LONGEST)
            .read_to_string(&mut text)
            .map_err(|e| damaged("cannot be opened").caused_by(e))?;
        let key = Self::read(&text).ok_or_else(|| damaged("holds no key"))?;
        match key.public == encryption.key {
            true => Ok(Some(key)),
            false => Err(damaged("is not that of the generation")),
        }
    }

    /// Derives a key: HMAC-SHA-256 of the purpose under the text of the private key.
    fn derive(&self, purpose: &str) -> Zeroizing<[u8; 32]> {
        let mut mac = hmac_of(self.text().expose_secret().as_bytes());
        mac.update(purpose.as_bytes());
        Zeroizing::new(mac.finalize().into_bytes().into())
    }

    /// The key under which uncompressed bytes are digested.
    pub(super) fn of_parts(&self) -> Hmac<Sha256> {
        hmac_of(&*self.derive(OF_PARTS))
    }

    /// The key under which rows are digested.
    pub(super) fn of_rows(&self) -> Zeroizing<[u8; 32]> {
        self.derive(OF_ROWS)
    }
}

fn hmac_of(key: &[u8]) -> Hmac<Sha256> {
    // HMAC takes keys of any length.
    Hmac::new_from_slice(key).unwrap_or_else(|_| unreachable!("HMAC refuses no key"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipients(of: &[&Identity]) -> Vec<Recipient> {
        of.iter().map(|identity| identity.to_public().into()).collect()
    }

    #[test]
    fn each_recipient_opens_a_wrapped_key_and_nobody_else() {
        let [one, two, other] = [(); 3].map(|()| Identity::generate());
        let key = GenerationKey::generate();
        let wrapped = key.wrap(&recipients(&[&one, &two])).unwrap();
        assert!(wrapped.wrapped.starts_with("-----BEGIN AGE ENCRYPTED FILE-----\n"));
        for identities in [vec![one.clone()], vec![two], vec![other.clone(), one]] {
            let opened = GenerationKey::unwrap(&wrapped, &identities).unwrap().unwrap();
            assert_eq!(opened.text().expose_secret(), key.text().expose_secret());
        }
        assert!(GenerationKey::unwrap(&wrapped, &[other]).unwrap().is_none());
        assert!(!format!("{key:?} {wrapped:?}").contains("SECRET"));
    }

    #[test]
    fn a_wrapped_key_that_is_spoilt_or_another_is_damage() {
        let one = Identity::generate();
        let key = GenerationKey::generate();
        let wrapped = key.wrap(&recipients(&[&one])).unwrap();
        let other = GenerationKey::generate().public().clone();
        let swapped = Encryption { key: other, ..wrapped.clone() };
        let middle = wrapped.wrapped.len() / 2;
        let spoilt = format!("{}AA{}", &wrapped.wrapped[..middle], &wrapped.wrapped[middle + 2..]);
        let spoilt = Encryption { wrapped: spoilt, ..wrapped.clone() };
        let none = Encryption { wrapped: String::new(), ..wrapped };
        for bad in [swapped, spoilt, none] {
            let e = GenerationKey::unwrap(&bad, std::slice::from_ref(&one)).unwrap_err();
            assert_eq!(e.kind(), Kind::Damaged, "{e:?}");
        }
    }

    #[test]
    fn a_key_file_holds_one_key() {
        let key = GenerationKey::generate();
        let line = key.text().expose_secret().to_owned();
        let read = |text: &str| GenerationKey::read(text).map(|k| k.public().clone());
        assert_eq!(read(&format!("# of g1\n\n{line}\n")).as_ref(), Some(key.public()));
        for bad in [String::new(), "# none".to_owned(), format!("{line}\n{line}"), "x".to_owned()] {
            assert_eq!(read(&bad), None);
        }
    }
}
