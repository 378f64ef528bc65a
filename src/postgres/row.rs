//! An answer's row.

use std::str::FromStr;

use tokio_postgres::SimpleQueryRow;

use crate::error::{Error, Kind, Result};

/// A row of the simple protocol: every value is text, or NULL.
#[derive(Debug)]
pub struct Row(pub(super) SimpleQueryRow);

impl Row {
    /// The value of column `i` (from 0); none if it is NULL or there is no such column.
    pub fn get(&self, i: usize) -> Option<&str> {
        self.0.try_get(i).ok().flatten()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The value of column `i`, which must not be NULL.
    pub fn text(&self, i: usize) -> Result<&str> {
        self.get(i).ok_or_else(|| self.unexpected(i, "a value"))
    }

    /// The value of column `i` as a number, or as whatever else is written as text.
    pub fn number<T: FromStr>(&self, i: usize) -> Result<T> {
        self.text(i)?.parse().map_err(|_| self.unexpected(i, std::any::type_name::<T>()))
    }

    /// The boolean in column `i`.
    pub fn truth(&self, i: usize) -> Result<bool> {
        match self.text(i)? {
            "t" => Ok(true),
            "f" => Ok(false),
            _ => Err(self.unexpected(i, "a boolean")),
        }
    }

    fn unexpected(&self, i: usize, wanted: &str) -> Error {
        let name = self.0.columns().get(i).map_or("?", |c| c.name());
        let found = match self.0.try_get(i) {
            Ok(Some(text)) => format!("`{}`", text.chars().take(60).collect::<String>()),
            Ok(None) => "NULL".to_owned(),
            Err(_) => "nothing".to_owned(),
        };
        Error::new(Kind::Postgres, format!("read column {i} ({name}) of an answer"))
            .caused_by(format!("{wanted} was expected, and {found} is there"))
    }
}
