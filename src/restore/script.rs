//! Reading the SQL that pg_restore would run, for the roles and tablespaces that it names.
//!
//! Owners stand in the archive's table of contents, but grantees, policies' roles and user mappings
//! only in the statements, so these are split into tokens as PostgreSQL's scanner does.

use std::collections::BTreeSet;

/// A piece of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// An unquoted word, in lower case.
    Word(String),
    /// A quoted identifier, unquoted.
    Quoted(String),
    /// A string constant.
    Text(String),
    Symbol(char),
}

/// What a script names that a server must already have.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    pub roles: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
}

/// Goes through a script of pg_restore's.
pub fn named(script: &str) -> Named {
    let mut named = Named::default();
    let mut scanner = Scanner { rest: script, line_start: true };
    let mut statement = Vec::new();
    while let Some(token) = scanner.next() {
        if token == Token::Symbol(';') {
            examine(&statement, &mut named);
            statement.clear();
        } else {
            statement.push(token);
        }
    }
    named
}

/// The tokens of one statement.
pub fn tokens(statement: &str) -> Vec<Token> {
    let mut scanner = Scanner { rest: statement, line_start: true };
    std::iter::from_fn(|| scanner.next()).collect()
}

/// The statements of a script that are about the database `from`, rewritten to be about `to`: its
/// settings, those of roles in it, its owner, privileges and comment.
pub fn about_database(script: &str, from: &str, to: &str) -> Vec<String> {
    let mut scanner = Scanner { rest: script, line_start: true };
    let mut found = Vec::new();
    let mut statement: Vec<(Token, usize, usize)> = Vec::new();
    loop {
        scanner.skip();
        let begin = script.len() - scanner.rest.len();
        let Some(token) = scanner.next() else { return found };
        let end = script.len() - scanner.rest.len();
        if token != Token::Symbol(';') {
            statement.push((token, begin, end));
            continue;
        }
        let words = |w: &[(Token, usize, usize)]| {
            word(&w[0].0) == "database" && name(&w[1].0) == Some(from)
        };
        let kept = ["alter", "grant", "revoke", "comment", "security"];
        let first = statement.first().map(|(t, from, _)| (word(t).to_owned(), *from));
        if let (Some((verb, start)), Some(at)) = (first, statement.windows(2).position(words))
            && kept.contains(&verb.as_str())
        {
            let (_, from, upto) = statement[at + 1];
            found.push(format!(
                "{}{}{}",
                &script[start..from],
                crate::postgres::quote::ident(to),
                &script[upto..begin]
            ));
        }
        statement.clear();
    }
}

fn examine(tokens: &[Token], named: &mut Named) {
    let words: Vec<&str> = tokens.iter().take(5).map(word).collect();
    match words.as_slice() {
        ["alter", "default", "privileges", "for", _, ..] => {
            names_after(tokens, 5, &mut named.roles);
            grantees(&tokens[5..], &mut named.roles);
        }
        ["alter", ..] => {
            let at = tokens.windows(2).rposition(|w| word(&w[0]) == "owner" && word(&w[1]) == "to");
            if let Some(at) = at {
                names_after(tokens, at + 2, &mut named.roles);
            }
        }
        ["grant" | "revoke", ..] => grantees(tokens, &mut named.roles),
        ["create", "policy", ..] => {
            let to = outside_parentheses(tokens)
                .take_while(|(_, t)| !matches!(word(t), "using" | "with"))
                .find(|(_, t)| word(t) == "to");
            if let Some((at, _)) = to {
                names_after(tokens, at + 1, &mut named.roles);
            }
        }
        ["create", "user", "mapping", "for", _] => names_after(tokens, 4, &mut named.roles),
        ["set", "session", "authorization", ..] => names_after(tokens, 3, &mut named.roles),
        ["set", "default_tablespace", "=", ..] => {
            let found = tokens.get(3).and_then(name).filter(|n| !n.is_empty());
            named.tablespaces.extend(found.map(str::to_owned));
        }
        _ => {}
    }
}

/// `… TO a, b WITH GRANT OPTION GRANTED BY c`, `… FROM a, b CASCADE`.
fn grantees(tokens: &[Token], roles: &mut BTreeSet<String>) {
    let last = outside_parentheses(tokens).filter(|(_, t)| matches!(word(t), "to" | "from")).last();
    if let Some((at, _)) = last {
        names_after(tokens, at + 1, roles);
    }
    let granted = tokens.windows(2).rposition(|w| word(&w[0]) == "granted" && word(&w[1]) == "by");
    if let Some(at) = granted {
        names_after(tokens, at + 2, roles);
    }
}

