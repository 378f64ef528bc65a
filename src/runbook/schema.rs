//! The JSON Schema of runbooks, with the arguments of every action: for editors.

use serde_json::{Map, Value, json};

use crate::providers;

/// A schema in draft 2020-12. It is for help while typing; `drctl runbook check` knows more.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    let mut cases = Vec::new();
    for kind in providers::kinds() {
        let mut arguments = kind.arguments.as_value().clone();
        let own = format!("{}.", kind.name);
        if let Some(schema) = arguments.as_object_mut() {
            schema.remove("$schema");
            // Definitions of all actions lie side by side, under the action's name.
            if let Some(Value::Object(inner)) = schema.remove("$defs") {
                for (name, mut definition) in inner {
                    loosen(&mut definition, &own);
                    definitions.insert(format!("{own}{name}"), definition);
                }
            }
        }
        loosen(&mut arguments, &own);
        definitions.insert(kind.name.to_owned(), arguments);
        let mut then = json!({ "properties": { "with": {
            "$ref": format!("#/$defs/{}", kind.name), "description": kind.summary,
        } } });
        if kind.arguments.get("required").is_some() {
            then["required"] = json!(["with"]);
        }
        cases.push(json!({
            "if": { "properties": { "uses": { "const": kind.name } }, "required": ["uses"] },
            "then": then,
        }));
    }
    let names: Vec<Value> = providers::kinds()
        .iter()
        .map(|k| json!({ "const": k.name, "description": k.summary }))
        .collect();
    definitions.insert("duration".to_owned(), duration());
    definitions.insert("step".to_owned(), step(&names, &cases));
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "drctl runbook",
        "type": "object",
        "additionalProperties": false,
        "required": ["title", "step"],
        "properties": {
            "title": { "type": "string", "description": "One line that says what it is for" },
            "about": { "type": "string", "description": "What to know before running it" },
            "from": {
                "type": "string", "default": "${regions.primary}",
                "description": "The region that must be active before",
            },
            "to": {
                "type": "string", "default": "${regions.standby}",
                "description": "The region that is active afterwards",
            },
            "mode": { "enum": ["graceful", "forced"],
                "description": "The only mode that it is for. Default: either" },
            "rto": described(duration(), "How soon the service must be back; the longest path through \
                the timeouts must fit. Default: `rto` of the configuration"),
            "rpo": described(duration(), "How much may be lost. Default: `rpo` of the configuration"),
            "step": {
                "type": "array", "minItems": 1, "items": { "$ref": "#/$defs/step" },
                "description": "Steps run at the same time unless one needs the other",
            },
        },
        "$defs": definitions,
    })
}

fn step(names: &[Value], cases: &[Value]) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": ["id", "uses", "timeout"],
        "properties": {
            "id": { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]*$",
                "description": "The step's name, unlike any other in the runbook" },
            "uses": { "oneOf": names, "description": "The action" },
            "with": { "type": "object", "description": "The action's arguments" },
            "needs": { "type": "array", "items": { "type": "string" },
                "description": "Ids of steps that must have ended well before" },
            "when": { "enum": ["graceful", "forced"],
                "description": "Only in this mode. Default: in both" },
            "timeout": described(duration(), "How long it may take, all tries together"),
            "retries": { "type": "integer", "minimum": 0, "maximum": 20, "default": 0,
                "description": "Tries after the first" },
            "on_failure": { "enum": ["stop", "continue", "abort"], "default": "stop",
                "description": "stop: start nothing new; continue: go on without it; abort: undo \
                    what was done" },
            "compensate": { "type": "boolean",
                "description": "Whether an abort undoes it. Default: if the action can" },
            "approve": {
                "type": "object", "additionalProperties": false,
                "required": ["who", "timeout"],
                "properties": {
                    "who": { "enum": ["operator", "second-person"],
                        "description": "Who may approve" },
                    "timeout": described(duration(), "How long to wait; counts against the RTO"),
                },
                "description": "Somebody must agree before it starts",
            },
            "point_of_no_return": { "type": "boolean", "default": false,
                "description": "After it there is no way back, only forward" },
        },
        "allOf": cases,
    })
}

fn duration() -> Value {
    json!({ "type": "string", "pattern": r"^([0-9]+ *[a-zA-Z]+ *)+$" })
}

fn described(mut schema: Value, text: &str) -> Value {
    schema["description"] = text.into();
    schema
}

/// Points references at the definitions of this action, and lets `${…}` stand where a number or
/// anything else is wanted.
fn loosen(schema: &mut Value, own: &str) {
    match schema {
        Value::Object(map) => {
            if let Some(Value::String(reference)) = map.get_mut("$ref")
                && let Some(name) = reference.strip_prefix("#/$defs/")
            {
                *reference = format!("#/$defs/{own}{name}");
            }
            for (key, value) in map.iter_mut() {
                if key != "default" && key != "const" && key != "enum" {
                    loosen(value, own);
                }
            }
            let wants = map.get("type").and_then(Value::as_str);
            if matches!(wants, Some("integer" | "number" | "boolean" | "array"))
                || (map.contains_key("enum") && wants == Some("string"))
            {
                let described = map.get("description").cloned();
                let strict = Value::Object(std::mem::take(map));
                map.extend(described.map(|d| ("description".to_owned(), d)));
                let reference = json!({ "type": "string", "pattern": r"^\$\{[^}]+\}$" });
                map.insert("anyOf".to_owned(), json!([strict, reference]));
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| loosen(item, own)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every `$ref` in it.
    fn references(schema: &Value, found: &mut Vec<String>) {
        match schema {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str).map(str::to_owned));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_action_and_key_is_in_it_and_every_reference_leads_somewhere() {
        let schema = schema();
        for kind in providers::kinds() {
            assert!(schema["$defs"].get(kind.name).is_some(), "{}", kind.name);
        }
        for key in crate::runbook::parse::STEP {
            assert!(schema["$defs"]["step"]["properties"].get(key).is_some(), "{key}");
        }
        for key in crate::runbook::parse::RUNBOOK {
            assert!(schema["properties"].get(key).is_some(), "{key}");
        }
        let mut found = Vec::new();
        references(&schema, &mut found);
        assert!(!found.is_empty());
        for reference in found {
            assert!(schema.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
        }
    }
}
