//! The operator's own questions to a database, with the answers that must come.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::Result;
use crate::postgres::Session;
use crate::postgres::replication::bounded;

/// A query, and what its one value must be.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Assertion {
    /// What it proves, in words; default: the query.
    pub name: Option<String>,
    /// A query that gives one value; it is run in a read-only transaction.
    pub query: String,
    /// The value that must come: a text, a number, true or false.
    pub expected: Option<Value>,
    /// The least number that may come.
    pub at_least: Option<f64>,
    /// The greatest number that may come.
    pub at_most: Option<f64>,
}

impl Assertion {
    pub fn label(&self) -> String {
        self.name
            .clone()
            .unwrap_or_else(|| self.query.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Why it asserts nothing, if it does not.
    pub fn flaw(&self) -> Option<String> {
        let nothing = self.expected.is_none() && self.at_least.is_none() && self.at_most.is_none();
        let strange = matches!(self.expected, Some(Value::Array(_) | Value::Object(_)));
        match (nothing, strange) {
            (true, _) => Some(format!(
                "`{}` says neither `expected`, `at_least` nor `at_most`",
                self.label()
            )),
            (_, true) => Some(format!("`{}`: `expected` must be one value", self.label())),
            _ => None,
        }
    }

    /// Whether what came is what must come; else what is wrong. `None`: NULL came.
    pub fn judge(&self, found: Option<&str>) -> Result<(), String> {
        let shown = found.unwrap_or("NULL");
        let wrong = |wanted: String| Err(format!("{}: {wanted}, and it is {shown}", self.label()));
        if let Some(expected) = &self.expected {
            let same = match (expected, found) {
                (Value::Null, None) => true,
                (Value::String(text), Some(found)) => text == found,
                (Value::Bool(truth), Some(found)) => found == if *truth { "t" } else { "f" },
                (Value::Number(number), Some(found)) => {
                    number.to_string() == found
                        || number.as_f64().is_some_and(|n| found.parse() == Ok(n))
                }
                _ => false,
            };
            if !same {
                return wrong(format!("{expected} is expected"));
            }
        }
        let number = found.and_then(|text| text.parse::<f64>().ok()).filter(|n| !n.is_nan());
        if let Some(least) = self.at_least
            && number.is_none_or(|n| n < least)
        {
            return wrong(format!("at least {least} is expected"));
        }
        if let Some(most) = self.at_most
            && number.is_none_or(|n| n > most)
        {
            return wrong(format!("at most {most} is expected"));
        }
        Ok(())
    }
}

/// Asks every question; gives what is wrong. An error only where the session is lost.
pub async fn ask(
    session: &Session,
    assertions: &[Assertion],
    limit: Duration,
) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    for assertion in assertions {
        let what = || format!("ask `{}`", assertion.label());
        let asked = bounded(limit, what, async {
            session.simple("BEGIN READ ONLY").await?;
            let answer = session.rows(&assertion.query).await;
            session.simple("ROLLBACK").await?;
            answer
        });
        match asked.await {
            Ok(rows) => match rows.as_slice() {
                [row] if row.len() == 1 => wrong.extend(assertion.judge(row.get(0)).err()),
                _ => {
                    let columns = rows.first().map_or(0, crate::postgres::Row::len);
                    wrong.push(format!(
                        "{}: one value is expected, and {} rows of {columns} columns came",
                        assertion.label(),
                        rows.len()
                    ));
                }
            },
            Err(e) if crate::postgres::is_transient(&e) => return Err(e),
            Err(e) => wrong.push(format!("{}: {}", assertion.label(), e.one_line())),
        }
    }
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn answers_are_compared_as_people_mean_them() {
        let judge = |given: serde_json::Value, found: Option<&str>| {
            let mut with = given;
            with["query"] = json!("SELECT 1");
            let assertion: Assertion = serde_json::from_value(with).unwrap();
            assert_eq!(assertion.flaw(), None);
            assertion.judge(found)
        };
        assert_eq!(judge(json!({"expected": 3}), Some("3")), Ok(()));
        assert_eq!(judge(json!({"expected": 3}), Some("3.0")), Ok(()));
        assert_eq!(judge(json!({"expected": true}), Some("t")), Ok(()));
        assert_eq!(judge(json!({"expected": "open"}), Some("open")), Ok(()));
        assert_eq!(judge(json!({"at_least": 1, "at_most": 2}), Some("1.5")), Ok(()));
        for (given, found) in [
            (json!({"expected": 3}), Some("4")),
            (json!({"expected": 3}), None),
            (json!({"expected": false}), Some("t")),
            (json!({"expected": "open"}), None),
            (json!({"at_least": 1}), Some("0")),
            (json!({"at_least": 1}), Some("NaN")),
            (json!({"at_least": 1}), None),
            (json!({"at_most": 1}), Some("many")),
        ] {
            assert!(judge(given.clone(), found).is_err(), "{given} {found:?}");
        }
        let silent: Assertion = serde_json::from_value(json!({"query": "SELECT 1"})).unwrap();
        assert!(silent.flaw().is_some());
    }
}
