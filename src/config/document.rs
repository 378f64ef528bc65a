//! The file while it is read: where each problem is, so that all are told at once.

use std::cell::{Cell, RefCell};
use std::path::Path;

use toml::de::DeTable;

use super::keys;
use super::references::Env;
use crate::error::{Error, Kind};

/// The file's text and everything found wrong with it so far.
pub(crate) struct Document<'d> {
    /// How problems name the file: as it was given.
    pub label: String,
    /// Where relative paths start.
    pub dir: &'d Path,
    /// What `${VARIABLE}` stands for; none: strings are taken as they stand.
    pub env: Option<Env<'d>>,
    /// Where a key that was written in the wrong table belongs.
    pub home_of: fn(&str) -> Option<String>,
    /// Whether a secret stands in the file itself.
    pub holds_secret: Cell<bool>,
    text: &'d str,
    problems: RefCell<Vec<(usize, String)>>,
    warnings: RefCell<Vec<(usize, String)>>,
}

impl<'d> Document<'d> {
    /// A configuration.
    pub fn new(path: &'d Path, text: &'d str, env: Env<'d>) -> Self {
        Self { env: Some(env), home_of: keys::home_of, ..Self::literal(path, text) }
    }

    /// Another file, whose strings are taken as they stand.
    pub fn literal(path: &'d Path, text: &'d str) -> Self {
        Self {
            label: path.strip_prefix(".").unwrap_or(path).display().to_string(),
            dir: path.parent().unwrap_or(Path::new("")),
            env: None,
            home_of: |_| None,
            holds_secret: Cell::new(false),
            text,
            problems: RefCell::default(),
            warnings: RefCell::default(),
        }
    }

    /// The file as tables. Every syntax error becomes a problem, and then there is nothing to go
    /// on with: what follows a syntax error would be blamed for it.
    pub fn parse(&self) -> Option<DeTable<'d>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for e in &errors {
            let line = self.line(e.span().map_or(0, |s| s.start));
            // Not the error's Display, which quotes the line: it may hold a password.
            self.problem(line, format!("not TOML: {}", e.message()));
        }
        errors.is_empty().then(|| table.into_inner())
    }

    /// The line, from 1, of a byte offset.
    pub fn line(&self, offset: usize) -> usize {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        1 + memchr::memchr_iter(b'\n', before).count()
    }

    /// `drctl.toml:14: text`; without the line where it is about the whole file.
    pub fn place(&self, line: usize, text: &str) -> String {
        match line {
            0 => format!("{}: {text}", self.label),
            _ => format!("{}:{line}: {text}", self.label),
        }
    }

    pub fn problem(&self, line: usize, text: impl Into<String>) {
        self.problems.borrow_mut().push((line, text.into()));
    }

    pub fn warning(&self, line: usize, text: impl Into<String>) {
        self.warnings.borrow_mut().push((line, text.into()));
    }

    pub fn warnings(&self) -> Vec<String> {
        self.placed(&self.warnings)
    }

    /// All problems as one error, or none.
    pub fn error(&self) -> Option<Error> {
        let problems = self.placed(&self.problems);
        let count = match problems.len() {
            0 => return None,
            1 => "1 problem".to_owned(),
            n => format!("{n} problems"),
        };
        let what = format!("{} has {count}:\n{}", self.label, problems.join("\n"));
        Some(Error::new(Kind::Usage, what))
    }

    fn placed(&self, list: &RefCell<Vec<(usize, String)>>) -> Vec<String> {
        let mut list = list.borrow().clone();
        list.sort_by_key(|(line, _)| *line);
        list.dedup();
        list.iter().map(|(line, text)| self.place(*line, text)).collect()
    }
}
