//! The schema archive on this machine, and pg_restore at work on it.

use std::path::PathBuf;
use std::process::Stdio;

use tempfile::TempDir;

use super::complaints::{self, Complaint};
use super::contents::{Contents, Stage};
use super::messages;
use super::objects::Objects;
use super::request::Skipped;
use super::script::{self, Named};
use crate::config::Profile;
use crate::error::{Attempt, Error, Kind, Result};
use crate::model::{LeftOut, Manifest};
use crate::postgres::Conninfo;
use crate::postgres::programs::{self, Program, Running};

/// Errors shown of a failed stage; the rest is counted.
const SHOWN: usize = 20;

/// A fetched and proven archive in a folder that goes away with it.
pub struct Archive {
    dir: TempDir,
    file: PathBuf,
    pub program: Program,
    pub contents: Contents,
}

/// One run of pg_restore.
pub struct Run<'a> {
    /// For people.
    pub name: &'a str,
    pub stage: Stage,
    /// `pre-data`, `data` or `post-data`; none: the whole stage.
    pub section: Option<&'a str>,
    pub jobs: usize,
    /// `-c name=value` for its sessions.
    pub settings: &'a str,
    pub with_tablespaces: bool,
    /// The provider who has made some of it in the target already.
    pub provider: Option<Profile>,
    /// Roles that the restore has made.
    pub made_roles: &'a [String],
    /// Roles that the target lacks and that the restore goes on without.
    pub without_roles: &'a [String],
    /// What the snapshot does not carry.
    pub left_out: &'a [LeftOut],
}

/// The major version of the pg_dump that wrote the archive: `pg_dump 15.18`.
pub fn major_of(program: &str) -> u32 {
    let version = program.rsplit(' ').next().unwrap_or_default();
    version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
}

impl Archive {
    /// Fetches the archive and reads its contents.
    pub async fn fetch(objects: &Objects, manifest: &Manifest, program: Program) -> Result<Self> {
        let dir = TempDir::with_prefix("drctl-").attempt(Kind::Failed, || {
            "make a temporary folder for the schema archive".to_owned()
        })?;
        let file = dir.path().join("schema.dump");
        objects.schema(manifest, &file).await?;
        let mut command = program.bare_command();
        command.args(["--list", "--verbose"]).arg(&file);
        let listing =
            programs::run(command).await.map_err(|e| e.during("list the schema archive"))?;
        let contents = Contents::parse(&String::from_utf8_lossy(&listing.stdout))?;
        Ok(Self { dir, file, program, contents })
    }

    /// The roles and tablespaces that its statements name.
    pub async fn named(&self) -> Result<Named> {
        let list = self.write_list("definitions.list", &self.contents.list_of_definitions())?;
        let mut command = self.program.bare_command();
        command.arg("--file=-").arg("--use-list").arg(list).arg(&self.file);
        let output =
            programs::run(command).await.map_err(|e| e.during("read the schema archive"))?;
        Ok(script::named(&String::from_utf8_lossy(&output.stdout)))
    }

    /// The statements about the database itself, rewritten from the source's name to `to`.
    pub async fn about_database(&self, source: &str, to: &str) -> Result<Vec<String>> {
        let list = self.write_list("database.list", &self.contents.list_of_database())?;
        let mut command = self.program.bare_command();
        command.args(["--create", "--file=-"]).arg("--use-list").arg(list).arg(&self.file);
        let output =
            programs::run(command).await.map_err(|e| e.during("read the schema archive"))?;
        Ok(script::about_database(&String::from_utf8_lossy(&output.stdout), source, to))
    }

    fn write_list(&self, name: &str, lines: &str) -> Result<PathBuf> {
        let path = self.dir.path().join(name);
        std::fs::write(&path, lines)
            .attempt(Kind::Failed, || format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Restores one stage into the database of `info`. Gives what was passed over harmlessly, and
    /// pg_restore's warnings; any other error fails with all of them.
    pub async fn restore(
        &self,
        info: &Conninfo,
        run: Run<'_>,
    ) -> Result<(Vec<Skipped>, Vec<String>)> {
        let list = self.write_list("stage.list", &self.contents.list(run.stage))?;
        let mut command = self.program.command(info);
        // The name goes as a connection string of one word, so that it is taken as it stands.
        let quoted = info.database().replace('\\', "\\\\").replace('\'', "\\'");
        command.arg(format!("--dbname=dbname='{quoted}'")).arg("--no-password");
        command.arg("--use-list").arg(list);
        if let Some(section) = run.section {
            command.arg(format!("--section={section}"));
        }
        if run.jobs > 1 {
            command.arg(format!("--jobs={}", run.jobs));
        }
        if !run.with_tablespaces {
            command.arg("--no-tablespaces");
        }
        let given = info.child_env().into_iter().find(|(name, _)| name == "PGOPTIONS");
        let options = given.map(|(_, value)| value + " ").unwrap_or_default();
        command.env("PGOPTIONS", options + run.settings).stdin(Stdio::null());
        command.arg(&self.file);
        let ended = Running::start(command)?.ended().await?;

        let (errors, warnings) = messages::read(&ended.stderr);
        let mut skipped = Vec::new();
        let mut harmful = Vec::new();
        for error in errors {
            match complaints::harmless(&error, &run) {
                Some(s) => skipped.push(s),
                None => harmful.push(error),
            }
        }
        // An exit status without a word about it is a failure too.
        let explained =
            ended.status.success() || (!skipped.is_empty() && ended.status.code() == Some(1));
        match harmful.is_empty() && explained && !ended.stderr_cut {
            true => Ok((skipped, warnings)),
            false => Err(self.failed(run.name, &harmful, &ended.status.to_string())),
        }
    }

    fn failed(&self, name: &str, errors: &[Complaint], status: &str) -> Error {
        let mut lines = String::new();
        for error in errors.iter().take(SHOWN) {
            lines.push_str(&format!("\n  {}", error.message));
            if !error.attempt().is_empty() {
                lines.push_str(&format!("\n    in: {}", error.attempt()));
            }
        }
        if errors.len() > SHOWN {
            lines.push_str(&format!("\n  and {} more", errors.len() - SHOWN));
        }
        let what = format!(
            "restore {name} with {}: {} errors, {status}{lines}",
            self.program,
            errors.len()
        );
        let error = Error::new(Kind::Program, what);
        match errors.iter().find_map(|e| advice(&e.message)) {
            Some(hint) => error.hint(hint),
            None => {
                error.hint("mend the cause on the target and restore again; nothing else was lost")
            }
        }
    }
}

fn advice(message: &str) -> Option<&'static str> {
    Some(if message.contains("permission denied to set session authorization") {
        "privileges were granted by somebody else than the owner; only a superuser can grant them \
         in that name"
    } else if message.contains("must be superuser") || message.contains("permission denied") {
        "restore with a role that may make these objects"
    } else if message.contains("must be able to SET ROLE")
        || message.contains("must be member of role")
    {
        "make the restoring role a member of the owners: GRANT owner TO restoring_role"
    } else if message.contains("No space left on device") {
        "the target's disk is full"
    } else {
        return None;
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_archive_says_which_pg_dump_wrote_it() {
        assert_eq!(super::major_of("pg_dump 15.18"), 15);
        assert_eq!(super::major_of("?"), 0);
    }
}
