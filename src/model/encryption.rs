//! Encryption at rest as values: how objects are kept, for whom, and what a manifest says of it.

use std::fmt;
use std::str::FromStr;

use age::x25519::Identity;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{ENCRYPTED_FORMAT, FORMAT};

/// How the parts and schema archives of a generation are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub enum Kept {
    /// As they are.
    #[default]
    Open,
    /// age-encrypted to the generation's key.
    Age,
}

impl Kept {
    /// What stands behind the key of an object.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Open => "",
            Self::Age => ".age",
        }
    }

    /// The version of the manifests and part lists that tell of it.
    pub fn format(self) -> u32 {
        match self {
            Self::Open => FORMAT,
            Self::Age => ENCRYPTED_FORMAT,
        }
    }

    /// A file's name without that ending, and what the ending says.
    pub fn split(name: &str) -> (&str, Self) {
        match name.strip_suffix(Self::Age.ending()) {
            Some(name) => (name, Self::Age),
            None => (name, Self::Open),
        }
    }
}

/// A public X25519 key of age, for whose owner something is encrypted. Shown as `age1…`.
#[derive(Clone, PartialEq, Eq)]
pub struct Recipient(age::x25519::Recipient);

impl Recipient {
    pub fn as_age(&self) -> &age::x25519::Recipient {
        &self.0
    }
}

impl From<age::x25519::Recipient> for Recipient {
    fn from(key: age::x25519::Recipient) -> Self {
        Self(key)
    }
}

impl fmt::Display for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Recipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl FromStr for Recipient {
    type Err = String;

    /// The error says what it must be, and never repeats the text: it may be a private key.
    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.to_ascii_uppercase().starts_with("AGE-SECRET-KEY-") {
            return Err("is a private key; a recipient is its public half, as \
                        `age-keygen -y FILE` prints it"
                .to_owned());
        }
        text.parse().map(Self).map_err(|_| {
            "is not an age X25519 recipient: 62 characters that begin with `age1`, as \
             `age-keygen` prints them"
                .to_owned()
        })
    }
}

impl Serialize for Recipient {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The private keys of an identity file: a line each, beside comments. None if there is none, or if
/// anything else stands there.
pub fn identities(text: &str) -> Option<Vec<Identity>> {
    let lines = text.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with('#'));
    let all: Vec<Identity> = lines.map(|line| line.parse().ok()).collect::<Option<_>>()?;
    (!all.is_empty()).then_some(all)
}

/// What a manifest says of the key that opens its generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Encryption {
    /// The public half of the generation's key, to which its parts and archives are encrypted.
    pub key: Recipient,
    /// Whose identities open `wrapped`; ordered by their text.
    pub recipients: Vec<Recipient>,
    /// The generation's private key as an identity file, age-encrypted to the recipients, armored.
    pub wrapped: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_private_key_is_refused_as_recipient_and_never_repeated() {
        use age::secrecy::ExposeSecret as _;
        let identity = age::x25519::Identity::generate();
        let public = identity.to_public().to_string();
        assert_eq!(public.parse::<Recipient>().unwrap().to_string(), public);
        let private = identity.to_string();
        for bad in [private.expose_secret(), &public[..30], "ssh-ed25519 AAAA"] {
            let why = bad.parse::<Recipient>().unwrap_err();
            assert!(!why.contains(bad), "{why}");
        }
        assert!(private.expose_secret().parse::<Recipient>().unwrap_err().contains("private key"));
    }
}
