//! Every action by its name.

use std::sync::LazyLock;

use schemars::{JsonSchema, Schema};
use serde::de::DeserializeOwned;

use super::{
    Action, Arguments, DynAction, aws, command, dns, epoch, http, human, notify, postgres, probe,
};
use crate::config::Config;
use crate::error::Result;

type Build = Box<dyn Fn(&Arguments, &Config) -> Result<Box<dyn DynAction>> + Send + Sync>;

/// A kind of action: its name, what it is for, what arguments it takes, and how one is made.
pub struct ActionKind {
    /// `postgres.promote`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// JSON Schema of the arguments: an object, whose properties carry descriptions.
    pub arguments: Schema,
    build: Build,
}

impl ActionKind {
    /// `With` is the type of the arguments; its doc comments become the schema's descriptions and it
    /// must deny unknown fields. `make` is pure: it may look into the configuration and nowhere else.
    pub fn new<With, Made>(
        name: &'static str,
        summary: &'static str,
        make: fn(With, &Config) -> Result<Made>,
    ) -> Self
    where
        With: DeserializeOwned + JsonSchema + 'static,
        Made: Action + 'static,
    {
        let build: Build = Box::new(move |arguments, config| {
            Ok(Box::new(make(arguments.read(name)?, config)?) as Box<dyn DynAction>)
        });
        Self { name, summary, arguments: schemars::schema_for!(With), build }
    }

    /// An action of this kind. `Kind::Usage` where the arguments or the configuration do not allow it.
    pub fn build(&self, arguments: &Arguments, config: &Config) -> Result<Box<dyn DynAction>> {
        (self.build)(arguments, config)
    }
}

static KINDS: LazyLock<Vec<ActionKind>> = LazyLock::new(|| {
    let mut kinds = Vec::new();
    kinds.extend(probe::actions());
    kinds.extend(postgres::actions());
    kinds.extend(aws::actions());
    kinds.extend(dns::actions());
    kinds.extend(http::actions());
    kinds.extend(command::actions());
    kinds.extend(human::actions());
    kinds.extend(super::snapshot::actions());
    kinds.extend(notify::actions());
    kinds.extend(epoch::actions());
    kinds.sort_by_key(|kind| kind.name);
    kinds
});

/// Every kind, by name.
pub fn kinds() -> &'static [ActionKind] {
    &KINDS
}

/// The kind of that name.
pub fn find(name: &str) -> Option<&'static ActionKind> {
    KINDS.iter().find(|kind| kind.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_has_its_own_name_and_describes_its_arguments() {
        for pair in kinds().windows(2) {
            assert!(pair[0].name < pair[1].name, "`{}` is there twice", pair[0].name);
        }
        for kind in kinds() {
            let schema = kind.arguments.as_object().unwrap();
            assert_eq!(schema["additionalProperties"], false, "{}", kind.name);
            let properties = schema.get("properties").and_then(|p| p.as_object());
            for (name, property) in properties.into_iter().flatten() {
                assert!(property.get("description").is_some(), "{} lacks {name}'s", kind.name);
            }
        }
    }
}
