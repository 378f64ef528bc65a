//! `drctl init`.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::args::{Cli, Init};
use super::render::Done;
use crate::config::{Form, template, write_new};
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::is_name;

pub fn run(cli: &Cli, args: &Init) -> Result<Done> {
    let path = cli.config.clone().unwrap_or_else(|| PathBuf::from("drctl.toml"));
    let here = std::env::current_dir()
        .attempt(Kind::Failed, || "find out the current folder".to_owned())?;
    let name = match &args.name {
        Some(name) => checked(name)?,
        None => named_after(&here),
    };
    let stores = args.local.as_ref().map(|dir| absolute(&here, dir));
    let form = match &stores {
        Some(dir) => Form::Local { dir },
        None => Form::S3,
    };
    write_new(&path, &template(form, &name)?)?;
    let fields = json!({ "path": path, "name": name, "stores": stores });
    let flag = match &cli.config {
        Some(path) => format!(" --config {}", quoted(path)),
        None => String::new(),
    };
    let first = match &stores {
        Some(_) => "export DATABASE_URL=postgresql://ROLE@HOST/DATABASE".to_owned(),
        None => {
            "set the two s3:// urls in it, and export DATABASE_URL=postgresql://ROLE@HOST/DATABASE"
                .to_owned()
        }
    };
    let text = format!(
        "Wrote {}. Next:\n  1. {first}\n  2. drctl doctor{flag}\n  3. drctl snapshot {name}{flag}\n",
        path.display()
    );
    Ok(Done::well(text, fields))
}

/// The name as given, if it may name a database.
fn checked(name: &str) -> Result<String> {
    let bad = |why: &str| {
        let hint = "use up to 63 ASCII letters, digits, `-`, `_` and `.`";
        Err(Error::new(Kind::Usage, format!("`{name}` cannot name a database: {why}")).hint(hint))
    };
    if !is_name(name) {
        return bad("it becomes part of keys and of file names");
    }
    if crate::model::RESERVED.contains(&name) {
        return bad("drctl keeps its own things under that name");
    }
    // A dot would begin a table of its own in `[database.NAME]`, and S3 wants lower case in buckets.
    if name.contains('.') {
        return bad("a dot separates tables in TOML; quote it there by hand if you need it");
    }
    Ok(name.to_owned())
}

/// The folder's name, as far as it may name a database.
fn named_after(folder: &Path) -> String {
    let name = folder.file_name().and_then(|n| n.to_str()).unwrap_or_default().to_lowercase();
    match checked(&name) {
        Ok(name) => name,
        Err(_) => "petforce".to_owned(),
    }
}

/// The path from the root, without `.` and `..`, as it goes into a `file://` URL.
fn absolute(here: &Path, dir: &Path) -> PathBuf {
    use std::path::Component;
    let mut whole = PathBuf::new();
    for piece in here.join(dir).components() {
        match piece {
            Component::CurDir => {}
            Component::ParentDir => _ = whole.pop(),
            other => whole.push(other),
        }
    }
    whole
}

/// For a shell, where the path needs it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@%=".contains(c);
    match text.chars().all(plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_would_make_a_bad_file_are_refused() {
        for bad in ["", "a b", "../x", "runs", "leases", "state", "a.b", "é"] {
            assert_eq!(checked(bad).unwrap_err().kind(), Kind::Usage, "{bad}");
        }
        assert_eq!(named_after(Path::new("/srv/PetForce")), "petforce");
        assert_eq!(named_after(Path::new("/")), "petforce");
        assert_eq!(absolute(Path::new("/a/b"), Path::new("../c/./d")), Path::new("/a/c/d"));
        assert_eq!(absolute(Path::new("/a/b"), Path::new("/e")), Path::new("/e"));
        assert_eq!(quoted(Path::new("/etc/it's here")), r"'/etc/it'\''s here'");
    }
}
