//! `drctl runner`.

use std::io::{IsTerminal as _, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use chrono::{DateTime, SecondsFormat, Utc};
use clap::Parser as _;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};

use super::args::Cli;
use super::render::{Done, plural};
use super::runner_args::{LogForm, Runner as Args};
use crate::app::App;
use crate::error::{Attempt as _, Error, Kind, Result};
use crate::model::{Event, Level, Sink};
use crate::schedule::{Diary, Happening, Order, Plan, Terms, Unit, Worked, run as work};

pub async fn run(cli: &Cli, args: &Args) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    let plan = plan(&app)?;
    if args.dry_run {
        return preview(&app).await;
    }
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let terms = Terms {
        runner: args
            .name
            .clone()
            .or(app.config.runner.name.clone())
            .unwrap_or_else(|| plain(&host)),
        host,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        once: args.once,
    };
    let diary: Arc<dyn Diary> = Arc::new(Log::new(cli.json, args.log));
    for warning in &app.config.warnings {
        let warning = warning.clone();
        diary.note(
            Utc::now(),
            Happening::Trouble { what: "configuration".to_owned(), error: warning },
        );
    }
    // The jobs use the very file that this runner has read.
    let path = Some(app.config.path.clone());
    let (orders, received) = mpsc::channel(4);
    let (shown, seen) = watch::channel(Arc::new(plan.blank(Utc::now())));
    let log: Arc<dyn Sink> = Arc::new(Aside(Arc::clone(&diary)));
    let runner = terms.runner.clone();
    let presence = app.presence(runner.clone(), seen, Arc::clone(&log), args.once).await?;
    let ports = app.runner_ports(path.clone(), presence.alerts(), Arc::clone(&diary))?;
    let stop = watch::Sender::new(false);
    let beside = presence.run(stop.subscribe());
    let working = async {
        let worked = work(plan, ports, terms, received, shown).await;
        let _ = stop.send(true);
        worked
    };
    let working = async { tokio::join!(working, beside).0 };
    let signals = signals(orders, Again { path, diary, runner, log });
    let worked = tokio::select! {
        worked = working => worked,
        stopped = signals => return Err(stopped),
    };
    Ok(done(args.once, worked))
}

fn done(once: bool, worked: Worked) -> Done {
    let fields = json!({ "tried": worked.tried, "failed": worked.failed });
    if !once {
        return Done::well(String::new(), fields);
    }
    let tried = plural(worked.tried as u64, "job");
    let text = match (worked.tried, worked.failed) {
        (0, _) => "Nothing was due.\n".to_owned(),
        (_, 0) => format!("{tried} run, all well.\n"),
        (_, failed) => format!("{tried} run, {failed} not well: `drctl jobs` shows them.\n"),
    };
    Done::with(if worked.failed > 0 { Kind::Failed.exit_code() } else { 0 }, text, fields)
}

/// The plan of a configuration whose jobs are all commands that this program has.
fn plan(app: &App) -> Result<Plan> {
    let config = &app.config;
    let plan = Plan::of(config);
    if plan.units.is_empty() {
        let what = format!("{} has no [[job]]: there is nothing to run", config.path.display());
        return Err(Error::new(Kind::Usage, what).hint(
            "add one, such as: [[job]] run = \"snapshot\", on = \"*/30 * * * *\"; `drctl init` writes \
             a configuration that explains them",
        ));
    }
    let mut problems = Vec::new();
    for unit in &plan.units {
        let words = std::iter::once("drctl".to_owned()).chain(unit.command());
        if let Err(e) = Cli::try_parse_from(words) {
            let text = e.render().to_string();
            let why =
                text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            problems.push(format!(
                "[[job]] `{}`: drctl {}: {why}",
                unit.job.name,
                unit.command().join(" ")
            ));
        }
    }
    match problems.is_empty() {
        true => Ok(plan),
        false => Err(Error::new(Kind::Usage, problems.join("\n"))
            .hint("`args` of a [[job]] are what its command takes: `drctl help COMMAND` shows it")),
    }
}

async fn preview(app: &App) -> Result<Done> {
    let now = Utc::now();
    let standing = app.standing(now).await?;
    let mut text = String::new();
    let due: Vec<_> = standing.jobs.iter().filter(|job| job.due.is_some()).collect();
    let units = Unit::all(&app.config.jobs);
    let command = |job: &str, database: &Option<String>| {
        let unit = units.iter().find(|u| u.job.name == job && u.database == *database);
        unit.map(|unit| unit.command().join(" ")).unwrap_or_default()
    };
    for job in &due {
        let turn = job.due.map(|due| due.format("%Y-%m-%d %H:%M UTC").to_string());
        let turn = turn.unwrap_or_default();
        text.push_str(&format!("drctl {}  (turn {turn})\n", command(&job.job, &job.database)));
    }
    if due.is_empty() {
        text.push_str("Nothing is due.\n");
    }
    Ok(Done::well(text, json!({ "dry_run": true, "due": due })))
}

/// A host's name as it may stand in keys.
fn plain(host: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    let name: String = host.chars().map(plain).take(63).collect();
    if crate::model::is_name(&name) { name } else { "runner".to_owned() }
}

