//! The file that node_exporter reads: every command writes its own values into it and leaves those
//! of others; readers see a whole file or the one before.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use super::exposition::prometheus;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::Family;

/// Puts the values of `families` into the file at `path`, in the place of those with the same name
/// and labels. With `whole`, metrics that are in `families` keep no other value: what is gone is gone.
pub fn write(path: &Path, families: &[Family], whole: bool) -> Result<()> {
    let what = || format!("write metrics to `{}`", path.display());
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    // Two commands that end at once must not lose each other's values. The lock is a file of its own,
    // for the one with the values is replaced.
    let name = path
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Error::new(Kind::Usage, what()).caused_by("it is not the path of a file"))?;
    let lock = File::create(folder.join(format!(".{name}.lock"))).attempt(Kind::Failed, what)?;
    lock.lock().attempt(Kind::Failed, what)?;
    let before = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(e) if e.kind() == ErrorKind::NotFound => String::new(),
        Err(e) => return Err(Error::new(Kind::Failed, what()).caused_by(e)),
    };
    let text = merged(&before, &prometheus(families)?, families, whole);
    let mut file = tempfile::Builder::new()
        .prefix(".drctl-metrics")
        .tempfile_in(folder)
        .attempt(Kind::Failed, what)?;
    // node_exporter is another user.
    file.as_file()
        .set_permissions(std::fs::Permissions::from_mode(0o644))
        .and_then(|()| file.write_all(text.as_bytes()))
        .attempt(Kind::Failed, what)?;
    file.persist(path).map_err(|e| e.error).attempt(Kind::Failed, what)?;
    Ok(())
}

/// One metric of a text: its lines of comment, and its values by name and labels.
#[derive(Default)]
struct Block {
    head: Vec<String>,
    values: BTreeMap<String, String>,
}

fn merged(before: &str, after: &str, families: &[Family], whole: bool) -> String {
    let mut blocks = blocks(before);
    if whole {
        for family in families {
            blocks.remove(&family.full_name());
        }
    }
    for (name, block) in self::blocks(after) {
        let there = blocks.entry(name).or_default();
        there.head = block.head;
        there.values.extend(block.values);
    }
    let mut text = String::new();
    for block in blocks.values() {
        for line in &block.head {
            text.push_str(&format!("{line}\n"));
        }
        for (series, value) in &block.values {
            text.push_str(&format!("{series} {value}\n"));
        }
    }
    text
}

/// Of a text that drctl wrote: what cannot be made out is left out.
fn blocks(text: &str) -> BTreeMap<String, Block> {
    let mut blocks: BTreeMap<String, Block> = BTreeMap::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ").or_else(|| line.strip_prefix("# TYPE ")) {
            let name = rest.split(' ').next().unwrap_or_default();
            blocks.entry(name.to_owned()).or_default().head.push(line.to_owned());
        } else if let Some((series, value)) = line.rsplit_once(' ')
            && value.parse::<f64>().is_ok()
        {
            let name = series.split('{').next().unwrap_or_default();
            let block = blocks.entry(name.to_owned()).or_default();
            block.values.insert(series.to_owned(), value.to_owned());
        }
    }
    blocks.retain(|_, block| !block.values.is_empty());
    blocks
}
