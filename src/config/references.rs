//! References in strings: `${VARIABLE}` anywhere, and `file:PATH` as the whole of a secret.

use std::path::{Path, PathBuf};

/// Looks up an environment variable.
pub(super) type Env<'e> = &'e dyn Fn(&str) -> Option<String>;

/// A string with its references replaced.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expanded {
    pub text: String,
    /// Whether anything in it came from outside the configuration file.
    pub referenced: bool,
}

/// Why a string has no value.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// The configuration is wrong.
    Malformed(String),
    /// What it refers to is not there now.
    Missing(String),
}

/// Replaces `${VARIABLE}`, and `$${` by a literal `${`.
pub(super) fn expand(raw: &str, env: Env<'_>) -> Result<Expanded, Fault> {
    let mut text = String::with_capacity(raw.len());
    let mut referenced = false;
    let mut rest = raw;
    while let Some(at) = rest.find("${") {
        let before = &rest[..at];
        let after = &rest[at + 2..];
        if let Some(before) = before.strip_suffix('$') {
            text.push_str(before);
            text.push_str("${");
            rest = after;
            continue;
        }
        text.push_str(before);
        let Some((name, tail)) = after.split_once('}') else {
            return Err(Fault::Malformed(
                "`${` without `}`; write `$${` for a literal `${`".to_owned(),
            ));
        };
        if !is_variable(name) {
            // Not repeated: a mistake here may have swept up part of a password.
            return Err(Fault::Malformed(
                "`${…}` takes the name of an environment variable: letters, digits and `_`; \
                 write `$${` for a literal `${`"
                    .to_owned(),
            ));
        }
        match env(name) {
            Some(value) => text.push_str(&value),
            None => {
                return Err(Fault::Missing(format!("environment variable `{name}` is not set")));
            }
        }
        referenced = true;
        rest = tail;
    }
    text.push_str(rest);
    Ok(Expanded { text, referenced })
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// The value of a secret, which may be a `file:` reference, and the file that it came from.
/// Relative paths start at `dir`, the folder of the configuration file.
pub(super) fn secret(
    raw: &str,
    env: Env<'_>,
    dir: &Path,
) -> Result<(Expanded, Option<PathBuf>), Fault> {
    let Some(reference) = raw.strip_prefix("file:") else {
        let value = expand(raw, env)?;
        if value.text.trim().is_empty() {
            let why = "the value is empty".to_owned();
            return Err(if value.referenced { Fault::Missing(why) } else { Fault::Malformed(why) });
        }
        return Ok((value, None));
    };
    // Problems quote the reference and not the path, in which a variable may have been replaced.
    if reference.is_empty() {
        return Err(Fault::Malformed("`file:` without a path".to_owned()));
    }
    let path = expand(reference, env)?.text;
    // `file:///run/secrets/x` means the same as `file:/run/secrets/x`.
    let path = match path.strip_prefix("//") {
        Some(absolute) if absolute.starts_with('/') => absolute,
        Some(_) => {
            let why = format!("`{raw}` names a host; write `file:/absolute/path`");
            return Err(Fault::Malformed(why));
        }
        None => &path,
    };
    let path = dir.join(path);
    let mut text = std::fs::read_to_string(&path)
        .map_err(|e| Fault::Missing(format!("`{raw}` cannot be read: {e}")))?;
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.trim().is_empty() {
        return Err(Fault::Missing(format!("`{raw}` is an empty file")));
    }
    Ok((Expanded { text, referenced: true }, Some(path)))
}

/// Whether the mode of `path` lets everybody read it; unknown counts as no.
pub(super) fn readable_by_others(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o004 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(name: &str) -> Option<String> {
        match name {
            "USER_1" => Some("ann".to_owned()),
            "TRICK" => Some("${USER_1}".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        }
    }

    #[test]
    fn variables_are_replaced_once_and_dollars_stay() {
        let text = |raw| expand(raw, &env).map(|e| e.text);
        assert_eq!(text("a ${USER_1}-${USER_1} $b $"), Ok("a ann-ann $b $".to_owned()));
        assert_eq!(text("$${USER_1} 100$${"), Ok("${USER_1} 100${".to_owned()));
        // A value is data: what looks like a reference in it is not followed.
        assert_eq!(text("${TRICK}"), Ok("${USER_1}".to_owned()));
        let missing = Fault::Missing("environment variable `NONE` is not set".to_owned());
        assert_eq!(text("x${NONE}"), Err(missing));
        for bad in ["${", "${}", "${A-B}", "${1A}", "p${w@host/db"] {
            assert!(matches!(text(bad), Err(Fault::Malformed(_))), "{bad}");
        }
    }

    #[test]
    fn a_secret_may_lie_in_a_file() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("pw"), "geheim\r\n").unwrap();
        std::fs::write(dir.path().join("none"), "\n").unwrap();
        let absolute = format!("file:{}/pw", dir.path().display());
        let uri = format!("file://{}/pw", dir.path().display());
        for raw in ["file:pw", &absolute, &uri] {
            let (value, path) = secret(raw, &env, dir.path()).unwrap();
            assert_eq!((value.text.as_str(), value.referenced), ("geheim", true));
            assert_eq!(path, Some(dir.path().join("pw")));
        }
        for raw in ["file:none", "file:absent", "${EMPTY}", "${NONE}"] {
            let fault = secret(raw, &env, dir.path()).unwrap_err();
            assert!(matches!(fault, Fault::Missing(_)), "{raw}: {fault:?}");
        }
        for raw in ["file:", "file://host/x", "", " "] {
            let fault = secret(raw, &env, dir.path()).unwrap_err();
            assert!(matches!(fault, Fault::Malformed(_)), "{raw}: {fault:?}");
        }
    }
}
