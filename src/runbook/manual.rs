//! What an action takes, argument by argument, read from its schema: for help and documentation.

use serde_json::{Map, Value};

use crate::providers::{ActionKind, leaves};

/// One argument of an action, or one key of a table in it.
#[derive(Debug, Clone, PartialEq)]
pub struct Argument {
    pub name: String,
    /// In the words of TOML: "text", "table".
    pub kind: String,
    pub required: bool,
    pub about: String,
    /// The keys of a table, or of each table of an array.
    pub keys: Vec<Argument>,
}

/// The arguments of an action, those that must be given first.
pub fn arguments(kind: &ActionKind) -> Vec<Argument> {
    let root = kind.arguments.as_value();
    match root.as_object() {
        Some(schema) => keys(root, schema, 0),
        None => Vec::new(),
    }
}

/// Deeper tables than this are not laid out: schemas may hold themselves.
const DEEPEST: usize = 4;

fn keys(root: &Value, schema: &Map<String, Value>, depth: usize) -> Vec<Argument> {
    if depth == DEEPEST {
        return Vec::new();
    }
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let properties = schema.get("properties").and_then(Value::as_object);
    let mut arguments: Vec<Argument> = properties
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let about = value.get("description").and_then(Value::as_str).unwrap_or_default();
            let (kind, inner) = shape(root, value);
            Argument {
                name: name.clone(),
                kind,
                required: required.contains(&name.as_str()),
                about: about.split_whitespace().collect::<Vec<_>>().join(" "),
                keys: inner.map(|inner| keys(root, inner, depth + 1)).unwrap_or_default(),
            }
        })
        .collect();
    arguments.sort_by_key(|a| !a.required);
    arguments
}

/// The kind of a value in words, and the schema of the tables in it.
fn shape<'s>(root: &'s Value, schema: &'s Value) -> (String, Option<&'s Map<String, Value>>) {
    let Some(schema) = resolved(root, schema) else { return ("anything".to_owned(), None) };
    if schema.get("title").is_some_and(|t| t == "Duration") {
        return ("duration".to_owned(), None);
    }
    let words = words(root, schema);
    if !words.is_empty() {
        let words: Vec<_> = words.iter().map(|w| format!("\"{w}\"")).collect();
        return (words.join(" or "), None);
    }
    for branches in ["anyOf", "oneOf"].iter().filter_map(|k| schema.get(*k)?.as_array()) {
        let mut real = branches
            .iter()
            .filter(|b| b.get("type").is_none_or(|t| t != "null"))
            .map(|b| shape(root, b));
        let Some((first, inner)) = real.next() else { continue };
        let rest: Vec<_> = real.map(|(kind, _)| kind).collect();
        let kinds: Vec<_> = std::iter::once(first).chain(rest).collect();
        return (kinds.join(" or "), inner);
    }
    let kind = match schema.get("type") {
        Some(Value::String(kind)) => kind.as_str(),
        Some(Value::Array(kinds)) => {
            kinds.iter().filter_map(Value::as_str).find(|k| *k != "null").unwrap_or_default()
        }
        _ => "",
    };
    match kind {
        "string" => ("text".to_owned(), None),
        "integer" => ("whole number".to_owned(), None),
        "number" => ("number".to_owned(), None),
        "boolean" => ("true or false".to_owned(), None),
        "array" => {
            let (each, inner) = match schema.get("items") {
                Some(items) => shape(root, items),
                None => ("anything".to_owned(), None),
            };
            (format!("list of {}", plural(&each)), inner)
        }
        "object" => ("table".to_owned(), Some(schema)),
        _ => ("anything".to_owned(), None),
    }
}

fn plural(kind: &str) -> String {
    match kind {
        "text" | "table" | "duration" | "number" | "whole number" => format!("{kind}s"),
        other => other.to_owned(),
    }
}

fn words<'s>(root: &'s Value, schema: &'s Map<String, Value>) -> Vec<&'s str> {
    let own = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    let own = own.chain(schema.get("const")).filter_map(Value::as_str);
    let branches = schema.get("oneOf").and_then(Value::as_array).into_iter().flatten();
    let theirs = branches.filter_map(|b| resolved(root, b)).flat_map(|b| {
        let several = b.get("enum").and_then(Value::as_array).into_iter().flatten();
        several.chain(b.get("const")).filter_map(Value::as_str)
    });
    own.chain(theirs).collect()
}

fn resolved<'s>(root: &'s Value, schema: &'s Value) -> Option<&'s Map<String, Value>> {
    let mut schema = schema.as_object()?;
    while let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        schema = root.pointer(reference.strip_prefix('#')?)?.as_object()?;
    }
    Some(schema)
}

/// Every action with its arguments, as Markdown.
pub fn reference(kinds: &[ActionKind]) -> String {
    let mut text = String::new();
    for kind in kinds {
        text.push_str(&format!("\n### {}\n\n{}.\n\n", kind.name, capital(kind.summary)));
        let arguments = arguments(kind);
        if arguments.is_empty() {
            text.push_str("It takes no arguments.\n");
        } else {
            text.push_str("| argument | type | meaning |\n| --- | --- | --- |\n");
            rows(&arguments, "", &mut text);
        }
        let left = leaves::by(kind.name);
        if !left.is_empty() {
            let left: Vec<_> = left.iter().map(|fact| format!("`{fact}`")).collect();
            text.push_str(&format!("\nIt leaves {}.\n", left.join(", ")));
        }
    }
    text
}

fn rows(arguments: &[Argument], above: &str, text: &mut String) {
    for argument in arguments {
        let name = format!("{above}{}", argument.name);
        let required = if argument.required { ", required" } else { "" };
        let cell = |text: &str| text.replace('|', "\\|");
        let (kind, about) = (cell(&argument.kind), cell(&argument.about));
        text.push_str(&format!("| `{name}` | {kind}{required} | {about} |\n"));
        rows(&argument.keys, &format!("{name}."), text);
    }
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
