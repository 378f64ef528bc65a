//! Databases, stores and targets by name.

use super::nearest::did_you_mean;
use super::{
    AwsConfig, ChannelConfig, Config, DatabaseConfig, IntakeConfig, RouteConfig, StoreConfig,
    TargetConfig, Unresolved,
};
use crate::error::{Error, Kind, Result};

/// A `[kind.NAME]` table: its value, or why it has none here and now.
#[derive(Debug, Clone)]
pub(super) struct Section<T> {
    pub kind: &'static str,
    pub name: String,
    pub line: usize,
    /// Reasons with file and line.
    pub value: Result<T, Vec<String>>,
    /// Secrets of a usable table that fail when they are asked for.
    pub missing_secrets: Vec<String>,
}

impl<T> Section<T> {
    pub fn unresolved(&self) -> impl Iterator<Item = Unresolved> {
        let reasons = self.value.as_ref().err().into_iter().flatten();
        reasons.chain(&self.missing_secrets).map(|reason| Unresolved {
            table: format!("{}.{}", self.kind, self.name),
            reason: reason.clone(),
        })
    }
}

impl Config {
    /// The names of all databases in the order of the file, also of those that are not usable now.
    pub fn database_names(&self) -> impl Iterator<Item = &str> {
        self.databases.iter().map(|s| s.name.as_str())
    }

    /// The names of all stores in the order of the file, also of those that are not usable now.
    pub fn store_names(&self) -> impl Iterator<Item = &str> {
        self.stores.iter().map(|s| s.name.as_str())
    }

    /// The names of all targets in the order of the file, also of those that are not usable now.
    pub fn target_names(&self) -> impl Iterator<Item = &str> {
        self.targets.iter().map(|s| s.name.as_str())
    }

    /// The database of that name. `Kind::Usage` if there is none, or if a value of its table
    /// other than a secret is not to be had; a secret fails when it is asked for.
    pub fn database(&self, name: &str) -> Result<&DatabaseConfig> {
        self.find(&self.databases, "database", name)
    }

    /// The store of that name; errors as for `database`.
    pub fn store(&self, name: &str) -> Result<&StoreConfig> {
        self.find(&self.stores, "store", name)
    }

    /// The target of that name; errors as for `database`.
    pub fn target(&self, name: &str) -> Result<&TargetConfig> {
        self.find(&self.targets, "target", name)
    }

    /// The names of all channels in the order of the file.
    pub fn channel_names(&self) -> impl Iterator<Item = &str> {
        self.channels.iter().map(|s| s.name.as_str())
    }

    /// The channel of that name; errors as for `database`.
    pub fn channel(&self, name: &str) -> Result<&ChannelConfig> {
        self.find(&self.channels, "channel", name)
    }

    /// The names of all intakes in the order of the file.
    pub fn intake_names(&self) -> impl Iterator<Item = &str> {
        self.intakes.iter().map(|s| s.name.as_str())
    }

    /// The intake of that name; errors as for `database`.
    pub fn intake(&self, name: &str) -> Result<&IntakeConfig> {
        self.find(&self.intakes, "intake", name)
    }

    /// The names of all routes in the order of the file.
    pub fn route_names(&self) -> impl Iterator<Item = &str> {
        self.routes.iter().map(|s| s.name.as_str())
    }

    /// The route of that name; errors as for `database`.
    pub fn route(&self, name: &str) -> Result<&RouteConfig> {
        self.find(&self.routes, "route", name)
    }

    /// How to reach AWS in a region, or `global`; without a table of that name: as AWS itself says.
    /// `Kind::Usage` if a value of its table is not to be had.
    pub fn aws(&self, name: &str) -> Result<AwsConfig> {
        match self.aws.iter().any(|s| s.name == name) {
            true => self.find(&self.aws, "aws", name).cloned(),
            false => Ok(AwsConfig { name: name.to_owned(), ..AwsConfig::default() }),
        }
    }

    /// Ed25519 public keys (SPKI PEM). Where there is any, a manifest must carry a signature by
    /// one; so a key that is not to be had is `Kind::Usage`, never an empty list.
    pub fn trusted_keys(&self) -> Result<&[String]> {
        match &self.trusted_keys {
            Ok(keys) => Ok(keys),
            Err(reasons) => Err(Error::new(Kind::Usage, reasons.join("\n"))
                .hint("without its trusted keys drctl cannot tell whose snapshots these are")),
        }
    }

    fn find<'c, T>(&self, sections: &'c [Section<T>], kind: &str, name: &str) -> Result<&'c T> {
        let file = self.path.strip_prefix(".").unwrap_or(&self.path).display();
        let Some(section) = sections.iter().find(|s| s.name == name) else {
            let names = || sections.iter().map(|s| s.name.as_str());
            let advice = did_you_mean(name, names());
            let error = Error::new(
                Kind::Usage,
                format!("no {kind} `{name}` in {file}{}", advice.clone().unwrap_or_default()),
            );
            let known = names().collect::<Vec<_>>().join(", ");
            return Err(match (advice, known.as_str()) {
                (Some(_), _) => error,
                (None, "") => error.hint(format!("add a [{kind}.{name}] table to it")),
                (None, known) => error.hint(format!("it has {known}")),
            });
        };
        section.value.as_ref().map_err(|reasons| {
            Error::new(Kind::Usage, format!("{kind} `{name}` cannot be used here"))
                .caused_by(reasons.join("\n"))
                .hint("give the value in drctl's environment, then run the command again")
        })
    }
}
