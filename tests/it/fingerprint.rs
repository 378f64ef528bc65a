//! What a database holds, in lines that can be compared with another's, whatever made it.

use crate::lab::Postgres;

/// Per table and materialized view its number of rows and a digest of them in any order, the values
/// of sequences, and the large objects. Partitions are counted in their root: a row may lie in
/// another one elsewhere.
const QUERY: &str = r#"
SET client_min_messages = warning;
SET datestyle = 'ISO'; SET timezone = 'UTC'; SET extra_float_digits = 3; SET bytea_output = 'hex';
SELECT CASE
    WHEN c.relkind = 'm' AND NOT c.relispopulated THEN format('SELECT %L', 'not populated ' || name)
    WHEN c.relkind = 'S' THEN
      format('SELECT %L, last_value, is_called FROM %s', 'sequence ' || name, name)
    ELSE
      format('SELECT %L, count(*), md5(string_agg(md5(the_row::text), '''' ORDER BY md5(the_row::text))) FROM %s %s the_row',
             name, CASE c.relkind WHEN 'r' THEN 'ONLY' ELSE '' END, name)
  END
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace,
       LATERAL format('%I.%I', n.nspname, c.relname) AS name
 WHERE c.relkind IN ('r', 'p', 'm', 'S') AND NOT c.relispartition
   AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
 ORDER BY name \gexec
SELECT 'large object', l.oid, length(lo_get(l.oid)), md5(lo_get(l.oid)) FROM pg_largeobject_metadata l ORDER BY l.oid;
"#;

/// The lines of a database.
pub fn fingerprint(server: &Postgres, db: &str) -> Vec<String> {
    let lines: Vec<String> = server.psql(db, QUERY).lines().map(str::to_owned).collect();
    assert!(!lines.is_empty(), "nothing is in `{db}`");
    lines
}

/// Its definitions as pg_dump writes them, in any order.
pub fn definitions(server: &Postgres, db: &str) -> Vec<String> {
    let mut command = server.program("pg_dump");
    let ran = crate::lab::run(command.args(["--schema-only", "--dbname", db])).expect(0);
    let mut lines: Vec<String> = ran
        .stdout
        .lines()
        .filter(|l| !l.starts_with("\\restrict") && !l.starts_with("\\unrestrict"))
        .map(str::to_owned)
        .collect();
    lines.sort();
    lines
}

/// Panics with the first lines that only one of the two has.
#[track_caller]
pub fn assert_same(expected: &[String], found: &[String]) {
    if expected == found {
        return;
    }
    let only = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().filter(|line| !b.contains(line)).take(20).cloned().collect()
    };
    panic!(
        "{} and {} lines; only expected: {:#?}\nonly found: {:#?}",
        expected.len(),
        found.len(),
        only(expected, found),
        only(found, expected)
    );
}
