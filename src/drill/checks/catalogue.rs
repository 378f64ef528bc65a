//! Checks that the catalogue answers: constraints, indexes, sequences, extensions, statistics.

use std::collections::BTreeMap;

use super::{APPLICATION, Finding, Subject, timed};
use crate::drill::account::{Check, Standing};
use crate::error::Result;
use crate::postgres::{Session, connect, quote};

/// Objects of the database's own: neither PostgreSQL's nor an extension's.
const OWN: &str = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'";

/// All of them, in order.
pub async fn catalogue(subject: &Subject<'_>) -> Result<Vec<Check>> {
    let session = connect(subject.info, APPLICATION).await?;
    session.simple("SET search_path = ''; SET statement_timeout = 0").await?;
    let checks = vec![
        timed("constraints", constraints(&session)).await,
        timed("indexes", indexes(&session)).await,
        timed("sequences", sequences(&session)).await,
        timed("extensions", extensions(&session, subject)).await,
        timed("statistics", statistics(&session)).await,
    ];
    session.close().await;
    Ok(checks)
}

async fn names(session: &Session, sql: &str) -> Result<Vec<String>> {
    session.rows(sql).await?.iter().map(|r| r.text(0).map(str::to_owned)).collect()
}

/// A constraint that is restored as valid has been checked against every row. One that is not valid
/// was not valid in the source: pg_dump writes NOT VALID only then (PostgreSQL documentation, ALTER
/// TABLE); whether the rows keep it is found out here, where trying harms nobody.
async fn constraints(session: &Session) -> Result<Finding> {
    let all: u64 = session
        .row(&format!(
            "SELECT count(*) FROM pg_catalog.pg_constraint c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace WHERE {OWN}"
        ))
        .await?
        .number(0)?;
    let open = session
        .rows(&format!(
            "SELECT c.conname, c.conrelid::pg_catalog.regclass::text
               FROM pg_catalog.pg_constraint c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.connamespace
              WHERE NOT c.convalidated AND c.conrelid <> 0 AND c.conparentid = 0 AND {OWN}
              ORDER BY 2, 1"
        ))
        .await?;
    let mut notes = Vec::new();
    for row in &open {
        let (name, table) = (row.text(0)?, row.text(1)?);
        let sql = format!("ALTER TABLE {table} VALIDATE CONSTRAINT {}", quote::ident(name));
        let kept = match session.simple(&sql).await {
            Ok(()) => "every row keeps it".to_owned(),
            Err(e) => format!("rows break it: {}", e.one_line()),
        };
        notes.push(format!("{name} on {table} is NOT VALID, as in the source; {kept}"));
    }
    Ok(match notes.len() {
        0 => Finding::new(Standing::Passed, format!("all {all} are valid")),
        n => Finding::new(
            Standing::Noted,
            format!(
                "{} of {all} are valid; {n} are not valid in the source either",
                all - n as u64
            ),
        )
        .details(notes),
    })
}

async fn indexes(session: &Session) -> Result<Finding> {
    let wrong = names(
        session,
        "SELECT i.indexrelid::pg_catalog.regclass::text || ' is not valid'
           FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid
          WHERE c.relkind = 'i' AND NOT (i.indisvalid AND i.indisready AND i.indislive) ORDER BY 1",
    )
    .await?;
    let all: u64 = session
        .row(&format!(
            "SELECT count(*) FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind = 'i' AND {OWN}"
        ))
        .await?
        .number(0)?;
    Ok(Finding::of(wrong, format!("all {all} are valid"), "cannot be used"))
}

