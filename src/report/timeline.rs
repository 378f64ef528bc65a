//! The drawing of a run: what happened when, against what it might have taken, as SVG.

use maud::{Markup, html};

use super::run::{RunReport, StepReport, StepStanding};
use super::words::span;

const WIDTH: f64 = 960.0;
/// Where the bars begin: right of the names.
const LEFT: f64 = 150.0;
const RIGHT: f64 = 950.0;
const ROW: f64 = 24.0;
const TOP: f64 = 34.0;

/// Seconds to places.
struct Axis {
    end: f64,
}

impl Axis {
    /// As long as the run and its objective; a run that was much faster has the drawing for itself.
    fn of(report: &RunReport) -> Self {
        let ran = report.seconds.max(1.0);
        let end = if ran * 3.0 < report.rto_seconds {
            ran * 1.15
        } else {
            ran.max(report.rto_seconds) * 1.04
        };
        Self { end }
    }

    fn x(&self, seconds: f64) -> f64 {
        LEFT + (seconds / self.end).clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn shows(&self, seconds: f64) -> bool {
        seconds <= self.end
    }

    /// A round distance between marks, so that there are 4 to 10.
    fn step(&self) -> f64 {
        const STEPS: [f64; 13] =
            [0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0];
        STEPS.into_iter().find(|step| self.end / step <= 9.0).unwrap_or(3600.0)
    }
}

pub(super) fn timeline(report: &RunReport) -> Markup {
    let axis = Axis::of(report);
    let height = TOP + ROW * report.steps.len() as f64 + 12.0;
    let marks: Vec<f64> =
        (0..=20).map(|n| f64::from(n) * axis.step()).take_while(|at| axis.shows(*at)).collect();
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {height}")) role="img"
            aria-label=(format!("Timeline of {} steps over {}", report.steps.len(), span(report.seconds))) {
            @for at in marks {
                line .grid x1=(n(axis.x(at))) x2=(n(axis.x(at))) y1=(n(TOP - 6.0)) y2=(n(height)) {}
                text .tick x=(n(axis.x(at))) y="24" { (tick(at)) }
            }
            @for (i, step) in report.steps.iter().enumerate() {
                (row(step, TOP + ROW * i as f64, &axis))
            }
            @if let Some(at) = report.point_of_no_return {
                line .ponr x1=(n(axis.x(at))) x2=(n(axis.x(at))) y1="14" y2=(n(height)) {}
                text .ponr-word x=(n(axis.x(at) + 4.0)) y="11" { "point of no return" }
            }
            @if axis.shows(report.rto_seconds) {
                line .rto x1=(n(axis.x(report.rto_seconds))) x2=(n(axis.x(report.rto_seconds)))
                    y1="14" y2=(n(height)) {}
                text .rto-word x=(n(axis.x(report.rto_seconds) - 4.0)) y="11" { "RTO " (span(report.rto_seconds)) }
            } @else {
                text .rto-word x=(n(RIGHT)) y="11" { "RTO " (span(report.rto_seconds)) " →" }
            }
        }
    }
}

fn row(step: &StepReport, y: f64, axis: &Axis) -> Markup {
    let middle = y + ROW / 2.0;
    let begun = step.began.unwrap_or(0.0);
    let ended = step.ended.unwrap_or(axis.end);
    let (from, to) = (axis.x(begun), axis.x(ended));
    let budget = axis.x(begun + step.limit_seconds);
    let class = match step.standing {
        StepStanding::Done => "done",
        StepStanding::Failed | StepStanding::UndoFailed => "failed",
        StepStanding::Undone => "undone",
        StepStanding::Open => "open",
        StepStanding::Skipped | StepStanding::NotBegun => "not",
    };
    let width = (to - from).max(2.5);
    // The figure stands right of the bar, or left of it where there is no room.
    let room = from + width + 58.0 < RIGHT;
    html! {
        text .name .not[step.began.is_none()] x=(n(LEFT - 8.0)) y=(n(middle + 4.0)) { (step.id) }
        @if step.began.is_some() {
            rect .budget x=(n(from)) y=(n(middle - 2.0)) width=(n((budget - from).max(0.0))) height="4" rx="2" {}
            rect class=(format!("bar {class}")) x=(n(from)) y=(n(middle - 6.0)) width=(n(width)) height="12" rx="3" {
                title { (step.id) ": " (step.standing.as_str()) ", " (step.said) }
            }
            @if let Some(ended) = step.ended {
                text .took .left[!room] x=(n(if room { from + width + 5.0 } else { from - 5.0 })) y=(n(middle + 4.0)) {
                    (span(ended - begun))
                }
            }
        } @else {
            text .took x=(n(LEFT + 4.0)) y=(n(middle + 4.0)) { (step.standing.as_str()) }
        }
    }
}

/// A place with one digit.
fn n(value: f64) -> String {
    format!("{value:.1}")
}

fn tick(seconds: f64) -> String {
    match seconds {
        0.0 => "0".to_owned(),
        s if s < 1.0 => format!("{s:.1}s"),
        s if s < 60.0 => format!("{s:.0}s"),
        s if s % 60.0 == 0.0 => format!("{:.0}m", s / 60.0),
        s => format!("{}:{:02}", (s / 60.0) as u64, (s % 60.0) as u64),
    }
}
