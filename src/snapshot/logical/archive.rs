//! The schema archive: what pg_dump carries besides rows, on the same exported snapshot.

use std::path::PathBuf;

use tempfile::TempDir;

use super::plan::Scope;
use super::source::Source;
use super::worker;
use crate::config::DatabaseConfig;
use crate::error::{Attempt, Error, Kind, Result};
use crate::integrity::encryption::Cipher;
use crate::integrity::hashing;
use crate::model::SchemaArchive;
use crate::postgres::{Program, quote, run};

/// A finished archive in a folder that goes away with it.
pub struct Archive {
    _dir: TempDir,
    pub file: PathBuf,
    pub facts: SchemaArchive,
}

/// Options that limit what pg_dump takes: no rows of tables (they are read apart), all large
/// objects, and nothing that the scope leaves out. `*.*` also covers sequences and materialized
/// views, whose values and refreshes the manifest records.
fn arguments(source: &Source, config: &DatabaseConfig) -> Vec<String> {
    let Scope { without_schemas, without_relations, .. } = &source.scope;
    let mut arguments = vec![
        "--format=custom".to_owned(),
        "--no-password".to_owned(),
        "--exclude-table-data=*.*".to_owned(),
        format!("--snapshot={}", source.exported),
        format!("--lock-wait-timeout={}", config.lock_timeout.as_millis()),
    ];
    // A quoted name is no pattern.
    arguments
        .extend(without_schemas.iter().map(|s| format!("--exclude-schema={}", quote::ident(s))));
    arguments
        .extend(without_relations.iter().map(|r| format!("--exclude-table={}", quote::table(r))));
    arguments
}

/// Runs pg_dump, checks its exit, reads the archive's own table of contents with pg_restore and
/// checks that every table is in it.
pub async fn dump(
    source: &Source,
    config: &DatabaseConfig,
    pg_dump: &Program,
    pg_restore: &Program,
    cipher: &Cipher,
) -> Result<Archive> {
    let dir = TempDir::with_prefix("drctl-")
        .attempt(Kind::Failed, || "make a temporary folder for the schema archive".to_owned())?;
    let mut file = dir.path().join("schema.dump");
    let mut command = pg_dump.command(source.coordinator.info());
    command.args(arguments(source, config)).arg("--file").arg(&file);
    run(command).await.map_err(|e| e.during("dump the schema with pg_dump"))?;

    let mut command = pg_restore.bare_command();
    command.arg("--list").arg(&file);
    let listing = run(command).await.map_err(|e| e.during("read the schema archive back"))?;
    check_contents(&String::from_utf8_lossy(&listing.stdout), source)?;

    let (cipher, plain, sealed) =
        (cipher.clone(), file.clone(), dir.path().join("schema.dump.age"));
    let to = sealed.clone();
    if worker::blocking(move || cipher.seal_file(&plain, &to)).await? {
        file = sealed;
    }
    let (stored_digest, stored) = hashing::file(&file).await?;
    let facts = SchemaArchive {
        stored_digest,
        stored,
        program: format!("pg_dump {}.{}", pg_dump.major, pg_dump.minor),
    };
    Ok(Archive { _dir: dir, file, facts })
}

/// Every table with rows must be defined in the archive. Lines read `id; catalogue oid TABLE schema
/// name owner`; names with line breaks are folded, so a table is found by its catalogue OID.
fn check_contents(listing: &str, source: &Source) -> Result<()> {
    let defined: std::collections::HashSet<&str> = listing
        .lines()
        .filter(|l| !l.starts_with(';'))
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let (_, _, oid, kind) = (words.next()?, words.next()?, words.next()?, words.next()?);
            (kind == "TABLE").then_some(oid)
        })
        .collect();
    let missing: Vec<String> = source
        .scope
        .tables
        .iter()
        .filter(|t| t.extension.is_none() && !defined.contains(t.oid.to_string().as_str()))
        .map(|t| t.name.to_string())
        .collect();
    match missing.as_slice() {
        [] => Ok(()),
        missing => Err(Error::new(
            Kind::Program,
            format!("pg_dump's archive does not define {}", missing.join(", ")),
        )
        .hint("nothing was recorded; run `drctl doctor` and look at the versions of the programs")),
    }
}
