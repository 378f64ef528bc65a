//! Finding and reading the configuration file.

use std::path::{Path, PathBuf};

use super::Config;
use super::references::Env;
use crate::error::{Error, Kind, Result};

const DEFAULT: &str = "drctl.toml";
const VARIABLE: &str = "DRCTL_CONFIG";

impl Config {
    /// Reads and checks `path` (from `--config`), or else `./drctl.toml` if it exists, or else the
    /// file that `$DRCTL_CONFIG` names. `Kind::Usage` with every problem found, one a line; what
    /// refers to variables and files that are not there fails later, where it is needed.
    pub fn load(path: Option<&Path>, env: &dyn Fn(&str) -> Option<String>) -> Result<Self> {
        let path = locate(path, Path::new(DEFAULT), env)?;
        let text = std::fs::read_to_string(&path).map_err(|e| {
            Error::new(Kind::Usage, format!("read configuration `{}`", path.display()))
                .caused_by(e)
                .hint("name the file with `--config PATH`, or write one with `drctl init`")
        })?;
        Self::parse(&text, &path, env)
    }
}

pub(super) fn locate(given: Option<&Path>, default: &Path, env: Env<'_>) -> Result<PathBuf> {
    if let Some(path) = given {
        return Ok(path.to_owned());
    }
    // A file that is there and cannot be looked at is reported, not passed over.
    if default.try_exists().unwrap_or(true) {
        return Ok(default.to_owned());
    }
    match env(VARIABLE).filter(|value| !value.is_empty()) {
        Some(path) => Ok(PathBuf::from(path)),
        None => Err(Error::new(
            Kind::Usage,
            format!("there is no ./{DEFAULT} and ${VARIABLE} is not set"),
        )
        .hint("run `drctl init` to write one, or name it with `--config PATH`")),
    }
}
