//! Each database: its servers and their lag, what a failover would lose, its snapshots as a drawing.

use maud::{Markup, html};

use super::unknown;
use crate::model::Learned;
use crate::postgres::replication::Role;
use crate::report::status::{DatabaseStatus, ServerStatus, StoreStatus};
use crate::report::words::{bytes, span};
use crate::web::drawing::drawing;
use crate::web::history::History;
use crate::web::view::View;

pub fn databases(view: &View) -> Markup {
    let drawn =
        |database: &DatabaseStatus| view.histories.iter().find(|h| h.database == database.name);
    let (full, brief): (Vec<_>, Vec<_>) =
        view.status.databases.iter().partition(|d| drawn(d).is_some());
    html! {
        div .cards {
            @for database in full { (card(view, database, drawn(database))) }
        }
        @if !brief.is_empty() {
            section {
                h2 { (brief.len()) " more databases" }
                details {
                    summary { "Their snapshots" }
                    @for database in brief {
                        p { b { (database.name) } ": " @for store in &database.stores { (newest(view, store)) " " } }
                    }
                }
            }
        }
    }
}

fn card(view: &View, database: &DatabaseStatus, history: Option<&History>) -> Markup {
    html! {
        section .card {
            h2 { (database.name) }
            @if database.servers.is_empty() {
                p { span .unknown { "UNKNOWN" } " no servers are configured, so no replica is watched" }
            }
            ul .plain { @for server in &database.servers { li { (line(server)) } } }
            @if let Some(loss) = &database.loss {
                p {
                    "A failover now would lose "
                    @if loss.seconds.is_none() { span .unknown { (loss.in_words()) } } @else { b { (loss.in_words()) } }
                    "."
                }
            }
            h3 { "Snapshots" }
            ul .plain { @for store in &database.stores { li { (newest(view, store)) } } }
            @if let Some(history) = history {
                @for (store, why) in &history.unknown { p { (store) ": " (unknown(why)) } }
                @if !history.stores.is_empty() {
                    div .drawing { (drawing(history, view.rpo_seconds)) }
                    p .legend {
                        "Age of the newest complete snapshot: "
                        @for (i, store) in history.stores.iter().enumerate() { span class=(format!("key s{}", i % 3)) {} (store) " " }
                        span .key.rpo {} "RPO " span .key.late {} "over it. Below: bytes that each added."
                    }
                }
            }
        }
    }
}

fn line(server: &ServerStatus) -> Markup {
    let expected = if server.active { Role::Primary } else { Role::Standby };
    html! {
        b { (server.region) } ": "
        @match &server.seen {
            Learned::Unknown(why) => {
                (if server.active { "primary" } else { "standby" }) " " (unknown(why))
            }
            Learned::Known(seen) => {
                @let word = match seen.role { Role::Primary => "primary", Role::Standby => "standby" };
                @if seen.role == expected { (word) } @else { span .bad { (word) ", NOT as it should be" } }
                @if seen.role == Role::Standby {
                    ", " (lag(server))
                    @match seen.is_streaming() {
                        Some(true) => ", streams",
                        Some(false) => { ", " span .bad { "does not stream" } }
                        None => { ", streaming " span .unknown { "UNKNOWN" } }
                    }
                }
                @if let Some(timeline) = seen.timeline { small { "timeline " (timeline) } }
            }
        }
    }
}

/// Unknown is never shown as 0.
fn lag(server: &ServerStatus) -> Markup {
    html! {
        @match (server.bytes_behind, server.seconds_behind) {
            (Some(0), _) => "nothing behind",
            (Some(count), Some(seconds)) => { (bytes(count)) " and " (span(seconds)) " behind" }
            (Some(count), None) => { (bytes(count)) " behind, in time " span .unknown { "UNKNOWN" } }
            (None, Some(seconds)) => { (span(seconds)) " behind, in bytes " span .unknown { "UNKNOWN" } }
            (None, None) => { "lag " span .unknown { "UNKNOWN" } }
        }
    }
}

fn newest(view: &View, store: &StoreStatus) -> Markup {
    html! {
        b { (store.store) } " in " (store.region) ": "
        @match &store.newest {
            Learned::Unknown(why) => (unknown(why)),
            Learned::Known(None) => span .bad { "none" },
            Learned::Known(Some(newest)) => {
                @let age = (view.at() - newest.taken).as_seconds_f64();
                span .bad[age > view.rpo_seconds] { (span(age)) " old" }
                @if age > view.rpo_seconds { ", over the RPO of " (span(view.rpo_seconds)) }
            }
        }
    }
}
