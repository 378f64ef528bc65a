//! Holds the rules of the house: who may import whom, where SDK types live, who prints.

use std::path::{Path, PathBuf};

/// A module imports only modules above it. Those named in one line do not import each other.
const ORDER: &[&[&str]] = &[
    &["model"],
    &["error"],
    &["config"],
    &["store"],
    &["postgres"],
    &["integrity"],
    &["snapshot"],
    &["restore"],
    &["drill"],
    &["providers"],
    &["runbook"],
    &["schedule"],
    &["report"],
    &["web"],
    &["app"],
    &["cli"],
];

const SDKS: &[&str] = &["aws_sdk_", "aws_config", "tokio_postgres", "reqwest"];
const SDK_HOMES: &[&str] = &["store", "postgres", "providers"];
const PRINTS: &[&str] = &["println!", "eprintln!", "print!", "eprint!"];
const PRINT_HOMES: &[&str] = &["cli", "main"];
const VAGUE_NAMES: &[&str] = &["utils", "util", "common", "helpers", "types", "misc"];

#[test]
fn every_source_file_keeps_the_rules() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    assert!(files.len() > 10, "found only {} source files", files.len());
    let mut violations = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let path = file.strip_prefix(&src).unwrap().to_str().unwrap();
        violations.extend(check(path, &text));
    }
    assert!(violations.is_empty(), "\n{}\n", violations.join("\n"));
}

#[test]
fn the_check_finds_each_kind_of_violation() {
    let found = |path: &str, text: &str| check(path, &format!("//! Purpose.\n{text}")).join("\n");
    let clean = |path: &str, text: &str| assert_eq!(found(path, text), "");
    let finds = |path: &str, text: &str, what: &str| {
        let found = found(path, text);
        assert!(found.contains(what), "`{text}` in {path} gave: `{found}`");
    };

    finds("store/s3.rs", "use crate::snapshot::Engine;", "store imports snapshot");
    finds("model/ids.rs", "use crate::{error::Error, model::Lsn};", "model imports error");
    finds(
        "config/a.rs",
        "use crate::{\n    model::{Lsn, cli},\n    app,\n};",
        "config imports app",
    );
    finds("config/a.rs", "fn f() { crate::cli::run() }", "config imports cli");
    finds("error.rs", "pub use crate::store::Store;", "error imports store");
    finds("unknown/a.rs", "", "not in the order");
    finds("store/a.rs", "use crate::unheard::A;", "not in the order");
    clean("snapshot/a.rs", "use crate::{model::{app, cli}, store::Store, snapshot::Plan};");
    clean("store/a.rs", "// use crate::cli; is what we do not do\nuse crate::error::Error;");
    clean("lib.rs", "pub mod cli;");
    clean("main.rs", "use drctl::cli;");

    finds("snapshot/a.rs", "fn f(c: tokio_postgres::Client) {}", "tokio_postgres");
    finds("app.rs", "use aws_sdk_s3::Client;", "aws_sdk_");
    clean("postgres/a.rs", "use tokio_postgres::Client;");

    finds("store/a.rs", "fn f() { println!(\"x\") }", "println!");
    finds("snapshot/a.rs", "eprintln!();", "eprintln!");
    finds("cli/a.rs", "dbg!(1);", "dbg!");
    clean("cli/a.rs", "println!();");
    clean("store/a.rs", "//! println!() in an example\n/// eprintln!()");

    finds("store/utils.rs", "", "says nothing");
    finds("helpers/a.rs", "", "says nothing");
    assert!(check("store/a.rs", "use std::fmt;").join("").contains("opens with"));
}

/// The violations of one file, each with its line.
fn check(path: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    let module = path.split('/').next().unwrap_or(path).trim_end_matches(".rs");
    if !text.starts_with("//! ") {
        violations.push(format!("{path}: opens with no `//!` line that states its purpose"));
    }
    for piece in path.trim_end_matches(".rs").split('/') {
        if VAGUE_NAMES.contains(&piece) {
            violations.push(format!("{path}: the name `{piece}` says nothing about the contents"));
        }
    }
    let code = without_comments(text);
    for (number, line) in code.lines().enumerate() {
        let mut complain = |what: String| {
            violations.push(format!("{path}:{}: {what}", number + 1));
        };
        for sdk in SDKS {
            if line.contains(sdk) && !SDK_HOMES.contains(&module) {
                complain(format!("`{sdk}…` belongs in {}", SDK_HOMES.join("/, ")));
            }
        }
        for macro_name in PRINTS {
            if has_word(line, macro_name) && !PRINT_HOMES.contains(&module) {
                complain(format!("`{macro_name}` belongs in cli/"));
            }
        }
        if has_word(line, "dbg!") {
            complain("`dbg!` was left behind".to_owned());
        }
    }
    if module == "lib" || module == "main" {
        return violations;
    }
    let Some(own) = place(module) else {
        violations.push(format!("{path}: module `{module}` is not in the order of modules"));
        return violations;
    };
    for (line, imported) in imports(&code) {
        match place(&imported) {
            None => violations
                .push(format!("{path}:{line}: module `{imported}` is not in the order of modules")),
            Some(other) if other > own || (other == own && imported != module) => {
                violations.push(format!("{path}:{line}: {module} imports {imported}"));
            }
            Some(_) => {}
        }
    }
    violations
}

fn place(module: &str) -> Option<usize> {
    ORDER.iter().position(|level| level.contains(&module))
}

/// The modules named after `crate::`, alone or in the first level of braces, with their line.
fn imports(code: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, marker) in code.match_indices("crate::") {
        let line = code[..at].matches('\n').count() + 1;
        let rest = &code[at + marker.len()..];
        let Some(group) = rest.strip_prefix('{') else {
            found.push((line, name_at(rest)));
            continue;
        };
        let (mut depth, mut expecting) = (0, true);
        for (i, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                ',' if depth == 0 => expecting = true,
                c if expecting && depth == 0 && !c.is_whitespace() => {
                    found.push((line, name_at(&group[i..])));
                    expecting = false;
                }
                _ => {}
            }
        }
    }
    found
}

fn name_at(text: &str) -> String {
    text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
}

/// Whether `word` stands in the line, and not as the end of a longer one.
fn has_word(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
}

/// The text without `//` comments, with the same lines.
fn without_comments(text: &str) -> String {
    let code = |line: &str| match line.find("//") {
        // `://` is an address in a string.
        Some(at) if !line[..at].ends_with(':') => line[..at].to_owned(),
        _ => line.to_owned(),
    };
    text.lines().map(code).collect::<Vec<_>>().join("\n")
}

fn rust_files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}
