//! What was asked for and learned, or why not.

use serde::{Deserialize, Serialize};

/// Something that was asked for, or why there is no answer. The latter is never shown as fine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Learned<T> {
    Known(T),
    Unknown(String),
}

impl<T> Learned<T> {
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown(_) => None,
        }
    }
}
