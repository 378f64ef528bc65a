//! A job as a child: this program itself, in a process group of its own, so that nothing that a job
//! does to itself, its memory or its threads reaches the runner.
//!
//! A pipe that is the child's stdin ends with the runner, however that ends; then the child stops and
//! gives back what it holds.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Command;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::config::Redaction;
use crate::model::{JobKind, Verdict};
use crate::postgres::programs::Tail;
use crate::providers::command::Group;
use crate::schedule::{Ended, Unit, Work};

/// Tells a child that it ends with its stdin.
pub const ENDS_WITH_STDIN: &str = "DRCTL_ENDS_WITH_STDIN";
/// How long a child may take to give back what it holds before it is killed.
pub const GRACE: Duration = Duration::from_secs(20);
/// How long a failover drill may take, which mends a region and undoes a run before it ends.
pub const TIDYING: Duration = Duration::from_mins(15);
/// Many jobs that begin together must not keep the runner from beginning the rest.
const NICE: i32 = 10;
/// How much of a summary is kept.
const SHOWN: usize = 500;

/// Runs jobs as children.
pub struct Children {
    pub program: PathBuf,
    pub config: Option<PathBuf>,
    pub redaction: Redaction,
}

impl Children {
    async fn start(&self, unit: &Unit) -> std::io::Result<Group> {
        let mut command = Command::new(&self.program);
        let config = self.config.iter().flat_map(|path| [OsString::from("--config"), path.into()]);
        command.args(config).arg("--json").args(unit.command());
        command.env(ENDS_WITH_STDIN, "1");
        // The write end stays in `Group`.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Whoever starts a process waits for it to become another program; the runner must not.
        let start = move || {
            let group = Group::start(&mut command)?;
            group.gives_way(NICE);
            Ok(group)
        };
        tokio::task::spawn_blocking(start).await?
    }
}

#[async_trait]
impl Work for Children {
    async fn run(&self, unit: &Unit, mut stop: watch::Receiver<bool>) -> Ended {
        let mut group = match self.start(unit).await {
            Ok(group) => group,
            Err(e) => return failed(format!("start {}: {e}", self.program.display())),
        };
        let said = Tail::default();
        let (stdout, stderr) = (group.child.stdout.take(), group.child.stderr.take());
        let result = last_line(stdout);
        let errors = async {
            if let Some(stderr) = stderr {
                said.read(stderr).await;
            }
        };
        // Both end with the last process that holds the pipes.
        let outputs = async { tokio::join!(result, errors).0 };
        let mut outputs = std::pin::pin!(outputs);
        let mut line = None;
        let why = tokio::select! {
            last = outputs.as_mut() => {
                line = Some(last);
                None
            }
            () = tokio::time::sleep(unit.job.timeout) => Some(Verdict::TimedOut),
            _ = stop.wait_for(|stop| *stop) => Some(Verdict::Interrupted),
        };
        if let Some(verdict) = why {
            let grace = match unit.job.run {
                JobKind::FailoverDrill => TIDYING,
                _ => GRACE,
            };
            group.end(Instant::now() + grace).await;
            let summary = match verdict {
                Verdict::TimedOut => {
                    let limit = humantime::format_duration(unit.job.timeout);
                    format!("it took longer than its timeout of {limit} and was ended")
                }
                _ => "the runner was told to stop".to_owned(),
            };
            return Ended { verdict, exit_code: None, summary, hint: None };
        }
        let status = group.child.wait().await;
        group.let_go();
        let status = match status {
            Ok(status) => status,
            Err(e) => return failed(format!("wait for the end of the command: {e}")),
        };
        let line: Option<Value> = line.and_then(|line| serde_json::from_str(&line).ok());
        let text = |key: &str| line.as_ref().and_then(|l| l[key].as_str()).map(str::to_owned);
        let clean = |text: String| {
            let text = self.redaction.clean(&text);
            text.chars().take(SHOWN).collect::<String>()
        };
        let Some(code) = status.code() else {
            return failed(clean(format!("the command was ended by a signal ({status})")));
        };
        let summary = match (text("error"), &line) {
            (Some(error), _) => error,
            (None, Some(line)) => summary(line, code),
            (None, None) => match said.text().lines().last() {
                Some(last) => format!("exit code {code}: {last}"),
                None => format!("exit code {code}"),
            },
        };
        Ended {
            verdict: match code {
                0 => Verdict::Done,
                6 => Verdict::Partial,
                _ => Verdict::Failed,
            },
            exit_code: Some(code),
            summary: clean(summary.replace('\n', "; ")),
            hint: text("hint").map(clean),
        }
    }
}

