//! One table of the file: its keys, and where to tell what is wrong. Reading values: values.rs.

use toml::de::{DeTable, DeValue};

use super::document::Document;
use super::nearest::{did_you_mean, nearest};

/// A value with the line it stands on.
#[derive(Debug, Clone)]
pub(crate) struct At<T> {
    pub value: T,
    pub line: usize,
    /// Whether it came from the environment or a file: then a bad value spoils only its own table.
    pub referenced: bool,
}

impl At<String> {
    /// For messages: what the file says, but never what a variable holds.
    pub fn shown(&self) -> &str {
        if self.referenced { "${…}" } else { &self.value }
    }
}

/// A table of the file. Its methods give `None` where the key is absent or its value is wrong; what
/// is wrong is told to the document, or kept in `unresolved` if only this table suffers.
pub(crate) struct Table<'t> {
    /// `store.east`.
    pub path: String,
    pub line: usize,
    /// Lines and problems that leave only this table without its values.
    pub unresolved: Vec<(usize, String)>,
    /// Secrets of this table that are not to be had, with file and line; the rest of it is usable.
    pub missing_secrets: Vec<String>,
    pub doc: &'t Document<'t>,
    entries: Vec<Entry<'t>>,
    /// What unknown keys were taken for.
    misspelt: Vec<&'static str>,
}

#[derive(Clone, Copy)]
pub(crate) struct Entry<'t> {
    pub key: &'t str,
    pub line: usize,
    pub value: &'t DeValue<'t>,
}

impl<'t> Table<'t> {
    /// The file itself.
    pub fn root(doc: &'t Document<'t>, table: &'t DeTable<'t>, known: &[&'static str]) -> Self {
        let mut root = Self::new(doc, String::new(), 0, table);
        root.refuse_unknown(known);
        root
    }

    fn new(doc: &'t Document<'t>, path: String, line: usize, table: &'t DeTable<'t>) -> Self {
        let mut entries: Vec<_> = table.iter().collect();
        // The map is sorted by name; the order of the file is that of the spans.
        entries.sort_by_key(|(key, _)| key.span().start);
        let entries = entries
            .into_iter()
            .map(|(key, value)| Entry {
                key: key.get_ref().as_ref(),
                line: doc.line(key.span().start),
                value: value.get_ref(),
            })
            .collect();
        Self {
            path,
            line,
            unresolved: Vec::new(),
            missing_secrets: Vec::new(),
            doc,
            entries,
            misspelt: Vec::new(),
        }
    }

    fn refuse_unknown(&mut self, known: &[&'static str]) {
        for Entry { key, line, .. } in &self.entries {
            if known.contains(key) {
                continue;
            }
            let place = match self.path.as_str() {
                "" => "at the top of the file".to_owned(),
                path => format!("in [{path}]"),
            };
            self.misspelt.extend(nearest(key, known.iter().copied()));
            let advice = did_you_mean(key, known.iter().copied())
                .or_else(|| (self.doc.home_of)(key).map(|home| format!("; it belongs to {home}")))
                .unwrap_or_else(|| format!("; known here: {}", known.join(", ")));
            self.doc.problem(*line, format!("unknown key `{key}` {place}{advice}"));
        }
    }

    /// The table under `key`, with its keys checked.
    pub fn table(&self, key: &str, known: &[&'static str]) -> Option<Table<'t>> {
        let mut table = self.bare_table(key)?;
        table.refuse_unknown(known);
        Some(table)
    }

    /// The tables under `key`, each with the name that it is given in the file.
    pub fn named_tables(&self, key: &str, known: &[&'static str]) -> Vec<(&'t str, Table<'t>)> {
        let Some(parent) = self.bare_table(key) else { return Vec::new() };
        let mut tables = Vec::new();
        for Entry { key: name, line, value } in &parent.entries {
            if value.is_table() {
                tables.extend(parent.table(name, known).map(|table| (*name, table)));
            } else {
                let text = format!("`{name}` stands outside of a [{key}.NAME] table");
                self.doc.problem(*line, text);
            }
        }
        tables
    }

    /// The `[[key]]` tables.
    pub fn listed_tables(&self, key: &str, known: &[&'static str]) -> Vec<Table<'t>> {
        let Some(entry) = self.entry(key) else { return Vec::new() };
        let array = entry.value.as_array().filter(|a| a.iter().all(|i| i.get_ref().is_table()));
        let Some(array) = array else {
            self.wrong_type(&entry, &format!("an array of tables: [[{key}]]"));
            return Vec::new();
        };
        let tables = array.iter().filter_map(|item| {
            let line = self.doc.line(item.span().start);
            let mut table = Table::new(self.doc, key.to_owned(), line, item.get_ref().as_table()?);
            table.refuse_unknown(known);
            Some(table)
        });
        tables.collect()
    }

    /// The table under `key`, in which any key may stand.
    pub fn free_table(&self, key: &str) -> Option<Table<'t>> {
        self.bare_table(key)
    }

    /// The keys in the order of the file.
    pub fn keys(&self) -> Vec<&'t str> {
        self.entries.iter().map(|entry| entry.key).collect()
    }

    fn bare_table(&self, key: &str) -> Option<Table<'t>> {
        let entry = self.entry(key)?;
        let DeValue::Table(table) = entry.value else {
            self.wrong_type(&entry, "a table");
            return None;
        };
        let path = match self.path.as_str() {
            "" => key.to_owned(),
            path => format!("{path}.{key}"),
        };
        Some(Table::new(self.doc, path, entry.line, table))
    }

    pub fn entry(&self, key: &str) -> Option<Entry<'t>> {
        self.entries.iter().find(|e| e.key == key).copied()
    }

    pub fn has(&self, key: &str) -> bool {
        self.entry(key).is_some()
    }

    /// The line of `key`, or of the table's head.
    pub fn line_of(&self, key: &str) -> usize {
        self.entry(key).map_or(self.line, |e| e.line)
    }

    /// Tells of a key that must be there and is not, unless it was told of as misspelt.
    pub fn require(&self, key: &str) {
        if !self.has(key) && !self.misspelt.contains(&key) {
            let text = match self.path.as_str() {
                "" => format!("`{key}` is missing at the top of the file"),
                path => format!("[{path}] lacks `{key}`"),
            };
            self.doc.problem(self.line, text);
        }
    }

    pub fn wrong_type(&self, entry: &Entry<'_>, expected: &str) {
        let found = match entry.value.type_str() {
            found @ ("integer" | "array") => format!("an {found}"),
            found => format!("a {found}"),
        };
        let text = format!("`{}` must be {expected}, not {found}", entry.key);
        self.doc.problem(entry.line, text);
    }

    /// Tells that a value is bad: to the document where the file is wrong, and to this table alone
    /// where the value came from elsewhere.
    pub fn bad<T>(&mut self, at: &At<T>, text: &str) {
        if at.referenced {
            self.unresolved.push((at.line, text.to_owned()));
        } else {
            self.doc.problem(at.line, text);
        }
    }
}
