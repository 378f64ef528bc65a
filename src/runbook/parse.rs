//! Reading a runbook's text. What is wrong in it is told to the document; check.rs judges the rest.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value};
use toml::de::DeValue;

use super::check;
use super::references::Circumstances;
use super::sheet::{Approve, OnFailure, Runbook, Step, Who};
use crate::config::Config;
use crate::config::document::Document;
use crate::config::table::Table;
use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Span};
use crate::providers::{Arguments, Mode};

/// The keys of a runbook and of its steps.
pub(super) const RUNBOOK: &[&str] = &["title", "about", "from", "to", "mode", "rto", "rpo", "step"];
pub(super) const STEP: &[&str] = &[
    "id",
    "uses",
    "with",
    "needs",
    "when",
    "timeout",
    "retries",
    "on_failure",
    "compensate",
    "approve",
    "point_of_no_return",
];
const MODES: [(&str, Mode); 2] = [("graceful", Mode::Graceful), ("forced", Mode::Forced)];
const APPROVE: &[&str] = &["who", "timeout"];

const SECOND: Duration = Duration::from_secs(1);
const MONTH: Duration = Duration::from_hours(30 * 24);
const MOST_RETRIES: i64 = 20;

/// The lines of one step, for what is told of it later.
#[derive(Debug, Default)]
pub(super) struct Lines {
    /// Of its keys.
    pub keys: BTreeMap<String, usize>,
    /// Of its arguments: `/targets/0/zone`.
    pub arguments: BTreeMap<String, usize>,
}

impl Lines {
    /// The line of the argument at `place`, or of the nearest one around it.
    pub fn argument(&self, place: &str) -> Option<usize> {
        let mut place = place;
        loop {
            if let Some(line) = self.arguments.get(place) {
                return Some(*line);
            }
            place = &place[..place.rfind('/')?];
        }
    }
}

impl Runbook {
    /// Checks the text of a runbook against the configuration that it will run with. `path` names
    /// it. `Kind::Usage` with every problem, one a line.
    pub fn parse(text: &str, path: &Path, config: &Config) -> Result<Self> {
        Self::parse_in(text, path, config, &Circumstances::of_a_look(config))
    }

    /// As `parse`, where it is known which region is active.
    pub fn parse_in(
        text: &str,
        path: &Path,
        config: &Config,
        circumstances: &Circumstances,
    ) -> Result<Self> {
        let doc = Document::literal(path, text);
        let name = path.file_stem().map_or_else(String::new, |s| s.to_string_lossy().into_owned());
        let read = doc.parse().map(|root| {
            let mut root = Table::root(&doc, &root, RUNBOOK);
            let (runbook, lines) = runbook(&mut root, name, text, config);
            check::check(&doc, &runbook, &lines, config, circumstances);
            runbook
        });
        match (doc.error(), read) {
            (Some(e), _) => Err(e),
            (None, Some(runbook)) => Ok(runbook),
            (None, None) => {
                Err(Error::new(Kind::Bug, format!("{} was refused without telling why", doc.label)))
            }
        }
    }
}

fn runbook(
    root: &mut Table<'_>,
    name: String,
    text: &str,
    config: &Config,
) -> (Runbook, Vec<Lines>) {
    root.require("title");
    if !root.has("step") {
        root.doc.problem(0, "there is no [[step]]");
    }
    let tables = root.listed_tables("step", STEP);
    let (steps, mut lines): (Vec<_>, Vec<_>) =
        tables.into_iter().enumerate().map(|(n, mut table)| step(&mut table, n + 1)).unzip();
    let keys = RUNBOOK.iter().map(|key| ((*key).to_owned(), root.line_of(key))).collect();
    lines.push(Lines { keys, ..Lines::default() });
    let mode = root.choice("mode", &MODES);
    let mut text_of = |key: &str| root.text(key).map(|at| at.value);
    let runbook = Runbook {
        name,
        digest: Digest::of(text.as_bytes()),
        title: text_of("title").unwrap_or_default(),
        about: text_of("about"),
        from: text_of("from").unwrap_or_else(|| "${regions.primary}".to_owned()),
        to: text_of("to").unwrap_or_else(|| "${regions.standby}".to_owned()),
        mode,
        rto: Span(root.duration("rto", SECOND..=MONTH).unwrap_or(config.objectives.rto)),
        rpo: Span(root.duration("rpo", SECOND..=MONTH).unwrap_or(config.objectives.rpo)),
        steps,
    };
    (runbook, lines)
}

