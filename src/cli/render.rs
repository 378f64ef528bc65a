//! How results and errors are printed, once.

use std::error::Error as _;
use std::io::Write as _;
use std::process::ExitCode;

use serde_json::{Map, Value, json};

use crate::error::{Error, Kind, Result};

/// A finished command: its exit code, what a person reads and what a program reads.
pub struct Done {
    pub code: u8,
    pub text: String,
    pub fields: Map<String, Value>,
}

impl Done {
    /// All is well.
    pub fn well(text: String, fields: Value) -> Self {
        Self::with(0, text, fields)
    }

    /// Finished, with something to tell by the exit code.
    pub fn with(code: u8, text: String, fields: Value) -> Self {
        let fields = match fields {
            Value::Object(map) => map,
            _ => Map::new(),
        };
        Self { code, text, fields }
    }
}

/// Prints the outcome and gives the exit code.
pub fn finish(command: &str, json: bool, outcome: Result<Done>) -> ExitCode {
    let code = match &outcome {
        Ok(done) => done.code,
        Err(e) => e.kind().exit_code(),
    };
    if json {
        let mut line = Map::new();
        line.insert("event".to_owned(), json!("result"));
        line.insert("command".to_owned(), json!(command));
        line.insert("ok".to_owned(), json!(code == 0));
        line.insert("exit_code".to_owned(), json!(code));
        match outcome {
            Ok(done) => line.extend(done.fields),
            Err(e) => {
                line.insert("error".to_owned(), json!(e.one_line()));
                line.insert("hint".to_owned(), json!(e.advice()));
            }
        }
        let _ = writeln!(std::io::stdout().lock(), "{}", Value::Object(line));
        return ExitCode::from(code);
    }
    match outcome {
        Ok(done) => {
            let _ = write!(std::io::stdout().lock(), "{}", done.text);
        }
        Err(e) => {
            let _ = write!(std::io::stderr().lock(), "{}", error(&e));
        }
    }
    ExitCode::from(code)
}

/// `Error`, `Caused by`, `Hint`.
pub fn error(e: &Error) -> String {
    let mut text = format!("Error: {}\n", e.what());
    let mut cause = e.source();
    let mut last = e.what().to_owned();
    while let Some(c) = cause {
        let said = c.to_string();
        // Some libraries repeat their source in their own text.
        if !last.contains(&said) {
            text.push_str(&format!("Caused by: {said}\n"));
        }
        last = said;
        cause = c.source();
    }
    if let Some(hint) = e.advice() {
        text.push_str(&format!("Hint: {hint}\n"));
    }
    if e.kind() == Kind::Bug {
        text.push_str("This is a bug in drctl; please report it with the text above.\n");
    }
    text
}

/// `1.4 MiB`.
pub fn bytes(n: u64) -> String {
    const UNITS: [&str; 6] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
    let mut value = n as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{n} B"),
        _ if value < 10.0 => format!("{value:.2} {}", UNITS[unit]),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// `8,912,345`.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, c) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(c);
    }
    text
}

/// `3.4 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`.
pub fn span(seconds: f64) -> String {
    let whole = seconds.max(0.0) as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        3600..86_400 => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

/// `1 table`, `2 tables`.
pub fn plural(n: u64, what: &str) -> String {
    match n {
        1 => format!("1 {what}"),
        n => format!("{} {what}s", count(n)),
    }
}

/// Lines of equal columns; the columns of `right` are aligned to the right.
pub fn columns(rows: &[Vec<String>], right: &[usize]) -> String {
    let width = |i: usize| rows.iter().filter_map(|r| r.get(i)).map(|c| c.chars().count()).max();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (i, cell) in row.iter().enumerate() {
            let width = width(i).unwrap_or(0);
            match right.contains(&i) {
                true => line.push_str(&format!("{cell:>width$}  ")),
                false => line.push_str(&format!("{cell:<width$}  ")),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_for_people() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(8 << 20), "8.00 MiB");
        assert_eq!(bytes(1023 << 10), "1.00 MiB");
        assert_eq!(count(8_912_345), "8,912,345");
        assert_eq!(count(100), "100");
        assert_eq!(span(3.44), "3.4 s");
        assert_eq!(span(3725.0), "1 h 2 min");
        assert_eq!(plural(1, "table"), "1 table");
    }

    #[test]
    fn an_error_is_told_once_with_its_hint() {
        let low = Error::new(Kind::Storage, "write x").caused_by("disk full").hint("make room");
        let shown = error(&low.during("put part 3"));
        assert_eq!(
            shown,
            "Error: put part 3\nCaused by: write x\nCaused by: disk full\nHint: make room\n"
        );
    }
}
