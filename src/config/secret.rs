//! A value that is never shown, or the reason why it could not be had.

use std::fmt;

use crate::error::{Error, Kind, Result};

/// A value that is never shown: `Debug` and `Display` print `***`, and it cannot be serialized.
///
/// A reference that could not be resolved is kept with its reason and fails where the value is
/// needed, so that `restore` works from a machine where the lost database's variable is not set.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Value);

#[derive(Clone, PartialEq, Eq)]
enum Value {
    Known(String),
    Unresolved(String),
}

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(Value::Known(text.into()))
    }

    /// `reason` names the place and the reference, never a value.
    pub(super) fn unresolved(reason: impl Into<String>) -> Self {
        Self(Value::Unresolved(reason.into()))
    }

    /// The secret itself, for the one place that needs it; `Kind::Usage` if it is not to be had.
    pub fn expose(&self) -> Result<&str> {
        match &self.0 {
            Value::Known(text) => Ok(text),
            Value::Unresolved(reason) => Err(Error::new(Kind::Usage, reason.clone())
                .hint("give the value in drctl's environment or file, then run the command again")),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
