//! The drawings of an audit: the calendar of snapshots, and what was read when, as SVG.

use maud::{Markup, html};

use crate::integrity::audit::Ages;
use crate::integrity::audit::days::Day;
use crate::report::words::bytes;

const CELL: usize = 9;
const LEFT: usize = 78;
const TOP: usize = 20;

/// Days drawn; the newest.
const DAYS: usize = 92;

fn class(letter: char) -> (&'static str, &'static str) {
    match letter {
        'w' => ("whole", "a snapshot, whole in every store"),
        'p' => ("partly", "a snapshot, not proven in every store"),
        'd' => ("damaged", "a damaged snapshot"),
        'm' => ("missed", "a snapshot is missing"),
        _ => ("none", "none was due, or it has expired"),
    }
}

/// A row for every day, a cell for every hour.
pub(crate) fn calendar(days: &[Day]) -> Markup {
    let days = &days[days.len().saturating_sub(DAYS)..];
    let (width, height) = (LEFT + 24 * (CELL + 2) * 2 + 8, TOP + days.len() * (CELL + 2) + 6);
    let x = |hour: usize| LEFT + hour * (CELL + 2) * 2;
    html! {
        svg .calendar viewBox=(format!("0 0 {width} {height}")) role="img"
            aria-label=(format!("Calendar of snapshots over {} days", days.len())) {
            @for hour in (0..24).step_by(3) {
                text .tick x=(x(hour) + CELL) y="13" { (format!("{hour:02}")) }
            }
            @for (row, day) in days.iter().enumerate() {
                @let y = TOP + row * (CELL + 2);
                @if row % 7 == 0 || days.len() < 15 {
                    text .name x=(LEFT - 8) y=(y + CELL) { (day.day) }
                }
                @for (hour, letter) in day.hours.chars().enumerate() {
                    @let (class, said) = class(letter);
                    rect class=(class) x=(x(hour)) y=(y) width=(CELL * 2) height=(CELL) rx="2" {
                        title { (day.day) " " (format!("{hour:02}:00")) ": " (said) }
                    }
                }
            }
        }
    }
}

/// How much was read within a day, a week, a month, before that, never.
pub(super) fn ages(store: &str, ages: &Ages) -> Markup {
    let total = ages.total().max(1) as f64;
    let parts = [
        ("day", ages.day, "within a day"),
        ("week", ages.week, "within a week"),
        ("month", ages.month, "within a month"),
        ("older", ages.older, "before that"),
        ("never", ages.never, "never"),
    ];
    let mut at = 0.0;
    let bars: Vec<_> = parts
        .iter()
        .filter(|(_, size, _)| *size > 0)
        .map(|(class, size, when)| {
            let width = *size as f64 / total * 700.0;
            let bar = (at, width, *class, format!("{} read {when}", bytes(*size)));
            at += width;
            bar
        })
        .collect();
    html! {
        svg .ages viewBox="0 0 800 26" role="img" aria-label=(format!("What was read of store {store}")) {
            text .name x="86" y="17" { (store) }
            @for (x, width, class, said) in bars {
                rect class=(class) x=(format!("{:.1}", 94.0 + x)) y="5" width=(format!("{width:.1}")) height="16" {
                    title { (said) }
                }
            }
        }
    }
}
