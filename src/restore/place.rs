//! Where rows go until they are proven: a database under another name, or the target itself with a
//! mark in it. Whatever is interrupted leaves something that says that it is not whole.

use std::time::Duration;

use super::request::{Course, Skipped};
use super::target::{self, Target};
use crate::error::{Error, Kind, Result};
use crate::model::{Digest, Manifest, SnapshotId, Source};
use crate::postgres::{Conninfo, Session, quote, sqlstate};

/// The schema that marks a database that is being restored into.
const MARK: &str = "drctl_restore_in_progress";
/// The ends of the names of databases that are being restored, and that were replaced.
const RESTORING: &str = "__drctl_restoring";
const REPLACED: &str = "__drctl_replaced";
/// What their comments begin with.
const OURS: &str = "drctl: ";
/// PostgreSQL cuts longer names (NAMEDATALEN).
const LONGEST_NAME: usize = 63;
/// How often sessions are ended and the swap is tried.
const TRIES: usize = 6;

/// A database that is being restored.
pub struct Place {
    admin: Session,
    /// The database that is filled, on the server that was reached.
    pub info: Conninfo,
    wanted: Conninfo,
    course: Course,
    snapshot: SnapshotId,
}

/// The name under which the database `name` is restored until it is whole and proven.
pub fn unfinished(name: &str) -> String {
    ending(name, RESTORING)
}

/// `name` with an ending, within the length that PostgreSQL keeps.
fn ending(name: &str, ending: &str) -> String {
    let room = LONGEST_NAME - ending.len();
    let mut cut = name.len().min(room);
    while !name.is_char_boundary(cut) {
        cut -= 1;
    }
    format!("{}{ending}", &name[..cut])
}

/// What the mark in a database says; none: there is none.
pub async fn mark(session: &Session) -> Result<Option<String>> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.obj_description(oid, 'pg_namespace'), 'a restore into it did not end')
           FROM pg_catalog.pg_namespace WHERE nspname = {}",
        quote::literal(MARK)
    );
    let rows = session.rows(&sql).await?;
    rows.first().map(|r| r.text(0).map(str::to_owned)).transpose()
}

impl Place {
    /// Makes or marks the database. From here on the target is changed. With `any_locale`, one that
    /// lacks the source's locale gets `C`, which is told.
    pub async fn begin(
        target: Target,
        manifest: &Manifest,
        any_locale: bool,
    ) -> Result<(Self, Option<Skipped>)> {
        let Target { session: admin, wanted, course, .. } = target;
        let snapshot = manifest.id.clone();
        only_one(&admin, wanted.database()).await?;
        let mut passed_over = None;
        let info = match course {
            Course::InPlace => {
                let note = format!("restore of snapshot {snapshot} under way or interrupted");
                let sql = format!(
                    "BEGIN; CREATE SCHEMA {MARK}; COMMENT ON SCHEMA {MARK} IS {}; COMMIT",
                    quote::literal(&note)
                );
                admin
                    .simple(&sql)
                    .await
                    .map_err(|e| e.during("mark the target as being restored"))?;
                wanted.clone()
            }
            Course::Create | Course::Replace => {
                let name = unfinished(wanted.database());
                passed_over =
                    create(&admin, &name, wanted.database(), manifest, any_locale).await?;
                wanted.with_database(&name)
            }
        };
        Ok((Self { admin, info, wanted, course, snapshot }, passed_over))
    }

    /// What is left if the restore ends here, for people.
    pub fn remains(&self) -> String {
        match self.course {
            Course::InPlace => format!(
                "`{}` holds a part of the snapshot and is marked as not whole; restore again with \
                 --replace",
                self.info.database()
            ),
            _ => format!(
                "an unfinished database stays as `{}`, marked as not whole; the next restore to \
                 `{}` drops it",
                self.info.database(),
                self.wanted.database()
            ),
        }
    }

    /// The proof was different: says so where the next one will look.
    pub async fn condemn(&self) -> Result<()> {
        let note = format!(
            "{OURS}restore of snapshot {} into `{}`: the proof came out different; not whole",
            self.snapshot,
            self.wanted.database()
        );
        let what = match self.course {
            Course::InPlace => format!("SCHEMA {MARK}"),
            _ => format!("DATABASE {}", quote::ident(self.info.database())),
        };
        self.admin.simple(&format!("COMMENT ON {what} IS {}", quote::literal(&note))).await
    }

