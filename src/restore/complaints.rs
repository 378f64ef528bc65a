//! Which of the errors that pg_restore tells of are harmless here, and why.

use super::archive::Run;
use super::references;
use super::request::Skipped;
use super::script::{self, Token};
use crate::config::Profile;
use crate::snapshot::profile;

/// One error with the statement that failed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Complaint {
    /// The first line.
    pub message: String,
    /// DETAIL, HINT, and `Command was: ` with the statement.
    pub more: String,
}

impl Complaint {
    fn statement(&self) -> &str {
        self.more.split_once("Command was: ").map_or("", |(_, s)| s.trim())
    }

    /// The beginning of the statement on one line, for people.
    pub fn attempt(&self) -> String {
        const SHOWN: usize = 120;
        let line = self.statement().split_whitespace().collect::<Vec<_>>().join(" ");
        match line.char_indices().nth(SHOWN) {
            Some((cut, _)) => format!("{} …", &line[..cut]),
            None => line,
        }
    }
}

/// Why an error does no harm; `None`: it does. Anything unknown does.
pub fn harmless(complaint: &Complaint, run: &Run<'_>) -> Option<Skipped> {
    let message = complaint.message.as_str();
    let statement = complaint.statement();
    let skipped =
        |reason: &str| Some(Skipped { what: complaint.attempt(), reason: reason.to_owned() });
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
    if run.without_roles.iter().any(lacks) {
        return skipped(
            "it names a role that the target does not have (--roles skip); other grants on the \
             same object are lost with it",
        );
    }
    if statement.starts_with("COMMENT ON EXTENSION ")
        && message.contains("must be owner of extension")
    {
        return skipped("the comment on an extension is its owner's, here the provider's");
    }
    let owner = statement.rsplit_once(" OWNER TO ").map(|(_, o)| o.trim_matches([';', '"', ' ']));
    if statement.starts_with("ALTER EVENT TRIGGER ")
        && message.contains("permission denied")
        && owner.is_some_and(|o| run.made_roles.iter().any(|made| made == o))
    {
        return skipped("its owner must be a superuser, and roles are made without such rights");
    }
    if let Some(what) = references::left_out(statement, run.left_out) {
        return skipped(&format!("it refers to what the snapshot leaves out: {what}"));
    }
    by_provider(message, statement, run.provider?).and_then(skipped)
}

/// Why an error about something of the provider's does no harm.
fn by_provider(message: &str, statement: &str, provider: Profile) -> Option<&'static str> {
    let says = |text: &str| message.contains(text);
    let there = says("already exists") || says("multiple primary keys for table");
    let about = |begins: &str| {
        let rest = statement.strip_prefix(begins)?;
        let name = rest.split([' ', ';', '\n']).next()?.trim_matches('"');
        Some(profile::is_providers(provider, name))
    };
    if there && about("CREATE PUBLICATION ") == Some(true) {
        return Some("the provider has made it in this project");
    }
    if about("ALTER DEFAULT PRIVILEGES FOR ROLE ") == Some(true) {
        return Some("the provider sees to what its own roles grant");
    }
    let schema = object_schema(statement)?;
    if !profile::provided_schemas(provider).contains(&schema.as_str()) {
        return None;
    }
    let added = ["CREATE POLICY", "CREATE TRIGGER", "CREATE INDEX", "CREATE UNIQUE INDEX"];
    let grants = ["GRANT ", "REVOKE "].iter().any(|g| statement.starts_with(g));
    if there {
        Some("the provider has made it in this project")
    } else if grants {
        Some("the provider sees to the privileges on what is its own; compare those that you gave")
    } else if says("must be owner of") && added.iter().any(|a| statement.starts_with(a)) {
        Some(
            "only the owner, who is the provider, may make it: if it was added by hand in the \
             source, add it by the provider's console",
        )
    } else if says("must be owner of") || says("permission denied") {
        Some("it is the provider's, who sees to it in every project")
    } else {
        None
    }
}

/// The schema that a statement of pg_dump's is about: that of the first qualified name in it, which
/// is the object itself or what it belongs to; or the schema that it makes or speaks of.
fn object_schema(statement: &str) -> Option<String> {
    let tokens = script::tokens(statement);
    let name = |t: &Token| match t {
        Token::Word(n) | Token::Quoted(n) => Some(n.clone()),
        _ => None,
    };
    // CREATE SCHEMA x, COMMENT ON SCHEMA x, GRANT … ON SCHEMA x.
    let schema = tokens.windows(2).position(|w| w[0] == Token::Word("schema".to_owned()));
    let qualified = tokens
        .windows(3)
        .position(|w| name(&w[0]).is_some() && w[1] == Token::Symbol('.') && name(&w[2]).is_some());
    match (schema, qualified) {
        (Some(at), None) => name(&tokens[at + 1]),
        (Some(at), Some(other)) if at < other => name(&tokens[at + 1]),
        (_, Some(at)) => name(&tokens[at]),
        (None, None) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::restore::contents::Stage;
    use crate::restore::messages::read;

    const STDERR: &str = "\
pg_restore: error: could not execute query: ERROR:  unrecognized configuration parameter \"transaction_timeout\"
Command was: SET transaction_timeout = 0;
pg_restore: while PROCESSING TOC:
pg_restore: from TOC entry 7; 2615 2200 SCHEMA - public postgres
pg_restore: error: could not execute query: ERROR:  schema \"public\" already exists
Command was: CREATE SCHEMA public;


pg_restore: error: could not execute query: ERROR:  relation \"users\" already exists
Command was: CREATE TABLE auth.users (
    id int
);
pg_restore: error: could not execute query: ERROR:  schema \"auth\" already exists
Command was: CREATE SCHEMA auth;
pg_restore: error: could not execute query: ERROR:  trigger \"t\" for relation \"users\" already exists
Command was: CREATE TRIGGER t AFTER INSERT ON auth.users FOR EACH ROW EXECUTE FUNCTION public.f();
pg_restore: error: could not execute query: ERROR:  role \"lab\" does not exist
Command was: ALTER TABLE app.pets OWNER TO lab;
pg_restore: error: could not execute query: ERROR:  type \"mood\" does not exist
LINE 2:     m mood
Command was: CREATE TABLE app.pets (
pg_restore: warning: errors ignored on restore: 4
";

    #[test]
    fn only_what_is_known_to_be_harmless_is() {
        let (errors, warnings) = read(STDERR);
        assert_eq!((errors.len(), warnings.len()), (7, 0));
        let verdicts = |provider: Option<Profile>, roles: &[&str]| -> Vec<bool> {
            let roles: Vec<String> = roles.iter().map(|s| (*s).to_owned()).collect();
            let run = Run {
                name: "definitions",
                stage: Stage::Main,
                section: None,
                jobs: 1,
                settings: "",
                with_tablespaces: true,
                provider,
                made_roles: &[],
                without_roles: &roles,
                left_out: &[],
            };
            errors.iter().map(|e| harmless(e, &run).is_some()).collect()
        };
        assert_eq!(
            verdicts(Some(Profile::Supabase), &[]),
            [true, true, true, true, true, false, false]
        );
        assert_eq!(verdicts(None, &["lab"]), [true, true, false, false, false, true, false]);
        assert_eq!(errors[6].attempt(), "CREATE TABLE app.pets (");
    }
}
