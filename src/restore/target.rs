//! The place to restore to, looked at and judged before anything is changed.

use std::collections::{BTreeMap, BTreeSet};

use super::place;
use super::request::{Course, ExtensionGap, Refusal, RestoreRequest};
use crate::config::Profile;
use crate::error::{Error, Kind, Result};
use crate::model::{Manifest, Table, TableName};
use crate::postgres::catalog::{self, Server};
use crate::postgres::{Conninfo, Host, Session, connect, pooler, quote, sqlstate};
use crate::snapshot::profile;

/// Databases that every server has, from which another one can be made.
const MAINTENANCE: [&str; 2] = ["postgres", "template1"];

/// Objects named of a target that is not empty.
const SHOWN: usize = 5;

/// The application name of every session of a restore.
pub const APPLICATION: &str = "drctl restore";

/// A reachable server, and what it has.
pub struct Target {
    /// In the target database where rows go there directly, else in a maintenance database.
    pub session: Session,
    /// The wanted database on the very server that answered.
    pub wanted: Conninfo,
    pub course: Course,
    /// The target database is there.
    pub exists: bool,
    pub server: Server,
    pub roles: BTreeSet<String>,
    pub tablespaces: BTreeSet<String>,
    /// The version that `CREATE EXTENSION` would install.
    pub extensions: BTreeMap<String, String>,
    read_only: bool,
    may_create: bool,
}

impl Target {
    pub fn major(&self) -> u32 {
        self.server.version_num / 10_000
    }

    /// Reaches the server, through the target database where that is there.
    pub async fn reach(request: &RestoreRequest) -> Result<Self> {
        let info = &request.target;
        let (session, exists) = match connect(info, APPLICATION).await {
            Ok(session) => (session, true),
            Err(e) if sqlstate(&e).as_deref() == Some("3D000") => {
                (maintenance(info).await.map_err(|_| e)?, false)
            }
            Err(e) => return Err(e),
        };
        pooler::check(session.info()).await?.must_keep_sessions(info)?;
        let wanted = session.info().with_database(info.database());
        let course = match (exists, request.create || request.replace) {
            (true, _) if request.replace => Course::Replace,
            (_, true) => Course::Create,
            (_, false) => Course::InPlace,
        };
        let session = match course {
            Course::Replace => {
                let beside = maintenance(session.info()).await?;
                session.close().await;
                beside
            }
            _ => session,
        };
        Self::look(session, wanted, course, exists).await
    }

    async fn look(
        session: Session,
        wanted: Conninfo,
        course: Course,
        exists: bool,
    ) -> Result<Self> {
        session
            .simple("SET search_path = ''; SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0")
            .await?;
        let server = catalog::server(&session).await?;
        let row = session
            .row(
                "SELECT current_setting('default_transaction_read_only') = 'on',
                        (SELECT rolcreatedb OR rolsuper FROM pg_catalog.pg_roles WHERE rolname = current_user),
                        pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')",
            )
            .await?;
        let may_create = match course {
            Course::InPlace => row.truth(2)?,
            _ => row.truth(1)?,
        };
        let read_only = row.truth(0)?;
        let names = async |sql: &str| -> Result<BTreeSet<String>> {
            session.rows(sql).await?.iter().map(|r| r.text(0).map(str::to_owned)).collect()
        };
        let roles = names("SELECT rolname FROM pg_catalog.pg_roles").await?;
        let tablespaces = names("SELECT spcname FROM pg_catalog.pg_tablespace").await?;
        let extensions = session
            .rows("SELECT name, default_version FROM pg_catalog.pg_available_extensions WHERE default_version IS NOT NULL")
            .await?
            .iter()
            .map(|r| Ok((r.text(0)?.to_owned(), r.text(1)?.to_owned())))
            .collect::<Result<_>>()?;
        Ok(Self {
            session,
            wanted,
            course,
            exists,
            server,
            roles,
            tablespaces,
            extensions,
            read_only,
            may_create,
        })
    }

