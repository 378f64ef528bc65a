//! Whether arguments suit an action: a value against the JSON Schema of what it must be.

use serde_json::{Map, Value};

use crate::config::did_you_mean;

/// Judges `value` by `schema`, the root of which holds `$defs`. `tell` is given the place
/// (`/targets/0`) and what is wrong there. Knows what schemars writes for argument types; keywords
/// beyond that are left to the action itself.
pub(super) fn judge(schema: &Value, value: &Value, tell: &mut dyn FnMut(&str, String)) {
    Judge { root: schema }.value(schema, value, "", tell);
}

struct Judge<'s> {
    root: &'s Value,
}

impl Judge<'_> {
    fn value(
        &self,
        schema: &Value,
        value: &Value,
        place: &str,
        tell: &mut dyn FnMut(&str, String),
    ) {
        let Some(schema) = self.resolved(schema) else { return };
        if let Some(kinds) = kinds(schema)
            && !kinds.iter().any(|kind| is(value, kind))
        {
            let must = match is_span(schema) {
                true => "a duration such as \"30s\"".to_owned(),
                false => listed(&kinds),
            };
            tell(place, format!("must be {must}, not {}", article(kind_of(value))));
            return;
        }
        for branches in ["oneOf", "anyOf"].iter().filter_map(|k| schema.get(*k)?.as_array()) {
            self.one_of(branches, value, place, tell);
        }
        for part in schema.get("allOf").and_then(Value::as_array).into_iter().flatten() {
            self.value(part, value, place, tell);
        }
        self.constants(schema, value, place, tell);
        bounds(schema, value, place, tell);
        match value {
            Value::Object(entries) => self.object(schema, entries, place, tell),
            Value::Array(items) => {
                let Some(each) = schema.get("items") else { return };
                for (i, item) in items.iter().enumerate() {
                    self.value(each, item, &format!("{place}/{i}"), tell);
                }
            }
            _ => {}
        }
    }

    /// Follows `$ref`; `None` where anything goes.
    fn resolved<'a>(&'a self, schema: &'a Value) -> Option<&'a Map<String, Value>> {
        let mut schema = schema.as_object()?;
        while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            schema = self.root.pointer(reference.strip_prefix('#')?)?.as_object()?;
        }
        Some(schema)
    }

    fn object(
        &self,
        schema: &Map<String, Value>,
        entries: &Map<String, Value>,
        place: &str,
        tell: &mut dyn FnMut(&str, String),
    ) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let known = || properties.into_iter().flatten().map(|(name, _)| name.as_str());
        let mut misspelt = Vec::new();
        for (name, value) in entries {
            let here = format!("{place}/{name}");
            match (properties.and_then(|p| p.get(name)), schema.get("additionalProperties")) {
                (Some(its), _) => self.value(its, value, &here, tell),
                (None, Some(Value::Bool(false))) => {
                    misspelt.extend(crate::config::nearest(name, known()));
                    let advice = did_you_mean(name, known()).unwrap_or_else(|| {
                        match known().collect::<Vec<_>>().join(", ") {
                            none if none.is_empty() => "; it takes none".to_owned(),
                            names => format!("; it takes {names}"),
                        }
                    });
                    tell(&here, format!("is unknown{advice}"));
                }
                (None, Some(each)) => self.value(each, value, &here, tell),
                (None, None) => {}
            }
        }
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        for name in required.filter_map(Value::as_str) {
            if !entries.contains_key(name) && !misspelt.contains(&name) {
                tell(&format!("{place}/{name}"), "is missing".to_owned());
            }
        }
    }

    /// The value must suit one branch. Where it suits none, what is told is about the branch that
    /// has its type, if there is just one.
    fn one_of(
        &self,
        branches: &[Value],
        value: &Value,
        place: &str,
        tell: &mut dyn FnMut(&str, String),
    ) {
        let problems: Vec<Vec<(String, String)>> = branches
            .iter()
            .map(|branch| {
                let mut problems = Vec::new();
                self.value(branch, value, place, &mut |place, what| {
                    problems.push((place.to_owned(), what));
                });
                problems
            })
            .collect();
        if problems.iter().any(Vec::is_empty) {
            return;
        }
        let constants: Vec<&str> = branches.iter().flat_map(|branch| self.words(branch)).collect();
        if !constants.is_empty() && value.is_string() {
            return tell(place, one_of_words(&constants, value));
        }
        let fitting = |branch: &Value| match self.resolved(branch).and_then(kinds) {
            Some(kinds) => kinds.iter().any(|kind| is(value, kind)),
            None => true,
        };
        let mut near = branches.iter().zip(&problems).filter(|(branch, _)| fitting(branch));
        match (near.next(), near.next()) {
            (Some((_, problems)), None) => {
                for (place, what) in problems {
                    tell(place, what.clone());
                }
            }
            (None, _) if branches.iter().filter_map(|b| self.resolved(b)).any(is_span) => {
                let found = article(kind_of(value));
                tell(place, format!("must be a duration such as \"30s\", not {found}"));
            }
            (None, _) => {
                let kinds: Vec<&str> = branches
                    .iter()
                    .filter_map(|branch| self.resolved(branch).and_then(kinds))
                    .flatten()
                    .filter(|kind| *kind != "null")
                    .collect();
                let found = article(kind_of(value));
                tell(place, format!("must be {}, not {found}", listed(&kinds)));
            }
            _ => tell(place, "has none of the forms that it may have".to_owned()),
        }
    }

    /// The texts that a branch stands for.
    fn words<'a>(&'a self, branch: &'a Value) -> Vec<&'a str> {
        let Some(branch) = self.resolved(branch) else { return Vec::new() };
        let several = branch.get("enum").and_then(Value::as_array).into_iter().flatten();
        several.chain(branch.get("const")).filter_map(Value::as_str).collect()
    }

    fn constants(
        &self,
        schema: &Map<String, Value>,
        value: &Value,
        place: &str,
        tell: &mut dyn FnMut(&str, String),
    ) {
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array)
            && !allowed.contains(value)
        {
            let words: Vec<&str> = allowed.iter().filter_map(Value::as_str).collect();
            tell(place, one_of_words(&words, value));
        }
        if let Some(constant) = schema.get("const")
            && constant != value
        {
            tell(place, format!("must be {constant}"));
        }
    }
}

