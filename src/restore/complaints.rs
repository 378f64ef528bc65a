//! What pg_restore says on stderr: which of its errors are harmless here, and why.

use super::contents::Contents;
use super::request::Skipped;

/// One error with the entry that it came from.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complaint {
    /// The entry's dump id, where it was told.
    pub entry: Option<u32>,
    /// The first line.
    pub message: String,
    /// DETAIL, HINT and the statement.
    pub more: String,
}

/// Splits stderr into errors and warnings.
pub fn read(stderr: &str) -> (Vec<Complaint>, Vec<String>) {
    let (mut errors, mut warnings) = (Vec::<Complaint>::new(), Vec::new());
    let mut entry = None;
    let mut in_error = false;
    for line in stderr.lines() {
        let Some(said) = line.strip_prefix("pg_restore: ") else {
            match errors.last_mut().filter(|_| in_error) {
                Some(last) => {
                    last.more.push_str(line);
                    last.more.push('\n');
                }
                // Not from pg_restore: the loader, the C library, a wrapper.
                None => errors.push(Complaint {
                    entry: None,
                    message: line.to_owned(),
                    ..Complaint::default()
                }),
            }
            continue;
        };
        in_error = false;
        if let Some(place) = said.strip_prefix("from TOC entry ") {
            entry = place.split(';').next().and_then(|id| id.parse().ok());
        } else if let Some(message) = said.strip_prefix("error: ") {
            errors.push(Complaint { entry, message: message.to_owned(), more: String::new() });
            in_error = true;
        } else if let Some(message) = said.strip_prefix("warning: ") {
            if !message.starts_with("errors ignored on restore") {
                warnings.push(message.to_owned());
            }
        } else if let Some(more) = said.strip_prefix("detail: ")
            && let Some(last) = errors.last_mut()
        {
            last.more.push_str(more);
            last.more.push('\n');
            in_error = true;
        }
    }
    errors.retain(|e| !e.message.trim().is_empty());
    (errors, warnings)
}

/// Why an error does no harm; `None`: it does. Anything unknown does.
pub fn harmless(
    complaint: &Complaint,
    contents: &Contents,
    provided: &[String],
    without_roles: &[String],
) -> Option<Skipped> {
    let entry = complaint.entry.and_then(|id| contents.entry(id));
    let message = complaint.message.as_str();
    let skipped = |reason: &str| {
        let what = entry.map_or_else(|| message.to_owned(), |e| e.label());
        Some(Skipped { what, reason: reason.to_owned() })
    };
    let statement = complaint.more.split_once("Command was: ").map_or("", |(_, s)| s.trim());
    if message.contains("unrecognized configuration parameter")
        && statement.starts_with("SET ")
        && statement.ends_with("_timeout = 0;")
    {
        return skipped("a timeout that this server does not have yet needs no switching off");
    }
    if message.ends_with("schema \"public\" already exists") {
        return skipped("every new database has a schema public");
    }
    let lacks = |role: &String| message.ends_with(&format!("role \"{role}\" does not exist"));
    if without_roles.iter().any(lacks) {
        return skipped(
            "it names a role that the target does not have (--roles skip); other grants on the same object are lost with it",
        );
    }
    let entry = entry?;
    if entry.kind == "COMMENT"
        && entry.rest.starts_with("- EXTENSION ")
        && message.contains("must be owner of extension")
    {
        return skipped("the comment on an extension is its owner's, here the provider's");
    }
    let owned = ["already exists", "must be owner of"].iter().any(|m| message.contains(m));
    if owned && provided.iter().any(|schema| entry.is_in_schema(schema)) {
        return skipped("the provider has made it in this project");
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const STDERR: &str = "\
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"
Command was: SET transaction_timeout = 0;
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 7; 2615 2200 SCHEMA - public postgres
pg_restore: error: could not execute query: ERROR:  schema \"public\" already exists
Command was: CREATE SCHEMA public;


pg_restore: from TOC entry 9; 1259 100 TABLE auth users admin
pg_restore: error: could not execute query: ERROR:  relation \"users\" already exists
Command was: CREATE TABLE auth.users (
    id int
);
pg_restore: from TOC entry 10; 1259 101 TABLE app pets lab
pg_restore: error: could not execute query: ERROR:  type \"mood\" does not exist
LINE 2:     m mood
Command was: CREATE TABLE app.pets (
pg_restore: warning: errors ignored on restore: 4
";

    #[test]
    fn only_what_is_known_to_be_harmless_is() {
        let contents = Contents::parse(
            "7; 2615 2200 SCHEMA - public postgres\n9; 1259 100 TABLE auth users admin\n\
             10; 1259 101 TABLE app pets lab\n",
        )
        .unwrap();
        let (errors, warnings) = read(STDERR);
        assert_eq!((errors.len(), warnings.len()), (4, 0));
        let verdicts = |provided: &[String]| -> Vec<bool> {
            errors.iter().map(|e| harmless(e, &contents, provided, &[]).is_some()).collect()
        };
        assert_eq!(verdicts(&["auth".to_owned()]), [true, true, true, false]);
        assert_eq!(verdicts(&[]), [true, true, false, false]);
        assert!(errors[3].more.contains("CREATE TABLE app.pets"), "{errors:?}");
    }
}
