//! One round of questions to every server, and what it shows.

use std::collections::BTreeSet;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::future::join_all;
use hickory_resolver::proto::rr::Name;
use serde_json::{Value, json};

use super::question::{Heard, RecordKind, ask};
use super::servers::Server;

/// What one server said in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    pub server: Server,
    pub heard: Heard,
    pub at: DateTime<Utc>,
    /// Gives values, and all of them are expected ones.
    pub new: bool,
}

impl Report {
    /// Until when those who ask this server may hold its answer.
    fn until(&self) -> Option<DateTime<Utc>> {
        match &self.heard {
            Heard::Values { ttl, .. } => Some(self.at + TimeDelta::seconds(i64::from(*ttl))),
            _ => None,
        }
    }

    /// "1.1.1.1 still gives 192.0.2.1, for at most 47 s".
    pub fn in_words(&self) -> String {
        let label = &self.server.label;
        match &self.heard {
            Heard::Values { ttl, .. } if self.new => {
                format!("{label} gives {}, TTL {ttl} s", self.heard)
            }
            // An authority gives it anew to everybody who asks, so its TTL counts from the change.
            Heard::Values { ttl, .. } if self.server.authority => {
                format!("{label} gives {}, to be kept for {ttl} s", self.heard)
            }
            Heard::Values { ttl, .. } => {
                format!("{label} still gives {}, for at most {ttl} s", self.heard)
            }
            Heard::Alias(_) | Heard::Nothing => format!("{label} gives {}", self.heard),
            Heard::Silence(why) => format!("{label} {why}"),
        }
    }

    /// For the facts of the step.
    pub fn fact(&self) -> Value {
        let (values, ttl) = match &self.heard {
            Heard::Values { values, ttl } => (json!(values), json!(ttl)),
            _ => (json!([]), Value::Null),
        };
        let until = if self.new { None } else { self.until() };
        json!({
            "server": self.server.label,
            "authority": self.server.authority,
            "at": self.at.to_rfc3339_opts(SecondsFormat::Millis, true),
            "new": self.new,
            "values": values,
            "ttl": ttl,
            "said": self.heard.to_string(),
            "old_until": until.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
        })
    }
}

/// Asks every server at once.
pub async fn survey(
    servers: &[Server],
    name: &Name,
    kind: RecordKind,
    expected: &BTreeSet<String>,
    limit: Duration,
) -> Vec<Report> {
    join_all(servers.iter().map(|server| async {
        let heard = ask(server.address, name, kind.wire(), !server.authority, limit).await;
        let new = is_new(&heard, expected);
        Report { server: server.clone(), heard, at: Utc::now(), new }
    }))
    .await
}

/// An answer is new when it holds an expected value and none besides: a part of several is what
/// multi-value records and load balancers give.
fn is_new(heard: &Heard, expected: &BTreeSet<String>) -> bool {
    matches!(heard, Heard::Values { values, .. } if !values.is_empty() && values.is_subset(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(heard: Heard, authority: bool, new: bool) -> String {
        let server = Server {
            label: "1.1.1.1".to_owned(),
            address: "1.1.1.1:53".parse().unwrap(),
            authority,
        };
        Report { server, heard, at: DateTime::UNIX_EPOCH, new }.in_words()
    }

    fn values(values: &[&str]) -> BTreeSet<String> {
        values.iter().map(|v| (*v).to_owned()).collect()
    }

    #[test]
    fn only_expected_values_make_an_answer_new() {
        let expected = values(&["192.0.2.1", "192.0.2.2"]);
        let heard = |v: &[&str]| Heard::Values { values: values(v), ttl: 5 };
        assert!(is_new(&heard(&["192.0.2.2"]), &expected));
        assert!(!is_new(&heard(&["192.0.2.2", "192.0.2.3"]), &expected));
        assert!(!is_new(&Heard::Values { values: BTreeSet::new(), ttl: 5 }, &expected));
        assert!(!is_new(&Heard::Silence("does not answer".to_owned()), &expected));
        assert!(!is_new(&Heard::Nothing, &expected));
    }

    #[test]
    fn every_server_is_told_of_in_words() {
        let old = || Heard::Values { values: values(&["192.0.2.1"]), ttl: 47 };
        assert_eq!(report(old(), false, false), "1.1.1.1 still gives 192.0.2.1, for at most 47 s");
        assert_eq!(report(old(), true, false), "1.1.1.1 gives 192.0.2.1, to be kept for 47 s");
        assert_eq!(report(old(), false, true), "1.1.1.1 gives 192.0.2.1, TTL 47 s");
        assert_eq!(report(Heard::Nothing, false, false), "1.1.1.1 gives no such record");
        let silent = Heard::Silence("does not answer".to_owned());
        assert_eq!(report(silent, false, false), "1.1.1.1 does not answer");
    }
}