    /// Gives the database that was made here the properties of its source: `statements` are about
    /// the database under its present name. Gives advice on those that cannot be had; none of them
    /// concerns what is in it.
    async fn dress(&self, statements: &[String]) -> (Option<String>, Vec<String>) {
        let (mut comment, mut advice) = (None, Vec::new());
        for statement in statements {
            if let Some(rest) = statement.strip_prefix("COMMENT ON DATABASE ") {
                // Its present comment says what it is until it has its name.
                comment = rest.split_once(" IS ").map(|(_, text)| text.to_owned());
            } else if let Err(e) = self.admin.simple(statement).await {
                let why = e.one_line();
                advice.push(format!("a property of the source database was not set: {why}"));
            }
        }
        (comment, advice)
    }

    /// Whether the database is this restore's own, made for it.
    pub fn is_new(&self) -> bool {
        self.course != Course::InPlace
    }

    /// What was restored is whole: gives it its properties and its name. Every session in it must
    /// be closed. Gives advice on what is left over.
    pub async fn settle(self, properties: &[String]) -> Result<(Conninfo, Vec<String>)> {
        let (comment, mut advice) = self.dress(properties).await;
        let comment = comment.unwrap_or_else(|| "NULL".to_owned());
        let temporary = quote::ident(self.info.database());
        let name = quote::ident(self.wanted.database());
        let named = format!(
            "ALTER DATABASE {temporary} RENAME TO {name}; COMMENT ON DATABASE {name} IS {comment}"
        );
        match self.course {
            Course::InPlace => {
                self.admin
                    .simple(&format!("DROP SCHEMA {MARK}"))
                    .await
                    .map_err(|e| e.during("take the mark away from the restored database"))?;
            }
            Course::Create => {
                let sql = format!("BEGIN; {named}; COMMIT");
                self.swap(&sql, self.info.database()).await?;
            }
            Course::Replace => {
                let aside = ending(self.wanted.database(), REPLACED);
                drop_ours(&self.admin, &aside).await?;
                let old = quote::ident(&aside);
                let note = format!("{OURS}replaced by snapshot {}; to be dropped", self.snapshot);
                let sql = format!(
                    "BEGIN; ALTER DATABASE {name} RENAME TO {old}; {named};
                     COMMENT ON DATABASE {old} IS {}; COMMIT",
                    quote::literal(&note)
                );
                self.swap(&sql, self.wanted.database()).await?;
                if let Err(e) = self.admin.simple(&format!("DROP DATABASE {old}")).await {
                    advice.push(format!(
                        "the replaced database is still there as {aside} ({}): drop it",
                        e.one_line()
                    ));
                }
            }
        }
        self.admin.close().await;
        Ok((self.wanted, advice))
    }

    /// Renames, while the sessions of `database` are being ended: a rename takes the lock that keeps
    /// new ones out and then waits five seconds for the others to leave.
    async fn swap(&self, sql: &str, database: &str) -> Result<()> {
        let second = target::maintenance(&self.wanted).await?;
        let evict = format!(
            "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity
              WHERE datname = {} AND pid <> pg_catalog.pg_backend_pid()",
            quote::literal(database)
        );
        let mut last = None;
        for _ in 0..TRIES {
            let evicting = async {
                loop {
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    // Whoever may not end a session is told so by the rename that fails.
                    let _ = second.rows(&evict).await;
                }
            };
            let done = tokio::select! {
                done = self.admin.simple(sql) => done,
                () = evicting => Ok(()),
            };
            match done {
                Ok(()) => return Ok(()),
                Err(e) => {
                    self.admin.simple("ROLLBACK").await?;
                    let in_use = sqlstate(&e).as_deref() == Some("55006");
                    last = Some(e);
                    if !in_use {
                        break;
                    }
                }
            }
        }
        let error = last.unwrap_or_else(|| Error::new(Kind::Bug, "rename a database no times"));
        let what = format!(
            "give the restored database its name; it is whole and proven, and stands as `{}`",
            self.info.database()
        );
        Err(error.during(what).hint(format!(
            "end the sessions in `{database}`, then rename by hand: ALTER DATABASE … RENAME TO …"
        )))
    }
}

