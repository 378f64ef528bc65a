//! What an action does and takes, on a terminal.

use super::wrapping::{hung, wrapped};
use crate::providers::{ActionKind, leaves};
use crate::runbook::manual::{self, Argument};

pub fn text(kind: &ActionKind) -> String {
    let mut text = hung("", &format!("{}: {}", kind.name, kind.summary), 80);
    let arguments = manual::arguments(kind);
    if arguments.is_empty() {
        text.push_str("\nIt takes no arguments.\n");
        return text + &left(kind);
    }
    text.push_str("\nArguments (those with * must be given):\n");
    lay_out(&arguments, "  ", &mut text);
    let given: Vec<_> =
        arguments.iter().filter(|a| a.required).map(|a| format!("{} = …", a.name)).collect();
    text.push_str("\n[[step]]\nid = \"NAME\"\n");
    text.push_str(&format!("uses = \"{}\"\n", kind.name));
    if !given.is_empty() {
        text.push_str(&format!("with = {{ {} }}\n", given.join(", ")));
    }
    text.push_str("timeout = \"1m\"\n");
    text + &left(kind)
}

/// What later steps may ask it for.
fn left(kind: &ActionKind) -> String {
    let left = leaves::by(kind.name);
    if left.is_empty() {
        return String::new();
    }
    let facts = left.join(", ");
    format!("\n{}", wrapped(&format!("It leaves, as ${{steps.NAME.FACT}}: {facts}"), 80, "  "))
}

fn lay_out(arguments: &[Argument], indent: &str, text: &mut String) {
    for argument in arguments {
        let star = if argument.required { "*" } else { "" };
        text.push_str(&format!("{indent}{}{star}  ({})\n", argument.name, argument.kind));
        text.push_str(&hung(&format!("{indent}    "), &argument.about, 80));
        lay_out(&argument.keys, &format!("{indent}    "), text);
    }
}
