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

/// The steps that a text refers to.
pub fn steps_named(text: &str) -> Vec<&str> {
    text.split(OPEN).skip(1).filter_map(|rest| rest.split(['.', '}']).next()).collect()
}

/// `text` with every reference replaced. `Kind::Failed` names the step or the fact that is not there.
pub fn text(text: &str, facts: &BTreeMap<String, Facts>) -> Result<String> {
    let mut filled = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(OPEN) {
        filled.push_str(&rest[..at]);
        let (value, length) = reference(&rest[at..], facts)?;
        filled.push_str(&match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        });
        rest = &rest[at + length..];
    }
    filled.push_str(rest);
    Ok(filled)
}

/// All arguments with every reference replaced. A text that is one reference and nothing else
/// becomes the fact itself, a number or a list too.
pub fn arguments(given: &Arguments, facts: &BTreeMap<String, Facts>) -> Result<Arguments> {
    let mut filled = given.clone();
    filled.0.values_mut().try_for_each(|value| fill(value, facts))?;
    Ok(filled)
}

fn fill(value: &mut Value, facts: &BTreeMap<String, Facts>) -> Result<()> {
    match value {
        Value::String(whole) if is_open(whole) => {
            *value = match whole.starts_with(OPEN) && whole.find('}') == Some(whole.len() - 1) {
                true => reference(whole, facts)?.0.clone(),
                false => Value::String(text(whole, facts)?),
            };
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
    let end = text.find('}').ok_or_else(|| lacking("it has no `}`".to_owned()))?;
    let (step, fact) = text[OPEN.len()..end]
        .split_once('.')
        .ok_or_else(|| lacking("it must be ${steps.STEP.FACT}".to_owned()))?;
    let left = facts
        .get(step)
        .ok_or_else(|| lacking(format!("step `{step}` has not ended, or is not in this run")))?;
    let value = left.get(fact).ok_or_else(|| {
        let names = left.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        lacking(format!("step `{step}` left no `{fact}`; it left: {names}"))
    })?;
    Ok((value, end + 1))
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
            "rows": 12,
            "checks": [{"query": "SELECT 12 AS n"}],
            "names": ["a", "b"],
            "plain": 3,
        });
        assert_eq!(filled, wanted);
        assert_eq!(steps_named("${steps.a.x} and ${steps.b-c.y}"), ["a", "b-c"]);
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
