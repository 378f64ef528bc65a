//! References in a runbook's strings: `${regions.primary}`, `${vars.NAME}`, `${run.id}` and the rest.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::config::{Config, did_you_mean};

/// What a run is made under; a plan is the same for the same of these.
#[derive(Debug, Clone, PartialEq)]
pub struct Circumstances {
    /// The region that is active now, as the epoch has it.
    pub active: String,
    /// The run's id.
    pub run: String,
    /// Why the operator runs it.
    pub reason: Option<String>,
}

impl Circumstances {
    /// For a look at a plan, with the primary region active and no run yet.
    pub fn of_a_look(config: &Config) -> Self {
        Self { active: config.regions.primary.clone(), run: "RUN".to_owned(), reason: None }
    }
}

/// What steps leave is filled in when the step that asks for it runs (providers/references.rs).
const LATER: &str = "steps.";

/// What each reference stands for.
#[derive(Debug, Clone)]
pub(super) struct References(BTreeMap<String, Result<Value, String>>);

impl References {
    pub fn new(config: &Config, circumstances: &Circumstances) -> Self {
        let standby = config.regions.standby.clone();
        let missing = || format!("there is no `standby` in [regions] of {}", config.path.display());
        let primary = config.regions.primary.clone();
        // Of the two regions the one that is not active.
        let other = match circumstances.active == primary {
            true => standby.clone(),
            false => Some(primary.clone()),
        };
        let reason = circumstances.reason.clone().unwrap_or_else(|| "no reason given".to_owned());
        let mut values = BTreeMap::from([
            ("regions.primary".to_owned(), Ok(primary.into())),
            ("regions.standby".to_owned(), standby.map(Value::from).ok_or_else(missing)),
            ("regions.active".to_owned(), Ok(circumstances.active.clone().into())),
            ("regions.other".to_owned(), other.map(Value::from).ok_or_else(missing)),
            ("run.id".to_owned(), Ok(circumstances.run.clone().into())),
            ("run.reason".to_owned(), Ok(reason.into())),
        ]);
        for (name, value) in &config.vars {
            values.insert(format!("vars.{name}"), Ok(value.clone()));
        }
        Self(values)
    }

