//! What the role can read, and how: relations, row-level security, large objects, change detection.

use std::collections::BTreeMap;

use super::server::Facts;
use super::{Notes, counted};
use crate::config::{ChangeDetection, DatabaseConfig};
use crate::postgres::catalog::{self, Relation, RelationKind, Server};
use crate::postgres::{Pooling, Session, quote};
use crate::snapshot::logical::plan::{self, Scope};
use crate::snapshot::logical::source;

/// So long a look at the catalogue waits for a table that somebody has locked.
const LOCK_WAIT: &str = "5s";

/// Names shown of a long list whose rest says the same.
const SHOWN: usize = 5;

pub(super) async fn check(
    session: &Session,
    server: &Server,
    config: &DatabaseConfig,
    pooled: Option<Pooling>,
    notes: &mut Notes,
) -> Option<Facts> {
    // In transaction mode, settings would stay with a backend that others use.
    if matches!(pooled, Some(Pooling::None | Pooling::Session)) {
        let settings = format!("SET lock_timeout = '{LOCK_WAIT}'; SET statement_timeout = '1min'");
        notes.within("set timeouts", session.simple(&settings)).await?;
    }
    let relations = notes.within("read the catalogue", catalog::relations(session)).await?;
    locked(session, notes).await;
    let schemas = notes.within("list the schemas", catalog::schemas(session)).await?;
    let scope = plan::scope(&relations, &schemas, config, server.in_recovery);
    let privileges = async {
        Ok((catalog::closed_schemas(session).await?, catalog::without_select(session).await?))
    };
    let (closed, without_select) =
        notes.within("ask for the role's privileges", privileges).await?;

    let role = quote::ident(&server.user);
    let refused = refused(&relations, &scope);
    let mut schemas: BTreeMap<&str, usize> = BTreeMap::new();
    for (relation, why) in &refused {
        if closed.contains(&relation.name.schema) {
            *schemas.entry(&relation.name.schema).or_default() += 1;
        }
        if without_select.contains(&relation.name) {
            let word = if relation.kind == RelationKind::Sequence { "SEQUENCE " } else { "" };
            notes.critical(
                format!(
                    "{} {} {why}: role `{}` lacks SELECT",
                    kind(relation),
                    relation.name,
                    server.user
                ),
                format!("GRANT SELECT ON {word}{} TO {role};", quote::table(&relation.name)),
            );
        }
        if relation.hides_rows && *why != LOCKED {
            notes.critical(
                format!(
                    "row-level security hides rows of {} from role `{}`",
                    relation.name, server.user
                ),
                format!(
                    "ALTER ROLE {role} BYPASSRLS; or connect as the table's owner (without FORCE \
                     ROW LEVEL SECURITY)"
                ),
            );
        }
    }
    for (schema, count) in &schemas {
        notes.critical(
            format!(
                "schema {schema} is closed to role `{}`, with {} to be taken",
                server.user,
                counted(*count, "relation")
            ),
            format!("GRANT USAGE ON SCHEMA {} TO {role};", quote::ident(schema)),
        );
    }
    let bytes = scope.tables.iter().map(|t| t.bytes + t.toast_bytes).sum();
    if refused.is_empty() {
        notes.ok(format!(
            "role `{}` can read all: {} and {}",
            server.user,
            counted(scope.tables.len(), "table"),
            counted(scope.sequences.len(), "sequence")
        ));
    } else if refused.len() > 1 && !schemas.is_empty() | !without_select.is_empty() {
        notes.critical(
            format!("role `{}` is refused {} relations in all", server.user, refused.len()),
            format!(
                "GRANT pg_read_all_data TO {role}; opens every schema, table and sequence to it"
            ),
        );
    }
    unlogged(&relations, &scope, server, notes);
    let broken = source::broken(session, &relations, &scope);
    for line in notes.within("read the foreign keys", broken).await.unwrap_or_default() {
        notes.warning(line, "take what it refers to, or leave both out, if it matters");
    }
    let large_object_bytes = large_objects(session, server, notes).await;
    change_detection(session, server, config, &scope, notes).await;
    Some(Facts { bytes, large_object_bytes })
}

/// Says who stands in the way of locking the tables.
async fn locked(session: &Session, notes: &mut Notes) {
    let holders = notes.within("ask who holds locks", catalog::exclusive_locks(session)).await;
    for holder in holders.unwrap_or_default() {
        notes.critical(
            format!("a snapshot has to wait: {holder}"),
            "wait for that schema change to end, or end its session (pg_terminate_backend)",
        );
    }
}

const UNREAD: &str = "cannot be read";
const LOCKED: &str = "cannot be locked by pg_dump";

