//! Progress on a terminal, quiet lines elsewhere, events with `--json`.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::render::{bytes, count, span};
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
            // What came before it, such as definitions, says nothing of the rate.
            Event::Phase { .. } if self.bytes == 0 => self.begun = Some(Instant::now()),
            Event::TableProgress { rows, bytes, .. } => {
                self.rows += rows;
                self.bytes += bytes;
            }
            Event::TableEnded { .. } => self.tables_done += 1,
            _ => {}
        }
    }

    /// `11.7 MiB of about 67.8 MiB, 43,543 rows, 5.5 MiB/s, 10 s left`.
    fn figures(&self) -> String {
        let seconds = self.begun.map_or(0.0, |b| b.elapsed().as_secs_f64()).max(0.001);
        let rate = self.bytes as f64 / seconds;
        let mut text = bytes(self.bytes);
        if self.total_bytes > 0 {
            text.push_str(&format!(" of about {}", bytes(self.total_bytes.max(self.bytes))));
        }
        text.push_str(&format!(", {} rows", count(self.rows)));
        if self.begun.is_some() {
            text.push_str(&format!(", {}/s", bytes(rate as u64)));
        }
        let left = self.total_bytes.saturating_sub(self.bytes);
        // Before that the rate is a guess.
        if left > 0 && seconds > 1.0 && rate > 0.0 {
            let left = (left as f64 / rate).ceil();
            match left < 60.0 {
                true => text.push_str(&format!(", {left} s left")),
                false => text.push_str(&format!(", {} left", span(left))),
            }
        }
        text
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
                format!("{} of {} tables, {}", tally.tables_done, tally.tables, tally.figures())
            }
            _ => return,
        };
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }
}

/// Bars: one for all, one for each table under way. Lines fit in 80 columns, for one that wraps
/// leaves a trail.
struct Bars {
    all: MultiProgress,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    tally: Tally,
    total: Option<ProgressBar>,
    phase: String,
    tables: BTreeMap<String, TableBar>,
    sizes: BTreeMap<String, u64>,
}

struct TableBar {
    bar: ProgressBar,
    rows: u64,
    /// When it last moved.
    moved: Instant,
}

/// With and without an expected size.
const SIZED: &str = "  {prefix:<26} {bar:20} {bytes:>10}  {msg}";
const UNSIZED: &str = "  {prefix:<26} {bytes:>10}  {msg}";
/// The figures have a line of their own.
const TOTAL: &str = "  {prefix:<26} {bar:20} {percent:>3} %  {elapsed}\n  {msg}";
const PHASE: &str = "  {prefix:<26} {elapsed:>3}  {msg}";

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

    /// The bar at the bottom, anew: its time runs from here.
    fn total(&self, state: &mut State, template: &str, length: u64) {
        if let Some(old) = state.total.take() {
            old.finish_and_clear();
        }
        let bar = self.all.add(ProgressBar::new(length));
        bar.set_style(Self::style(template));
        bar.set_prefix(match state.phase.as_str() {
            "" => "rows".to_owned(),
            phase => shortened(phase),
        });
        bar.enable_steady_tick(Duration::from_millis(250));
        state.total = Some(bar);
    }

    fn progress(&self, state: &mut State, table: String, rows: u64, bytes: u64) {
        if state.tally.total_bytes > 0 && state.tally.bytes == bytes {
            // The first of what was planned.
            self.total(state, TOTAL, state.tally.total_bytes);
        }
        if let Some(bar) = &state.total {
            bar.set_position(state.tally.bytes);
            // What was planned is an estimate.
            if state.tally.bytes > bar.length().unwrap_or(0) {
                bar.set_length(state.tally.bytes);
            }
            bar.set_message(state.tally.figures());
        }
        if !state.tables.contains_key(&table) {
            if state.tables.len() == BARS {
                let idle = state.tables.iter().min_by_key(|(_, t)| t.moved).map(|(n, _)| n.clone());
                if let Some(idle) = idle.and_then(|name| state.tables.remove(&name)) {
                    idle.bar.finish_and_clear();
                }
            }
            let size = state.sizes.get(&table).copied();
            let bar = self.all.insert(0, ProgressBar::new(size.unwrap_or(0)));
            bar.set_style(Self::style(if size.is_some() { SIZED } else { UNSIZED }));
            bar.set_prefix(shortened(&table));
            let fresh = TableBar { bar, rows: 0, moved: Instant::now() };
            state.tables.insert(table.clone(), fresh);
        }
        if let Some(t) = state.tables.get_mut(&table) {
            t.rows += rows;
            t.moved = Instant::now();
            t.bar.inc(bytes);
            t.bar.set_message(format!("{} rows", count(t.rows)));
        }
    }
}

impl Sink for Bars {
    fn emit(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.tally.take(&event);
        match event {
            Event::Planned { .. } => state.sizes.clear(),
            Event::Phase { name } => {
                state.phase = name;
                for (_, table) in std::mem::take(&mut state.tables) {
                    table.bar.finish_and_clear();
                }
                self.total(&mut state, PHASE, 0);
            }
            Event::TableStarted { table, total_bytes } => {
                state.sizes.insert(table, total_bytes);
            }
            Event::TableProgress { table, rows, bytes } => {
                self.progress(&mut state, table, rows, bytes);
            }
            Event::TableEnded { table, .. } => {
                if let Some(table) = state.tables.remove(&table) {
                    table.bar.finish_and_clear();
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
    match n > 26 {
        true => format!("…{}", name.chars().skip(n - 25).collect::<String>()),
        false => name.to_owned(),
    }
}
