//! How much would be lost if the standby were promoted: a bound, or unknown, and never a guess.

mod assess;
mod reading;

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};

use super::samples::Sample;
use crate::model::{Lsn, Span};

pub use assess::{Assess, With, foresee};
pub use reading::{Sight, sight};

/// What is known of the standby.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standby {
    /// The end of what a promotion keeps: received or replayed, whichever is farther.
    pub secured: Lsn,
    pub timeline: Option<u32>,
}

/// What is known of the primary now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Primary {
    /// The end of its WAL.
    pub end: Lsn,
    pub timeline: Option<u32>,
    /// It takes no writes any more, so that this end stays.
    pub fenced: bool,
}

/// What a promotion would lose, at most.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Whatever was acknowledged longer ago than this is kept. None: unknown.
    pub seconds: Option<f64>,
    /// Bytes of WAL that are lost. None: unknown.
    pub bytes: Option<u64>,
    /// Bytes of WAL that are lost for certain, where more may be.
    pub bytes_at_least: u64,
    /// Everything acknowledged until then is kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub safe_until: Option<DateTime<Utc>>,
    /// What it rests on, or why it is unknown.
    pub basis: String,
}

impl Prediction {
    fn unknown(why: impl Into<String>) -> Self {
        Self { seconds: None, bytes: None, bytes_at_least: 0, safe_until: None, basis: why.into() }
    }

    pub fn is_nothing(&self) -> bool {
        self.seconds == Some(0.0) && self.bytes == Some(0)
    }

    /// "at most 12.0 s, 4096 bytes of WAL".
    pub fn in_words(&self) -> String {
        if self.is_nothing() {
            return "nothing".to_owned();
        }
        let time = match self.seconds {
            Some(seconds) => format!("at most the last {seconds:.1} s"),
            None => "an unknown time".to_owned(),
        };
        let bytes = match (self.bytes, self.bytes_at_least) {
            (Some(bytes), _) => format!("{bytes} bytes of WAL"),
            (None, 0) => "an unknown amount of WAL".to_owned(),
            (None, least) => format!("{least} bytes of WAL or more"),
        };
        format!("{time}, {bytes}")
    }
}

/// The bound. A sample says: what was acknowledged by `at` is at or below `primary`. So the newest
/// sample whose position the standby has makes everything until then safe, and only what was
/// committed after it may be lost. How far the primary came after the last look at it is unknown.
pub fn predict(
    primary: Option<Primary>,
    standby: Option<Standby>,
    samples: &[Sample],
    now: DateTime<Utc>,
) -> Prediction {
    let Some(standby) = standby else {
        return Prediction::unknown("the standby's position could not be read");
    };
    // Positions of another history say nothing about this one.
    let ours = |timeline: Option<u32>| match (timeline, standby.timeline) {
        (Some(theirs), Some(ours)) => theirs == ours,
        _ => false,
    };
    if let Some(primary) = primary.filter(|p| ours(p.timeline)) {
        let bytes = primary.end.0.saturating_sub(standby.secured.0);
        if bytes == 0 && primary.fenced {
            return Prediction {
                seconds: Some(0.0),
                bytes: Some(0),
                bytes_at_least: 0,
                safe_until: Some(now),
                basis: "the fenced primary's end, which the standby has".to_owned(),
            };
        }
    }
    let known: Vec<(DateTime<Utc>, Lsn)> = samples
        .iter()
        .filter(|s| ours(s.timeline))
        .filter_map(|s| Some((s.at, s.primary?)))
        .filter(|(at, _)| *at <= now)
        .collect();
    let safe = known.iter().filter(|(_, end)| *end <= standby.secured).map(|(at, _)| *at).max();
    let end = known.iter().map(|(_, end)| *end).chain(primary.map(|p| p.end)).max();
    let least = end.map_or(0, |end| end.0.saturating_sub(standby.secured.0));
    let bytes = primary
        .filter(|p| ours(p.timeline))
        .map(|p| p.end.0.max(end.unwrap_or(p.end).0).saturating_sub(standby.secured.0));
    let basis = match (safe, known.last()) {
        (Some(at), _) => {
            format!("the standby has all that the primary had at {}", at.format("%H:%M:%S UTC"))
        }
        (None, Some((at, end))) => format!(
            "the standby is at {}, before every position at which the primary was seen (last {end} \
             at {})",
            standby.secured,
            at.format("%H:%M:%S UTC")
        ),
        (None, None) if standby.timeline.is_none() => {
            "the standby's timeline could not be read".to_owned()
        }
        (None, None) => "nobody looked at the primary before: `drctl status`, run every minute, \
                         keeps samples"
            .to_owned(),
    };
    Prediction {
        seconds: safe.map(|at| seconds(now - at)),
        bytes,
        bytes_at_least: least,
        safe_until: safe,
        basis,
    }
}