/// Turns signals into orders. Ends only with a second signal to stop.
async fn signals(orders: mpsc::Sender<Order>, again: Again) -> Error {
    let listen = |kind| signal(kind).attempt(Kind::Failed, || "listen for signals".to_owned());
    let (mut term, mut int, mut hup) = match (
        listen(SignalKind::terminate()),
        listen(SignalKind::interrupt()),
        listen(SignalKind::hangup()),
    ) {
        (Ok(term), Ok(int), Ok(hup)) => (term, int, hup),
        (Err(e), ..) | (_, Err(e), _) | (.., Err(e)) => return e,
    };
    let mut told = false;
    loop {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
            _ = hup.recv() => {
                again.reload(&orders).await;
                continue;
            }
        }
        if told {
            return Error::new(Kind::Failed, "the runner was stopped at once by a second signal")
                .hint("its jobs stop by themselves; what was committed before is as it was");
        }
        told = true;
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Stopping]);
        let _ = orders.send(Order::Stop).await;
    }
}

/// What reading the configuration anew needs.
struct Again {
    path: Option<PathBuf>,
    diary: Arc<dyn Diary>,
    runner: String,
    log: Arc<dyn Sink>,
}

impl Again {
    async fn reload(&self, orders: &mpsc::Sender<Order>) {
        match self.load().await {
            Ok(order) => {
                let _ = orders.send(order).await;
            }
            Err(e) => self.diary.note(Utc::now(), Happening::ConfigRefused { error: e.one_line() }),
        }
    }

    async fn load(&self) -> Result<Order> {
        let app = App::load(self.path.as_deref())?;
        let plan = plan(&app)?;
        // New channels and routes count at once; the page and the metrics keep their address.
        let (_, alerts) = app.alert_queue(self.runner.clone(), Arc::clone(&self.log)).await?;
        let ports = app.runner_ports(self.path.clone(), alerts, Arc::clone(&self.diary))?;
        Ok(Order::Reload { plan: Box::new(plan), ports: Box::new(ports) })
    }
}

/// Notices of what stands beside the runner, in its log.
struct Aside(Arc<dyn Diary>);

impl Sink for Aside {
    fn emit(&self, event: Event) {
        if let Event::Notice { level, message } = event {
            let happening = match level {
                Level::Info => Happening::Notice { message },
                _ => Happening::Trouble { what: "beside the jobs".to_owned(), error: message },
            };
            self.0.note(Utc::now(), happening);
        }
    }
}

/// The log: text for people, JSON for programs. With `--json` it goes to stdout, before the result.
struct Log {
    json: bool,
    stdout: bool,
}

impl Log {
    fn new(events: bool, form: LogForm) -> Self {
        let json = match form {
            LogForm::Auto => events || !std::io::stderr().is_terminal(),
            LogForm::Text => false,
            LogForm::Json => true,
        };
        Self { json, stdout: events }
    }
}

impl Diary for Log {
    fn note(&self, at: DateTime<Utc>, happening: Happening) {
        if let Happening::RunnerStarted { .. } = happening {
            let _ = sd_notify::notify(&[sd_notify::NotifyState::Ready]);
        }
        let line = line(self.json, at, &happening);
        // Nobody who reads it is no reason to stop.
        let _ = match self.stdout {
            true => writeln!(std::io::stdout().lock(), "{line}"),
            false => writeln!(std::io::stderr().lock(), "{line}"),
        };
    }

    fn alive(&self) {
        let _ = sd_notify::notify(&[sd_notify::NotifyState::Watchdog]);
    }
}

fn line(json: bool, at: DateTime<Utc>, happening: &Happening) -> String {
    let stamp = at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let level = if happening.is_warning() { "warning" } else { "info" };
    if !json {
        let mark = if happening.is_warning() { "warning: " } else { "" };
        return format!(
            "{} {mark}{}",
            at.format("%Y-%m-%d %H:%M:%S"),
            happening.to_string().replace('\n', "; ")
        );
    }
    let mut fields = match serde_json::to_value(happening) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    };
    fields.insert("at".to_owned(), json!(stamp));
    fields.insert("level".to_owned(), json!(level));
    fields.insert("message".to_owned(), json!(happening.to_string()));
    Value::Object(fields).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_text_for_people_and_json_for_programs() {
        let at = "2026-11-24T10:00:00Z".parse().unwrap();
        let happening = Happening::TurnsMissed { unit: "snapshot.petforce".to_owned(), missed: 2 };
        assert_eq!(
            line(false, at, &happening),
            "2026-11-24 10:00:00 warning: snapshot.petforce: nobody ran 2 earlier turns; this one \
             serves for them"
        );
        let json: Value = serde_json::from_str(&line(true, at, &happening)).unwrap();
        assert_eq!(json["event"], "turns_missed");
        assert_eq!(json["at"], "2026-11-24T10:00:00.000Z");
        assert_eq!((json["level"].as_str(), json["missed"].as_u64()), (Some("warning"), Some(2)));
    }

    #[test]
    fn a_host_gives_a_name_that_may_stand_in_keys() {
        assert_eq!(plain("ops-1.example.com"), "ops-1.example.com");
        assert_eq!(plain("büro"), "b-ro");
        assert_eq!(plain(""), "runner");
    }
}
