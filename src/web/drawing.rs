//! The drawing of a database's snapshots as SVG: their age against the RPO over time, and what each
//! added. Lines are told apart by their dashes too, not by colour alone.

use chrono::{DateTime, TimeDelta, Utc};
use maud::{Markup, html};

use super::history::{Ages, History};
use crate::report::words::{bytes, span};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 172.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 394.0;
/// Of the ages.
const TOP: f64 = 12.0;
const FLOOR: f64 = 104.0;
/// Of the sizes.
const BARS: f64 = 118.0;
const GROUND: f64 = 152.0;

/// Times to places.
struct Axis {
    from: DateTime<Utc>,
    seconds: f64,
    /// Seconds at the top.
    oldest: f64,
}

impl Axis {
    fn x(&self, at: DateTime<Utc>) -> f64 {
        let part = (at - self.from).as_seconds_f64() / self.seconds.max(1.0);
        LEFT + part.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn y(&self, age: f64) -> f64 {
        FLOOR - (age / self.oldest).clamp(0.0, 1.0) * (FLOOR - TOP)
    }
}

pub fn drawing(history: &History, rpo_seconds: f64) -> Markup {
    let rpo = TimeDelta::milliseconds((rpo_seconds * 1000.0) as i64);
    let all: Vec<(&String, Ages)> =
        history.stores.iter().map(|store| (store, history.ages(store, rpo))).collect();
    let ages = all.iter().flat_map(|(_, ages)| &ages.points).map(|(_, age)| *age);
    // What is very late would flatten all the rest.
    let oldest = ages.fold(rpo_seconds * 1.4, f64::max).min(rpo_seconds * 6.0);
    let axis =
        Axis { from: history.from, seconds: (history.to - history.from).as_seconds_f64(), oldest };
    let largest = history.within().filter_map(|t| t.new_bytes).max().unwrap_or(0);
    html! {
        svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) role="img" aria-label=(told(history, &all)) {
            @for (_, ages) in &all {
                @for (begin, end) in &ages.late {
                    rect .late x=(n(axis.x(*begin))) width=(n((axis.x(*end) - axis.x(*begin)).max(1.0)))
                        y=(n(TOP)) height=(n(FLOOR - TOP)) {}
                }
            }
            @for day in days(history) {
                line .grid x1=(n(axis.x(day))) x2=(n(axis.x(day))) y1=(n(TOP)) y2=(n(GROUND)) {}
                text .tick x=(n(axis.x(day))) y=(n(HEIGHT - 6.0)) { (day.format("%d %b %H:%M")) }
            }
            line .rpo x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(axis.y(rpo_seconds))) y2=(n(axis.y(rpo_seconds))) {}
            text .scale x=(n(LEFT - 4.0)) y=(n(axis.y(rpo_seconds) + 4.0)) { (span(rpo_seconds)) }
            text .scale x=(n(LEFT - 4.0)) y=(n(FLOOR + 3.0)) { "0" }
            line .axis x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(FLOOR)) y2=(n(FLOOR)) {}
            @for (i, (_, ages)) in all.iter().enumerate() {
                @if let Some(known) = ages.known_from.filter(|known| *known > history.from) {
                    line .unknown x1=(n(LEFT)) x2=(n(axis.x(known))) y1=(n(FLOOR - 4.0 - 4.0 * i as f64))
                        y2=(n(FLOOR - 4.0 - 4.0 * i as f64)) {}
                }
                @if !ages.points.is_empty() {
                    polyline class=(format!("age s{}", i % 3)) points=(places(&axis, ages)) {}
                }
            }
            @if largest > 0 {
                text .scale x=(n(LEFT - 4.0)) y=(n(BARS + 8.0)) { (short(largest)) }
                @for taken in history.within() {
                    @let size = taken.new_bytes.unwrap_or(0) as f64 / largest as f64;
                    rect class=(if taken.troubles.is_empty() { "size" } else { "size flawed" })
                        x=(n(axis.x(taken.at) - 1.0)) width="2" y=(n(GROUND - (size * (GROUND - BARS)).max(1.0)))
                        height=(n((size * (GROUND - BARS)).max(1.0))) {}
                }
            }
            line .axis x1=(n(LEFT)) x2=(n(RIGHT)) y1=(n(GROUND)) y2=(n(GROUND)) {}
        }
    }
}

/// For those who hear it read.
fn told(history: &History, all: &[(&String, Ages)]) -> String {
    let mut text =
        format!("Snapshots of {} since {}", history.database, history.from.format("%d %b"));
    for (store, ages) in all {
        let late: f64 = ages.late.iter().map(|(b, e)| (*e - *b).as_seconds_f64()).sum();
        match (ages.points.last(), late) {
            (None, _) => text.push_str(&format!("; {store}: none")),
            (Some((_, age)), 0.0) => {
                text.push_str(&format!("; {store}: the newest is {} old, never late", span(*age)));
            }
            (Some((_, age)), late) => text.push_str(&format!(
                "; {store}: the newest is {} old, {} over the RPO",
                span(*age),
                span(late)
            )),
        }
    }
    text
}

fn places(axis: &Axis, ages: &Ages) -> String {
    let place =
        |(at, age): &(DateTime<Utc>, f64)| format!("{},{}", n(axis.x(*at)), n(axis.y(*age)));
    ages.points.iter().map(place).collect::<Vec<_>>().join(" ")
}

/// Midnights and noons, or fewer, so that their words do not meet.
fn days(history: &History) -> Vec<DateTime<Utc>> {
    let hours = (history.to - history.from).num_hours().max(1);
    let every = [6, 12, 24, 48, 24 * 7].into_iter().find(|h| hours / h <= 4).unwrap_or(24 * 30);
    let second = every * 3600;
    let mut at = (history.from.timestamp() / second + 1) * second;
    let mut found = Vec::new();
    while at < history.to.timestamp() {
        found.extend(DateTime::from_timestamp(at, 0));
        at += second;
    }
    // Words at the edges would be cut off.
    let margin = (history.to - history.from) / 10;
    found.retain(|at| *at - history.from > margin / 2 && history.to - *at > margin);
    found
}

fn short(count: u64) -> String {
    let text = bytes(count);
    text.replace(" bytes", " B").replace("iB", "")
}

/// One decimal at most: the page goes over a phone's line.
fn n(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