fn failed(summary: String) -> Ended {
    Ended { verdict: Verdict::Failed, exit_code: None, summary, hint: None }
}

/// The last line of an output, read to its end; the one before it is never kept.
async fn last_line(from: Option<impl AsyncRead + Unpin>) -> String {
    let Some(from) = from else { return String::new() };
    let mut reader = BufReader::new(from);
    let (mut line, mut last) = (Vec::new(), Vec::new());
    while let Ok(1..) = reader.read_until(b'\n', &mut line).await {
        std::mem::swap(&mut line, &mut last);
        line.clear();
    }
    String::from_utf8_lossy(&last).into_owned()
}

/// What a result says, in a line.
fn summary(line: &Value, code: i32) -> String {
    let number = |key: &str| line[key].as_u64();
    if let (Some(id), Some(rows)) = (line["id"].as_str(), number("rows")) {
        let stores = line["stores"].as_array().map(Vec::as_slice).unwrap_or_default();
        let lacking = stores.iter().filter(|s| s["complete"] == false).map(|store| {
            let name = store["name"].as_str().unwrap_or("?");
            format!("; NOT complete in `{name}`: {}", store["error"].as_str().unwrap_or("?"))
        });
        let new = number("new_bytes").unwrap_or(0);
        let lacking: String = lacking.collect();
        return format!("snapshot {id}, {rows} rows, {new} bytes new{lacking}");
    }
    if let Some(verdict) = line["verdict"].as_str() {
        let checked = number("checked_objects").map(|n| format!(", {n} objects checked"));
        let findings = line["findings"].as_array().map_or(0, Vec::len);
        let found = if findings > 0 { format!(", {findings} findings") } else { String::new() };
        return format!("{verdict}{}{found}", checked.unwrap_or_default());
    }
    let drill = &line["drill"];
    if let (Some(id), Some(outcome)) = (drill["id"].as_str(), drill["outcome"].as_str()) {
        return format!("drill {id} {outcome}: {}", drill["said"].as_str().unwrap_or("?"));
    }
    let report = &line["report"];
    if let (Some(id), Some(standing)) = (report["audit"].as_str(), report["standing"].as_str()) {
        let findings = report["findings"].as_array().map_or(0, Vec::len) as u64
            + report["more_findings"].as_u64().unwrap_or(0);
        return format!("audit {id} {standing}, {findings} findings");
    }
    match code {
        0 => "done".to_owned(),
        code => format!("exit code {code}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn results_are_told_in_a_line() {
        let snapshot = json!({
            "id": "20261122T134512Z-3f9a1c", "rows": 12, "new_bytes": 7,
            "stores": [{"name": "east", "complete": true},
                       {"name": "west", "complete": false, "error": "no answer"}],
        });
        assert_eq!(
            summary(&snapshot, 6),
            "snapshot 20261122T134512Z-3f9a1c, 12 rows, 7 bytes new; NOT complete in `west`: no answer"
        );
        let verify = json!({"verdict": "damaged", "checked_objects": 9, "findings": [1, 2]});
        assert_eq!(summary(&verify, 3), "damaged, 9 objects checked, 2 findings");
        let drill = json!({ "drill": { "id": "d1", "outcome": "failed", "said": "too late" } });
        assert_eq!(summary(&drill, 1), "drill d1 failed: too late");
        let audit = json!({ "report": {
            "audit": "a1", "standing": "failed", "findings": [{}, {}], "more_findings": 3,
        } });
        assert_eq!(summary(&audit, 3), "audit a1 failed, 5 findings");
        assert_eq!(summary(&json!({}), 0), "done");
        assert_eq!(summary(&json!({}), 4), "exit code 4");
    }

    #[tokio::test]
    async fn only_the_last_line_of_an_output_counts() {
        assert_eq!(last_line(Some(&b"{}\n{\"a\":1}\n"[..])).await, "{\"a\":1}\n");
        assert_eq!(last_line(Some(&b"one\ntwo"[..])).await, "two");
        assert_eq!(last_line(Some(&b""[..])).await, "");
    }
}
