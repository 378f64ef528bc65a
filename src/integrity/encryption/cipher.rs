//! What a generation's objects go through between their uncompressed bytes and the store.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;
use std::sync::Arc;

use age::{Decryptor, Encryptor};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;

use super::GenerationKey;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{Digest, Kept, RowHash};

/// How the bytes of a generation are digested and stored: openly, or under its key.
#[derive(Clone, Default)]
pub struct Cipher(Option<Arc<Under>>);

struct Under {
    key: GenerationKey,
    parts: Hmac<Sha256>,
    rows: RowHash,
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.key() {
            None => f.write_str("Cipher(none)"),
            Some(key) => write!(f, "Cipher({key:?})"),
        }
    }
}

impl Cipher {
    pub fn under(key: GenerationKey) -> Self {
        let (parts, rows) = (key.of_parts(), RowHash::keyed(&key.of_rows()));
        Self(Some(Arc::new(Under { key, parts, rows })))
    }

    pub fn kept(&self) -> Kept {
        if self.0.is_none() { Kept::Open } else { Kept::Age }
    }

    pub fn key(&self) -> Option<&GenerationKey> {
        self.0.as_ref().map(|under| &under.key)
    }

    /// The digest of what is inside a part: SHA-256, or HMAC-SHA-256 so that no guess of the bytes
    /// can be confirmed by a name.
    pub fn digest(&self, raw: &[u8]) -> Digest {
        match &self.0 {
            None => Digest::of(raw),
            Some(under) => {
                let mut mac = under.parts.clone();
                mac.update(raw);
                Digest::from_bytes(mac.finalize().into_bytes().into())
            }
        }
    }

    /// Makes a digest that anybody could compute one that only who has the key can.
    pub fn cover(&self, digest: Digest) -> Digest {
        if self.0.is_none() { digest } else { self.digest(digest.as_bytes()) }
    }

    /// How its rows are digested.
    pub fn rows(&self) -> RowHash {
        self.0.as_ref().map(|under| under.rows.clone()).unwrap_or_default()
    }

    /// What is stored of a compressed part. Encrypted bytes are opened again and compared, so that a
    /// fault of this machine cannot reach a store.
    pub fn seal(&self, compressed: Vec<u8>) -> Result<Vec<u8>> {
        let Some(under) = &self.0 else { return Ok(compressed) };
        let sealed = age::encrypt(under.key.public().as_age(), &compressed)
            .attempt(Kind::Bug, || "encrypt a part".to_owned())?;
        match self.open(&sealed) {
            Ok(opened) if *opened == compressed => Ok(sealed),
            _ => Err(Error::new(Kind::Bug, "an encrypted part does not give its bytes back")
                .hint("nothing was stored; this machine's memory may be faulty")),
        }
    }

