//! Figures and times in words.

use chrono::{DateTime, Utc};

use crate::runbook::record::Ending;

/// `0.4 s`, `38 s`, `2 min 5 s`.
pub fn span(seconds: f64) -> String {
    if seconds < 9.95 {
        return format!("{:.1} s", seconds.max(0.0));
    }
    let whole = seconds.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 if whole.is_multiple_of(60) => format!("{} min", whole / 60),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ if whole % 3600 < 60 => format!("{} h", whole / 3600),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// `1.4 MiB`.
pub fn bytes(count: u64) -> String {
    let mut value = count as f64;
    for unit in ["bytes", "KiB", "MiB", "GiB"] {
        if value < 1024.0 {
            let digits = usize::from(unit != "bytes" && value < 100.0);
            return format!("{value:.digits$} {unit}");
        }
        value /= 1024.0;
    }
    format!("{value:.1} TiB")
}

pub fn moment(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How it ended, in one sentence.
pub fn ending(ending: Option<Ending>) -> &'static str {
    match ending {
        Some(Ending::Succeeded) => "Done: every step ended well",
        Some(Ending::SucceededWithFailures) => {
            "Done: the goal was reached, and some steps that may fail did"
        }
        Some(Ending::Stopped) => "STOPPED: not done",
        Some(Ending::Aborted) => "Aborted: everything that was done was undone",
        Some(Ending::AbortIncomplete) => "ABORTED, and not everything could be undone",
        None => "NOT ENDED: it runs, or its operator has gone",
    }
}
