//! What pg_restore writes on stderr, as errors and warnings, also where several of its workers write
//! at once.
//!
//! A message is written in pieces, each by a write of its own: the program's name, a space, the label
//! (`error: `), the text with its line end (pg_log_generic_v in PostgreSQL's logging.c, on an
//! unbuffered stderr). So heads of messages run into one another, and a text stays whole.

use super::complaints::Complaint;

/// How the text of an error about a statement begins, whoever's head stands before it.
const QUERY: &str = "could not execute query: ";

/// What stands before a text, of one message or of several.
#[derive(Default)]
struct Head {
    named: bool,
    errors: usize,
    warning: bool,
    detail: bool,
}

/// Takes the pieces of heads off the front of a line. `None`: it goes on with what was begun.
fn head(line: &str) -> Option<(Head, &str)> {
    let mut head = Head::default();
    let mut rest = line;
    loop {
        let piece = |piece: &str| rest.strip_prefix(piece);
        rest = if let Some(rest) = piece("pg_restore:") {
            head.named = true;
            rest
        } else if let Some(rest) = piece("error: ") {
            head.errors += 1;
            rest
        } else if let Some(rest) = piece("warning: ") {
            head.warning = true;
            rest
        } else if let Some(rest) = piece("detail: ") {
            head.detail = true;
            rest
        } else if let Some(rest) = piece(" ") {
            rest
        } else {
            break;
        };
    }
    (head.named || rest.starts_with(QUERY)).then_some((head, rest))
}

/// What is said besides: where in the archive an error is, without a label, and at the end how many
/// entries had errors, which were told one by one.
fn is_aside(text: &str) -> bool {
    ["while ", "from TOC entry ", "errors ignored on restore"].iter().any(|b| text.starts_with(b))
}

/// Splits stderr into errors and warnings.
///
/// An error that cannot be made out among others is one that nobody knows to be harmless.
pub fn read(stderr: &str) -> (Vec<Complaint>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::<Complaint>::new(), Vec::new());
    let (mut labels, mut begun) = (0, 0);
    let mut in_error = false;
    for line in stderr.lines() {
        let Some((head, text)) = head(line) else {
            match errors.last_mut().filter(|_| in_error) {
                Some(last) => {
                    last.more.push_str(line);
                    last.more.push('\n');
                }
                // Not from pg_restore: the loader, the C library, a wrapper.
                None => errors.push(Complaint { message: line.to_owned(), more: String::new() }),
            }
            continue;
        };
        in_error = false;
        labels += head.errors;
        let aside = is_aside(text);
        if text.starts_with(QUERY) || (head.errors > 0 && !aside) {
            let message = text.trim_start_matches(QUERY).to_owned();
            errors.push(Complaint { message, more: String::new() });
            begun += 1;
            in_error = true;
        } else if head.warning && !aside {
            warnings.push(text.to_owned());
        } else if let (true, Some(last)) = (head.detail, errors.last_mut()) {
            last.more.push_str(text);
            last.more.push('\n');
            in_error = true;
        }
    }
    errors.retain(|e| !e.message.trim().is_empty());
    if begun < labels {
        let message =
            format!("pg_restore told of {labels} errors, and {begun} of them can be made out");
        errors.push(Complaint { message, more: String::new() });
    }
    (errors, warnings)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(stderr: &str) -> Vec<String> {
        read(stderr).0.into_iter().map(|complaint| complaint.message).collect()
    }

    #[test]
    fn workers_that_speak_at_once_are_told_apart() {
        let stderr = "\
pg_restore: while PROCESSING TOC:
pg_restore:pg_restore: error: could not execute query: ERROR:  must be owner of table one
Command was: ALTER TABLE s.one ENABLE ROW LEVEL SECURITY;

 error: could not execute query: ERROR:  must be owner of table two
Command was: CREATE POLICY p ON s.two
  USING (true);
pg_restore: error: pg_restore: from TOC entry 9; 0 0 POLICY
could not execute query: ERROR:  must be owner of table three
pg_restore: warning: errors ignored on restore: 3
";
        let (errors, warnings) = read(stderr);
        let owner = |table: &str| format!("ERROR:  must be owner of table {table}");
        assert_eq!(messages(stderr), [owner("one"), owner("two"), owner("three")]);
        assert_eq!(errors[1].attempt(), "CREATE POLICY p ON s.two USING (true);");
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    #[test]
    fn what_cannot_be_made_out_is_an_error() {
        let lost = "pg_restore: error: pg_restore: while FINALIZING:\n";
        assert_eq!(messages(lost), ["pg_restore told of 1 errors, and 0 of them can be made out"]);
    }

    #[test]
    fn a_library_that_cannot_be_loaded_is_an_error() {
        assert!(messages("pg_restore: symbol lookup failed\n").is_empty());
        assert_eq!(messages("ld.so: libpq.so.5: cannot open shared object file\n").len(), 1);
    }
}
