//! The text below the options in `--help`: prose is written in lines of any length and shown as wide
//! as the terminal is.

use clap::{Command, builder::StyledStr};

/// Makes one line of each paragraph, here and in every subcommand, for clap to break.
pub fn flowing(command: Command) -> Command {
    let text = command.get_after_help().map(ToString::to_string);
    let command = match text {
        Some(text) => command.after_help(StyledStr::from(joined(&text))),
        None => command,
    };
    command.mut_subcommands(flowing)
}

/// Joins the lines of paragraphs. What is indented, and what announces it, stays as it is.
fn joined(text: &str) -> String {
    let mut out = String::new();
    let mut open = false;
    for line in text.lines() {
        let prose = !line.is_empty() && !line.starts_with(' ') && !line.ends_with(':');
        if open && prose {
            out.push(' ');
        } else if !out.is_empty() {
            out.push('\n');
        }
        out.push_str(line);
        open = prose;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_flows_and_examples_stand() {
        let text =
            "Examples:\n  drctl x   shows it\n  drctl y\n\nOne line\nand another.\n\nThe end";
        assert_eq!(
            joined(text),
            "Examples:\n  drctl x   shows it\n  drctl y\n\nOne line and another.\n\nThe end"
        );
    }

    #[test]
    fn no_example_is_broken_on_a_wide_terminal() {
        fn check(command: &Command) {
            let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            for line in text.lines().filter(|line| line.starts_with(' ')) {
                assert!(line.chars().count() <= 100, "{}: {line}", command.get_name());
            }
            command.get_subcommands().for_each(check);
        }
        check(&crate::cli::command());
    }
}
