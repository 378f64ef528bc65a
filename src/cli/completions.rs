//! `drctl completions`.

use serde_json::json;

use super::args::{self, Completions};
use super::render::Done;
use crate::error::{Error, Kind, Result};

pub fn run(args: &Completions) -> Result<Done> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut args::command(), "drctl", &mut script);
    let script = String::from_utf8(script)
        .map_err(|e| Error::new(Kind::Bug, "write completions").caused_by(e))?;
    let fields = json!({ "shell": args.shell.to_string(), "script": script });
    Ok(Done::well(script, fields))
}