/// Relations that stand in the way of a snapshot: those whose rows cannot be read, and those whose
/// definition pg_dump takes, for which it locks them, and that needs SELECT as well.
fn refused<'a>(relations: &'a [Relation], scope: &Scope) -> Vec<(&'a Relation, &'static str)> {
    let mut found = Vec::new();
    for relation in relations {
        if scope.unreadable.iter().any(|(name, _)| *name == relation.name) {
            found.push((relation, UNREAD));
            continue;
        }
        let locked = matches!(relation.kind, RelationKind::Table | RelationKind::Partitioned)
            && relation.extension.is_none()
            && !scope.without_schemas.contains(&relation.name.schema)
            && !scope.without_relations.contains(&relation.name);
        if locked && !relation.readable {
            found.push((relation, LOCKED));
        }
    }
    found
}

fn kind(relation: &Relation) -> &'static str {
    match relation.kind {
        RelationKind::Sequence => "sequence",
        _ => "table",
    }
}

fn unlogged(relations: &[Relation], scope: &Scope, server: &Server, notes: &mut Notes) {
    let lost: Vec<_> = relations
        .iter()
        .filter(|r| r.unlogged && r.kind == RelationKind::Table && server.in_recovery)
        .filter(|r| !scope.without_schemas.contains(&r.name.schema))
        .filter(|r| !scope.without_relations.contains(&r.name))
        .map(|r| r.name.to_string())
        .collect();
    if !lost.is_empty() {
        notes.warning(
            format!("this standby does not have the rows of unlogged tables: {}", listed(&lost)),
            "ALTER TABLE … SET LOGGED if they matter, or name them in exclude_table_data",
        );
    }
}

async fn large_objects(session: &Session, server: &Server, notes: &mut Notes) -> u64 {
    let found = notes.within("look at large objects", catalog::large_objects(session)).await;
    let Some(found) = found else { return 0 };
    if !found.unreadable.is_empty() {
        let oids: Vec<_> = found.unreadable.iter().map(u32::to_string).collect();
        notes.critical(
            format!(
                "{} of {} large objects cannot be read by role `{}`: {}",
                oids.len(),
                found.count,
                server.user,
                listed(&oids)
            ),
            format!("GRANT SELECT ON LARGE OBJECT … TO {};", quote::ident(&server.user)),
        );
    } else if found.count > 0 {
        notes.ok(format!("all large objects ({}) can be read", found.count));
    }
    found.bytes
}

/// Whether the next snapshot may ask which ranges changed instead of reading them.
async fn change_detection(
    session: &Session,
    server: &Server,
    config: &DatabaseConfig,
    scope: &Scope,
    notes: &mut Notes,
) {
    if config.change_detection == ChangeDetection::Read {
        return notes.ok("every range is read each time (change_detection = \"read\")");
    }
    let role = quote::ident(&server.user);
    let mut unknown = false;
    if server.system_identifier.is_none() {
        unknown = true;
        notes.warning(
            "the server's identity cannot be read, so every range is read each time",
            format!("GRANT EXECUTE ON FUNCTION pg_control_system() TO {role};"),
        );
    }
    if server.timeline.is_none() {
        unknown = true;
        let hint = match server.in_recovery {
            true => format!("GRANT pg_monitor TO {role}; and let the standby receive WAL"),
            false => format!("GRANT EXECUTE ON FUNCTION pg_current_wal_lsn() TO {role};"),
        };
        notes.warning(
            "the server's timeline cannot be told, so every range is read each time",
            hint,
        );
    }
    if unknown {
        return;
    }
    let oids: Vec<u32> = scope.tables.iter().map(|t| t.oid).collect();
    let columns = catalog::columns(session, &oids, &config.stable_types);
    let Some(columns) = notes.within("read the tables' columns", columns).await else { return };
    let always: Vec<String> = scope
        .tables
        .iter()
        .filter(|t| {
            !t.heap || t.condition.is_some() || columns.get(&t.oid).is_none_or(|c| !c.stable)
        })
        .map(|t| t.name.to_string())
        .collect();
    match always.as_slice() {
        [] => notes.ok("unchanged ranges need not be read again"),
        some => notes.ok(format!(
            "unchanged ranges need not be read again, except of {} (types or access method that \
             cannot be trusted for it; see stable_types)",
            listed(some)
        )),
    }
}

fn listed(names: &[String]) -> String {
    match names.len() {
        n if n > SHOWN => format!("{} and {} more", names[..SHOWN].join(", "), n - SHOWN),
        _ => names.join(", "),
    }
}
