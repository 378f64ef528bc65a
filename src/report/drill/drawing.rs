//! The drawings of a drill: its phases over time, and the recovery time of drill after drill, as SVG.

use maud::{Markup, html};

use crate::drill::account::{Account, Earlier, Outcome, Phase};
use crate::report::words::span;

const WIDTH: f64 = 960.0;
/// Where bars begin: right of the names.
const LEFT: f64 = 236.0;
const RIGHT: f64 = 950.0;
const ROW: f64 = 22.0;
const TOP: f64 = 30.0;

/// When each phase began and how long it took.
pub fn phases(account: &Account) -> Markup {
    let end = account.seconds.max(0.1) * 1.06;
    let x = |seconds: f64| LEFT + (seconds / end).clamp(0.0, 1.0) * (RIGHT - LEFT);
    let height = TOP + ROW * account.phases.len() as f64 + 8.0;
    let step = step(end);
    let marks = (0..=12).map(|n| f64::from(n) * step).take_while(|at| *at <= end);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
            aria-label=(format!("{} phases over {}", account.phases.len(), span(account.seconds))) {
            @for at in marks {
                line .grid x1=(n(x(at))) x2=(n(x(at))) y1=(n(TOP - 6.0)) y2=(n(height)) {}
                text .tick x=(n(x(at))) y="18" { (tick(at)) }
            }
            @for (i, phase) in account.phases.iter().enumerate() {
                (row(phase, TOP + ROW * i as f64, &x))
            }
        }
    }
}

fn row(phase: &Phase, y: f64, x: &impl Fn(f64) -> f64) -> Markup {
    let middle = y + ROW / 2.0;
    let (from, to) = (x(phase.began), x(phase.began + phase.seconds));
    let width = (to - from).max(2.0);
    let class = match (phase.failed, phase.recovery) {
        (true, _) => "bar failed",
        (false, true) => "bar",
        (false, false) => "bar other",
    };
    // The figure stands right of the bar, or left of it where there is no room.
    let room = from + width + 60.0 < RIGHT;
    html! {
        text .name x=(n(LEFT - 8.0)) y=(n(middle + 4.0)) { (phase.name) }
        rect class=(class) x=(n(from)) y=(n(middle - 6.0)) width=(n(width)) height="12" rx="3" {
            title { (phase.name) ": " (span(phase.seconds)) }
        }
        text .took .left[!room] x=(n(if room { from + width + 5.0 } else { from - 5.0 })) y=(n(middle + 4.0)) {
            (span(phase.seconds))
        }
    }
}

const TREND_HEIGHT: f64 = 220.0;
const TREND_LEFT: f64 = 70.0;
const TREND_TOP: f64 = 28.0;
const TREND_BOTTOM: f64 = 176.0;

/// The recovery time of each drill, the newest at the right, against the objective.
pub fn trend(account: &Account) -> Markup {
    let this = crate::drill::history::line(account);
    let all: Vec<&Earlier> = account.history.iter().chain([&this]).collect();
    let most = all.iter().filter_map(|d| d.recovery_seconds).fold(0.1, f64::max);
    let rto = account.objectives.rto_seconds;
    // An objective far above what is needed would press everything to the bottom.
    let shows_rto = rto <= most * 4.0;
    let top = if shows_rto { most.max(rto) } else { most } * 1.12;
    let y = |seconds: f64| TREND_BOTTOM - (seconds / top) * (TREND_BOTTOM - TREND_TOP);
    let slot = (RIGHT - TREND_LEFT) / all.len() as f64;
    let bar = slot.min(56.0) * 0.62;
    let step = step(top);
    let marks = (0..=12).map(|n| f64::from(n) * step).take_while(|at| *at <= top);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {TREND_HEIGHT}")) role="img"
            aria-label=(format!("Recovery time of {} drills", all.len())) {
            @for at in marks {
                line .grid x1=(n(TREND_LEFT)) x2=(n(RIGHT)) y1=(n(y(at))) y2=(n(y(at))) {}
                text .name x=(n(TREND_LEFT - 8.0)) y=(n(y(at) + 4.0)) { (tick(at)) }
            }
            @for (i, drill) in all.iter().enumerate() {
                @let middle = TREND_LEFT + slot * (i as f64 + 0.5);
                @let height = drill.recovery_seconds.map_or(3.0, |s| (TREND_BOTTOM - y(s)).max(2.0));
                @let good = drill.outcome == Outcome::Passed;
                rect .bar .failed[!good] x=(n(middle - bar / 2.0)) y=(n(TREND_BOTTOM - height))
                    width=(n(bar)) height=(n(height)) rx="2" {
                    title { (drill.id) ": " (drill.outcome.as_str()) }
                }
                @if all.len() <= 14 {
                    text .tick x=(n(middle)) y=(n(TREND_BOTTOM - height - 6.0)) {
                        (drill.recovery_seconds.map_or_else(|| "none".to_owned(), span))
                    }
                    text .tick x=(n(middle)) y=(n(TREND_BOTTOM + 18.0)) { (drill.began.format("%m-%d")) }
                    text .tick x=(n(middle)) y=(n(TREND_BOTTOM + 33.0)) { (drill.began.format("%H:%M")) }
                }
            }
            @if shows_rto {
                line .rto x1=(n(TREND_LEFT)) x2=(n(RIGHT)) y1=(n(y(rto))) y2=(n(y(rto))) {}
                text .rto-word x=(n(RIGHT)) y=(n(y(rto) - 5.0)) { "RTO " (span(rto)) }
            } @else {
                text .rto-word x=(n(RIGHT)) y="14" { "RTO " (span(rto)) " ↑" }
            }
        }
    }
}

/// A round distance between marks, so that there are 4 to 10.
fn step(end: f64) -> f64 {
    const STEPS: [f64; 14] =
        [0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
    STEPS.into_iter().find(|step| end / step <= 8.0).unwrap_or(3600.0)
}

/// A place with one digit.
fn n(value: f64) -> String {
    format!("{value:.1}")
}

fn tick(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        s if s < 60.0 && (s - s.round()).abs() > 0.01 => format!("{s:.1}s"),
        s if s < 60.0 => format!("{s:.0}s"),
        s if s % 60.0 == 0.0 => format!("{:.0}m", s / 60.0),
        s => format!("{}:{:02}", (s / 60.0) as u64, (s % 60.0) as u64),
    }
}
