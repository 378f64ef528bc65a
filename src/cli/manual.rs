//! `drctl man`.

use std::path::Path;

use clap_mangen::Man as Page;
use serde_json::json;

use super::args::{self, Man};
use super::render::{Done, plural};
use crate::error::{Attempt as _, Kind, Result};

pub fn run(args: &Man) -> Result<Done> {
    match &args.out {
        None => {
            let page = page(args::command())?;
            let text = String::from_utf8_lossy(&page).into_owned();
            let fields = json!({ "page": text });
            Ok(Done::well(text, fields))
        }
        Some(dir) => all(dir),
    }
}

fn page(command: clap::Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    Page::new(command).render(&mut text).attempt(Kind::Bug, || "write a manual page".to_owned())?;
    Ok(text)
}

/// `drctl.1`, and `drctl-COMMAND.1` for every command.
fn all(dir: &Path) -> Result<Done> {
    std::fs::create_dir_all(dir)
        .attempt(Kind::Failed, || format!("make the folder {}", dir.display()))?;
    clap_mangen::generate_to(args::command(), dir)
        .attempt(Kind::Failed, || format!("write manual pages into {}", dir.display()))?;
    let mut command = args::command();
    command.build();
    let files: Vec<_> = std::iter::once("drctl.1".to_owned())
        .chain(command.get_subcommands().filter(|c| c.get_name() != "help").map(|c| {
            let name = c.get_display_name().unwrap_or_else(|| c.get_name());
            format!("{name}.1")
        }))
        .map(|name| dir.join(name))
        .collect();
    let text = format!("{} written to {}\n", plural(files.len() as u64, "page"), dir.display());
    Ok(Done::well(text, json!({ "files": files })))
}
