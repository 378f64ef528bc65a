//! What a snapshot takes that refers to what it leaves out: pure.

use super::plan::Scope;
use crate::model::TableName;
use crate::postgres::catalog::{Reference, Referrer, Relation, RelationKind};

const FAILS: &str = "which is left out: a restore cannot make it, and fails";

/// One line for each thing that is taken and refers to a relation, or to rows, that are not: what
/// it is, and what a restore will make of it.
pub fn broken(references: &[Reference], relations: &[Relation], scope: &Scope) -> Vec<String> {
    // A function's name may be a relation's as well.
    let relation = |r: &Reference| r.how != Referrer::Function;
    let schema_gone = |name: &TableName| scope.without_schemas.contains(&name.schema);
    let gone = |name: &TableName| scope.without_relations.contains(name) || schema_gone(name);
    let has_rows = |name: &TableName| {
        let partitioned =
            || relations.iter().any(|r| r.kind == RelationKind::Partitioned && r.name == *name);
        scope.tables.iter().any(|t| t.name == *name) || partitioned()
    };
    let without_rows = |name: &TableName| scope.without_rows.contains(name);
    let mut lines = Vec::new();
    let taken = |r: &&Reference| match relation(r) {
        true => !gone(&r.of),
        false => !schema_gone(&r.of),
    };
    for Reference { of, how, to } in references.iter().filter(taken) {
        let line = match how {
            Referrer::ForeignKey { name, .. } if gone(to) => format!(
                "foreign key {name} of {of} refers to {to}, which is left out: a restore leaves out \
                 the foreign key too"
            ),
            Referrer::ForeignKey { name, validated: true } if without_rows(to) && has_rows(of) => {
                format!(
                    "foreign key {name} of {of} refers to {to}, whose rows are left out: a restore \
                     leaves out the foreign key, unless no row refers to any"
                )
            }
            Referrer::View if gone(to) => format!("view {of} reads {to}, {FAILS}"),
            Referrer::Child if gone(to) => {
                format!("table {of} is a partition or child of {to}, {FAILS}")
            }
            Referrer::Function if gone(to) => format!("function {of} needs {to}, {FAILS}"),
            _ => continue,
        };
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> TableName {
        TableName { schema: "app".to_owned(), name: text.to_owned() }
    }

    fn relation(text: &str, kind: RelationKind) -> Relation {
        Relation {
            oid: 1,
            name: name(text),
            kind,
            unlogged: false,
            populated: true,
            relfilenode: 1,
            heap: true,
            bytes: 0,
            toast_bytes: 0,
            estimated_rows: 0,
            readable: true,
            hides_rows: false,
            extension: None,
            condition: None,
            load_through: None,
        }
    }

    fn key(of: &str, to: &str, validated: bool) -> Reference {
        let how = Referrer::ForeignKey { name: format!("{of}_fkey"), validated };
        Reference { of: name(of), how, to: name(to) }
    }

    #[test]
    fn what_refers_to_something_left_out_is_named() {
        let other = |of: &str, how, to: &str| Reference { of: name(of), how, to: name(to) };
        let references = [
            key("pets", "owners", true),
            key("visits", "pets", true),
            key("visits", "logs_1", true),
            key("parted", "logs_1", true),
            key("notes", "logs_1", false),
            key("logs_1", "logs_2", true),
            key("owners", "pets", true),
            other("all_owners", Referrer::View, "owners"),
            other("all_pets", Referrer::View, "pets"),
            other("good_owners", Referrer::Child, "owners"),
            other("owners", Referrer::Function, "owners"),
        ];
        let relations = [relation("parted", RelationKind::Partitioned)];
        let table = |text| relation(text, RelationKind::Table);
        let scope = Scope {
            tables: vec![table("pets"), table("visits"), table("notes")],
            without_relations: vec![name("owners")],
            without_rows: vec![name("logs_1"), name("logs_2")],
            ..Scope::default()
        };
        let found = broken(&references, &relations, &scope);
        let begins: Vec<&str> = found.iter().filter_map(|l| Some(l.split_once(':')?.0)).collect();
        assert_eq!(
            begins,
            [
                "foreign key pets_fkey of app.pets refers to app.owners, which is left out",
                "foreign key visits_fkey of app.visits refers to app.logs_1, whose rows are left out",
                "foreign key parted_fkey of app.parted refers to app.logs_1, whose rows are left out",
                "view app.all_owners reads app.owners, which is left out",
                "table app.good_owners is a partition or child of app.owners, which is left out",
                "function app.owners needs app.owners, which is left out",
            ]
        );
    }
}
