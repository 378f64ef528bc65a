//! `${steps.ID.FACT}` in an argument: what an ended step left, filled in when the step that needs it
//! runs. Planning leaves such references as they are.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Arguments, Facts};
use crate::error::{Error, Kind, Result};

const OPEN: &str = "${steps.";

/// Whether a text waits for what a step leaves.
pub fn is_open(text: &str) -> bool {
    text.contains(OPEN)
}

/// Every step and fact that a text refers to; an error is a reference that cannot be read.
pub fn named(text: &str) -> Vec<Result<(&str, &str), String>> {
    let read = |rest| split(rest).map(|(step, fact, _)| (step, fact));
    text.split(OPEN).skip(1).map(read).collect()
}

/// The step, the fact and the length of what follows `${steps.`, with its brace.
fn split(rest: &str) -> Result<(&str, &str, usize), String> {
    let end = rest.find('}').ok_or("it has no `}`")?;
    let must = "it must be ${steps.STEP.FACT}";
    let (step, fact) = rest[..end].split_once('.').ok_or(must)?;
    match step.is_empty() || fact.is_empty() {
        true => Err(must.to_owned()),
        false => Ok((step, fact, end + 1)),
    }
}

/// `text` for people who read a plan: `${steps.find.snapshot}` is "[snapshot left by find]".
pub fn in_words(text: &str) -> String {
    let mut pieces = text.split(OPEN);
    let mut words = pieces.next().unwrap_or_default().to_owned();
    for rest in pieces {
        match split(rest) {
            Ok((step, fact, length)) => {
                let fact = fact.replace('_', " ");
                words.push_str(&format!("[{fact} left by {step}]{}", &rest[length..]));
            }
            Err(_) => words.push_str(&format!("{OPEN}{rest}")),
        }
    }
    words
}

/// Whether an argument waits for what a step leaves.
pub fn any_is_open(given: &Arguments) -> bool {
    fn open(value: &Value) -> bool {
        match value {
            Value::String(text) => is_open(text),
            Value::Array(items) => items.iter().any(open),
            Value::Object(map) => map.values().any(open),
            _ => false,
        }
    }
    given.0.values().any(open)
}

/// `text` with every reference replaced. `Kind::Failed` names the step or the fact that is not there.
pub fn text(text: &str, facts: &BTreeMap<String, Facts>) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        filled.push_str(&rest[..at]);
        let (value, length) = reference(&rest[at..], facts)?;
        filled.push_str(&match value {
            // What a program said ends with the end of a line, which is none of it: as the shell has it.
            Value::String(text) => text.trim_end_matches('\n').to_owned(),
            other => other.to_string(),
        });
        rest = &rest[at + length..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// All arguments with every reference replaced. Where a text stands a text stays: a number becomes
/// its digits, a list its JSON.
pub fn arguments(given: &Arguments, facts: &BTreeMap<String, Facts>) -> Result<Arguments> {
    let mut filled = given.clone();
    filled.0.values_mut().try_for_each(|value| fill(value, facts))?;
    Ok(filled)
}

fn fill(value: &mut Value, facts: &BTreeMap<String, Facts>) -> Result<()> {
    match value {
        Value::String(whole) if is_open(whole) => {
            *value = Value::String(text(whole, facts)?);
            Ok(())
        }
        Value::Array(items) => items.iter_mut().try_for_each(|item| fill(item, facts)),
        Value::Object(map) => map.values_mut().try_for_each(|item| fill(item, facts)),
        _ => Ok(()),
    }
}

/// The value of the reference at the beginning of `text`, and how long the reference is.
fn reference<'f>(text: &str, facts: &'f BTreeMap<String, Facts>) -> Result<(&'f Value, usize)> {
    let lacking = |why: String| {
        let shown = text.split_inclusive('}').next().unwrap_or(text);
        Error::new(Kind::Failed, format!("fill in {shown}")).caused_by(why)
    };
    let (step, fact, length) = split(&text[OPEN.len()..]).map_err(lacking)?;
    let left = facts
        .get(step)
        .ok_or_else(|| lacking(format!("step `{step}` has not ended, or is not in this run")))?;
    let value = left.get(fact).ok_or_else(|| {
        let names = left.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        lacking(format!("step `{step}` left no `{fact}`; it left: {names}"))
    })?;
    Ok((value, OPEN.len() + length))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts() -> BTreeMap<String, Facts> {
        let left = json!({"snapshot": "20261122T134512Z-3f9a1c", "rows": 12, "names": ["a", "b"]});
        BTreeMap::from([("find-good".to_owned(), left.as_object().unwrap().clone())])
    }

    #[test]
    fn references_become_what_steps_left() {
        let given: Arguments = serde_json::from_value(json!({
            "snapshot": "${steps.find-good.snapshot}",
            "rows": "${steps.find-good.rows}",
            "checks": [{"query": "SELECT ${steps.find-good.rows} AS n"}],
            "names": "${steps.find-good.names}",
            "plain": 3,
        }))
        .unwrap();
        let filled = serde_json::to_value(arguments(&given, &facts()).unwrap()).unwrap();
        let wanted = json!({
            "snapshot": "20261122T134512Z-3f9a1c",
            "rows": "12",
            "checks": [{"query": "SELECT 12 AS n"}],
            "names": "[\"a\",\"b\"]",
            "plain": 3,
        });
        assert_eq!(filled, wanted);
        assert!(any_is_open(&given));
        assert_eq!(named("${steps.a.x} and ${steps.b-c.y}"), [Ok(("a", "x")), Ok(("b-c", "y"))]);
        assert_eq!(in_words("as `${steps.a.new_name}`, ${x}"), "as `[new name left by a]`, ${x}");
    }

    #[test]
    fn what_is_not_there_is_named() {
        let fails = |given: &str| text(given, &facts()).unwrap_err().one_line();
        assert!(fails("${steps.restore.name}").contains("step `restore` has not ended"));
        assert!(fails("${steps.find-good.snap}").contains("it left: names, rows, snapshot"));
        assert!(fails("x ${steps.find-good").contains("no `}`"));
        assert!(fails("${steps.find-good}").contains("must be"));
        assert_eq!(text("nothing ${vars.x} here", &facts()).unwrap(), "nothing ${vars.x} here");
    }
}
