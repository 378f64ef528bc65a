//! `drctl jobs`.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::args::Cli;
use super::render::{self, Done, span};
use super::runner_args::Jobs as Args;
use crate::app::App;
use crate::error::{Kind, Result};
use crate::model::{JobKind, Learned, Verdict};
use crate::schedule::Standing;
use crate::schedule::standing::{JobStanding, RpoLevel, RpoStanding};

/// A job that nobody has begun for so long after its turn is overdue.
const OVERDUE: TimeDelta = TimeDelta::minutes(5);

pub async fn run(cli: &Cli, args: &Args) -> Result<Done> {
    let app = App::load(cli.config.as_deref())?;
    if let Some(database) = &args.database {
        app.config.database(database)?;
    }
    let now = Utc::now();
    let mut standing = app.standing(now).await?;
    if let Some(database) = &args.database {
        standing.jobs.retain(|job| job.database.as_ref() == Some(database));
        standing.rpo.retain(|rpo| rpo.database == *database);
        standing.replicas.retain(|replica| replica.database == *database);
    }
    Ok(done(&standing, now))
}

fn done(standing: &Standing, now: DateTime<Utc>) -> Done {
    let troubles = troubles(standing, now);
    let unknown = unknown(standing);
    let code = match (troubles.is_empty(), unknown.is_empty()) {
        (false, _) => Kind::Failed.exit_code(),
        (true, false) => Kind::Unverified.exit_code(),
        (true, true) => 0,
    };
    let mut text = table(standing, now);
    text.push_str(&ages(standing, now));
    text.push_str(&runners(standing, now));
    for line in troubles.iter().chain(&unknown) {
        text.push_str(&super::wrapping::hung("! ", line, 100));
    }
    let fields = json!({ "troubles": troubles, "unknown": unknown, "standing": standing });
    Done::with(code, text, fields)
}

fn title(job: &JobStanding) -> String {
    match &job.database {
        Some(database) => format!("{} of {database}", job.job),
        None => job.job.clone(),
    }
}

fn troubles(standing: &Standing, now: DateTime<Utc>) -> Vec<String> {
    let mut troubles = Vec::new();
    for job in &standing.jobs {
        let Some(state) = job.state.known() else { continue };
        let running = state.running.is_some();
        if let Some(last) = state.last.as_ref().filter(|last| !is_well(last.verdict)) {
            troubles.push(format!("{} {}: {}", title(job), last.verdict.as_str(), last.summary));
        }
        if let Some(due) = job.due.filter(|due| !running && now - due > OVERDUE) {
            let late = span((now - due).as_seconds_f64());
            troubles.push(format!(
                "{} is overdue: its turn came {late} ago and nobody has begun it; is a runner up?",
                title(job)
            ));
        }
    }
    for rpo in standing.rpo.iter().filter(|rpo| rpo.level == RpoLevel::Broken) {
        troubles.push(match rpo.age(now) {
            Some(age) => format!(
                "RPO broken: the newest snapshot of {} in {} is {} old, and {} is the limit",
                rpo.database,
                rpo.store,
                span(age),
                span(rpo.objective)
            ),
            None => format!("{} has no complete snapshot in {}", rpo.database, rpo.store),
        });
    }
    troubles
}

fn is_well(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Done | Verdict::Interrupted)
}

fn unknown(standing: &Standing) -> Vec<String> {
    let mut unknown = Vec::new();
    for job in &standing.jobs {
        if let Learned::Unknown(why) = &job.state {
            unknown.push(format!("{} is unknown: {why}", title(job)));
        }
    }
    for rpo in &standing.rpo {
        if let Learned::Unknown(why) = &rpo.newest {
            unknown.push(format!("{} in {} is unknown: {why}", rpo.database, rpo.store));
        }
    }
    unknown
}

/// A time of the day, with the date where that is not today's.
fn moment(at: DateTime<Utc>, now: DateTime<Utc>) -> String {
    match at.date_naive() == now.date_naive() {
        true => at.format("%H:%M").to_string(),
        false => at.format("%b %d %H:%M").to_string(),
    }
}

fn table(standing: &Standing, now: DateTime<Utc>) -> String {
    let mut text = format!("{}, {}\n\n", standing.project, now.format("%Y-%m-%d %H:%M:%S UTC"));
    if standing.jobs.is_empty() {
        text.push_str("no [[job]] is configured\n");
        return text;
    }
    let heads = ["job", "database", "last", "took", "ended", "due", "next", "on"];
    let mut rows = vec![heads.map(str::to_owned).to_vec()];
    for job in &standing.jobs {
        let state = job.state.known();
        let last = state.and_then(|s| s.last.as_ref());
        let ended = match (&job.state, state.and_then(|s| s.running.as_ref()), last) {
            (Learned::Unknown(_), ..) => "unknown".to_owned(),
            (_, Some(running), _) => {
                format!("runs since {} at {}", moment(running.began, now), running.runner)
            }
            (.., Some(last)) => last.verdict.as_str().to_owned(),
            (.., None) => "never ran".to_owned(),
        };
        rows.push(vec![
            job.job.clone(),
            job.database.clone().unwrap_or_else(|| "-".to_owned()),
            last.map_or_else(|| "-".to_owned(), |last| moment(last.began, now)),
            last.map_or_else(|| "-".to_owned(), |last| span(last.took().as_seconds_f64())),
            ended,
            job.due.map_or_else(|| "-".to_owned(), |due| moment(due, now)),
            job.next.map_or_else(|| "never".to_owned(), |next| moment(next, now)),
            match job.run.as_str() == job.job || job.run == JobKind::Snapshot {
                true => job.on.clone(),
                false => format!("{} ({})", job.on, job.run),
            },
        ]);
    }
    text.push_str(&render::columns(&rows, &[3]));
    text
}

fn ages(standing: &Standing, now: DateTime<Utc>) -> String {
    let mut rows = vec![["newest of", "in", "age", "RPO", ""].map(str::to_owned).to_vec()];
    let line = |rpo: &RpoStanding| {
        let age = match (&rpo.newest, rpo.age(now)) {
            (_, Some(age)) => span(age),
            (Learned::Known(_), None) => "none".to_owned(),
            (Learned::Unknown(_), None) => "unknown".to_owned(),
        };
        let level = match rpo.level {
            RpoLevel::Fine => "",
            RpoLevel::Near => "near the limit",
            RpoLevel::Broken => "BROKEN",
            RpoLevel::Unknown => "unknown",
        };
        vec![rpo.database.clone(), rpo.store.clone(), age, span(rpo.objective), level.to_owned()]
    };
    rows.extend(standing.rpo.iter().map(line));
    format!("\n{}", render::columns(&rows, &[2]))
}

fn runners(standing: &Standing, now: DateTime<Utc>) -> String {
    let mut text = "\n".to_owned();
    match &standing.runners {
        Learned::Unknown(why) => text.push_str(&format!("runners unknown: {why}\n")),
        Learned::Known(all) if all.is_empty() => text.push_str("no runner gives a sign of life\n"),
        Learned::Known(all) => {
            for runner in all {
                let ago = span((now - runner.heartbeat).as_seconds_f64());
                let silent = if runner.silent { ", SILENT" } else { "" };
                let samples = if runner.sampled.is_some() { ", samples replication" } else { "" };
                text.push_str(&format!(
                    "runner {} on {}, drctl {}: last sign {ago} ago{silent}{samples}\n",
                    runner.name, runner.host, runner.version
                ));
            }
        }
    }
    text
}
