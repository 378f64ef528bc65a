//! A password that nobody chose and nobody is told.

use crate::error::{Error, Kind, Result};

/// Of 192 random bits, in digits that need no quoting anywhere.
pub fn random() -> Result<String> {
    let mut bytes = [0; 24];
    getrandom::fill(&mut bytes).map_err(|e| {
        Error::new(Kind::Failed, "ask the system for random bytes").caused_by(e.to_string())
    })?;
    Ok(bytes.iter().map(|b| format!("{b:02x}")).collect())
}
