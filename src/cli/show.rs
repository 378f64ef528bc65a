//! `drctl show`.

use serde_json::json;

use super::args::{Cli, Show};
use super::render::{self, Done, bytes, count, plural, span};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::integrity::shelf::{self, Shelved};
use crate::model::{Manifest, RowFormat};

pub async fn run(cli: &Cli, args: &Show) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let keys = app.keys()?;
    let names = app.databases(args.database.as_deref())?;
    if names.len() > 1 && args.snapshot == "latest" {
        return Err(Error::new(Kind::Usage, "`latest` of which database?")
            .hint(format!("add --database NAME: {}", names.join(", "))));
    }
    let mut not_found = None;
    for name in &names {
        let stores = app.stores_in_haste(app.config.database(name)?, None).await?;
        let shelf = shelf::shelf(&stores, &keys, name).await?;
        let shelved = match shelf.resolve(&args.snapshot) {
            Ok(shelved) => shelved,
            Err(e) => {
                not_found.get_or_insert(e);
                continue;
            }
        };
        let (_, manifest) = shelf::manifest(&stores, &keys, name, shelved).await?;
        let fields = json!({"manifest": manifest, "shares": shelved.shares});
        return Ok(Done::well(text(&manifest, shelved), fields));
    }
    Err(not_found.unwrap_or_else(|| Error::new(Kind::Usage, "no database is configured")))
}

fn text(m: &Manifest, shelved: &Shelved) -> String {
    let s = &m.source;
    let role = if s.in_recovery { "standby" } else { "primary" };
    let unknown = || "unknown".to_owned();
    let totals = &m.totals;
    let mut head = vec![
        ("Snapshot", m.id.to_string()),
        ("Database", format!("{} (project {})", m.database, m.project)),
        ("Shows", m.taken.format("%Y-%m-%d %H:%M:%S UTC").to_string()),
        ("Read in", span((m.read - m.taken).num_milliseconds() as f64 / 1000.0)),
        ("Generation", m.generation.to_string()),
        (
            "Stores",
            shelved
                .shares
                .iter()
                .map(|share| format!("{} {}", share.store, super::list::state(&share.state)))
                .collect::<Vec<_>>()
                .join(", "),
        ),
        (
            "Source",
            format!(
                "PostgreSQL {} {role}, database {}, system {}, timeline {}, at {}",
                s.version,
                s.database,
                s.system_identifier.clone().unwrap_or_else(unknown),
                s.timeline.map_or_else(unknown, |t| t.to_string()),
                s.lsn.map_or_else(unknown, |l| l.to_string()),
            ),
        ),
        ("Encoding", format!("{}, {} {}", s.encoding, s.locale_provider, s.collate)),
        (
            "Rows",
            format!(
                "{} in {}, {} as COPY {}",
                count(totals.rows),
                plural(totals.tables, "table"),
                bytes(totals.raw_bytes),
                if m.row_format == RowFormat::Binary { "binary" } else { "text" },
            ),
        ),
        (
            "Stored",
            format!(
                "{} in {}; {} in {} were new",
                bytes(totals.stored_bytes),
                plural(totals.parts, "part"),
                bytes(totals.new_bytes),
                plural(totals.new_parts, "part"),
            ),
        ),
        ("Written by", format!("{}, {}", m.program, m.schema.program)),
    ];
    if let Some(encryption) = &m.encryption {
        let recipients: Vec<String> =
            encryption.recipients.iter().map(ToString::to_string).collect();
        head.push(("Encrypted", format!("for {}", recipients.join(", "))));
    }
    let mut text = String::new();
    for (name, value) in head {
        text.push_str(&format!("{name:<12}{value}\n"));
    }
    let mut rows =
        vec![["\n  TABLE", "ROWS", "BYTES", "STORED", "PARTS"].map(str::to_owned).into()];
    for t in &m.tables {
        rows.push(vec![
            format!("  {}", t.name),
            count(t.rows),
            bytes(t.raw_bytes),
            bytes(t.stored_bytes),
            count(t.parts),
        ]);
    }
    text.push_str(&render::columns(&rows, &[1, 2, 3, 4]));
    let large = m.large_objects.objects;
    text.push_str(&format!(
        "\nBesides: definitions, privileges and comments ({}), {}, {}, {}, {}, {}.\n",
        bytes(m.schema.stored),
        plural(m.sequences.len() as u64, "sequence"),
        plural(large, "large object"),
        plural(m.materialized_views.len() as u64, "materialized view"),
        plural(m.extensions.len() as u64, "extension"),
        plural(m.roles.len() as u64, "role"),
    ));
    match m.left_out.is_empty() {
        true => text.push_str("Nothing was left out.\n"),
        false => text.push_str("Left out:\n"),
    }
    for line in &m.left_out {
        text.push_str(&format!("  {}: {}\n", line.what, line.reason));
    }
    text
}