fn outside_parentheses(tokens: &[Token]) -> impl Iterator<Item = (usize, &Token)> {
    let mut depth = 0i32;
    tokens.iter().enumerate().filter(move |(_, t)| {
        match t {
            Token::Symbol('(') => depth += 1,
            Token::Symbol(')') => depth -= 1,
            _ => {}
        }
        depth == 0
    })
}

/// The word of a token; symbols count as words of one character here, everything else is empty.
fn word(token: &Token) -> &str {
    match token {
        Token::Word(w) => w,
        Token::Symbol('=') => "=",
        _ => "",
    }
}

fn name(token: &Token) -> Option<&str> {
    match token {
        Token::Word(n) | Token::Quoted(n) | Token::Text(n) => Some(n),
        Token::Symbol(_) => None,
    }
}

/// Adds `a, b, c` from `at` on. Words that stand for roles without naming one are not names.
fn names_after(tokens: &[Token], mut at: usize, into: &mut BTreeSet<String>) {
    while let Some(found) = tokens.get(at).and_then(name) {
        let keyword = matches!(
            tokens.get(at),
            Some(Token::Word(w)) if matches!(w.as_str(), "public" | "current_user" | "session_user" | "current_role")
        );
        if !keyword {
            into.insert(found.to_owned());
        }
        if tokens.get(at + 1) != Some(&Token::Symbol(',')) {
            return;
        }
        at += 2;
    }
}

struct Scanner<'a> {
    rest: &'a str,
    line_start: bool,
}

