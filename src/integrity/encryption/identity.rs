//! The configured identity: the recovery key, which opens the keys of generations.

use std::sync::Arc;

use age::x25519::Identity;

use super::GenerationKey;
use crate::config::Secret;
use crate::error::{Error, Kind, Result};
use crate::model::{Encryption, Recipient, identities};

/// What opens the keys of generations here.
#[derive(Clone, Default)]
pub enum Recovery {
    /// Nothing: this machine writes, and reads no rows.
    #[default]
    Unconfigured,
    /// The identities of the configured file.
    Known(Arc<Vec<Identity>>),
    /// It is configured, and could not be read; with file and line.
    Unreadable(String),
}

impl std::fmt::Debug for Recovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unconfigured => f.write_str("Unconfigured"),
            Self::Known(identities) => write!(f, "Known({} identities)", identities.len()),
            Self::Unreadable(why) => write!(f, "Unreadable({why})"),
        }
    }
}

impl Recovery {
    /// Reads the configured identity. One that cannot be had fails where it is needed: snapshots are
    /// taken without it.
    pub fn of(secret: Option<&Secret>) -> Self {
        let Some(secret) = secret else { return Self::Unconfigured };
        match secret.expose() {
            Err(e) => Self::Unreadable(e.what().to_owned()),
            Ok(text) => match identities(text) {
                Some(identities) => Self::Known(Arc::new(identities)),
                // The configuration was refused before.
                None => Self::Unreadable("the configured `identity` is no age identity".to_owned()),
            },
        }
    }

    pub fn is_configured(&self) -> bool {
        !matches!(self, Self::Unconfigured)
    }

    /// The recipients whose identities these are.
    pub fn recipients(&self) -> Vec<Recipient> {
        match self {
            Self::Known(identities) => identities.iter().map(|i| i.to_public().into()).collect(),
            Self::Unconfigured | Self::Unreadable(_) => Vec::new(),
        }
    }

    /// Opens the key of a generation.
    ///
    /// `Kind::Unverified`: no identity is configured, it cannot be read, or it is none of those that
    /// open this key. `Kind::Damaged`: the wrapped key is spoilt.
    pub fn open(&self, encryption: &Encryption) -> Result<GenerationKey> {
        let unverified = |what: String| Error::new(Kind::Unverified, what);
        let wanted = one_of(&encryption.recipients);
        match self {
            Self::Unconfigured => Err(unverified(format!(
                "the snapshot is encrypted, and no `identity` is configured to open it; it needs \
                 that of {wanted}"
            ))
            .hint(
                "set `identity` in [encryption], \"file:/path/to/recovery.key\", on the machine \
                 that restores",
            )),
            Self::Unreadable(why) => Err(unverified(format!(
                "the snapshot is encrypted, and the configured identity cannot be read: {why}"
            ))
            .hint(format!("it must be the identity of {wanted}"))),
            Self::Known(identities) => {
                GenerationKey::unwrap(encryption, identities)?.ok_or_else(|| {
                    unverified(format!(
                        "the configured identity, that of {}, does not open the snapshot: it is \
                         encrypted to {wanted}",
                        one_of(&self.recipients())
                    ))
                    .hint("set `identity` in [encryption] to the private key of one of these")
                })
            }
        }
    }
}

fn one_of(recipients: &[Recipient]) -> String {
    recipients.iter().map(Recipient::to_string).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use age::secrecy::ExposeSecret as _;

    #[test]
    fn what_does_not_open_is_told_apart_and_no_key_is_shown() {
        let [right, wrong] = [(); 2].map(|()| Identity::generate());
        let key = GenerationKey::generate();
        let wrapped = key.wrap(&[right.to_public().into()]).unwrap();
        let secret = |identity: &Identity| {
            Secret::new(format!("# mine\n{}\n", identity.to_string().expose_secret()))
        };
        let said = |recovery: &Recovery| {
            let e = recovery.open(&wrapped).unwrap_err();
            assert_eq!(e.kind(), Kind::Unverified);
            assert!(e.advice().is_some());
            e.one_line()
        };
        let none = said(&Recovery::of(None));
        assert!(none.contains("no `identity` is configured"), "{none}");
        let other = said(&Recovery::of(Some(&secret(&wrong))));
        assert!(other.contains("does not open"), "{other}");
        assert!(other.contains(&right.to_public().to_string()), "{other}");
        let unread = said(&Recovery::Unreadable("drctl.toml:3: `identity`: no file".to_owned()));
        assert!(unread.contains("cannot be read: drctl.toml:3"), "{unread}");
        for text in [none, other, unread] {
            assert!(!text.contains("SECRET-KEY"), "{text}");
        }
        let opened = Recovery::of(Some(&secret(&right))).open(&wrapped).unwrap();
        assert_eq!(opened.public(), key.public());
    }
}