    /// The value with every reference in it replaced. `tell` is given the place (`/targets/0`) and
    /// the text of each problem.
    pub fn replace(
        &self,
        value: &Value,
        place: &str,
        tell: &mut dyn FnMut(&str, String),
    ) -> Option<Value> {
        match value {
            Value::String(text) => self.text(text).map_err(|problem| tell(place, problem)).ok(),
            Value::Array(items) => {
                // All of them, so that all problems are told.
                let items: Vec<_> = items
                    .iter()
                    .enumerate()
                    .map(|(i, item)| self.replace(item, &format!("{place}/{i}"), tell))
                    .collect();
                items.into_iter().collect::<Option<Vec<_>>>().map(Value::Array)
            }
            Value::Object(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(key, item)| {
                        let item = self.replace(item, &format!("{place}/{key}"), tell);
                        item.map(|item| (key.clone(), item))
                    })
                    .collect();
                let entries = entries.into_iter().collect::<Option<serde_json::Map<_, _>>>();
                entries.map(Value::Object)
            }
            plain => Some(plain.clone()),
        }
    }

    /// A string that is one whole reference keeps the type of what it stands for.
    fn text(&self, raw: &str) -> Result<Value, String> {
        if let Some(name) = raw.strip_prefix("${").and_then(|r| r.strip_suffix('}'))
            && !name.contains(['$', '{', '}'])
        {
            return match name.starts_with(LATER) {
                true => Ok(raw.into()),
                false => self.value(name).cloned(),
            };
        }
        let mut text = String::with_capacity(raw.len());
        let mut rest = raw;
        while let Some(at) = rest.find("${") {
            let (before, after) = (&rest[..at], &rest[at + 2..]);
            if let Some(before) = before.strip_suffix('$') {
                text.push_str(before);
                text.push_str("${");
                rest = after;
                continue;
            }
            text.push_str(before);
            let Some((name, tail)) = after.split_once('}') else {
                return Err("`${` without `}`; write `$${` for a literal `${`".to_owned());
            };
            if name.starts_with(LATER) {
                text.push_str(&format!("${{{name}}}"));
                rest = tail;
                continue;
            }
            match self.value(name)? {
                Value::String(value) => text.push_str(value),
                value @ (Value::Number(_) | Value::Bool(_)) => text.push_str(&value.to_string()),
                _ => return Err(format!("`${{{name}}}` is a list and cannot stand inside a text")),
            }
            rest = tail;
        }
        text.push_str(rest);
        Ok(text.into())
    }

    fn value(&self, name: &str) -> Result<&Value, String> {
        let Some(value) = self.0.get(name) else {
            let advice = did_you_mean(name, self.0.keys().map(String::as_str));
            let advice = advice.unwrap_or_else(|| match name.strip_prefix("vars.") {
                Some(var) => format!("; add `{var} = …` to [vars] of the configuration"),
                None => {
                    let known = self.0.keys().filter(|k| !k.starts_with("vars."));
                    let known: Vec<_> = known.map(String::as_str).collect();
                    format!("; there are {} and vars.NAME", known.join(", "))
                }
            });
            return Err(format!("unknown reference `${{{name}}}`{advice}"));
        };
        value.as_ref().map_err(|problem| format!("`${{{name}}}`: {problem}"))
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;

    use super::*;

    fn references() -> References {
        let text = "[project]\nname = \"p\"\n[regions]\nprimary = \"us-east-1\"\n\
            [store.a]\nurl = \"file:///a\"\nregion = \"us-east-1\"\n\
            [database.p]\nurl = \"postgres://h/p\"\nstores = [\"a\"]\n\
            [vars]\ntasks = 4\nnames = [\"app\", \"api\"]\nzone = \"Z1\"\n";
        let config = Config::parse(text, Path::new("drctl.toml"), &|_| None).unwrap();
        References::new(&config, &Circumstances::of_a_look(&config))
    }

    fn replace(value: Value) -> Result<Value, Vec<String>> {
        let mut problems = Vec::new();
        let value = references().replace(&value, "", &mut |place, problem| {
            problems.push(format!("{place}: {problem}"));
        });
        if problems.is_empty() { Ok(value.unwrap()) } else { Err(problems) }
    }

    #[test]
    fn a_whole_reference_keeps_its_type_and_others_become_text() {
        let given = json!({
            "tasks": "${vars.tasks}", "names": "${vars.names}",
            "text": "${vars.tasks} in ${regions.primary}", "literal": "$${vars.tasks}",
            "deep": [{"zone": "${vars.zone}"}], "number": 3,
        });
        let expected = json!({
            "tasks": 4, "names": ["app", "api"], "text": "4 in us-east-1",
            "literal": "${vars.tasks}", "deep": [{"zone": "Z1"}], "number": 3,
        });
        assert_eq!(replace(given), Ok(expected));
    }

    #[test]
    fn every_unknown_reference_is_told_with_its_place_and_what_was_meant() {
        let given = json!([
            "${vars.zoen}",
            "${vars.records}",
            "${region}",
            "${",
            "x ${vars.names}",
            "${regions.standby}"
        ]);
        let problems = replace(given).unwrap_err().join("\n");
        insta::assert_snapshot!(problems, @r"
        /0: unknown reference `${vars.zoen}`; did you mean `vars.zone`?
        /1: unknown reference `${vars.records}`; add `records = …` to [vars] of the configuration
        /2: unknown reference `${region}`; there are regions.active, regions.other, regions.primary, regions.standby, run.id, run.reason and vars.NAME
        /3: `${` without `}`; write `$${` for a literal `${`
        /4: `${vars.names}` is a list and cannot stand inside a text
        /5: `${regions.standby}`: there is no `standby` in [regions] of drctl.toml
        ");
    }
}
