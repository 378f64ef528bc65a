//! Orders to a world that runs: what can be asked of it, in words.

use super::fault::{Fault, Part};
use super::world::{EAST, WEST};

/// Something to do with a world that runs.
#[derive(Debug)]
pub enum Order {
    Status,
    Down,
    Fail(Where, Kind),
    Heal(Where),
    Rebuild(String),
    Write(String),
    Writes { json: bool },
    Show(Option<String>),
}

/// What breaks.
#[derive(Debug)]
pub enum Where {
    Region(String),
    Part(String, Part),
    Route53,
}

/// How it breaks.
#[derive(Debug)]
pub enum Kind {
    Fault(Fault),
    /// A standby receives and does not replay.
    Lag,
    /// A standby receives nothing.
    Behind,
}

impl Order {
    pub fn read(words: &[&str]) -> Result<Self, String> {
        Ok(match words {
            ["status"] => Self::Status,
            ["down"] => Self::Down,
            ["fail", part, "lag"] => Self::Fail(place(part)?, Kind::Lag),
            ["fail", part, "behind"] => Self::Fail(place(part)?, Kind::Behind),
            ["fail", part, kind] => Self::Fail(place(part)?, Kind::Fault(kind.parse()?)),
            ["heal", part] => Self::Heal(place(part)?),
            ["rebuild", name] => Self::Rebuild(region(name)?),
            ["write"] => Self::Write("app".to_owned()),
            ["write", name] => Self::Write((*name).to_owned()),
            ["writes"] => Self::Writes { json: false },
            ["writes", "--json"] => Self::Writes { json: true },
            ["show"] => Self::Show(None),
            ["show", name] => Self::Show(Some((*name).to_owned())),
            other => return Err(format!("not understood: {}", other.join(" "))),
        })
    }
}

fn region(name: &str) -> Result<String, String> {
    match name {
        "east" | EAST => Ok(EAST.to_owned()),
        "west" | WEST => Ok(WEST.to_owned()),
        _ => Err(format!("no region `{name}`: it is east or west")),
    }
}

fn place(text: &str) -> Result<Where, String> {
    if text == "route53" {
        return Ok(Where::Route53);
    }
    let Some((name, part)) = text.split_once('.') else { return Ok(Where::Region(region(text)?)) };
    let part = Part::ALL.into_iter().find(|known| known.to_string() == part);
    Ok(Where::Part(region(name)?, part.ok_or(format!("no part `{text}`"))?))
}

impl Order {
    /// As [`read`](Self::read) understands it.
    pub fn line(&self) -> String {
        match self {
            Self::Status => "status".to_owned(),
            Self::Down => "down".to_owned(),
            Self::Fail(place, Kind::Lag) => format!("fail {place} lag"),
            Self::Fail(place, Kind::Behind) => format!("fail {place} behind"),
            Self::Fail(place, Kind::Fault(fault)) => format!("fail {place} {fault}"),
            Self::Heal(place) => format!("heal {place}"),
            Self::Rebuild(region) => format!("rebuild {region}"),
            Self::Write(name) => format!("write {name}"),
            Self::Writes { json: false } => "writes".to_owned(),
            Self::Writes { json: true } => "writes --json".to_owned(),
            Self::Show(None) => "show".to_owned(),
            Self::Show(Some(name)) => format!("show {name}"),
        }
    }
}

impl std::fmt::Display for Where {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Region(name) => f.write_str(name),
            Self::Part(name, part) => write!(f, "{name}.{part}"),
            Self::Route53 => f.write_str("route53"),
        }
    }
}
