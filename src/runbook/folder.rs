//! The folder of runbooks.

use std::path::{Path, PathBuf};

use super::references::Circumstances;
use super::sheet::Runbook;
use crate::config::{Config, did_you_mean};
use crate::error::{Attempt, Error, Kind, Result};

/// The names of all runbooks in the configuration's folder, sorted.
pub fn names(config: &Config) -> Result<Vec<String>> {
    let folder = &config.failover.runbooks;
    let hint = "`runbooks` in [failover] names the folder of runbooks";
    let failed = || format!("list the runbooks in `{}`", folder.display());
    let entries =
        std::fs::read_dir(folder).attempt(Kind::Usage, failed).map_err(|e| e.hint(hint))?;
    let mut names = Vec::new();
    for entry in entries {
        let path = entry.attempt(Kind::Usage, failed)?.path();
        if path.extension().is_some_and(|e| e == "toml")
            && let Some(name) = path.file_stem().and_then(|n| n.to_str())
        {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// The runbook of that name, or in that file: what holds a `/` or ends with `.toml` is a path.
/// `Kind::Usage` with everything that is wrong with it.
pub fn load(config: &Config, name: &str, circumstances: &Circumstances) -> Result<Runbook> {
    read(config, &path(config, name)?, circumstances)
}

/// The runbook in a file; errors as for `load`.
pub fn read(config: &Config, path: &Path, circumstances: &Circumstances) -> Result<Runbook> {
    let text = std::fs::read_to_string(path)
        .attempt(Kind::Usage, || format!("read the runbook `{}`", path.display()))?;
    Runbook::parse_in(&text, path, config, circumstances)
}

fn path(config: &Config, name: &str) -> Result<PathBuf> {
    if name.contains('/') || name.ends_with(".toml") {
        return Ok(PathBuf::from(name));
    }
    let path = config.failover.runbooks.join(format!("{name}.toml"));
    if path.exists() {
        return Ok(path);
    }
    let known = names(config)?;
    let advice = did_you_mean(name, known.iter().map(String::as_str));
    let folder = shown(&config.failover.runbooks);
    let what = format!("no runbook `{name}` in {folder}{}", advice.clone().unwrap_or_default());
    let error = Error::new(Kind::Usage, what);
    Err(match (advice, known.is_empty()) {
        (Some(_), _) => error,
        (None, true) => error.hint("`runbooks` in [failover] names the folder of runbooks"),
        (None, false) => error.hint(format!("it has {}", known.join(", "))),
    })
}

fn shown(path: &Path) -> String {
    path.strip_prefix(".").unwrap_or(path).display().to_string()
}
