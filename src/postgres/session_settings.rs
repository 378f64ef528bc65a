//! The session settings under which rows are read and written, so that the same rows always give the
//! same text. They follow pg_dump's `setup_connection`.

use std::collections::BTreeMap;

use super::quote::literal;

/// Settings that decide the text of values. They go into the manifest and are set again to load
/// rows and to compare row digests.
const TEXT: &[(&str, &str)] = &[
    ("bytea_output", "hex"),
    ("datestyle", "ISO"),
    ("extra_float_digits", "3"),
    ("intervalstyle", "postgres"),
    ("search_path", ""),
    ("timezone", "UTC"),
    ("xmloption", "content"),
];

/// Settings that keep a session working, whatever the role's or the server's defaults are. A
/// setting that a server version lacks is skipped by `since`, its first `server_version_num`.
const WORK: &[(&str, &str, u32)] = &[
    // Row-level security raises an error instead of hiding rows.
    ("row_security", "off", 0),
    ("synchronize_seqscans", "off", 0),
    ("statement_timeout", "0", 0),
    ("idle_in_transaction_session_timeout", "0", 0),
    ("idle_session_timeout", "0", 140_000),
    ("transaction_timeout", "0", 170_000),
    // Parallel workers would change the order of rows from run to run.
    ("max_parallel_workers_per_gather", "0", 0),
    // Ranges are read as TID range scans even where statistics are missing.
    ("enable_seqscan", "off", 0),
    ("jit", "off", 0),
];

/// The settings that a manifest records. `money` gives the server's `lc_monetary` where a column
/// of that type is taken.
pub fn recorded(encoding: &str, money: Option<&str>) -> BTreeMap<String, String> {
    let mut all: BTreeMap<String, String> =
        TEXT.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
    // A SQL_ASCII database does not know the encoding of its bytes; any other converts to UTF-8
    // without loss.
    let client = if encoding == "SQL_ASCII" { "SQL_ASCII" } else { "UTF8" };
    all.insert("client_encoding".to_owned(), client.to_owned());
    if let Some(locale) = money {
        all.insert("lc_monetary".to_owned(), locale.to_owned());
    }
    all
}

/// The statements that give a session the recorded settings and those that keep it working.
pub fn statements(recorded: &BTreeMap<String, String>, version_num: u32) -> String {
    let mut sql = String::new();
    let mut set = |name: &str, value: &str| {
        // An empty list setting is spelt as an empty string.
        sql.push_str(&format!("SET {name} = {};\n", literal(value)));
    };
    recorded.iter().for_each(|(k, v)| set(k, v));
    WORK.iter().filter(|(.., since)| *since <= version_num).for_each(|(k, v, _)| set(k, v));
    sql
}