fn one_of_words(words: &[&str], value: &Value) -> String {
    let advice = value.as_str().and_then(|text| did_you_mean(text, words.iter().copied()));
    let words = words.iter().map(|w| format!("\"{w}\"")).collect::<Vec<_>>().join(", ");
    format!("must be one of {words}{}", advice.unwrap_or_default())
}

fn bounds(
    schema: &Map<String, Value>,
    value: &Value,
    place: &str,
    tell: &mut dyn FnMut(&str, String),
) {
    let bound = |name: &str| schema.get(name).filter(|b| b.is_number());
    if let Some(number) = value.as_f64().filter(|_| value.is_number()) {
        match (bound("minimum"), bound("maximum")) {
            (Some(least), _) if least.as_f64().is_some_and(|least| number < least) => {
                tell(place, format!("must be at least {least}"));
            }
            (_, Some(most)) if most.as_f64().is_some_and(|most| number > most) => {
                tell(place, format!("must be at most {most}"));
            }
            _ => {}
        }
    }
    let length = match value {
        Value::Array(items) => Some((items.len(), "minItems")),
        Value::String(text) => Some((text.chars().count(), "minLength")),
        _ => None,
    };
    if let Some((length, least)) = length
        && let Some(least) = schema.get(least).and_then(Value::as_u64)
        && (length as u64) < least
    {
        let what =
            if length == 0 { "is empty".to_owned() } else { format!("needs {least} or more") };
        tell(place, what);
    }
    if is_span(schema)
        && let Some(text) = value.as_str()
        && let Err(must) = text.parse::<crate::model::Span>()
    {
        tell(place, must);
    }
}

/// Whether it is the schema of `Span`.
fn is_span(schema: &Map<String, Value>) -> bool {
    schema.get("title").is_some_and(|title| title == "Duration")
}

/// The types that `schema` allows.
fn kinds(schema: &Map<String, Value>) -> Option<Vec<&str>> {
    match schema.get("type")? {
        Value::String(kind) => Some(vec![kind]),
        Value::Array(kinds) => Some(kinds.iter().filter_map(Value::as_str).collect()),
        _ => None,
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "string" => value.is_string(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "boolean" => value.is_boolean(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "null" => value.is_null(),
        _ => true,
    }
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(n) if n.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// In the words of TOML.
fn article(kind: &str) -> &'static str {
    match kind {
        "string" => "a string",
        "integer" => "a whole number",
        "number" => "a number",
        "boolean" => "true or false",
        "array" => "an array",
        "object" => "a table",
        _ => "nothing",
    }
}

fn listed(kinds: &[&str]) -> String {
    let mut words: Vec<_> = kinds.iter().filter(|k| **k != "null").map(|k| article(k)).collect();
    words.dedup();
    words.join(" or ")
}

#[cfg(test)]
mod tests;
