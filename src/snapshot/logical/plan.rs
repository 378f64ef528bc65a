//! What a snapshot would read, decided without touching anything: pure.

use std::cmp::Reverse;

use crate::config::{DatabaseConfig, Profile};
use crate::error::{Error, Kind, Result};
use crate::model::{LeftOut, TableName};
use crate::postgres::catalog::{Columns, Relation, RelationKind};
use crate::snapshot::profile;

/// One table whose rows are read.
#[derive(Debug, Clone)]
pub struct TablePlan {
    pub relation: Relation,
    pub columns: Columns,
    /// Heap blocks in a range; 0: read as one range.
    pub range_blocks: u64,
    /// Heap blocks of the table.
    pub blocks: u64,
}

impl TablePlan {
    /// About how many bytes the rows of the heap blocks `[from, to)` take, by what a block and the
    /// TOAST table hold on average.
    pub fn expected_bytes(&self, from: u64, to: u64) -> u64 {
        let blocks = to.min(self.blocks).saturating_sub(from);
        let all = self.relation.bytes.saturating_add(self.relation.toast_bytes);
        (all / self.blocks.max(1)).saturating_mul(blocks)
    }
}

/// Which relations are taken, and how.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    /// Rows are read.
    pub tables: Vec<Relation>,
    pub sequences: Vec<TableName>,
    /// Refreshed on restore.
    pub materialized_views: Vec<TableName>,
    /// Schemas that pg_dump must leave out.
    pub without_schemas: Vec<String>,
    /// Relations that pg_dump must leave out.
    pub without_relations: Vec<TableName>,
    /// Relations whose definition is taken and whose rows are not.
    pub without_rows: Vec<TableName>,
    pub left_out: Vec<LeftOut>,
    /// What is taken and refers to what is left out; see `references::broken`.
    pub broken: Vec<String>,
    /// Relations that the role cannot read, each with the reason.
    pub unreadable: Vec<(TableName, String)>,
}

