//! Foreign keys to what a snapshot leaves out: they cannot be made, and that was known when it was
//! taken.

use super::script::{self, Token};
use crate::model::LeftOut;

/// What is left out that the foreign key of this statement refers to; `None` where it is no such
/// statement, or refers to something that is there.
pub fn left_out(statement: &str, left_out: &[LeftOut]) -> Option<String> {
    let tokens = script::tokens(statement);
    let word = |t: &Token, text: &str| *t == Token::Word(text.to_owned());
    let is_key = tokens.windows(2).any(|w| word(&w[0], "foreign") && word(&w[1], "key"));
    if !is_key || !tokens.first().is_some_and(|t| word(t, "alter")) {
        return None;
    }
    let at = tokens.iter().position(|t| word(t, "references"))?;
    let name = |t: Option<&Token>| match t {
        Some(Token::Word(n) | Token::Quoted(n)) => Some(n.clone()),
        _ => None,
    };
    let (schema, table) = (name(tokens.get(at + 1))?, name(tokens.get(at + 3))?);
    let full = format!("{schema}.{table}");
    let kinds = [format!("schema {schema}"), full.clone(), format!("rows of {full}")];
    left_out.iter().find(|l| kinds.contains(&l.what)).map(|l| l.what.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_that_a_foreign_key_refers_to_is_read_from_the_statement() {
        let out = |what: &str| LeftOut { what: what.to_owned(), reason: String::new() };
        let known = [out("app.owners"), out("rows of app.Log \"1\""), out("schema old")];
        let of = |references: &str| {
            let statement = format!(
                "ALTER TABLE ONLY app.pets\n    ADD CONSTRAINT \"references\" FOREIGN KEY \
                 (\"references\") REFERENCES {references}(id);"
            );
            left_out(&statement, &known)
        };
        assert_eq!(of("app.owners").as_deref(), Some("app.owners"));
        assert_eq!(of("app.\"Log \"\"1\"\"\"").as_deref(), Some("rows of app.Log \"1\""));
        assert_eq!(of("old.anything").as_deref(), Some("schema old"));
        assert_eq!(of("app.visits"), None);
        assert_eq!(left_out("CREATE VIEW v AS SELECT 1 FROM app.owners;", &known), None);
    }
}