impl<'a> Scanner<'a> {
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.rest = rest;
        taken
    }

    /// Up to and with `end`, or all there is.
    fn through(&mut self, end: &str) -> &'a str {
        match self.rest.find(end) {
            Some(at) => {
                let taken = self.take(at);
                self.take(end.len());
                taken
            }
            None => self.take(self.rest.len()),
        }
    }

    fn next(&mut self) -> Option<Token> {
        self.skip();
        let c = self.rest.chars().next()?;
        Some(self.token(c))
    }

    /// Goes past white space and comments.
    fn skip(&mut self) {
        while let Some(c) = self.rest.chars().next() {
            if c == '\n' {
                self.take(1);
                self.line_start = true;
                continue;
            }
            if c.is_whitespace() {
                self.take(c.len_utf8());
                continue;
            }
            // psql's own commands (`\restrict`) take a line.
            if self.rest.starts_with("--") || (c == '\\' && self.line_start) {
                self.through("\n");
                self.line_start = true;
                continue;
            }
            self.line_start = false;
            if !self.rest.starts_with("/*") {
                return;
            }
            self.comment();
        }
    }

    /// A comment, in which others may stand.
    fn comment(&mut self) {
        let mut depth = 0;
        while !self.rest.is_empty() {
            if self.rest.starts_with("/*") {
                depth += 1;
                self.take(2);
            } else if self.rest.starts_with("*/") {
                depth -= 1;
                self.take(2);
                if depth == 0 {
                    return;
                }
            } else {
                let c = self.rest.chars().next().map_or(1, char::len_utf8);
                self.take(c);
            }
        }
    }

    fn token(&mut self, c: char) -> Token {
        match c {
            '\'' => Token::Text(self.quoted('\'', false)),
            '"' => Token::Quoted(self.quoted('"', false)),
            '$' => match self.dollar_tag() {
                Some(tag) => {
                    self.take(tag.len());
                    Token::Text(self.through(tag).to_owned())
                }
                None => {
                    self.take(1);
                    Token::Symbol('$')
                }
            },
            c if c.is_alphabetic() || c == '_' => {
                if matches!(c, 'e' | 'E') && self.rest[1..].starts_with('\'') {
                    self.take(1);
                    return Token::Text(self.quoted('\'', true));
                }
                let is_in = |c: char| c.is_alphanumeric() || c == '_' || c == '$';
                let end = self.rest.find(|c| !is_in(c)).unwrap_or(self.rest.len());
                Token::Word(self.take(end).to_lowercase())
            }
            c => {
                self.take(c.len_utf8());
                Token::Symbol(c)
            }
        }
    }

    /// What stands between two `quote`s, doubled ones undone.
    fn quoted(&mut self, quote: char, backslashes: bool) -> String {
        let mut text = String::new();
        self.take(1);
        while let Some(c) = self.rest.chars().next() {
            self.take(c.len_utf8());
            if c == quote {
                if !self.rest.starts_with(quote) {
                    break;
                }
                self.take(1);
            } else if c == '\\' && backslashes {
                let escaped = self.rest.chars().next().unwrap_or('\\');
                self.take(escaped.len_utf8().min(self.rest.len()));
                text.push(escaped);
                continue;
            }
            text.push(c);
        }
        text
    }

    /// `$$` or `$tag$` at the front.
    fn dollar_tag(&self) -> Option<&'a str> {
        let end = self.rest[1..].find('$')? + 2;
        let tag = &self.rest[..end];
        let inner = &tag[1..end - 1];
        let plain = inner.chars().all(|c| c.is_alphanumeric() || c == '_');
        let begins_well = !inner.starts_with(|c: char| c.is_ascii_digit());
        (plain && begins_well).then_some(tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(script: &str) -> Vec<String> {
        named(script).roles.into_iter().collect()
    }

    #[test]
    fn every_way_of_naming_a_role() {
        for (script, expected) in [
            ("ALTER TABLE app.t OWNER TO lab;", &["lab"][..]),
            ("ALTER SCHEMA \"to owner\" OWNER TO \"Odd \"\"Role\"\"\";", &["Odd \"Role\""]),
            ("GRANT SELECT(a),UPDATE(b) ON TABLE t TO PUBLIC;", &[]),
            (
                "GRANT ALL ON SCHEMA s TO a WITH GRANT OPTION;\nREVOKE ALL ON x FROM \"B\";",
                &["B", "a"],
            ),
            ("GRANT SELECT ON t TO a GRANTED BY g;", &["a", "g"]),
            (
                "ALTER DEFAULT PRIVILEGES FOR ROLE o IN SCHEMA s GRANT USAGE ON SEQUENCES  TO w;",
                &["o", "w"],
            ),
            ("ALTER DEFAULT PRIVILEGES FOR ROLE o REVOKE ALL ON FUNCTIONS FROM PUBLIC;", &["o"]),
            (
                "CREATE POLICY \"to x\" ON t AS RESTRICTIVE FOR SELECT TO a, \"b c\" USING ((o = 'TO z'));",
                &["a", "b c"],
            ),
            ("CREATE POLICY p ON t FOR INSERT WITH CHECK (true);", &[]),
            ("CREATE USER MAPPING FOR m SERVER s OPTIONS (password 'x');", &["m"]),
            ("SET SESSION AUTHORIZATION w;\nRESET SESSION AUTHORIZATION;", &["w"]),
            ("SET SESSION AUTHORIZATION 'Odd one';", &["Odd one"]),
        ] {
            assert_eq!(roles(script), expected, "{script}");
        }
    }

    #[test]
    fn what_only_looks_like_a_statement_is_none() {
        let script = r#"\restrict abc
-- ALTER TABLE x OWNER TO ghost;
CREATE FUNCTION f() AS $body$ GRANT ALL ON t TO ghost; $$ ; $$ $body$;
COMMENT ON TABLE t IS 'it''s; GRANT x TO ghost;';
COMMENT ON TABLE t IS E'a\'; GRANT x TO ghost; --\\';
/* GRANT /* x */ TO ghost; */
SELECT $1 FROM a$b$c;
ALTER TABLE t OWNER TO real;
"#;
        assert_eq!(roles(script), ["real"]);
    }

    #[test]
    fn statements_about_the_database_move_to_another() {
        let script = "\
CREATE DATABASE pets WITH TEMPLATE = template0;
ALTER DATABASE pets OWNER TO lab;
\\connect pets
SET x = 1;
ALTER DATABASE pets SET work_mem TO '8MB';
ALTER ROLE \"A b\" IN DATABASE pets SET search_path TO 'database pets';
COMMENT ON DATABASE \"pets\" IS 'it''s; fine'; /* COMMENT ON DATABASE pets IS ''; */
ALTER DATABASE other SET work_mem TO '8MB';
";
        assert_eq!(
            about_database(script, "pets", "new one"),
            [
                "ALTER DATABASE \"new one\" OWNER TO lab",
                "ALTER DATABASE \"new one\" SET work_mem TO '8MB'",
                "ALTER ROLE \"A b\" IN DATABASE \"new one\" SET search_path TO 'database pets'",
                "COMMENT ON DATABASE \"new one\" IS 'it''s; fine'",
            ]
        );
    }

    #[test]
    fn tablespaces_are_named_once_they_are_not_the_default() {
        let script = "SET default_tablespace = '';\nSET default_tablespace = fast;\nSET default_tablespace = \"Big one\";";
        let found: Vec<_> = named(script).tablespaces.into_iter().collect();
        assert_eq!(found, ["Big one", "fast"]);
    }
}