    /// Everything that speaks against the restore, whatever is restored.
    pub async fn refusals(&self, request: &RestoreRequest) -> Result<Vec<Refusal>> {
        let manifest = &request.manifest;
        let place = self.wanted.host_for_people();
        let mut all = Vec::new();
        let mut refuse =
            |what: String, hint: &str| all.push(Refusal { what, hint: hint.to_owned() });
        if let Some(name) = self.is_protected(request).await {
            refuse(
                format!("{place} is {name}"),
                "a restore never writes over a source: restore beside it, under another name, and \
                 move the application over",
            );
            // Advice on how to write there all the same would be wrong.
            return Ok(all);
        }
        if self.server.in_recovery {
            refuse(
                format!("{place} is a standby, which takes no writes"),
                "restore to its primary, or promote it first",
            );
        } else if self.read_only {
            refuse(
                format!("{place} is read-only (default_transaction_read_only = on)"),
                "find out why it was made so (providers do it when the disk is full), then switch it off",
            );
        }
        if self.major() < manifest.source.version_num / 10_000 {
            refuse(
                format!(
                    "{place} runs PostgreSQL {}, the snapshot is of {}",
                    self.server.version, manifest.source.version
                ),
                "pg_restore cannot go back to an older major version: use a server at least as new",
            );
        }
        match (self.course, self.exists) {
            (Course::InPlace, false) => {
                refuse(format!("there is no database at {place}"), "add --create to make it")
            }
            (Course::Create, true) => refuse(
                format!("the database at {place} is there already"),
                "leave --create out if it is empty, or give --replace to put the restored one in its place",
            ),
            _ if !self.may_create && self.course == Course::InPlace => refuse(
                format!("role `{}` may not create schemas at {place}", self.server.user),
                "GRANT CREATE ON DATABASE, or restore as the database's owner",
            ),
            _ if !self.may_create => refuse(
                format!("role `{}` may not create databases at {place}", self.server.user),
                "ALTER ROLE … CREATEDB, or make an empty database and restore without --create",
            ),
            _ => {}
        }
        if self.course == Course::InPlace && self.exists {
            all.extend(self.in_place(request).await?);
        }
        Ok(all)
    }

    async fn in_place(&self, request: &RestoreRequest) -> Result<Vec<Refusal>> {
        let mut all = Vec::new();
        let place = self.wanted.host_for_people();
        let source = &request.manifest.source;
        if self.server.encoding != source.encoding {
            all.push(Refusal {
                what: format!(
                    "{place} has the encoding {}, the snapshot {}",
                    self.server.encoding, source.encoding
                ),
                hint: "add --create, or CREATE DATABASE … TEMPLATE template0 ENCODING …".to_owned(),
            });
        }
        if let Some(mark) = place::mark(&self.session).await? {
            all.push(Refusal {
                what: format!("{place} is half restored: {mark}"),
                hint: "give --replace to restore anew in its place, or drop it".to_owned(),
            });
            return Ok(all);
        }
        let found = content(&self.session, request.profile).await?;
        if !found.is_empty() {
            let more = found.len().saturating_sub(SHOWN);
            let names = found.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", ");
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            all.push(Refusal {
                what: format!("{place} is not empty: it has {names}{more}"),
                hint: "restore beside it: name a database that is not there and add --create; or give \
                       --replace to put the restored one in its place"
                    .to_owned(),
            });
        }
        Ok(all)
    }

    /// Of the tables to load, those in the provider's schemas that the target has already, and the
    /// names of those that hold rows.
    pub async fn already_there(
        &self,
        tables: &[&Table],
        provided: &[String],
    ) -> Result<(BTreeSet<TableName>, Vec<String>)> {
        let (mut there, mut filled) = (BTreeSet::new(), Vec::new());
        if self.course != Course::InPlace || !self.exists {
            return Ok((there, filled));
        }
        for table in tables.iter().filter(|t| provided.contains(&t.name.schema)) {
            let name = quote::table(&table.name);
            let sql = format!("SELECT pg_catalog.to_regclass({})", quote::literal(&name));
            if self.session.row(&sql).await?.get(0).is_none() {
                continue;
            }
            let sql = format!("SELECT EXISTS (SELECT FROM {name})");
            if self.session.row(&sql).await?.truth(0)? {
                filled.push(table.name.to_string());
            }
            there.insert(table.name.clone());
        }
        Ok((there, filled))
    }

    /// The name of the configured source that the target is, or `the snapshot's source`.
    async fn is_protected(&self, request: &RestoreRequest) -> Option<String> {
        let configured =
            |label: &str| format!("the configured database `{label}`, a source of snapshots");
        let name = self.wanted.database();
        let known =
            |theirs: &Option<String>| theirs.is_some() && *theirs == self.server.system_identifier;
        let source = &request.manifest.source;
        if source.database == name && known(&source.system_identifier) {
            return Some("the database that the snapshot was taken of".to_owned());
        }
        for (label, info) in request.protected.iter().filter(|(_, info)| info.database() == name) {
            if same_endpoint(info, &self.wanted) {
                return Some(configured(label));
            }
            // A source that is away cannot be asked who it is; its address was compared above.
            let Ok(session) = connect(info, APPLICATION).await else { continue };
            let Ok(server) = catalog::server(&session).await else { continue };
            session.close().await;
            let same = match (&server.system_identifier, &self.server.system_identifier) {
                (Some(a), Some(b)) => a == b,
                _ => {
                    server.postmaster_started == self.server.postmaster_started
                        && server.database_oid == self.server.database_oid
                }
            };
            if same {
                return Some(configured(label));
            }
        }
        None
    }

    /// The manifest's extensions that are missing here, or would come in another version.
    pub fn extension_gaps(&self, manifest: &Manifest) -> Vec<ExtensionGap> {
        manifest
            .extensions
            .iter()
            .filter(|e| self.extensions.get(&e.name) != Some(&e.version))
            .map(|e| ExtensionGap {
                name: e.name.clone(),
                version: e.version.clone(),
                available: self.extensions.get(&e.name).cloned(),
            })
            .collect()
    }
}