/// Whether a sequence would next give a number that its column has already. Its value is proven to
/// be the source's, so one that is behind was behind there.
async fn sequences(session: &Session) -> Result<Finding> {
    let owned = session
        .rows(&format!(
            "SELECT s.oid::pg_catalog.regclass::text, d.refobjid::pg_catalog.regclass::text,
                    a.attname, q.seqincrement > 0
               FROM pg_catalog.pg_class s
               JOIN pg_catalog.pg_namespace n ON n.oid = s.relnamespace
               JOIN pg_catalog.pg_sequence q ON q.seqrelid = s.oid
               JOIN pg_catalog.pg_depend d ON d.objid = s.oid AND d.deptype IN ('a', 'i')
                AND d.classid = 'pg_catalog.pg_class'::pg_catalog.regclass
                AND d.refclassid = 'pg_catalog.pg_class'::pg_catalog.regclass
               JOIN pg_catalog.pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
               JOIN pg_catalog.pg_type t ON t.oid = a.atttypid
              WHERE s.relkind = 'S' AND {OWN} AND t.typname IN ('int2', 'int4', 'int8') ORDER BY 1"
        ))
        .await?;
    let mut behind = Vec::new();
    for row in &owned {
        let (sequence, table, column) = (row.text(0)?, row.text(1)?, row.text(2)?);
        let (far, test) = if row.truth(3)? { ("max", ">") } else { ("min", "<") };
        let column = quote::ident(column);
        let sql = format!(
            "SELECT m, s.last_value FROM (SELECT {far}({column}) AS m FROM {table}) t, {sequence} s
              WHERE m {test} s.last_value"
        );
        if let Some(found) = session.rows(&sql).await?.first() {
            behind.push(format!(
                "{sequence} is at {}, and {table}.{column} has {} already",
                found.text(1)?,
                found.text(0)?
            ));
        }
    }
    Ok(match behind.len() {
        0 => {
            Finding::new(Standing::Passed, format!("none of {} is behind its column", owned.len()))
        }
        n => {
            Finding::new(Standing::Noted, format!("{n} are behind their columns, as in the source"))
                .details(behind)
        }
    })
}

async fn extensions(session: &Session, subject: &Subject<'_>) -> Result<Finding> {
    let rows = session.rows("SELECT extname, extversion FROM pg_catalog.pg_extension").await?;
    let mut there = BTreeMap::new();
    for row in &rows {
        there.insert(row.text(0)?.to_owned(), row.text(1)?.to_owned());
    }
    let (mut lacking, mut others) = (Vec::new(), Vec::new());
    let wanted = subject.manifest.extensions.iter();
    let left_out = |schema: &str| {
        let name = format!("schema {schema}");
        subject.manifest.left_out.iter().any(|l| l.what == name)
    };
    let wanted: Vec<_> = wanted.filter(|e| !left_out(&e.schema)).collect();
    for extension in &wanted {
        match there.get(&extension.name) {
            Some(version) if *version == extension.version => {}
            Some(version) => others.push(format!(
                "{} is {version}, in the source {}",
                extension.name, extension.version
            )),
            None if subject.allowed.contains(&extension.name) => {
                others.push(format!("{} is passed over", extension.name));
            }
            None => lacking.push(format!("{} {} is lacking", extension.name, extension.version)),
        }
    }
    Ok(match (lacking.is_empty(), others.is_empty()) {
        (true, true) => Finding::new(Standing::Passed, format!("all {} are there", wanted.len())),
        (true, false) => Finding::new(
            Standing::Noted,
            format!("{} of {} as in the source", wanted.len() - others.len(), wanted.len()),
        )
        .details(others),
        (false, _) => {
            let n = lacking.len();
            lacking.extend(others);
            Finding::new(Standing::Failed, format!("{n} are lacking")).details(lacking)
        }
    })
}

async fn statistics(session: &Session) -> Result<Finding> {
    // ANALYZE sets reltuples, also to 0; -1 says that it never was (PostgreSQL documentation, 53.11).
    let wrong = names(
        session,
        &format!(
            "SELECT c.oid::pg_catalog.regclass::text FROM pg_catalog.pg_class c
               JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
              WHERE c.relkind IN ('r', 'm') AND c.reltuples < 0 AND {OWN} ORDER BY 1"
        ),
    )
    .await?;
    Ok(Finding::of(wrong, "ANALYZE has seen every table".to_owned(), "tables were never analyzed"))
}
