//! `drctl status`.

use std::io::Write as _;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};

use super::args::{Cli, Status as Args};
use super::render::{Done, bytes, plural, span};
use crate::app::App;
use crate::error::{Kind, Result};
use crate::postgres::replication::{Receiver, Replication, Role};
use crate::report::status::{
    DatabaseStatus, Learned, ServerStatus, Status, StoreStatus, Terms, gather, reasons,
};

/// No line is longer.
const WIDTH: usize = 80;

pub async fn run(cli: &Cli, args: &Args) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let terms = Terms {
        rpo: app.config.objectives.rpo,
        preflight_max_age: app.config.failover.preflight_max_age,
    };
    let mut last = None;
    loop {
        let status = tokio::select! {
            status = look(&app, args.timeout) => status?,
            stopped = super::stopped() => match last {
                Some(code) => return Ok(Done::with(code, String::new(), json!({}))),
                None => return Err(stopped),
            },
        };
        let why = reasons(&status, &terms);
        let done = done(&status, &why, &terms);
        let Some(every) = args.watch else { return Ok(done) };
        let mut out = std::io::stdout().lock();
        let shown = match cli.json {
            true => writeln!(out, "{}", Value::Object(done.fields)),
            // Home, the screen, and what is left below it.
            false => write!(out, "\x1b[H\x1b[2J{}", done.text),
        };
        if shown.and_then(|()| out.flush()).is_err() {
            // Whoever read it has gone.
            return Ok(Done::with(done.code, String::new(), json!({})));
        }
        drop(out);
        last = Some(done.code);
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            _ = super::stopped() => return Ok(Done::with(done.code, String::new(), json!({}))),
        }
    }
}

async fn look(app: &App, limit: Duration) -> Result<Status> {
    Ok(gather(&app.sources(limit).await?, Utc::now()).await)
}

fn done(status: &Status, why: &[String], terms: &Terms) -> Done {
    let code = if why.is_empty() { 0 } else { Kind::Failed.exit_code() };
    let fields = json!({ "ready": why.is_empty(), "reasons": why, "status": status });
    Done::with(code, text(status, why, terms), fields)
}

fn text(status: &Status, why: &[String], terms: &Terms) -> String {
    let mut screen = Screen(String::new());
    let at = status.at.format("%Y-%m-%d %H:%M:%S UTC");
    screen.line("", &format!("{}, {at}", status.project));
    screen.line("active     ", &active(status));
    for database in &status.databases {
        screen.0.push('\n');
        one(&mut screen, database, status, terms);
    }
    screen.0.push('\n');
    screen.line("preflight  ", &preflight(status));
    screen.line("drill      ", &drill(status));
    match &status.open_runs {
        Learned::Unknown(why) => screen.line("runs       ", &format!("unknown: {why}")),
        Learned::Known(runs) if runs.is_empty() => screen.line("runs       ", "none open"),
        Learned::Known(runs) => {
            for run in runs {
                let text = format!(
                    "{} {}: {}, by {}; drctl runs show {}",
                    run.id, run.state, run.runbook, run.operator, run.id
                );
                screen.line("runs       ", &text);
            }
        }
    }
    leases(&mut screen, status);
    screen.0.push('\n');
    match why {
        [] => screen.line("", "ready"),
        _ => screen.line("", &format!("not ready: {}", why.join("; "))),
    }
    screen.0
}

fn active(status: &Status) -> String {
    match &status.epoch {
        Learned::Known(Some(epoch)) => {
            let since = epoch.since.format("%Y-%m-%d %H:%M UTC");
            format!("{}, epoch {} since {since}", epoch.region, epoch.number)
        }
        Learned::Known(None) => format!("{}, as configured: no epoch yet", status.active),
        Learned::Unknown(why) => {
            format!("unknown ({} is the configured primary): {why}", status.active)
        }
    }
}

fn one(screen: &mut Screen, database: &DatabaseStatus, status: &Status, terms: &Terms) {
    screen.line("", &format!("database {}", database.name));
    let wide = database.servers.iter().map(|s| s.region.len()).max().unwrap_or(0);
    for server in &database.servers {
        let head = format!("  {:<wide$}  ", server.region);
        screen.line(&head, &position(server));
        if let Some(feed) = feed(server) {
            screen.line(&" ".repeat(head.len()), &feed);
        }
    }
    if database.servers.is_empty() {
        let hint = format!(
            "no servers: add [database.{}.server.REGION] tables to see replication",
            database.name
        );
        screen.line("  ", &hint);
    }
    if let Some(loss) = &database.loss {
        screen.line("  failover now would lose  ", &loss.in_words());
    }
    let snapshots: Vec<String> = database.stores.iter().map(|s| snapshot(s, status)).collect();
    let rpo = humantime::format_duration(terms.rpo);
    screen.line("  snapshots  ", &format!("{} (RPO {rpo})", snapshots.join("; ")));
}

