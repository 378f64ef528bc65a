//! The page: what somebody must know at 3 am, the worst first, on a phone, without a script.

mod databases;
mod login;
mod past;
mod runs;
mod troubles;

use maud::{Markup, html};

use super::view::View;
use crate::model::Learned;
use crate::report::document::{self, marked};
use crate::report::words::{moment, span};

pub use login::login;

pub const STYLE: &str = include_str!("../style.css");

/// Seconds until a browser asks again: while a run is open, and otherwise.
const LIVELY: u32 = 3;
const QUIET: u32 = 20;
/// A look that is older is said to be old.
const OLD_SECONDS: f64 = 60.0;

/// How a look is shown.
#[derive(Debug, Clone, Copy)]
pub struct Shown {
    /// How old the look is, in seconds.
    pub age: f64,
    /// The page stays as it is.
    pub still: bool,
}

pub fn page(view: &View, shown: Shown) -> String {
    let refresh = (!shown.still).then_some(if view.is_lively() { LIVELY } else { QUIET });
    let body = html! {
        header {
            p .kind { (view.status.project) }
            (verdict(view))
            (asof(view, shown))
        }
        main {
            (troubles::reasons(view))
            (runs::open(view))
            (troubles::incidents(view))
            (troubles::schedule(view))
            (databases::databases(view))
            (past::drills(view))
            (past::jobs(view))
            (past::runs(view))
            (past::leases(view))
        }
        footer {
            p {
                "drctl " (env!("CARGO_PKG_VERSION")) ". This page only shows; nothing can be changed here. "
                @if shown.still { a href="/" { "Refresh by itself" } } @else {
                    a href="/?still" { "Stop refreshing" }
                }
                " · " a href="/state.json" { "as JSON" } " · " a href="/metrics" { "metrics" }
            }
        }
    };
    document(&format!("{}: {}", word(view), view.status.project), refresh, &body)
}

/// Nothing at all is known.
pub fn nothing(why: &str) -> String {
    let body = html! {
        header {
            p .kind { "drctl" }
            p .verdict.unknown { "UNKNOWN" }
            p .asof { "Nothing could be looked at, so nothing is known to be well." }
        }
        main {
            section .warn { p { (marked(why)) } p { "On a machine that reaches the stores: " code { "drctl status" } } }
        }
    };
    document("UNKNOWN: drctl", Some(5), &body)
}

fn document(title: &str, refresh: Option<u32>, body: &Markup) -> String {
    let head = html! {
        @if let Some(seconds) = refresh { meta http-equiv="refresh" content=(seconds); }
        link rel="icon" href="data:,";
    };
    document::document(title, &head, &[STYLE], body)
}

fn word(view: &View) -> &'static str {
    match view.reasons.is_empty() {
        true => "READY",
        false => "NOT READY",
    }
}

fn verdict(view: &View) -> Markup {
    let count = view.reasons.len();
    html! {
        @if count == 0 {
            p .verdict.good { "READY" small { "a failover could go ahead" } }
        } @else {
            p .verdict.bad { "NOT READY" small { (count) @if count == 1 { " reason" } @else { " reasons" } } }
        }
    }
}

fn asof(view: &View, shown: Shown) -> Markup {
    let old = shown.age > OLD_SECONDS;
    html! {
        p .asof {
            span .old[old] { "Seen " (moment(view.at())) @if old { ", " (span(shown.age)) " AGO" } }
        }
        dl {
            dt { "Active" }
            dd {
                b { (view.status.active) }
                @match &view.status.epoch {
                    Learned::Known(Some(epoch)) => { ", epoch " (epoch.number) " since " (moment(epoch.since)) " by " (epoch.by) }
                    Learned::Known(None) => { ", as configured: no epoch was ever written" }
                    Learned::Unknown(why) => { " as configured; the epoch is " (unknown(why)) }
                }
            }
        }
    }
}

/// Something that is not known, with the reason.
fn unknown(why: &str) -> Markup {
    html! { span .unknown { "UNKNOWN" } " " span .why { (why) } }
}