/// Two restores to one name would drop each other's work.
async fn only_one(admin: &Session, name: &str) -> Result<()> {
    let digest = Digest::of(format!("drctl restore {name}").as_bytes());
    let mut key = [0; 8];
    key.copy_from_slice(&digest.as_bytes()[..8]);
    let sql = format!("SELECT pg_catalog.pg_try_advisory_lock({})", i64::from_be_bytes(key));
    match admin.row(&sql).await?.truth(0)? {
        true => Ok(()),
        false => {
            Err(Error::new(Kind::LeaseHeld, format!("another restore to `{name}` is at work"))
                .hint("wait for it, or end its sessions (application_name `drctl restore`)"))
        }
    }
}

/// Makes an empty database as the source's was, and says in its comment what it is.
async fn create(
    admin: &Session,
    name: &str,
    wanted: &str,
    manifest: &Manifest,
    any_locale: bool,
) -> Result<Option<Skipped>> {
    drop_ours(admin, name).await?;
    let target_num: u32 =
        admin.row("SELECT current_setting('server_version_num')").await?.number(0)?;
    let source = &manifest.source;
    let sql = format!("CREATE DATABASE {} {}", quote::ident(name), locale(source, target_num));
    let made = admin.simple(&sql).await;
    let lacking = made.as_ref().is_err_and(|e| e.one_line().contains("locale"));
    let passed_over = match made {
        Ok(()) => None,
        Err(e) if lacking && any_locale => {
            let sql = format!(
                "CREATE DATABASE {} TEMPLATE template0 ENCODING {} LC_COLLATE 'C' LC_CTYPE 'C'",
                quote::ident(name),
                quote::literal(&source.encoding),
            );
            admin.simple(&sql).await.map_err(|_| e)?;
            let name = source.locale.as_deref().unwrap_or(&source.collate);
            Some(Skipped {
                what: format!("locale {name} ({})", source.locale_provider),
                reason: "the target lacks it, so text sorts by bytes there; every row is the same"
                    .to_owned(),
            })
        }
        Err(e) => {
            let e = e.during(format!("create the database `{name}`"));
            return Err(match lacking {
                true => e.hint(
                    "the target lacks the source's locale: install it there, or make an empty \
                     database with one that it has and restore into that without --create",
                ),
                false => e,
            });
        }
    };
    let note = format!(
        "{OURS}restore of snapshot {} into `{wanted}` under way or interrupted; not whole",
        manifest.id
    );
    let sql = format!("COMMENT ON DATABASE {} IS {}", quote::ident(name), quote::literal(&note));
    admin.simple(&sql).await?;
    Ok(passed_over)
}

/// The options of CREATE DATABASE that give it the source's encoding and locale.
fn locale(source: &Source, target_num: u32) -> String {
    let mut options = format!(
        "TEMPLATE template0 ENCODING {} LC_COLLATE {} LC_CTYPE {}",
        quote::literal(&source.encoding),
        quote::literal(&source.collate),
        quote::literal(&source.ctype)
    );
    // Locale providers came with 15, the built-in one with 17.
    if target_num >= 150_000 {
        options.push_str(&format!(" LOCALE_PROVIDER {}", source.locale_provider));
        let parameter = match source.locale_provider.as_str() {
            "icu" => "ICU_LOCALE",
            _ => "BUILTIN_LOCALE",
        };
        if let Some(locale) = &source.locale {
            options.push_str(&format!(" {parameter} {}", quote::literal(locale)));
        }
    }
    options
}

/// Drops what an earlier restore left under this name, and nothing else.
async fn drop_ours(admin: &Session, name: &str) -> Result<()> {
    let sql = format!(
        "SELECT coalesce(pg_catalog.shobj_description(oid, 'pg_database'), '')
           FROM pg_catalog.pg_database WHERE datname = {}",
        quote::literal(name)
    );
    let rows = admin.rows(&sql).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    if !row.text(0)?.starts_with(OURS) {
        return Err(Error::new(
            Kind::Failed,
            format!("there is a database `{name}` that no restore is known to have left"),
        )
        .hint(format!(
            "look at it, and DROP DATABASE {} if it is not needed",
            quote::ident(name)
        )));
    }
    admin
        .simple(&format!("DROP DATABASE {} WITH (FORCE)", quote::ident(name)))
        .await
        .map_err(|e| e.during(format!("drop `{name}`, which an interrupted restore left")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_ending_within_what_postgresql_keeps() {
        assert_eq!(ending("pets", RESTORING), "pets__drctl_restoring");
        let long = ending(&"ü".repeat(31), RESTORING);
        assert!(long.len() <= LONGEST_NAME && long.ends_with(RESTORING), "{long}");
    }
}
