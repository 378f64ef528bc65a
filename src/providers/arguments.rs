//! The arguments of an action: what a runbook's `with` holds once its references are replaced.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::{Attempt, Kind, Result};

/// Names and JSON values; read into the action's own type by `read`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arguments(pub Map<String, Value>);

impl Arguments {
    /// As the action's own type. `Kind::Usage` says which argument is wrong.
    pub fn read<T: DeserializeOwned>(&self, action: &str) -> Result<T> {
        serde_json::from_value(Value::Object(self.0.clone()))
            .attempt(Kind::Usage, || format!("read the arguments of `{action}`"))
    }
}
