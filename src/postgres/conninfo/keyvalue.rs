//! The `key=value` form of a connection string, as libpq reads it.

use std::iter::Peekable;
use std::str::Chars;

use super::refused;
use super::uri::Pairs;
use crate::error::Result;

/// Reads `name = value` pairs separated by white space; a value may stand in single quotes, and a
/// backslash takes the next character literally in both forms.
pub(super) fn parse(text: &str) -> Result<Pairs> {
    let mut pairs = Pairs::new();
    let mut rest = text.chars().peekable();
    loop {
        skip_space(&mut rest);
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(c) = rest.next_if(|&c| c != '=' && !c.is_ascii_whitespace()) {
            name.push(c);
        }
        skip_space(&mut rest);
        // The word is not repeated: it may be the second half of an unquoted password.
        if rest.next() != Some('=') {
            return Err(refused(format!("word {} has no `=` after it", pairs.len() + 1))
                .hint("put values that hold spaces in single quotes"));
        }
        if name.is_empty() {
            return Err(refused("a `=` has no parameter name before it"));
        }
        skip_space(&mut rest);
        let value = match rest.next_if_eq(&'\'') {
            Some(_) => quoted(&mut rest, &name)?,
            None => bare(&mut rest),
        };
        pairs.push((name, value));
    }
}

fn skip_space(rest: &mut Peekable<Chars<'_>>) {
    while rest.next_if(char::is_ascii_whitespace).is_some() {}
}

fn quoted(rest: &mut Peekable<Chars<'_>>, name: &str) -> Result<String> {
    let mut value = String::new();
    loop {
        match rest.next() {
            Some('\'') => return Ok(value),
            Some('\\') => value.extend(rest.next()),
            Some(c) => value.push(c),
            None => {
                return Err(refused(format!("the quoted value of `{name}` has no closing quote"))
                    .hint("write a quote within the value as \\'"));
            }
        }
    }
}

fn bare(rest: &mut Peekable<Chars<'_>>) -> String {
    let mut value = String::new();
    while let Some(c) = rest.next_if(|c| !c.is_ascii_whitespace()) {
        match c {
            '\\' => value.extend(rest.next()),
            c => value.push(c),
        }
    }
    value
}
