//! Identifiers and literals as SQL spells them.

use crate::model::TableName;

/// An identifier, always quoted (PostgreSQL documentation, 4.1.1).
pub fn ident(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A string constant. Backslashes force the escape form, which means the same under either setting
/// of `standard_conforming_strings`.
pub fn literal(text: &str) -> String {
    let doubled = text.replace('\'', "''");
    match doubled.contains('\\') {
        true => format!(" E'{}'", doubled.replace('\\', "\\\\")),
        false => format!("'{doubled}'"),
    }
}

/// `"schema"."name"`.
pub fn table(name: &TableName) -> String {
    format!("{}.{}", ident(&name.schema), ident(&name.name))
}

/// `"a", "b"`.
pub fn columns(names: &[String]) -> String {
    names.iter().map(|n| ident(n)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_spelt_out() {
        assert_eq!(ident("we\"ird"), "\"we\"\"ird\"");
        assert_eq!(literal("o'clock"), "'o''clock'");
        assert_eq!(literal("a\\b'c"), " E'a\\\\b''c'");
        assert_eq!(columns(&["a".into(), "B c".into()]), "\"a\", \"B c\"");
    }
}