/// Whether `text` matches a pattern of `*` (any run) and `?` (any one character).
pub fn matches(pattern: &str, text: &str) -> bool {
    let (p, t): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    // The classic two-pointer walk: on a mismatch, let the last star take one more character.
    let (mut i, mut j, mut star) = (0, 0, None);
    while j < t.len() {
        match p.get(i) {
            Some('*') => {
                star = Some((i, j));
                i += 1;
            }
            Some(c) if *c == '?' || *c == t[j] => {
                i += 1;
                j += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (i, j) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    p[i..].iter().all(|c| *c == '*')
}

fn first_match<'a>(patterns: &'a [String], text: &str) -> Option<&'a String> {
    patterns.iter().find(|p| matches(p, text))
}

/// Sorts the schemas and relations of a database into what is read, what only pg_dump carries and
/// what is left out, with reasons.
pub fn scope(
    relations: &[Relation],
    schemas: &[String],
    config: &DatabaseConfig,
    in_recovery: bool,
) -> Scope {
    let mut scope = Scope::default();
    let out = |scope: &mut Scope, what: String, reason: String| {
        let line = LeftOut { what, reason };
        if !scope.left_out.contains(&line) {
            scope.left_out.push(line);
        }
    };
    // Also those that hold nothing but functions and types.
    for schema in schemas {
        if let Some(reason) = schema_left_out(config, schema) {
            scope.without_schemas.push(schema.clone());
            out(&mut scope, format!("schema {schema}"), reason);
        }
    }
    for relation in relations {
        let name = &relation.name;
        let full = name.to_string();
        if schema_left_out(config, &name.schema).is_some() {
            continue;
        }
        if let Some(pattern) = first_match(&config.exclude_tables, &full) {
            scope.without_relations.push(name.clone());
            out(&mut scope, full, format!("exclude_tables has `{pattern}`"));
            continue;
        }
        // What an extension brings along is made by CREATE EXTENSION, except the rows that it has
        // registered as the user's.
        if relation.extension.is_some() && relation.condition.is_none() {
            continue;
        }
        match relation.kind {
            RelationKind::Partitioned => continue,
            RelationKind::Foreign => {
                let reason = "foreign table: its rows live elsewhere; the definition is taken";
                out(&mut scope, format!("rows of {full}"), reason.to_owned());
                continue;
            }
            RelationKind::MaterializedView => {
                if relation.populated {
                    scope.materialized_views.push(name.clone());
                }
                continue;
            }
            RelationKind::Table | RelationKind::Sequence => {}
        }
        if let Some(pattern) = first_match(&config.exclude_table_data, &full) {
            let reason = format!("exclude_table_data has `{pattern}`; the definition is taken");
            scope.without_rows.push(name.clone());
            out(&mut scope, format!("rows of {full}"), reason);
            continue;
        }
        if let Some(reason) = config.profile.and_then(|p| profile::rows_left_out(p, name)) {
            scope.without_rows.push(name.clone());
            out(&mut scope, format!("rows of {full}"), reason.to_owned());
            continue;
        }
        if relation.unlogged && in_recovery && relation.kind == RelationKind::Table {
            let reason =
                "unlogged table: a standby does not have its rows; the definition is taken";
            scope.without_rows.push(name.clone());
            out(&mut scope, format!("rows of {full}"), reason.to_owned());
            continue;
        }
        if !relation.readable {
            scope.unreadable.push((name.clone(), grant_needed(relation)));
        } else if relation.hides_rows {
            let reason = "row-level security hides rows from this role; it needs BYPASSRLS, or a \
                          role that owns the table without FORCE ROW LEVEL SECURITY";
            scope.unreadable.push((name.clone(), reason.to_owned()));
        }
        match relation.kind {
            RelationKind::Sequence => scope.sequences.push(name.clone()),
            _ => scope.tables.push(relation.clone()),
        }
    }
    largest_first(&mut scope.tables);
    scope
}

/// The largest first, so that no worker is left alone with one at the end.
pub fn largest_first(tables: &mut [Relation]) {
    tables.sort_by_key(|t| (Reverse(t.bytes + t.toast_bytes), t.name.clone()));
}

fn schema_left_out(config: &DatabaseConfig, schema: &str) -> Option<String> {
    if let Some(pattern) = first_match(&config.exclude_schemas, schema) {
        return Some(format!("exclude_schemas has `{pattern}`"));
    }
    let reason = profile::schema_left_out(config.profile?, schema)?;
    let provider = match config.profile? {
        Profile::Supabase => "supabase",
        Profile::Rds => "rds",
    };
    Some(format!("profile `{provider}`: {reason}"))
}

fn grant_needed(relation: &Relation) -> String {
    use crate::postgres::quote;
    let what = match relation.kind {
        RelationKind::Sequence => "SEQUENCE ",
        _ => "",
    };
    format!(
        "needs GRANT USAGE ON SCHEMA {} and GRANT SELECT ON {what}{}",
        quote::ident(&relation.name.schema),
        quote::table(&relation.name)
    )
}

/// Refuses a scope of which something cannot be read, naming all of it.
pub fn refuse_unreadable(scope: &Scope, user: &str) -> Result<()> {
    if scope.unreadable.is_empty() {
        return Ok(());
    }
    let lines: Vec<String> =
        scope.unreadable.iter().map(|(name, why)| format!("\n  {name}: {why}")).collect();
    let what = format!("role `{user}` cannot read {} relations:{}", lines.len(), lines.concat());
    Err(Error::new(Kind::Postgres, what).hint(
        "`drctl doctor` tells each missing privilege; grant them (`GRANT pg_read_all_data TO …` \
         covers reading), or name the relations in exclude_tables or exclude_table_data",
    ))
}

/// Heap blocks in a range: about `part_size` bytes of heap and TOAST together, a power of two so
/// that ranges stay aligned, and at least one block.
pub fn range_blocks(part_size: u64, block_size: u64, heap: u64, toast: u64) -> u64 {
    let whole = (part_size / block_size.max(1)).max(1);
    let Some(heap) = std::num::NonZeroU64::new(heap) else { return whole };
    // So many bytes stand behind each byte of heap.
    let weight = 1 + toast / heap;
    let blocks = (whole / weight).max(1);
    // The largest power of two that is not above it.
    1 << (63 - blocks.leading_zeros())
}

/// The ranges `[from, to)` of a table, in heap order. The last one is whole: the blocks that it
/// does not have yet may have rows in an hour, and the range keeps its name.
pub fn ranges(blocks: u64, range_blocks: u64) -> impl Iterator<Item = (u64, u64)> {
    let step = range_blocks.max(1);
    let count = match range_blocks {
        0 => 1,
        _ => blocks.div_ceil(step),
    };
    (0..count).map(move |i| match range_blocks {
        0 => (0, 0),
        _ => (i * step, (i + 1) * step),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a.*", "a.b", true),
            ("a.*_old", "a.b_old_old", true),
            ("a.?", "a.bc", false),
            ("*.log", "x.log2", false),
            ("a*b*c", "a-b-b-c", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    proptest! {
        #[test]
        fn ranges_cover_every_block_once(blocks in 0u64..100_000, exponent in 0u32..14) {
            let step = 1u64 << exponent;
            let all: Vec<_> = ranges(blocks, step).collect();
            let mut at = 0;
            for (from, to) in &all {
                prop_assert_eq!(*from, at);
                prop_assert!(to > from);
                at = *to;
            }
            prop_assert!(at >= blocks && at < blocks + step);
            // A table that grew keeps the ranges that it had.
            let grown: Vec<_> = ranges(blocks + 777, step).take(all.len()).collect();
            prop_assert_eq!(all, grown);
        }

        #[test]
        fn ranges_are_bounded_by_heap_and_toast(heap in 1u64..1 << 40, toast in 0u64..1 << 42) {
            let blocks = range_blocks(8 << 20, 8192, heap, toast);
            prop_assert!(blocks.is_power_of_two() && (1..=1024).contains(&blocks));
            let bytes = blocks * 8192 * (1 + toast / heap);
            prop_assert!(blocks == 1 || bytes <= 8 << 20, "{} bytes", bytes);
        }
    }
}