fn seconds(time: TimeDelta) -> f64 {
    time.num_milliseconds().max(0) as f64 / 1000.0
}

/// What the operator has agreed to lose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accepted {
    /// Whatever it is.
    Unknown,
    Time(Span),
    Bytes(u64),
}

impl std::str::FromStr for Accepted {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text == "unknown" {
            return Ok(Self::Unknown);
        }
        if let Ok(span) = text.parse() {
            return Ok(Self::Time(span));
        }
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text[digits.len()..].trim() {
            "B" => 0,
            "KiB" => 10,
            "MiB" => 20,
            "GiB" => 30,
            _ => u32::MAX,
        };
        let bytes = digits.trim().parse::<u64>().ok();
        bytes.and_then(|n| n.checked_mul(1_u64.checked_shl(shift)?)).map(Self::Bytes).ok_or_else(
            || {
                format!(
                    "`{text}` is neither a duration such as 5m, nor bytes such as 16MiB, nor \
                     `unknown`"
                )
            },
        )
    }
}

/// Whether the loss was agreed to; else why not, and what to give. Without a word of the operator a
/// known loss within the RPO is what everybody has agreed to before.
pub fn judge(
    prediction: &Prediction,
    accepted: Option<Accepted>,
    rpo: Span,
) -> Result<(), (String, String)> {
    let wholly_unknown = prediction.seconds.is_none()
        && prediction.bytes.is_none()
        && prediction.bytes_at_least == 0;
    let words = match wholly_unknown {
        true => String::new(),
        false => format!(" ({})", prediction.in_words()),
    };
    let needs = |limit: String| {
        let give = match prediction.seconds {
            Some(seconds) => format!("--accept-loss {}s", seconds.ceil()),
            None => "--accept-loss unknown".to_owned(),
        };
        let hint = format!("to go on with it: {give}");
        Err((format!("the loss to expect{words} is {limit}; {}", prediction.basis), hint))
    };
    match (accepted, prediction.seconds, prediction.bytes) {
        _ if prediction.is_nothing() => Ok(()),
        (Some(Accepted::Unknown), ..) => Ok(()),
        (Some(Accepted::Time(limit)), Some(s), _) if s <= limit.0.as_secs_f64() => Ok(()),
        (Some(Accepted::Time(limit)), Some(_), _) => {
            needs(format!("more than the accepted {limit}"))
        }
        (Some(Accepted::Time(limit)), None, _) => {
            needs(format!("not known to be within the accepted {limit}"))
        }
        (Some(Accepted::Bytes(limit)), _, Some(b)) if b <= limit => Ok(()),
        (Some(Accepted::Bytes(limit)), _, Some(_)) => {
            needs(format!("more than the accepted {limit} bytes"))
        }
        (Some(Accepted::Bytes(limit)), _, None) => {
            needs(format!("not known to be within the accepted {limit} bytes"))
        }
        (None, Some(s), _) if s <= rpo.0.as_secs_f64() => Ok(()),
        (None, Some(_), _) => needs(format!("more than the RPO of {rpo}")),
        (None, None, _) => needs("unknown".to_owned()),
    }
}

#[cfg(test)]
mod tests;
