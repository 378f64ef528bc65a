//! What a region consists of, and what can go wrong with each part.

use std::fmt;
use std::str::FromStr;

/// What a region consists of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Db,
    Aws,
    App,
}

impl Part {
    pub const ALL: [Self; 3] = [Self::Db, Self::Aws, Self::App];
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Db => "db",
            Self::Aws => "aws",
            Self::App => "app",
        })
    }
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Its processes are killed.
    Kill,
    /// Its processes are stopped.
    Stop,
    /// Connections are accepted and never answered.
    Hang,
    /// Connections are refused.
    Refuse,
    /// Connections are accepted and ended at once.
    Cut,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::Hang => "hang",
            Self::Refuse => "refuse",
            Self::Cut => "cut",
        })
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "kill" => Ok(Self::Kill),
            "stop" => Ok(Self::Stop),
            "hang" => Ok(Self::Hang),
            "refuse" => Ok(Self::Refuse),
            "cut" => Ok(Self::Cut),
            _ => Err(format!("no fault `{text}`: it is kill, stop, hang, refuse or cut")),
        }
    }
}