/// Role, timeline and positions.
fn position(server: &ServerStatus) -> String {
    let seen = match &server.seen {
        Learned::Known(seen) => seen,
        Learned::Unknown(why) => return format!("NO ANSWER: {why}"),
    };
    let known = |value: Option<String>| value.unwrap_or_else(|| "unknown".to_owned());
    let timeline = known(seen.timeline.map(|t| t.to_string()));
    let role = match (seen.role, server.active) {
        (Role::Standby, true) => "STANDBY",
        (Role::Primary, false) => "PRIMARY",
        (role, _) => role.as_str(),
    };
    let at = match seen.role {
        Role::Primary => format!("at {}", known(seen.flushed.map(|l| l.to_string()))),
        Role::Standby => format!(
            "received {}, replayed {}",
            known(seen.received.map(|l| l.to_string())),
            known(seen.replayed.map(|l| l.to_string()))
        ),
    };
    format!("{role}, timeline {timeline}, {at}")
}

/// What a standby gets, and how far it is behind.
fn feed(server: &ServerStatus) -> Option<String> {
    let seen = server.seen.known().filter(|seen| seen.role == Role::Standby)?;
    let paused = if seen.paused == Some(true) { ", replay PAUSED" } else { "" };
    let behind = match (server.bytes_behind, server.seconds_behind) {
        (Some(0), _) => "0 B and 0 s behind".to_owned(),
        (Some(n), Some(s)) => format!("{} and {} behind", bytes(n), span(s)),
        (Some(n), None) => format!("{} and an unknown time behind", bytes(n)),
        (None, _) => "lag unknown".to_owned(),
    };
    Some(format!("{}{paused}, {behind}", receiver(seen)))
}

fn receiver(seen: &Replication) -> String {
    match &seen.receiver {
        Receiver::Unknown => "streaming unknown: GRANT pg_monitor to the role".to_owned(),
        Receiver::Absent => "NOT STREAMING".to_owned(),
        Receiver::Present { status, .. } => status.clone(),
    }
}

fn snapshot(store: &StoreStatus, status: &Status) -> String {
    match &store.newest {
        Learned::Known(Some(newest)) => {
            let age = (status.at - newest.taken).num_milliseconds() as f64 / 1000.0;
            format!("{} {} old", store.store, span(age))
        }
        Learned::Known(None) => format!("{} NONE", store.store),
        Learned::Unknown(why) => format!("{} UNKNOWN: {why}", store.store),
    }
}

fn preflight(status: &Status) -> String {
    let runbook = &status.runbook;
    match &status.preflight {
        Learned::Unknown(why) => format!("{runbook}: unknown: {why}"),
        Learned::Known(None) => format!("{runbook}: none yet; drctl preflight {runbook}"),
        Learned::Known(Some(last)) => {
            let age = span((status.at - last.at).num_seconds() as f64);
            let found: Vec<String> = [
                (last.not_ready, format!("{} NOT READY", last.not_ready)),
                (last.warnings, plural(last.warnings as u64, "warning")),
                (last.unproven, format!("{} unproven", last.unproven)),
            ]
            .into_iter()
            .filter_map(|(n, words)| (n > 0).then_some(words))
            .collect();
            let found = if found.is_empty() { "all ready".to_owned() } else { found.join(", ") };
            format!("{runbook}: {age} ago, {found}")
        }
    }
}

fn drill(status: &Status) -> String {
    match &status.drill {
        Learned::Unknown(why) => format!("unknown: {why}"),
        Learned::Known(None) => "none yet".to_owned(),
        Learned::Known(Some(last)) => {
            let age = span((status.at - last.at).num_seconds() as f64);
            let recovery = match last.recovery_seconds {
                Some(seconds) => format!("recovery time {}", span(seconds)),
                None => "not recovered".to_owned(),
            };
            format!("{}: {age} ago, {}, {recovery}", last.what, last.outcome.as_str())
        }
    }
}

fn leases(screen: &mut Screen, status: &Status) {
    for lease in &status.leases {
        let since = lease.since.format("%H:%M:%S UTC");
        let left = match lease.left {
            Some(left) => format!("runs out in {} s without a sign", left.as_secs()),
            None => "RUN OUT: no sign of its holder".to_owned(),
        };
        let text =
            format!("{} in {} since {since}: {}; {left}", lease.name, lease.store, lease.holder);
        screen.line("lease      ", &text);
    }
    if status.leases.is_empty() && status.leases_unknown.is_empty() {
        screen.line("lease      ", "none held");
    }
    for (store, why) in &status.leases_unknown {
        screen.line("lease      ", &format!("unknown in {store}: {why}"));
    }
}

/// Lines of at most `WIDTH`; what is longer goes on below, under where it began.
struct Screen(String);

impl Screen {
    fn line(&mut self, head: &str, text: &str) {
        let indent = if head.is_empty() { 2 } else { head.chars().count() };
        let mut line = head.to_owned();
        let mut begun = false;
        for word in text.split_whitespace() {
            let long = line.chars().count() + usize::from(begun) + word.chars().count() > WIDTH;
            if begun && long {
                self.0.push_str(line.trim_end());
                self.0.push('\n');
                line = " ".repeat(indent);
                begun = false;
            }
            if begun {
                line.push(' ');
            }
            line.push_str(word);
            begun = true;
        }
        self.0.push_str(line.trim_end());
        self.0.push('\n');
    }
}

#[cfg(test)]
mod tests;