/// Connects to a database beside the wanted one.
pub async fn maintenance(info: &Conninfo) -> Result<Session> {
    let mut failure = None;
    for name in MAINTENANCE.iter().filter(|name| **name != info.database()) {
        match connect(&info.with_database(name), APPLICATION).await {
            Ok(session) => return Ok(session),
            Err(e) => failure = Some(e),
        }
    }
    let error =
        failure.unwrap_or_else(|| Error::new(Kind::Bug, "there is no maintenance database"));
    Err(error.during("connect to a maintenance database, from which another is made"))
}

fn same_endpoint(a: &Conninfo, b: &Conninfo) -> bool {
    a.endpoints().iter().any(|x| {
        b.endpoints().iter().any(|y| {
            x.port == y.port
                && match (&x.host, &y.host) {
                    (Host::Tcp(x), Host::Tcp(y)) => x.eq_ignore_ascii_case(y),
                    (x, y) => x == y,
                }
        })
    })
}

/// What people have made in a database: everything that neither PostgreSQL, an extension nor the
/// provider brought along.
async fn content(session: &Session, provider: Option<Profile>) -> Result<Vec<String>> {
    let own = |class: &str, oid: &str| {
        format!(
            "NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.deptype = 'e' AND d.objid = {oid}
                                AND d.classid = 'pg_catalog.{class}'::pg_catalog.regclass)"
        )
    };
    let sql = format!(
        "SELECT 1, 'schema', n.nspname, n.nspname FROM pg_catalog.pg_namespace n
          WHERE n.nspname <> 'public' AND {namespaces} AND {schemas}
          UNION ALL
         SELECT 2, CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'c' THEN 'type'
                                  WHEN 'm' THEN 'materialized view' ELSE 'table' END,
                n.nspname, n.nspname || '.' || c.relname
           FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
          WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S', 'c') AND {namespaces} AND {relations}
          UNION ALL
         SELECT 3, 'function', n.nspname, n.nspname || '.' || p.proname
           FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
          WHERE {namespaces} AND {functions}
          UNION ALL
         SELECT 4, 'type', n.nspname, n.nspname || '.' || t.typname
           FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
          WHERE t.typtype IN ('d', 'e', 'r') AND {namespaces} AND {types}
          UNION ALL
         SELECT 5, 'large object', '', l.oid::text FROM pg_catalog.pg_largeobject_metadata l
          ORDER BY 1, 4",
        namespaces = "n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'",
        schemas = own("pg_namespace", "n.oid"),
        relations = own("pg_class", "c.oid"),
        functions = own("pg_proc", "p.oid"),
        types = own("pg_type", "t.oid"),
    );
    let ours = |schema: &str| match provider {
        None => true,
        Some(p) => {
            !profile::provided_schemas(p).contains(&schema)
                && profile::schema_left_out(p, schema).is_none()
        }
    };
    let rows = session.rows(&sql).await?;
    let mut found = Vec::new();
    for row in rows {
        if ours(row.text(2)?) {
            found.push(format!("{} {}", row.text(1)?, row.text(3)?));
        }
    }
    Ok(found)
}
