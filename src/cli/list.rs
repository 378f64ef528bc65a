//! `drctl list`.

use chrono::{DateTime, Utc};
use serde_json::json;

use super::args::{Cli, List};
use super::render::{self, Done, bytes, count, span};
use crate::app::App;
use crate::error::{Kind, Result};
use crate::integrity::shelf::{self, Shelf, Shelved, State};

pub async fn run(cli: &Cli, args: &List) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let keys = app.keys()?;
    let now = Utc::now();
    let mut text = String::new();
    let mut snapshots = Vec::new();
    let mut unreachable = Vec::new();
    for name in app.databases(args.database.as_deref())? {
        let stores = app.stores_in_haste(app.config.database(&name)?, None).await?;
        let shelf = shelf::shelf(&stores, &keys, &name).await?;
        text.push_str(&table(&shelf, now));
        for s in &shelf.snapshots {
            snapshots.push(json!({"database": name, "snapshot": s, "age_seconds": age(s, now)}));
        }
        unreachable.extend(
            shelf.unreachable.iter().map(|(store, why)| json!({"store": store, "error": why})),
        );
    }
    let code = if unreachable.is_empty() { 0 } else { Kind::Unverified.exit_code() };
    let fields = json!({"snapshots": snapshots, "unreachable": unreachable});
    Ok(Done::with(code, text, fields))
}

fn age(s: &Shelved, now: DateTime<Utc>) -> f64 {
    (now - s.taken()).num_milliseconds() as f64 / 1000.0
}

pub(super) fn state(state: &State) -> &'static str {
    match state {
        State::Complete => "complete",
        State::Damaged { .. } => "DAMAGED",
        State::Unverified { .. } => "UNREADABLE",
        State::Missing => "MISSING",
        State::Absent => "-",
        State::Unreachable => "UNKNOWN",
    }
}

fn table(shelf: &Shelf, now: DateTime<Utc>) -> String {
    if shelf.snapshots.is_empty() && shelf.unreachable.is_empty() {
        return format!(
            "No snapshot of `{}` yet. Take the first: drctl snapshot {}\n",
            shelf.database, shelf.database
        );
    }
    let mut text = format!("{}\n", shelf.database);
    let mut rows = Vec::new();
    let mut head: Vec<String> =
        ["  SNAPSHOT", "AGE", "GENERATION", "ROWS", "SIZE", "NEW"].map(str::to_owned).into();
    if let Some(first) = shelf.snapshots.first() {
        head.extend(first.shares.iter().map(|s| s.store.to_uppercase()));
    }
    rows.push(head);
    for s in &shelf.snapshots {
        let totals = s.facts.as_ref().map(|f| f.totals);
        let of = |f: &dyn Fn(crate::model::Totals) -> String| totals.map_or("?".to_owned(), f);
        let mut row = vec![
            format!("  {}", s.id),
            span(age(s, now)),
            s.generation.to_string(),
            of(&|t| count(t.rows)),
            of(&|t| bytes(t.stored_bytes)),
            of(&|t| bytes(t.new_bytes)),
        ];
        for share in &s.shares {
            let mut cell = state(&share.state).to_owned();
            if share.found_damaged {
                "DAMAGED".clone_into(&mut cell);
            } else if share.verified.is_some() {
                cell.push_str(", verified");
            }
            row.push(cell);
        }
        rows.push(row);
    }
    text.push_str(&render::columns(&rows, &[1, 3, 4, 5]));
    for (store, why) in &shelf.unreachable {
        text.push_str(&format!("Store `{store}` could not be asked: {why}\n"));
    }
    text
}