    /// Undoes `seal`. `Kind::Damaged` if it was not encrypted to this key, or is not whole.
    pub fn open<'a>(&self, stored: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        let Some(under) = &self.0 else { return Ok(Cow::Borrowed(stored)) };
        let open = || {
            let decryptor = Decryptor::new_buffered(stored)?;
            let mut reader = decryptor.decrypt(std::iter::once(under.key.identity() as _))?;
            let mut opened = Vec::with_capacity(stored.len());
            reader.read_to_end(&mut opened)?;
            Ok::<_, age::DecryptError>(opened)
        };
        open().map(Cow::Owned).map_err(|e| {
            Error::new(Kind::Damaged, "age cannot open it with its generation's key")
                .caused_by(e.to_string())
        })
    }

    /// As `seal`, of a file of any size; `false`: there is nothing to encrypt, and `to` is not made.
    pub fn seal_file(&self, from: &Path, to: &Path) -> Result<bool> {
        let Some(under) = &self.0 else { return Ok(false) };
        let recipient: &dyn age::Recipient = under.key.public().as_age();
        let what = || format!("encrypt {} to {}", from.display(), to.display());
        let encryptor =
            Encryptor::with_recipients(std::iter::once(recipient)).attempt(Kind::Bug, what)?;
        let write = || -> io::Result<()> {
            let mut writer = encryptor.wrap_output(File::create(to)?)?;
            io::copy(&mut File::open(from)?, &mut writer)?;
            writer.finish()?.flush()
        };
        write().attempt(Kind::Failed, what)?;
        Ok(true)
    }

    /// Undoes `seal_file`.
    pub fn open_file(&self, from: &Path, to: &Path) -> Result<()> {
        let what = || format!("open {} to {}", from.display(), to.display());
        let Some(under) = &self.0 else {
            return std::fs::rename(from, to).attempt(Kind::Failed, what);
        };
        let damaged = |e: age::DecryptError| {
            Error::new(Kind::Damaged, "age cannot open it with its generation's key")
                .caused_by(e.to_string())
        };
        let file = File::open(from).attempt(Kind::Failed, what)?;
        let decryptor = Decryptor::new_buffered(BufReader::new(file)).map_err(damaged)?;
        let mut reader =
            decryptor.decrypt(std::iter::once(under.key.identity() as _)).map_err(damaged)?;
        let mut file = File::create(to).attempt(Kind::Failed, what)?;
        io::copy(&mut reader, &mut file).attempt(Kind::Failed, what)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::integrity::rows;
    use crate::model::RowFormat;

    #[test]
    fn a_key_changes_every_digest_and_none_changes_nothing() {
        let raw = b"1\tLuna\n2\tMilo\n";
        let [one, two] = [(); 2].map(|()| Cipher::under(GenerationKey::generate()));
        let open = Cipher::default();
        let tally = |c: &Cipher| rows::tally(RowFormat::Text, raw, &c.rows()).unwrap();
        assert_eq!(open.digest(raw), Digest::of(raw));
        assert_eq!(one.digest(raw), one.clone().digest(raw));
        assert_eq!(tally(&one), tally(&one.clone()));
        for (a, b) in [(&one, &two), (&one, &open), (&two, &open)] {
            assert_ne!(a.digest(raw), b.digest(raw));
            assert_eq!(tally(a).rows, tally(b).rows);
            assert_ne!(tally(a).digest, tally(b).digest);
        }
    }

    #[test]
    fn what_is_sealed_opens_under_its_key_alone() {
        let [one, two] = [(); 2].map(|()| Cipher::under(GenerationKey::generate()));
        let sealed = one.seal(b"compressed".to_vec()).unwrap();
        assert!(sealed.starts_with(b"age-encryption.org/v1\n"));
        assert_eq!(&*one.open(&sealed).unwrap(), b"compressed");
        assert_eq!(two.open(&sealed).unwrap_err().kind(), Kind::Damaged);
        assert!(one.open(&sealed[..sealed.len() - 1]).is_err());
        let mut bad = sealed;
        *bad.last_mut().unwrap() ^= 1;
        assert!(one.open(&bad).is_err());
        let open = Cipher::default();
        assert_eq!(open.seal(b"x".to_vec()).unwrap(), b"x");
        assert_eq!(&*open.open(b"x").unwrap(), b"x");
    }

    #[test]
    fn files_are_sealed_and_opened() {
        let dir = tempfile::TempDir::new().unwrap();
        let [plain, sealed, back] = ["plain", "sealed", "back"].map(|n| dir.path().join(n));
        let bytes: Vec<u8> = (0..200_000u32).flat_map(|i| i.to_le_bytes()).collect();
        std::fs::write(&plain, &bytes).unwrap();
        let cipher = Cipher::under(GenerationKey::generate());
        assert!(cipher.seal_file(&plain, &sealed).unwrap());
        assert_ne!(std::fs::read(&sealed).unwrap(), bytes);
        cipher.open_file(&sealed, &back).unwrap();
        assert_eq!(std::fs::read(&back).unwrap(), bytes);
        let other = Cipher::under(GenerationKey::generate());
        assert_eq!(other.open_file(&sealed, &back).unwrap_err().kind(), Kind::Damaged);
        assert!(!Cipher::default().seal_file(&plain, &back).unwrap());
    }
}
