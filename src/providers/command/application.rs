//! An application that is started for a drill, asked until it serves, and ended again.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::child::{Program, Unended};
use crate::config::{AppConfig, Redaction};
use crate::drill::Applications;
use crate::error::{Error, Kind, Result};
use crate::providers::{http, world};

/// How long one answer may take.
const ANSWER: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_millis(100);
/// Variables that it gets where drctl has them.
const USUAL_ENV: &[&str] = &["PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ", "TMPDIR"];

/// Starts applications on this machine.
pub struct Started {
    pub redaction: Redaction,
}

#[async_trait]
impl Applications for Started {
    async fn serve_once(&self, app: &AppConfig, env: &BTreeMap<String, String>) -> Result<String> {
        let mut all: BTreeMap<String, String> = BTreeMap::new();
        for name in USUAL_ENV {
            all.extend(std::env::var(name).ok().map(|value| ((*name).to_owned(), value)));
        }
        all.extend(app.env.clone());
        all.extend(env.clone());
        let hidden = ["DATABASE_URL", "PGPASSWORD"].iter().filter_map(|n| all.get(*n).cloned());
        let redaction = self.redaction.clone().with(hidden.chain(app.env.values().cloned()));
        let dir = match app.dir.as_os_str().is_empty() {
            true => ".".into(),
            false => app.dir.clone(),
        };
        let program = Program { argv: app.command.clone(), env: all, dir: Some(dir) };
        let name = redaction.clean(program.name());
        let deadline = Instant::now() + app.timeout;
        tokio::select! {
            // Dropped when the other is first, which ends it with all that it started.
            ended = program.run(deadline) => {
                let what = format!("start {name} on the restored database");
                Err(match ended {
                    Ok(ended) => Error::new(Kind::Program, what).caused_by(format!(
                        "it ended before it served: {}: {}",
                        ended.status,
                        redaction.clean(last(&ended.stdout, &ended.stderr))
                    )),
                    Err(Unended::NotStarted(e) | Unended::Lost(e)) => e.during(what),
                    Err(Unended::Killed { stdout, stderr }) => {
                        Error::new(Kind::Program, what).caused_by(format!(
                            "it did not serve within {}: {}",
                            humantime::format_duration(app.timeout),
                            redaction.clean(last(&stdout, &stderr))
                        ))
                    }
                })
            }
            answered = serves(&app.url) => answered.map(|said| format!("{name} serves: {said}")),
        }
    }
}

/// Asks again and again, and ends when the answer is a good one.
async fn serves(url: &str) -> Result<String> {
    let client = world::plain_http()?;
    let began = Instant::now();
    loop {
        if let Ok(answer) = client.get(url).timeout(ANSWER).send().await
            && answer.status().is_success()
        {
            let status = answer.status().as_u16();
            let body = answer.text().await.unwrap_or_default();
            let seconds = began.elapsed().as_secs_f64();
            return Ok(format!("status {status} after {seconds:.1} s: {}", http::excerpt(&body)));
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The last of what it said, on stderr if there was anything.
fn last<'t>(stdout: &'t str, stderr: &'t str) -> &'t str {
    const SHOWN: usize = 1000;
    let said = if stderr.trim().is_empty() { stdout } else { stderr }.trim();
    let from = said.len().saturating_sub(SHOWN);
    (from..=said.len()).find(|at| said.is_char_boundary(*at)).map_or("", |at| &said[at..])
}
