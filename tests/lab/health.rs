//! Route 53's health checkers: HTTP requests to what a check names, counted up to its threshold.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::background::Task;
use super::http::request_within;
use super::xml::{all, one};

/// Between two looks; Route 53's are 10 or 30 s apart.
const EVERY: Duration = Duration::from_millis(200);
const PATIENCE: Duration = Duration::from_secs(1);

/// What the checks that records name have found so far.
#[derive(Default)]
pub struct HealthChecks {
    checks: Mutex<BTreeMap<String, Check>>,
}

struct Check {
    /// As the control plane gave it: another one starts over.
    text: String,
    healthy: Arc<Mutex<bool>>,
    _task: Task,
}

impl HealthChecks {
    /// Starts, changes and ends checks as `list`, the answer of ListHealthChecks, says; of `wanted`.
    pub fn follow(&self, list: &str, wanted: &[&str]) {
        let mut checks = self.checks.lock().unwrap();
        let listed: BTreeMap<&str, &str> = all(list, "HealthCheck")
            .into_iter()
            .filter_map(|check| Some((one(check, "Id")?, check)))
            .filter(|(id, _)| wanted.contains(id))
            .collect();
        checks.retain(|id, check| listed.get(id.as_str()) == Some(&check.text.as_str()));
        for (id, text) in listed {
            if !checks.contains_key(id) {
                checks.insert(id.to_owned(), Check::start(text));
            }
        }
    }

    /// A check is healthy until it is found otherwise, as Route 53 has it.
    pub fn is_healthy(&self, id: &str) -> bool {
        self.checks.lock().unwrap().get(id).is_none_or(|check| *check.healthy.lock().unwrap())
    }
}

impl Check {
    fn start(text: &str) -> Self {
        let number =
            |tag, otherwise| one(text, tag).and_then(|n| n.parse().ok()).unwrap_or(otherwise);
        let threshold: u32 = number("FailureThreshold", 3);
        let port = u16::try_from(number("Port", 80)).unwrap_or(80);
        let inverted = one(text, "Inverted").is_some_and(|v| v.eq_ignore_ascii_case("true"));
        let path = one(text, "ResourcePath").unwrap_or("/").to_owned();
        let ip = one(text, "IPAddress").or(one(text, "FullyQualifiedDomainName"));
        let ip = ip.and_then(|ip| ip.parse().ok());
        let healthy = Arc::new(Mutex::new(true));
        let state = Arc::clone(&healthy);
        let task = Task::start(async move {
            let mut other = 0;
            loop {
                let answers = match ip {
                    Some(ip) => {
                        let address = SocketAddr::new(ip, port);
                        let answer = request_within(PATIENCE, address, "GET", &path).await;
                        answer.is_ok_and(|answer| (200..400).contains(&answer.status))
                    }
                    None => false,
                };
                let found = answers != inverted;
                if found == *state.lock().unwrap() {
                    other = 0;
                } else {
                    other += 1;
                    if other >= threshold {
                        *state.lock().unwrap() = found;
                        other = 0;
                    }
                }
                tokio::time::sleep(EVERY).await;
            }
        });
        Self { text: text.to_owned(), healthy, _task: task }
    }
}
