//! `[[job]]` and `[runner]`.

use std::time::Duration;

use chrono_tz::Tz;
use croner::parser::{CronParser, Seconds, Year};

use super::build::insist;
use super::document::Document;
use super::job::{CatchUp, JobConfig, On, RunnerConfig};
use super::nearest::did_you_mean;
use super::table::Table;
use super::{Unresolved, build_channel, keys};
use crate::model::{JobKind, is_name};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_hours(24);
/// Names are parts of the names of leases and records.
const LONGEST_NAME: usize = 32;
/// A snapshot ends by its database's own `deadline`.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_hours(1);
const TIMEOUT: Duration = Duration::from_hours(6);

/// Every `[[job]]`, with what is unresolved in them.
pub(super) fn jobs(
    doc: &Document<'_>,
    root: &Table<'_>,
    databases: &[&str],
    unresolved: &mut Vec<Unresolved>,
) -> Vec<JobConfig> {
    let mut jobs: Vec<JobConfig> = Vec::new();
    for mut table in root.listed_tables("job", keys::JOB) {
        let line = table.line;
        let job = job(&mut table, databases);
        insist(doc, &table);
        let Some(job) = job else { continue };
        let missing = table.missing_secrets.iter();
        unresolved.extend(missing.map(|reason| Unresolved {
            table: format!("job.{}", job.name),
            reason: reason.clone(),
        }));
        if jobs.iter().any(|other| other.name == job.name) {
            let text = format!("there is another [[job]] called `{}`: give one a `name`", job.name);
            doc.problem(line, text);
        }
        jobs.push(job);
    }
    jobs
}

fn job(table: &mut Table<'_>, databases: &[&str]) -> Option<JobConfig> {
    table.require("run");
    table.require("on");
    let run = table.choice("run", &JobKind::ALL);
    let on = on(table);
    let jitter = table.duration("jitter", Duration::ZERO..=DAY).unwrap_or_default();
    let timeout = table.duration("timeout", SECOND..=30 * DAY);
    let catch_up = [("once", CatchUp::Once), ("none", CatchUp::None)];
    let catch_up = table.choice("catch_up", &catch_up).unwrap_or_default();
    let args = table.texts("args").unwrap_or_default().into_iter().map(|at| at.value).collect();
    let heartbeat = table.secret("heartbeat", build_channel::web);
    let name = table.parsed("name", |text| {
        let plain = is_name(text) && !text.contains('.') && text.len() <= LONGEST_NAME;
        plain.then(|| text.to_owned()).ok_or_else(|| {
            format!(
                "must be 1 to {LONGEST_NAME} ASCII letters, digits, `-` and `_`, beginning with a \
                 letter or digit"
            )
        })
    });
    let run = run?;
    let databases = database(table, run, databases);
    let usual = if run == JobKind::Snapshot { SNAPSHOT_TIMEOUT } else { TIMEOUT };
    Some(JobConfig {
        name: name.map_or_else(|| run.as_str().to_owned(), |at| at.value),
        run,
        databases: databases?,
        on: on?,
        jitter,
        timeout: timeout.unwrap_or(usual),
        catch_up,
        args,
        heartbeat,
    })
}

fn database(table: &mut Table<'_>, run: JobKind, known: &[&str]) -> Option<Vec<String>> {
    let all = || match run {
        // One audit looks at all of them, and at what belongs to none.
        JobKind::Audit => Vec::new(),
        _ => known.iter().map(|name| (*name).to_owned()).collect(),
    };
    if !run.is_per_database() {
        if table.has("database") {
            let text = format!("`database`: {run} is for no single database");
            table.doc.problem(table.line_of("database"), text);
        }
        return Some(Vec::new());
    }
    if !table.has("database") {
        return Some(all());
    }
    let at = table.text("database")?;
    match at.value.as_str() {
        "all" => Some(all()),
        name if known.contains(&name) => Some(vec![name.to_owned()]),
        name => {
            let advice = did_you_mean(name, known.iter().copied()).unwrap_or_default();
            let text = format!("`database`: there is no [database.{}]{advice}", at.shown());
            table.bad(&at, &text);
            None
        }
    }
}

fn on(table: &mut Table<'_>) -> Option<On> {
    let zone = table.parsed("time_zone", |text| {
        text.parse::<Tz>().map_err(|_| {
            let advice = did_you_mean(text, chrono_tz::TZ_VARIANTS.iter().map(|tz| tz.name()));
            let advice = advice.unwrap_or_default();
            format!("must be a zone of the IANA database such as \"Europe/Berlin\"{advice}")
        })
    });
    let at = table.text("on")?;
    if at.value == "hourly" {
        if table.has("time_zone") {
            let text = "`time_zone`: \"hourly\" is every full hour of UTC, in any zone";
            table.doc.problem(table.line_of("time_zone"), text);
        }
        return Some(On::Hourly);
    }
    // Five fields and nothing else: what cron has nicknames for is one word too many to explain.
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let parsed = match at.value.split_whitespace().count() {
        5 => parser.parse(&at.value).map_err(|e| e.to_string()),
        n => Err(format!("it has {n} fields")),
    };
    match parsed {
        Ok(_) if table.has("time_zone") && zone.is_none() => None,
        Ok(cron) => Some(On::Cron {
            text: at.value,
            cron: Box::new(cron),
            zone: zone.map_or(Tz::UTC, |at| at.value),
        }),
        Err(why) => {
            let text = format!(
                "`on` must be \"hourly\" or five fields of cron (minute, hour, day of month, month, \
                 day of week) such as \"*/30 * * * *\": {why}"
            );
            table.bad(&at, &text);
            None
        }
    }
}

pub(super) fn runner(doc: &Document<'_>, root: &Table<'_>) -> RunnerConfig {
    let mut config = RunnerConfig::default();
    let Some(mut table) = root.table("runner", keys::RUNNER) else { return config };
    if let Some(n) = table.integer("max_parallel", 1..=1000) {
        config.max_parallel = usize::try_from(n).unwrap_or(config.max_parallel);
    }
    if table.entry("sample_every").and_then(|e| e.value.as_str()) == Some("never") {
        config.sample_every = None;
    } else if let Some(every) = table.duration("sample_every", SECOND..=Duration::from_hours(1)) {
        config.sample_every = Some(every);
    }
    if let Some(percent) = table.integer("rpo_alert", 1..=100) {
        config.rpo_alert = percent as f64 / 100.0;
    }
    config.name = table
        .parsed("name", |text| match is_name(text) {
            true => Ok(text.to_owned()),
            false => Err("must be 1 to 63 ASCII letters, digits, `-`, `_` and `.`".to_owned()),
        })
        .map(|at| at.value);
    insist(doc, &table);
    config
}
