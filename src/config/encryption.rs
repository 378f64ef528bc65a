//! `[encryption]`: for whom snapshots are encrypted, and the identity that opens them.

use super::table::Table;
use super::{Secret, Unresolved, keys};
use crate::model::{Recipient, identities};

/// The table, checked.
#[derive(Debug, Clone, Default)]
pub struct EncryptionConfig {
    /// None: snapshots are not encrypted.
    pub recipients: Vec<Recipient>,
    /// An age identity file's text. Only what reads rows needs it.
    pub identity: Option<Secret>,
}

pub(super) fn encryption(root: &Table<'_>, unresolved: &mut Vec<Unresolved>) -> EncryptionConfig {
    let Some(mut table) = root.table("encryption", keys::ENCRYPTION) else {
        return EncryptionConfig::default();
    };
    let mut recipients: Vec<Recipient> = Vec::new();
    for at in table.texts("recipients").unwrap_or_default() {
        match at.value.parse() {
            Ok(recipient) if recipients.contains(&recipient) => {
                table.doc.warning(at.line, "`recipients` names one of them twice");
            }
            Ok(recipient) => recipients.push(recipient),
            Err(must) => table.bad(&at, &format!("`recipients`: {must}")),
        }
    }
    let identity = table.secret("identity", |text| match identities(text) {
        Some(_) => Ok(true),
        None => Err("is not an age identity, as `age-keygen` writes it: lines that begin with \
                     `AGE-SECRET-KEY-1`; give its file as \"file:/path/to/recovery.key\""
            .to_owned()),
    });
    let listed = table.entry("recipients").and_then(|entry| entry.value.as_array());
    if listed.is_some_and(|array| array.is_empty()) {
        // An empty list reads as "for nobody" and would mean "for everybody".
        let text = "`recipients` is empty; leave it out where snapshots are not to be encrypted";
        table.doc.problem(table.line_of("recipients"), text);
    }
    // A list of which one name is not to be had would encrypt for fewer than was meant.
    super::build::insist(table.doc, &table);
    let reasons = table.missing_secrets.iter();
    unresolved
        .extend(reasons.map(|r| Unresolved { table: "encryption".to_owned(), reason: r.clone() }));
    EncryptionConfig { recipients, identity }
}
