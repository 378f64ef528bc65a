//! The one error type: what failed, on what, and the next move; and the exit codes.

use std::error::Error as StdError;
use std::fmt;

use crate::model::Learned;

/// What kind of failure it is; decides the exit code (docs/exit-codes.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The command line or the configuration is wrong.
    Usage,
    /// PostgreSQL refused, failed or went away.
    Postgres,
    /// A store refused, failed or went away.
    Storage,
    /// A child program failed.
    Program,
    /// Stored bytes are not what was promised, or a proof came out different.
    Damaged,
    /// It could not be found out whether all is well.
    Unverified,
    /// Somebody else holds the lease.
    LeaseHeld,
    /// Done, but not in every store.
    Partial,
    /// Anything else that went wrong in the world.
    Failed,
    /// A broken promise within this program.
    Bug,
}

impl Kind {
    /// The process exit code of docs/exit-codes.md.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Postgres | Self::Storage | Self::Program | Self::Failed => 1,
            Self::Usage => 2,
            Self::Damaged => 3,
            Self::Unverified => 4,
            Self::LeaseHeld => 5,
            Self::Partial => 6,
            Self::Bug => 70,
        }
    }
}

type Source = Box<dyn StdError + Send + Sync>;

/// A failure, rendered once, in `cli/`, as `Error / Caused by / Hint`.
///
/// `Display` gives only `what`; the chain below is reached by `source()`, so that no cause is
/// printed twice.
pub struct Error(Box<Parts>);

struct Parts {
    kind: Kind,
    what: String,
    hint: Option<String>,
    source: Option<Source>,
}

/// The result of anything that may fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    /// `what` names the act and its object: "put part 3 of public.events to store `west`".
    pub fn new(kind: Kind, what: impl Into<String>) -> Self {
        Self(Box::new(Parts { kind, what: what.into(), hint: None, source: None }))
    }

    pub fn caused_by(mut self, source: impl Into<Source>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// The next move, for the person who reads it.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Puts what was attempted above this failure, which becomes its cause; the kind stays.
    pub fn during(self, what: impl Into<String>) -> Self {
        let kind = self.kind();
        Self::new(kind, what).caused_by(self)
    }

    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    pub fn what(&self) -> &str {
        &self.0.what
    }

    /// Its own hint, or the nearest one down the chain.
    pub fn advice(&self) -> Option<&str> {
        if let Some(hint) = &self.0.hint {
            return Some(hint);
        }
        let inner = self.0.source.as_deref()?.downcast_ref::<Error>()?;
        inner.advice()
    }

    /// `one_line`, and what to do about it.
    pub fn with_advice(&self) -> String {
        match self.advice() {
            Some(advice) => format!("{}; {advice}", self.one_line()),
            None => self.one_line(),
        }
    }

    /// `what` and its causes on one line, for logs and events.
    pub fn one_line(&self) -> String {
        let mut text = self.what().to_owned();
        let mut cause = self.source();
        while let Some(e) = cause {
            let part = e.to_string();
            // Some libraries repeat their source in their own text.
            if !text.contains(&part) {
                text.push_str(": ");
                text.push_str(&part);
            }
            cause = e.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind(), self.one_line())?;
        match self.advice() {
            Some(hint) => write!(f, " ({hint})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|e| e as &(dyn StdError + 'static))
    }
}

/// Puts what was attempted above a failure of another type.
pub trait Attempt<T> {
    fn attempt(self, kind: Kind, what: impl FnOnce() -> String) -> Result<T>;
}

impl<T, E: Into<Source>> Attempt<T> for std::result::Result<T, E> {
    fn attempt(self, kind: Kind, what: impl FnOnce() -> String) -> Result<T> {
        self.map_err(|e| Error::new(kind, what()).caused_by(e))
    }
}

impl<T> From<Result<T>> for Learned<T> {
    fn from(result: Result<T>) -> Self {
        match result {
            Ok(value) => Self::Known(value),
            Err(e) => Self::Unknown(e.one_line()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every kind; a new one does not compile until it is listed.
    fn kinds() -> Vec<Kind> {
        let next = |kind| match kind {
            Kind::Usage => Some(Kind::Postgres),
            Kind::Postgres => Some(Kind::Storage),
            Kind::Storage => Some(Kind::Program),
            Kind::Program => Some(Kind::Damaged),
            Kind::Damaged => Some(Kind::Unverified),
            Kind::Unverified => Some(Kind::LeaseHeld),
            Kind::LeaseHeld => Some(Kind::Partial),
            Kind::Partial => Some(Kind::Failed),
            Kind::Failed => Some(Kind::Bug),
            Kind::Bug => None,
        };
        std::iter::successors(Some(Kind::Usage), |kind| next(*kind)).collect()
    }

    #[test]
    fn the_documented_exit_codes_are_those_of_the_kinds() {
        let documented: std::collections::BTreeSet<u8> = include_str!("../docs/exit-codes.md")
            .lines()
            .filter_map(|line| line.strip_prefix("| ")?.split(' ').next()?.parse().ok())
            .collect();
        let real = kinds().into_iter().map(Kind::exit_code).chain([0]).collect();
        assert_eq!(documented, real);
    }

    #[test]
    fn the_chain_is_told_once_and_the_nearest_hint_wins() {
        let io = std::io::Error::other("disk on fire");
        let low = Error::new(Kind::Storage, "write x").caused_by(io).hint("buy a disk");
        let high = low.during("put part 3");
        assert_eq!(high.one_line(), "put part 3: write x: disk on fire");
        assert_eq!(high.advice(), Some("buy a disk"));
        assert_eq!(high.kind().exit_code(), 1);
    }
}
