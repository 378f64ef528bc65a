//! Where `scripts/setup` found the programs: the lines `NAME=path` of `.lab/env`.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The value of a line of `.lab/env`; may be empty.
pub fn setting(name: &str) -> String {
    static LINES: OnceLock<HashMap<String, String>> = OnceLock::new();
    let lines = LINES.get_or_init(|| {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/.lab/env");
        let text = std::fs::read_to_string(path)
            .unwrap_or_else(|e| panic!("cannot read {path}: {e}; run scripts/setup"));
        text.lines()
            .filter_map(|line| line.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    });
    match lines.get(name) {
        Some(value) => value.clone(),
        None => panic!("{name} is not in .lab/env; run scripts/setup"),
    }
}

/// The path of a program or folder in `.lab/env`, which must be there.
pub fn tool(name: &str) -> PathBuf {
    let value = setting(name);
    let path = PathBuf::from(&value);
    assert!(!value.is_empty() && path.exists(), "{name}={value} is not there; run scripts/setup");
    path
}
