//! Encryption at rest: each generation has a key of its own, which its manifests hold encrypted to
//! the configured recipients. Whoever writes needs the recipients alone; whoever reads rows needs an
//! identity of one of them.

mod cipher;
mod generation_key;
mod identity;

pub use cipher::Cipher;
pub use generation_key::GenerationKey;
pub use identity::Recovery;

use crate::error::Result;
use crate::model::{Manifest, Recipient};

/// For whom generations are encrypted from now on, and what opens those that are.
#[derive(Debug, Clone, Default)]
pub struct Access {
    /// Ordered by their text, each once; none: new generations are not encrypted.
    recipients: Vec<Recipient>,
    recovery: Recovery,
}

impl Access {
    pub fn new(mut recipients: Vec<Recipient>, recovery: Recovery) -> Self {
        recipients.sort_by_key(Recipient::to_string);
        recipients.dedup();
        Self { recipients, recovery }
    }

    pub fn recipients(&self) -> &[Recipient] {
        &self.recipients
    }

    pub fn recovery(&self) -> &Recovery {
        &self.recovery
    }

    /// What opens the parts of a snapshot: its generation's key, as the manifest holds it, opened by
    /// the configured identity and by nothing else. Errors as of `Recovery::open`.
    pub fn cipher(&self, manifest: &Manifest) -> Result<Cipher> {
        let Some(encryption) = &manifest.encryption else { return Ok(Cipher::default()) };
        let key = self
            .recovery
            .open(encryption)
            .map_err(|e| e.during(format!("open the key of generation {}", manifest.generation)))?;
        Ok(Cipher::under(key))
    }
}