/// The step with what can be read of it; the rest was told.
fn step(table: &mut Table<'_>, number: usize) -> (Step, Lines) {
    for key in ["id", "uses", "timeout"] {
        table.require(key);
    }
    let keys = STEP.iter().map(|key| ((*key).to_owned(), table.line_of(key))).collect();
    let mut lines = Lines { keys, ..Lines::default() };
    let id = table.parsed("id", |text| match crate::store::keys::is_plain_name(text) {
        true => Ok(text.to_owned()),
        false => Err("must be letters, digits, `-`, `_` and `.`".to_owned()),
    });
    let step = Step {
        id: id.map_or_else(|| format!("(step {number})"), |at| at.value),
        uses: table.text("uses").map(|at| at.value).unwrap_or_default(),
        with: arguments(table, &mut lines),
        needs: table.texts("needs").unwrap_or_default().into_iter().map(|at| at.value).collect(),
        timeout: Span(table.duration("timeout", SECOND..=MONTH).unwrap_or_default()),
        retries: table
            .integer("retries", 0..=MOST_RETRIES)
            .and_then(|n| u32::try_from(n).ok())
            .unwrap_or(0),
        on_failure: table
            .choice(
                "on_failure",
                &[
                    ("stop", OnFailure::Stop),
                    ("continue", OnFailure::Continue),
                    ("abort", OnFailure::Abort),
                ],
            )
            .unwrap_or_default(),
        compensate: table.boolean("compensate"),
        approve: approve(table),
        when: table.choice("when", &MODES),
        point_of_no_return: table.boolean("point_of_no_return").unwrap_or(false),
        line: table.line,
    };
    (step, lines)
}

fn approve(step: &Table<'_>) -> Option<Approve> {
    let mut table = step.table("approve", APPROVE)?;
    table.require("who");
    table.require("timeout");
    let who = table
        .choice("who", &[("operator", Who::Operator), ("second-person", Who::SecondPerson)])?;
    Some(Approve { who, timeout: Span(table.duration("timeout", SECOND..=MONTH)?) })
}

fn arguments(step: &Table<'_>, lines: &mut Lines) -> Arguments {
    let Some(entry) = step.entry("with") else { return Arguments::default() };
    if !entry.value.is_table() {
        step.wrong_type(&entry, "a table");
        return Arguments::default();
    }
    match json(step.doc, entry.value, entry.line, "", lines) {
        Some(Value::Object(map)) => Arguments(map),
        _ => Arguments::default(),
    }
}

/// A value as JSON, with the line of everything in it.
fn json(
    doc: &Document<'_>,
    value: &DeValue<'_>,
    line: usize,
    place: &str,
    lines: &mut Lines,
) -> Option<Value> {
    if !place.is_empty() {
        lines.arguments.insert(place.to_owned(), line);
    }
    let refuse = |what: &str| {
        doc.problem(line, format!("`{}`: {what}", place.trim_start_matches('/')));
        None
    };
    Some(match value {
        DeValue::String(text) => Value::from(text.as_ref()),
        DeValue::Boolean(truth) => Value::from(*truth),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Value::from(number),
            Err(_) => return refuse("is too large a number"),
        },
        DeValue::Float(number) => {
            let number = number.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            match number {
                Some(number) => Value::Number(number),
                None => return refuse("must be a finite number"),
            }
        }
        DeValue::Datetime(_) => return refuse("write a date as a string"),
        DeValue::Array(items) => {
            let items: Vec<_> = items
                .iter()
                .enumerate()
                .map(|(i, item)| {
                    let line = doc.line(item.span().start);
                    json(doc, item.get_ref(), line, &format!("{place}/{i}"), lines)
                })
                .collect();
            Value::Array(items.into_iter().collect::<Option<_>>()?)
        }
        DeValue::Table(table) => {
            let mut map = Map::new();
            for (key, item) in table.iter() {
                let line = doc.line(key.span().start);
                let place = format!("{place}/{}", key.get_ref());
                map.insert(
                    key.get_ref().as_ref().to_owned(),
                    json(doc, item.get_ref(), line, &place, lines)?,
                );
            }
            Value::Object(map)
        }
    })
}
