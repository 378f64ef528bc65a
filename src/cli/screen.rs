//! Progress on a terminal, quiet lines elsewhere, events with `--json`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::render::{bytes, count};
use crate::model::{Event, Level, Sink};

/// Between two quiet lines.
const QUIET: Duration = Duration::from_secs(30);

/// Bars of single tables shown at once.
const BARS: usize = 6;

/// The sink for how the command was called.
pub fn sink(json: bool) -> Arc<dyn Sink> {
    match (json, std::io::stderr().is_terminal()) {
        (true, _) => Arc::new(Json),
        (false, true) => Arc::new(Bars::new()),
        (false, false) => Arc::new(Lines::default()),
    }
}

/// Every event as one line on stdout.
struct Json;

impl Sink for Json {
    fn emit(&self, event: Event) {
        if let Ok(line) = serde_json::to_string(&event) {
            // A reader that went away is no reason to fail.
            let _ = writeln!(std::io::stdout().lock(), "{line}");
        }
    }
}

/// Sums of what was planned and done.
#[derive(Default)]
struct Tally {
    total_bytes: u64,
    bytes: u64,
    rows: u64,
    tables: u64,
    tables_done: u64,
    begun: Option<Instant>,
    told: Option<Instant>,
}

impl Tally {
    fn take(&mut self, event: &Event) {
        match event {
            Event::Planned { tables, total_bytes, .. } => {
                (self.tables, self.total_bytes) = (*tables, *total_bytes);
                (self.bytes, self.rows, self.tables_done) = (0, 0, 0);
                self.begun = Some(Instant::now());
                self.told = self.begun;
            }
            Event::TableProgress { rows, bytes, .. } => {
                self.rows += rows;
                self.bytes += bytes;
            }
            Event::TableEnded { .. } => self.tables_done += 1,
            _ => {}
        }
    }
}

/// A line every 30 seconds, for logs.
#[derive(Default)]
struct Lines(Mutex<Tally>);

impl Sink for Lines {
    fn emit(&self, event: Event) {
        let mut tally = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tally.take(&event);
        let line = match event {
            Event::StoreLost { store, error } => {
                format!("warning: store `{store}` is given up: {error}")
            }
            Event::Notice { level: Level::Warning, message } => format!("warning: {message}"),
            Event::Notice { level: Level::Info, message } => message,
            Event::TableProgress { .. } if tally.told.is_some_and(|t| t.elapsed() >= QUIET) => {
                tally.told = Some(Instant::now());
                let seconds = tally.begun.map_or(1.0, |b| b.elapsed().as_secs_f64()).max(0.001);
                format!(
                    "{} of {} tables, {} rows, {} of about {}, {}/s",
                    tally.tables_done,
                    tally.tables,
                    count(tally.rows),
                    bytes(tally.bytes),
                    bytes(tally.total_bytes),
                    bytes((tally.bytes as f64 / seconds) as u64),
                )
            }
            _ => return,
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Bars: one for all, one for each table under way.
struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    total: Option<ProgressBar>,
    tables: BTreeMap<String, ProgressBar>,
    sizes: BTreeMap<String, u64>,
}

impl Bars {
    fn new() -> Self {
        Self {
            all: MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(8)),
            state: Mutex::default(),
        }
    }

    fn style(template: &str) -> ProgressStyle {
        ProgressStyle::with_template(template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─")
    }
}

impl Sink for Bars {
    fn emit(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tally.take(&event);
        match event {
            Event::Planned { total_bytes, .. } => {
                if let Some(old) = state.total.take() {
                    old.finish_and_clear();
                }
                let bar = self.all.add(ProgressBar::new(total_bytes));
                bar.set_style(Self::style(
                    "{prefix:>28} {bar:24} {bytes:>10} of {total_bytes:<10} {bytes_per_sec:>12} {eta:>4} left  {msg}",
                ));
                bar.set_prefix("total");
                state.total = Some(bar);
            }
            Event::Phase { name } => {
                if let Some(bar) = &state.total {
                    bar.set_message(name);
                }
            }
            Event::TableStarted { table, total_bytes } => {
                state.sizes.insert(table, total_bytes);
            }
            Event::TableProgress { table, bytes, .. } => {
                let rows = count(state.tally.rows);
                if let Some(bar) = &state.total {
                    bar.inc(bytes);
                    if bar.position() > bar.length().unwrap_or(0) {
                        bar.set_length(bar.position());
                    }
                    bar.set_message(format!("{rows} rows"));
                }
                let expected = state.sizes.get(&table).copied().unwrap_or(0);
                if !state.tables.contains_key(&table) && state.tables.len() < BARS {
                    let bar = self.all.insert(0, ProgressBar::new(expected.max(bytes)));
                    bar.set_style(Self::style("{prefix:>28} {bar:24} {bytes:>10}"));
                    bar.set_prefix(shortened(&table));
                    state.tables.insert(table.clone(), bar);
                }
                if let Some(bar) = state.tables.get(&table) {
                    bar.inc(bytes);
                }
            }
            Event::TableEnded { table, .. } => {
                if let Some(bar) = state.tables.remove(&table) {
                    bar.finish_and_clear();
                }
            }
            Event::StoreLost { store, error } => {
                let _ = self.all.println(format!("warning: store `{store}` is given up: {error}"));
            }
            Event::Notice { level: Level::Warning, message } => {
                let _ = self.all.println(format!("warning: {message}"));
            }
            Event::Notice { level: Level::Info, message } => {
                let _ = self.all.println(message);
            }
            _ => {}
        }
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        let _ = self.all.clear();
    }
}

fn shortened(name: &str) -> String {
    let n = name.chars().count();
    match n > 28 {
        true => format!("…{}", name.chars().skip(n - 27).collect::<String>()),
        false => name.to_owned(),
    }
}
